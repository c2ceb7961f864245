// The digest: every event and every command leaves its decision-relevant words in it.

#include "base/hash.h"
#include "core/state.h"

namespace nexus::core {

namespace {
struct Mixer {
    std::uint64_t& digest;
    template <class... Words>
    void words(Words... values) {
        ((digest = mix(digest, static_cast<std::uint64_t>(values))), ...);
    }
    void text(const std::string& value) { digest = mix(digest, hash_bytes(value)); }
    template <class Tag>
    void id(Id128<Tag> value) {
        words(value.hi, value.lo);
    }

    void operator()(const EngineStarted& e) { words(1, e.seed, e.wall_offset.us, e.epoch, e.shard); }
    void operator()(const WallMoved& e) { words(2, e.wall_offset.us); }
    void operator()(const ConfigChanged& e) { words(3, e.config.version, e.config.policy); }
    void operator()(const TaskSubmitted& e) {
        words(4, e.estimate.mean.us, e.estimate.p90.us, e.spec.priority, e.spec.body_hash);
        id(e.task);
        text(e.spec.type);
    }
    void operator()(const EstimateRevised& e) { words(5, e.estimate.mean.us, e.estimate.p90.us), id(e.task); }
    void operator()(const CancelRequested& e) { words(6), id(e.task); }
    void operator()(const WorkerJoined& e) {
        words(7, e.session.n, e.slots, e.held.size(), e.prefetch_max), text(e.name);
    }
    void operator()(const WorkerCapacityChanged& e) { words(8, e.session.n, e.slots, e.draining); }
    void operator()(const WorkerSuspected& e) { words(9, e.session.n); }
    void operator()(const WorkerRecovered& e) { words(10, e.session.n); }
    void operator()(const WorkerLeft& e) { words(11, e.session.n, e.planned); }
    void operator()(const WorkerLost& e) { words(12, e.session.n, e.last_contact.us); }
    void operator()(const WorkerControlled& e) { words(13, e.order), text(e.name); }
    void operator()(const WorkerSpeedLearned& e) { words(14, e.worker.n, e.speed_ppm, e.deviation_ppm); }
    void operator()(const AffinityLearned& e) { words(15, e.factor_ppm), text(e.type), text(e.hardware); }
    void operator()(const TrustLearned& e) { words(16, e.trust_ppm); }
    void operator()(const AttemptStarted& e) { words(17, e.session.n, e.waited.us), id(e.attempt); }
    void operator()(const AttemptFinished& e) { words(18, e.outcome, e.retryable, e.run.us), id(e.attempt); }
    void operator()(const OverrideSet& e) {
        words(19, e.number, e.kind, e.boost.us), id(e.task), text(e.type), text(e.worker);
    }
    void operator()(const OverrideCleared& e) { words(20, e.number); }
    void operator()(const TimePassed&) { words(21); }
    void operator()(const AttemptPaused& e) { words(22, e.turn, e.paused, e.run.us), id(e.attempt); }

    void operator()(const EstimateForced& e) { words(23, e.estimate.us, e.expires.us), text(e.type); }
    void operator()(const TypeReset& e) { words(24), text(e.type); }
    void operator()(const TokenIssued& e) { words(25, e.roles, e.expires.us), text(e.id), text(e.hash); }
    void operator()(const TokenRevoked& e) { words(26), text(e.id); }
    void operator()(const SignedIn& e) { words(27), text(e.id); }

    void operator()(const AssignAttempt& c) {
        words(32, c.fence, c.worker.n, c.session.n, c.decision.key_us);
        id(c.task);
        id(c.attempt);
    }
    void operator()(const RevokeAttempt& c) { words(33, c.session.n, c.reason), id(c.attempt); }
    void operator()(const WelcomeWorker& c) { words(34, c.session.n, c.keep.size(), c.abandon.size(), c.replaced.n); }
    void operator()(const DrainWorker& c) { words(35, c.session.n); }
    void operator()(const AnswerReport& c) { words(36, c.session.n, c.accepted), id(c.attempt); }
    void operator()(const AttemptEnded& c) { words(37, c.outcome, c.run.us), id(c.attempt); }
    void operator()(const TaskEnded& c) { words(38, c.state, c.attempts, c.failures, c.crashes), id(c.task); }
    void operator()(const TaskRequeued& c) { words(39, c.reason, c.not_before.us), id(c.task); }
    void operator()(const WakeAt& c) { words(40, c.at.us); }
    void operator()(const PauseAttempt& c) { words(41, c.session.n, c.turn, c.pause), id(c.attempt); }
};
}  // namespace

void Scheduler::State::mix_event(const Event& event) {
    digest = mix(digest, static_cast<std::uint64_t>(event.at.us));
    std::visit(Mixer{digest}, event.what);
}

void Scheduler::State::mix_command(const Command& command) {
    std::visit(Mixer{digest}, command);
}

}  // namespace nexus::core
