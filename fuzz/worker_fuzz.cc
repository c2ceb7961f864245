// F4: what workers say, as a sequence: hellos, reports right and wrong, repeats, silence, ends of streams, through the
// same translation as on the wire into an engine on memory stores. A plain model beside it keeps what the contract
// says: one outcome per task that never changes, one current attempt, every report answered, stale ones not taken.
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/worker.h"
#include "choices.h"
#include "engine/body.h"
#include "engine/commit_line.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "history/memory/memory_history.h"
#include "history/whole_history.h"
#include "store/memory/memory_journal.h"

using namespace nexus;

namespace {

constexpr int kStepsMax = 300;

void insist(bool condition) {
    if (!condition) std::abort();
}

struct Attempt {
    TaskId task;
    AttemptId id;
};

class World {
public:
    explicit World(fuzz::Choices& chance) : chance_(chance) {
        engine_.post = [this](engine::Work call) { later_.push_back(std::move(call)); };
        engine_.start(now_);
        commit();
    }

    void step() {
        switch (chance_.below(16)) {
            case 0:
            case 1:
            case 2: return submit();
            case 3:
            case 4: return connect();
            case 5:
            case 6:
            case 7:
            case 8:
            case 9: return report();
            case 10: return raw();
            case 11: return turn([&](engine::Engine& e) { e.disconnected(session()); });
            case 12: return pass(milliseconds(100 * chance_.below(256)));
            case 13: return cancel();
            default: return heartbeat();
        }
    }

private:
    // A link that remembers the assignments, as the worker would.
    struct Link : engine::WorkerLink {
        explicit Link(World& owner) : world(owner) {}
        World& world;
        void send(engine::WorkerOrders orders) override { world.told(orders); }
    };

    void told(const engine::WorkerOrders& orders) {
        for (const engine::Assignment& assignment : orders.assign) {
            insist(assignment.body != nullptr);
            insist(!outcomes_.contains(assignment.order.task));
            insist(assignment.order.fence > fence_[assignment.order.task]);
            fence_[assignment.order.task] = assignment.order.fence;
            attempts_.push_back({assignment.order.task, assignment.order.attempt});
        }
        answers_ += orders.answers.size();
    }

    template <class F>
    void turn(F&& call) {
        engine_.begin_turn(now_);
        call(engine_);
        engine_.end_turn();
        commit();
        while (!later_.empty()) {
            auto next = std::move(later_.back());
            later_.pop_back();
            engine_.begin_turn(now_);
            next(engine_);
            engine_.end_turn();
            commit();
        }
        engine_.core().check_invariants();
    }
    void commit() {
        while (engine_.has_batch()) {
            line_.take(engine_.take_batch(), now_.at);
            insist(line_.append(now_.at).step == engine::CommitLine::Step::confirmed);
            while (auto told = line_.release_next(now_.at)) after(std::move(*told));
        }
    }
    void after(engine::PendingBatch batch) {
        for (const history::TaskRow& row : batch.history.tasks) insist(outcomes_.emplace(row.task, row.state).second);
        history::WholeHistory whole(history_, {});
        for (engine::HistoryQuestion& question : batch.questions) engine::answer(std::move(question), whole, journal_);
    }
    void pass(Duration span) {
        now_.at = now_.at + span;
        now_.wall = now_.wall + span;
        turn([](engine::Engine&) {});
    }

    SessionId session() {
        return sessions_.empty() ? SessionId{1}
                                 : sessions_[chance_.below(static_cast<std::uint32_t>(sessions_.size()))];
    }
    Attempt attempt() {
        Attempt any =
            attempts_.empty()
                ? Attempt{{1, 1}, {1, 1}}
                : attempts_[attempts_.size() - 1 - chance_.below(static_cast<std::uint32_t>(attempts_.size()))];
        if (chance_.one_in(10)) any.id.lo ^= 1;
        if (chance_.one_in(10)) any.task.lo ^= 1;
        return any;
    }

