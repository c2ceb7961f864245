#include "faults/server.h"

#include <algorithm>

#include "engine/snapshotter.h"
#include "faults/moody_model.h"
#include "history/whole_history.h"

namespace nexus::faults {
namespace {

constexpr WallTime kEpoch{1'800'000'000'000'000};
constexpr Duration kSpaceRetry = milliseconds(200);
constexpr std::uint64_t kRoomBytes = 256 << 10;
constexpr Duration kStoreRetry = milliseconds(50);

}  // namespace

Server::Server(const Plan& plan, Timeline& timeline, Checker& checker)
    : plan_(plan),
      timeline_(timeline),
      checker_(checker),
      rng_(plan.seed ^ 0x5E77E7),
      journal_(plan.seed ^ 0xD15C,
               {.lost_reply_one_in = plan.store_reply_lost_one_in, .sync_failure_one_in = plan.sync_failure_one_in}) {}

WallTime Server::wall() const {
    if (wall_frozen_) return *wall_frozen_;
    const Duration passed = timeline_.now() - Instant{};
    return kEpoch + wall_skew_ + passed + Duration{passed.us / 1'000'000 * plan_.clock_drift_ppm};
}

void Server::freeze_clock(Duration length) {
    checker_.saw("calendar stands still");
    wall_frozen_ = wall();
    timeline_.after(length, [this] { wall_frozen_.reset(); });
}

engine::Now Server::now() const {
    return {.at = base_ + (timeline_.now() - base_sim_), .wall = wall()};
}

void Server::later(Duration delay, Timeline::Step step) {
    timeline_.after(delay, [this, process = process_, step = std::move(step)]() mutable {
        if (!up() || process != process_) return;
        if (timeline_.now() < paused_until_) return later(paused_until_ - timeline_.now(), std::move(step));
        step();
    });
}

void Server::start() {
    if (const auto head = journal_.head(); !head && head.error().fault == Fault::unreachable)
        return timeline_.after(kStoreRetry, [this] { start(); });
    ++process_;
    recover();
    engine_->post = [this](std::move_only_function<void(engine::Engine&)> answer) { call(std::move(answer)); };
    const bool fresh = engine_->last_sequence().n == 0;
    const WallTime last{engine_->last_instant().us + engine_->core().wall_offset().us};
    const Duration away{std::max<std::int64_t>(0, wall().us - last.us)};
    base_ = fresh ? Instant{1'000'000} : engine_->last_instant() + away;
    base_sim_ = timeline_.now();
    checker_.server_started();
    const auto head = journal_.head();
    demand(head.has_value(), "C17", "the journal cannot be looked at");
    const auto claim = journal_.claim(*head, {.name = "server", .token_hi = process_, .token_lo = plan_.seed});
    demand(claim.has_value(), "S24", "the journal cannot be claimed");
    line_ = std::make_unique<engine::CommitLine>(
        journal_, *claim, engine::CommitLine::Options{.post = [this](auto work) { call(std::move(work)); }});
    low_on_space_ = false;
    note_space(head->low_on_space);
    engine_->start(now());
    take_batches();
    wake(timeline_.now());
}

void Server::recover() {
    engine::EngineOptions options{.config = plan_.config, .seed = rng_.next()};
    options.make_champion = [this] {
        return std::make_unique<MoodyModel>(plan_.seed ^ process_,
                                            [this] { return healed_ ? 0U : plan_.model_failure_one_in; });
    };
    engine_ = std::make_unique<engine::Engine>(std::move(options));
    if (process_ > 1) {
        const auto seen =
            journal_.read(Sequence{checker_.events()}, {}, [&](Sequence first, std::string_view bytes) -> Result<void> {
                checker_.found(first, bytes, journal_);
                return {};
            });
        demand(seen.has_value(), "C17", "the journal cannot be read");
    }
    const auto recovered = engine_->recover(journal_);
    demand(recovered.has_value(), "C17", "no recovery: " + (recovered ? "" : recovered.error().what));
    if (process_ > 1) checker_.recovered(engine_->core(), engine_->last_sequence());
}

void Server::heal() {
    healed_ = true;
    journal_.set_faults({});
    journal_.full(false);
    journal_.exhausted(false);
    journal_.silent(false);
    paused_until_ = timeline_.now();
    wall_skew_ = skew_most_;  // somebody sets the calendar right: what waits for its run_at waits for it
}

void Server::call(Call call) {
    if (!up()) return;
    inbox_.push_back(std::move(call));
    wake(timeline_.now());
}

void Server::pause(Duration length) {
    if (!up()) return;
    paused_until_ = std::max(paused_until_, timeline_.now() + length);
    checker_.server_stands(now().at, now().at + length);
    checker_.saw("server paused");
}

void Server::wake(Instant at) {
    at = std::max({at, timeline_.now(), paused_until_});
    if (at >= wake_at_) return;
    wake_at_ = at;
    const std::uint64_t number = ++wake_number_;
    later(at - timeline_.now(), [this, number] {
        if (number != wake_number_) return;
        wake_at_ = kNever;
        turn();
    });
}

void Server::turn() {
    engine_->begin_turn(now());
    engine_->set_room(kRoomBytes - std::min(kRoomBytes, line_->bytes_in_flight()));
    for (Call& each : std::exchange(inbox_, {})) each(*engine_);
    engine_->end_turn();
    take_batches();
    if (stopping_ && !committing_) return end_in_order();
    const Instant next = engine_->next_turn();
    if (next != kNever) wake(base_sim_ + (next - base_));
}

void Server::take_batches() {
    while (engine_->has_batch()) line_->take(engine_->take_batch(), now().at);
    if (!committing_ && !line_->empty()) commit();
}

void Server::commit() {
    committing_ = true;
    const Duration delay = chance(plan_.commit_stall_one_in)
                               ? milliseconds(rng_.between(500, 3000))
                               : Duration{rng_.between(plan_.commit_min.us, plan_.commit_max.us)};
    later(delay, [this] { append(); });
}

void Server::append() {
    std::optional<CrashPoint> point;
    if (chance(plan_.crash_one_in)) point = static_cast<CrashPoint>(rng_.below(4));
    if (point == CrashPoint::before_append) return crash();
    if (point == CrashPoint::during_append) {
        checker_.saw("crash while appending");
        line_->prepare(now().at);
        journal_.crash_during(line_->batches());
        checker_.saw("server crashed");
        return end_process();
    }
    using Step = engine::CommitLine::Step;
    const auto outcome = line_->append(now().at);
    if (outcome.step == Step::no_space) {
        // Not even the reserve is left: wait, the order must not change.
        checker_.saw("not even the reserve left");
        note_space(true);
        return later(kSpaceRetry, [this] { append(); });
    }
    if (outcome.step == Step::wait) {
        checker_.saw("no answer from the store");
        return later(kStoreRetry, [this] { append(); });
    }
    if (outcome.step != Step::confirmed) {
        checker_.saw("store failed for good");
        return crash();
    }
    if (outcome.again) checker_.saw("append found stored after a lost reply");
    note_space(outcome.low_on_space);
    for (const store::JournalBatch& batch : line_->batches()) checker_.committed(batch);
    if (point == CrashPoint::after_append) {
        checker_.saw("crash between append and release");
        return crash();
    }
    std::optional<std::size_t> crash_at;
    if (point == CrashPoint::during_release) crash_at = line_->batches_left() / 2;
    told_ = 0;
    tell(crash_at);
}

void Server::tell(std::optional<std::size_t> crash_at) {
    const std::uint64_t process = process_;
    for (; crash_at != told_; ++told_) {
        auto batch = line_->release_next(now().at);
        if (process != process_) return;
        if (!batch && line_->confirmed_left()) return later(kStoreRetry, [this, crash_at] { tell(crash_at); });
        if (!batch) break;
        write_history(*batch);
        released_ = Sequence{batch->journal.first.n + batch->journal.count - 1};
    }
    if (crash_at == told_) {
        checker_.saw("crash in the middle of a release");
        return crash();
    }
    if (chance(plan_.snapshot_one_in)) snapshot();
    committing_ = false;
    if (!line_->empty()) return commit();
    if (stopping_) end_in_order();
}

void Server::note_space(bool low) {
    if (low_on_space_ == low) return;
    low_on_space_ = low;
    if (low) checker_.saw("disk full entered");
    call([this, low](engine::Engine& engine) {
        if (stopping_) return;
        engine.refuse_submissions(low ? std::optional(Error{Fault::exhausted, "the disk is full"}) : std::nullopt);
    });
    if (low) later(seconds(1), [this] { look_for_space(); });
}

void Server::look_for_space() {
    if (const auto head = journal_.head()) note_space(head->low_on_space);
    if (low_on_space_) later(seconds(1), [this] { look_for_space(); });
}

void Server::write_history(engine::PendingBatch& batch) {
    if (checker_.thorough())
        for (history::DecisionNote& note : batch.decisions) {
            batch.history.decisions.push_back(history::row_of(note));
            checker_.decision_told(batch.history.decisions.back().record);
        }
    if (!healed_ && !batch.history.audit.empty() && batch.journal.first.n % 3 == 0) {
        checker_.saw("audit lost by the history");
        batch.history.audit.clear();
    }
    demand(history_.write(batch.history).has_value(), "C22", "the history cannot be written");
    for (engine::HistoryQuestion& question : batch.questions) ask(std::move(question));
}

void Server::snapshot() {
    const auto at = engine::make_snapshot(journal_, engine_->save_predictor(), released_, engine_->audited());
    if (!at && at.error().fault == Fault::unreachable) return checker_.saw("no answer to a snapshot");
    demand(at.has_value(), "S18", "no snapshot: " + (at ? "" : at.error().what));
    checker_.saw("snapshot");
}

void Server::ask(engine::HistoryQuestion question) {
    later(microseconds(rng_.between(10, 2000)), [this, question = std::move(question)]() mutable {
        history::WholeHistory whole(history_, {});
        engine::answer(std::move(question), whole, journal_);
    });
}

void Server::stop() {
    if (!up() || stopping_) return;
    checker_.saw("server stopped in order");
    call([this](engine::Engine& engine) {
        stopping_ = true;
        engine.refuse_submissions(Error{Fault::unavailable, "the server is stopping"});
        engine.tell_workers_to_reconnect("the server is stopping");
    });
    later(seconds(5), [this] { crash(); });
}

void Server::crash() {
    if (!up()) return;
    checker_.saw("server crashed");
    journal_.crash(rng_.one_in(2));
    end_process();
}

void Server::end_in_order() {
    snapshot();
    end_process();
}

void Server::end_process() {
    engine_.reset();
    line_.reset();
    inbox_.clear();
    committing_ = stopping_ = false;
    wake_at_ = kNever;
    ++wake_number_;
    paused_until_ = timeline_.now();
    if (on_down) on_down();
    const Duration down = healed_ ? milliseconds(100) : Duration{rng_.between(100'000, plan_.down_max.us)};
    timeline_.after(down, [this] { start(); });
}

}  // namespace nexus::faults
