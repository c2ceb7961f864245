#pragma once
// One stream of Redis, read as a member of a consumer group: what others left behind first, then what is new. Not
// thread-safe.
//
// The group is made where it is missing, at the place that was acknowledged last, which is kept beside the journal: so a
// group that somebody deleted delivers nothing twice. The consumer's name belongs to the journal and not to a process:
// whoever takes over finds what its predecessor had fetched.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "intake/entry.h"
#include "redis/pool.h"

namespace nexus::intake {

class StreamGroup {
public:
    struct Options {
        std::string stream, group = "scheduler-group", consumer;
        std::string place_key, place_field;  // a hash of ours, where the last place is kept
        std::size_t count = 100;             // entries at once
        Duration claim_after = seconds(60);  // unchanged for so long on our own clock: its consumer is dead
    };
    StreamGroup(redis::Pool& pool, Options options) : pool_(pool), options_(std::move(options)) {}

    // Faults of all: unreachable; invalid (the stream is no stream, …: an operator must look).
    // After an error, too: what is pending for us is read again. A lost connection starts over by itself.
    void start_over() { backlog_after_ = "0"; }
    // The next entries: those of before, then those of dead consumers, then new ones, for which it waits up to `wait`.
    // What was deleted meanwhile is acknowledged and counted in `deleted`.
    Result<std::vector<Entry>> next(Duration wait);
    // They are done with. Repeating it is harmless.
    Result<void> acknowledge(const std::vector<std::string>& ids);

    std::uint64_t claimed = 0, deleted = 0;
    std::uint64_t foreign = 0;  // entries that other consumers had fetched and not acknowledged, as of the last look

private:
    using Clock = std::chrono::steady_clock;
    struct Seen {
        std::string consumer;
        std::int64_t deliveries = 0;
        Clock::time_point since;
        std::uint64_t round = 0;
    };
    Result<std::vector<redis::Reply>> run(const redis::Commands& commands, Duration patience = {});
    Result<redis::Reply> run(std::initializer_list<std::string_view> words);
    Result<void> make_group();
    Result<std::vector<Entry>> read(const std::string& after, Duration wait);
    Result<std::vector<Entry>> take_over();
    Result<std::vector<std::string>> look_at_others();
    Result<std::vector<Entry>> entries_of(const redis::Reply& list);

    redis::Pool& pool_;
    const Options options_;
    std::unique_ptr<redis::Connection> connection_;  // its own: what was fetched by one that broke is read again
    bool made_ = false;
    std::string backlog_after_ = "0";  // where reading our own pending entries goes on; empty = all are read
    std::map<std::string, Seen> seen_;
    Clock::time_point look_at_{};
    std::uint64_t round_ = 0;
    std::string place_;  // the largest id acknowledged
};

}  // namespace nexus::intake