    void submit() {
        engine::Submission item;
        item.spec.type = "t" + std::to_string(chance_.below(3));
        item.spec.exclusive = chance_.one_in(5);
        item.spec.idempotent = chance_.one_in(3);
        if (chance_.one_in(4)) item.spec.timeout = seconds(1);
        if (chance_.one_in(3)) item.body.metadata = {};
        item.body.payload = "p";
        std::vector<engine::Submission> items;
        items.push_back(std::move(item));
        turn([&](engine::Engine& e) {
            e.answer({}, engine::SubmitTasks{std::move(items)}, [this](Result<std::vector<engine::Submitted>> made) {
                if (made) tasks_.push_back(made->front().task);
            });
        });
    }
    void connect() {
        v1::Hello hello;
        hello.set_worker("w" + std::to_string(chance_.below(3)));
        hello.set_slots(chance_.below(5));
        for (std::uint32_t n = chance_.below(4); n > 0; --n) {
            const Attempt held = attempt();
            auto& entry = *hello.add_held();
            entry.set_task_id(to_text(held.task));
            entry.set_attempt_id(to_text(held.id));
        }
        auto translated = api::to_hello(hello);
        if (!translated) return;
        turn([&](engine::Engine& e) {
            e.connect(std::move(*translated), std::make_shared<Link>(*this), [this](Result<SessionId> made) {
                if (made) sessions_.push_back(*made);
            });
        });
    }
    void report() {
        v1::WorkerMessage message;
        for (std::uint32_t n = 1 + chance_.below(3); n > 0; --n) {
            const Attempt about = attempt();
            if (chance_.one_in(3)) {
                auto& started = *message.add_started();
                started.set_task_id(to_text(about.task));
                started.set_attempt_id(to_text(about.id));
            }
            if (chance_.one_in(4)) {
                auto& progress = *message.add_progress();
                progress.set_task_id(to_text(about.task));
                progress.set_attempt_id(to_text(about.id));
                progress.set_fraction(static_cast<double>(chance_.below(6)) / 2 - 0.5);
            }
            if (chance_.one_in(2)) {
                auto& finished = *message.add_finished();
                finished.set_task_id(to_text(about.task));
                finished.set_attempt_id(to_text(about.id));
                finished.set_outcome(static_cast<v1::Outcome>(chance_.below(8)));
                finished.set_run_us(1000 * static_cast<std::int64_t>(chance_.below(256)) - 1000);
                if (chance_.one_in(3)) finished.set_result("r");
            }
        }
        message.set_goodbye(chance_.one_in(12));
        hand_in(message);
    }
    void raw() {
        v1::WorkerMessage message;
        const std::string_view bytes = chance_.bytes(chance_.below(64));
        if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) hand_in(message);
    }
    void heartbeat() {
        v1::WorkerMessage message;
        message.mutable_heartbeat()->set_sequence(chance_.byte());
        hand_in(message);
    }
    void hand_in(v1::WorkerMessage& message) {
        auto report = api::to_report(message);
        if (!report) return;
        const SessionId from = session();
        const bool known = static_cast<bool>(engine_.core().worker_of(from));
        const std::size_t reports = report->finished.size();
        const std::size_t before = answers_;
        turn([&](engine::Engine& e) { e.report(from, std::move(*report)); });
        insist(answers_ - before == (known ? reports : 0));
    }
    void cancel() {
        if (tasks_.empty()) return;
        const TaskId task = tasks_[chance_.below(static_cast<std::uint32_t>(tasks_.size()))];
        turn([&](engine::Engine& e) { e.answer({}, engine::CancelTask{task}, [](Result<engine::TaskInfo>) {}); });
    }

    fuzz::Choices& chance_;
    store::MemoryJournal journal_;
    history::MemoryHistory history_;
    engine::Engine engine_{engine::EngineOptions{}};
    engine::Now now_{Instant{1'000'000}, WallTime{1'800'000'000'000'000}};
    std::vector<engine::Work> later_;
    engine::CommitLine line_{journal_,
                             *store::claim_now(journal_, {.name = "fuzz"}),
                             {.post = [this](engine::Work work) { later_.push_back(std::move(work)); }}};
    std::vector<SessionId> sessions_;
    std::vector<TaskId> tasks_;
    std::vector<Attempt> attempts_;
    std::map<TaskId, std::uint64_t> fence_;
    std::map<TaskId, int> outcomes_;
    std::size_t answers_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Choices chance(data, size);
    World world(chance);
    for (int n = 0; n < kStepsMax && !chance.done(); ++n) world.step();
    return 0;
}
