#pragma once
// What waits for the loop. Calls that only look stand in a line of their own, from which the loop takes a few at a time:
// however many there are, changes and what workers report wait for one of them at most. A call that nobody waits for any
// more is dropped. Bounded: calls are refused beyond a number and a size, before anything happens (C16); what
// workers report is never refused, but a session that has too much waiting is cut off (it comes back and says again what
// was not answered), and of its signs of life one waits at a time. What the engine's own threads put is neither counted
// nor refused. Thread-safe; put() never blocks.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/caller.h"
#include "base/ids.h"
#include "engine/engine.h"

namespace nexus::engine {

using Work = std::move_only_function<void(Engine&)>;

struct InboxBounds {
    std::size_t calls_max = 20'000;
    std::uint64_t call_bytes_max = 64ULL << 20;
    std::size_t reports_per_session_max = 4'096;  // as many as a worker may have slots
    std::uint64_t report_bytes_max = 64ULL << 20;
};

class Inbox {
public:
    // A call keeps what it takes to refuse it, for when it cannot be carried out any more.
    struct Item {
        Work work;
        std::shared_ptr<std::pair<Caller, Call>> call;
        void run(Engine& engine);
        bool dropped();                 // refused now, since nobody waits for its answer any more
        void refuse(const Error& why);  // only calls say anything
    };
    enum class Put : std::uint8_t { taken, full, closed };

    explicit Inbox(InboxBounds bounds = {}) : bounds_(bounds) {}

    // Answered here when it finds no place.
    void put_call(Caller caller, Call call);
    Put put(Work work);
    // full: the session is to be cut off; said once per session and drain.
    Put put_report(SessionId session, std::uint64_t bytes, bool alive_only, Work work);

    // Takes everything but the calls that only look. Waits for something urgent or until `until`, whichever is first;
    // false: closed and empty.
    // `until` is asked each time anew, in microseconds from now; < 0 = wait for ever.
    bool take(std::vector<Item>& items, const std::function<std::int64_t()>& until_us);
    // The oldest call that only looks; false: none waits.
    bool take_look(Item& item);
    // Leaves everything else where it is, for at most `us` microseconds or until something arrives.
    void refuse_calls(const Error& why, std::int64_t us);
    void wake();
    void close();
    bool closed();

    std::size_t calls_waiting();

private:
    struct Reports {
        std::size_t waiting = 0;
        bool alive = false;  // a sign of life is among them
        bool cut = false;
    };
    bool put_item(Item item, bool urgent);

    const InboxBounds bounds_;
    std::mutex mutex_;  // guards everything below
    std::condition_variable wake_;
    std::vector<Item> items_;
    std::deque<Item> looks_;
    bool urgent_ = false;  // something in it wants its turn now
    bool closed_ = false;
    std::size_t calls_ = 0;
    std::uint64_t call_bytes_ = 0, report_bytes_ = 0;
    std::unordered_map<std::uint64_t, Reports> reports_;  // by session
};

// It changes nothing.
bool only_looks(const Call& call);
// What a call holds while it waits, roughly.
std::uint64_t bytes_of(const Call& call);
// The report says nothing but that the worker is alive.
bool only_alive(const WorkerReport& report);
// What a report holds while it waits, roughly.
std::uint64_t bytes_of(const WorkerReport& report);
// What a submission takes in the journal and beside it, rather too much.
std::uint64_t bytes_of(const Submission& item);

}  // namespace nexus::engine
