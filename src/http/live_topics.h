#pragma once
// The topics of the live stream: GET /v1/live?topics=status,attention,fleet,tasks(state=waiting,type=thumb),type:thumb.
//
//   status, attention, queues, types, tenants   the answer of GET /v1/…, once a second, when it changed
//   tasks(…), task:ID, worker:NAME, type:NAME   the same, of that list (at most 100 tasks) or thing
//   series                                      the newest points, each ten seconds
//   fleet                                       all workers as columns, then what changed: fleet_columns.h
//
// The event is named as the topic was asked for. Each has an `id`; whoever comes again with it as Last-Event-ID is told
// on from there, or hears an event `gap` first: what was between is not told, and what follows is whole. A topic that is
// refused is told once, by an event `error` with a problem document and its `topic`.
//
// One frame of a topic and second is made for all who watch it with equal rights; a slow reader is told the newest when
// it has read the one before. Not thread-safe: of the I/O thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/fleet_columns.h"
#include "http/message.h"

namespace nexus::http {

class LiveTopics : public std::enable_shared_from_this<LiveTopics> {
public:
    static constexpr std::size_t kTopicsOfOne = 16, kTopicsInAll = 256;

    struct Topic {
        std::string name, event;
        Request request;            // as whoever asked first; all who share it may see the same
        bool whole = true;          // its frames are
        std::uint64_t period = 1;   // seconds
        std::string body;           // of the newest frame
        std::uint64_t version = 0;  // of it; 0 = none yet
        std::unique_ptr<FleetColumns> fleet;
    };
    // What one viewer watches, and what it was told so far.
    class View {
    public:
        // All that is new to it, as events; empty when nothing is.
        std::string take();

    private:
        friend class LiveTopics;
        struct Watched {
            std::shared_ptr<Topic> topic;
            std::uint64_t told = 0;
        };
        std::shared_ptr<const LiveTopics> all_;
        std::vector<Watched> watched_;
        bool gap_ = false;
    };

    // `boot` tells this process from those before it. `post` brings work back to the I/O thread.
    LiveTopics(api::Door& door, std::string boot, std::function<void(std::function<void()>)> post)
        : door_(door), boot_(std::move(boot)), post_(std::move(post)) {}

    // Faults: invalid (no such topic, too many), exhausted.
    Result<View> watch(const Request& request);
    // Asks for all that is watched; `done` runs on the I/O thread when the answers are there.
    void tick(std::function<void()> done);

private:
    Result<std::shared_ptr<Topic>> topic_of(const std::string& text, const Request& request);
    void take_answer(Topic& topic, Response response);
    void ask_fleet(const std::shared_ptr<Topic>& topic, const std::shared_ptr<void>& open);

    api::Door& door_;
    const std::string boot_;
    const std::function<void(std::function<void()>)> post_;
    std::uint64_t seconds_ = 0;
    std::uint64_t fleets_ = 0;                            // that were watched so far
    std::map<std::string, std::weak_ptr<Topic>> topics_;  // by text and rights
};

}  // namespace nexus::http
