#include "faults/plan.h"

#include <algorithm>

namespace nexus::faults {
namespace {

// Off in half of the worlds; else the rate is uniform up to one in `most`.
std::uint32_t swarm(Rng& rng, std::uint32_t most) {
    const bool on = rng.one_in(2);
    const auto n = static_cast<std::uint32_t>(std::int64_t{20} * most / rng.between(1, 20));
    return on ? n : 0;
}

Duration span(Rng& rng, Duration low, Duration high) {
    return {rng.between(low.us, high.us)};
}

core::Config draw_config(Rng& rng) {
    core::Config config;
    if (rng.one_in(4))
        config.policy = core::kPolicies[1 + rng.below(std::size(core::kPolicies) - 1)];  // not predictive
    config.backoff_first = span(rng, milliseconds(50), milliseconds(500));
    config.backoff_max = seconds(5);
    config.ttl = seconds(rng.between(60, 120));
    config.timeout_grace = span(rng, milliseconds(500), seconds(3));
    config.attempts_max = static_cast<std::uint32_t>(rng.between(1, 4));
    config.crashes_max = static_cast<std::uint32_t>(rng.between(1, 3));
    config.speculation = !rng.one_in(3);
    config.breaker = !rng.one_in(4);
    if (rng.one_in(6)) config.tasks_max = static_cast<std::uint64_t>(rng.between(10, 200));
    if (rng.one_in(6)) config.idempotency_keys_max = static_cast<std::uint64_t>(rng.between(500, 2000));
    if (rng.one_in(4)) config.queues.push_back({.name = "q1", .running_max = 2});
    if (rng.one_in(4)) config.tenants.push_back({.name = "n1", .share = 3, .running_max = 3, .waiting_max = 40});
    if (rng.one_in(4)) config.types.push_back({.name = "t1", .running_max = 2});
    return config;
}

void draw_service(Rng& rng, Plan& plan) {
    plan.commit_min = microseconds(50);
    plan.commit_max = rng.one_in(3) ? milliseconds(rng.between(1, 100)) : milliseconds(2);
    plan.commit_stall_one_in = swarm(rng, 200);
    plan.snapshot_one_in = swarm(rng, 20);
    plan.crash_one_in = swarm(rng, 40);
    plan.crash_every = rng.one_in(2) ? span(rng, seconds(2), seconds(30)) : Duration{};
    plan.down_max = span(rng, milliseconds(100), seconds(12));
    plan.pause_one_in_s = swarm(rng, 20);
    plan.sync_failure_one_in = swarm(rng, 500);
    plan.full_disk_last = rng.one_in(4) ? span(rng, seconds(1), seconds(10)) : Duration{};
    plan.clock_jump_one_in_s = swarm(rng, 10);
    static constexpr Duration kJumps[] = {seconds(10), hours(1), hours(24)};
    plan.clock_jump_max = kJumps[rng.below(3)];
    plan.clock_drift_ppm = rng.one_in(2) ? static_cast<std::int32_t>(rng.between(-500, 500)) : 0;
    plan.clock_freezes = rng.one_in(4);
    plan.exhausted_disk = rng.one_in(2);
    plan.stop_one_in_s = swarm(rng, 20);
    plan.model_failure_one_in = swarm(rng, 3);
}

void draw_net(Rng& rng, Plan& plan) {
    plan.delay_min = microseconds(50);
    plan.delay_max = rng.one_in(2) ? milliseconds(1) : milliseconds(rng.between(2, 50));
    plan.delay_tail_one_in = swarm(rng, 20);
    plan.request_lost_one_in = swarm(rng, 20);
    plan.reply_lost_one_in = swarm(rng, 10);
    plan.reset_one_in_s = swarm(rng, 20);
    plan.half_open_one_in_s = swarm(rng, 40);
    plan.stall_one_in_s = swarm(rng, 30);
    plan.herd = rng.one_in(4);
}

void draw_workers(Rng& rng, Plan& plan) {
    plan.workers = static_cast<std::uint32_t>(rng.between(1, 8));
    plan.slots_max = static_cast<std::uint32_t>(rng.between(1, 6));
    plan.worker_crash_one_in_s = swarm(rng, 15);
    plan.worker_pause_one_in_s = swarm(rng, 30);
    plan.worker_stop_one_in_s = swarm(rng, 20);
    plan.frozen = rng.one_in(4);
    plan.liars = rng.one_in(3) ? static_cast<std::uint32_t>(rng.between(1, 2)) : 0;
    plan.hang_one_in = swarm(rng, 50);
    plan.poison_one_in = swarm(rng, 50);
    plan.fail_one_in = swarm(rng, 3);
    plan.twin_one_in_s = swarm(rng, 30);
}

void draw_work(Rng& rng, Plan& plan) {
    plan.submissions = static_cast<std::uint32_t>(rng.between(10, 80));
    plan.batch_max = rng.one_in(2) ? 1 : static_cast<std::uint32_t>(rng.between(2, 10));
    plan.run_min = milliseconds(1);
    plan.run_max = span(rng, milliseconds(20), seconds(4));
    plan.types = static_cast<std::uint32_t>(rng.between(1, 6));
    plan.tenants = static_cast<std::uint32_t>(rng.between(1, 3));
    plan.burst_one_in = swarm(rng, 5);
    plan.cancel_one_in = swarm(rng, 5);
    plan.duplicate_one_in = swarm(rng, 5);
    plan.other_body_one_in = swarm(rng, 10);
    plan.invalid_one_in = swarm(rng, 20);
    plan.watched = rng.one_in(4);
    plan.special_one_in = swarm(rng, 1);
    plan.operator_one_in_s = swarm(rng, 2);
}

}  // namespace

Plan draw_plan(std::uint64_t seed) {
    Rng rng(seed * 0x9E3779B97F4A7C15ULL + 1);
    Plan plan{.seed = seed};
    plan.faults_last = seconds(rng.between(8, 30));
    plan.liveness_limit = seconds(1200);
    plan.thorough = seed % 32 == 0;
    plan.config = draw_config(rng);
    draw_service(rng, plan);
    draw_net(rng, plan);
    draw_workers(rng, plan);
    draw_work(rng, plan);
    plan.config.preemption = rng.one_in(3);
    plan.config.pause = rng.one_in(2);
    plan.config.pause_ratio_permille = static_cast<std::uint32_t>(rng.between(1000, 5000));
    plan.calm = seed % 128 == 7;
    if (plan.calm) {
        plan.config.overtake_max = seconds(4);
        plan.config.overtake_cap_means = 10;
        plan.config.pause = plan.config.preemption = false;  // what they delay is not the order's doing
        plan.config.tasks_max = std::max<std::uint64_t>(plan.config.tasks_max, 300);
    }
    plan.store_reply_lost_one_in = swarm(rng, 30);
    plan.silent_store_last = rng.one_in(5) ? span(rng, seconds(1), seconds(10)) : Duration{};
    if (plan.calm) plan.store_reply_lost_one_in = 0;
    if (plan.calm) plan.silent_store_last = {};
    if (rng.one_in(2) && !plan.calm) plan.config.worker_retention = span(rng, milliseconds(500), seconds(10));
    if (rng.one_in(3) && !plan.calm) {  // short tasks, which workers hold ready
        plan.run_max = milliseconds(rng.between(2, 40));
        plan.submissions *= 4;
    }
    return plan;
}

std::string Plan::text() const {
    std::string out = "seed " + std::to_string(seed);
    const auto add = [&out](const char* name, std::int64_t value) {
        if (value != 0) out += std::string(" ") + name + "=" + std::to_string(value);
    };
    out += std::string(" policy=") + core::name_of(config.policy);
    add("calm", calm ? 1 : 0);
    add("preemption", config.preemption ? 1 : 0);
    add("pause_permille", config.pause ? config.pause_ratio_permille : 0);
    add("tasks_max", static_cast<std::int64_t>(config.tasks_max));
    add("worker_retention", config.worker_retention.us);
    add("keys_max", static_cast<std::int64_t>(config.idempotency_keys_max));
    add("faults_ms", faults_last.us / 1000);
    add("workers", workers);
    add("slots_max", slots_max);
    add("submissions", submissions);
    add("batch_max", batch_max);
    add("run_max_ms", run_max.us / 1000);
    add("commit_max_us", commit_max.us);
    add("commit_stall", commit_stall_one_in);
    add("snapshot", snapshot_one_in);
    add("crash", crash_one_in);
    add("crash_every_ms", crash_every.us / 1000);
    add("down_max_ms", down_max.us / 1000);
    add("pause", pause_one_in_s);
    add("sync_failure", static_cast<std::int64_t>(sync_failure_one_in));
    add("full_disk_ms", full_disk_last.us / 1000);
    add("exhausted_disk", exhausted_disk ? 1 : 0);
    add("store_reply_lost", static_cast<std::int64_t>(store_reply_lost_one_in));
    add("silent_store_ms", silent_store_last.us / 1000);
    add("stop", stop_one_in_s);
    add("clock_jump", clock_jump_one_in_s);
    add("clock_drift_ppm", clock_drift_ppm);
    add("clock_freezes", clock_freezes ? 1 : 0);
    add("model_failure", model_failure_one_in);
    add("delay_max_us", delay_max.us);
    add("request_lost", request_lost_one_in);
    add("reply_lost", reply_lost_one_in);
    add("reset", reset_one_in_s);
    add("half_open", half_open_one_in_s);
    add("stall", stall_one_in_s);
    add("herd", herd ? 1 : 0);
    add("worker_crash", worker_crash_one_in_s);
    add("worker_pause", worker_pause_one_in_s);
    add("worker_stop", worker_stop_one_in_s);
    add("frozen", frozen ? 1 : 0);
    add("liars", liars);
    add("hang", hang_one_in);
    add("poison", poison_one_in);
    add("fail", fail_one_in);
    add("twin", twin_one_in_s);
    add("cancel", cancel_one_in);
    add("duplicate", duplicate_one_in);
    add("other_body", other_body_one_in);
    add("invalid", invalid_one_in);
    add("watched", watched ? 1 : 0);
    add("special", special_one_in);
    add("operator", operator_one_in_s);
    return out;
}

}  // namespace nexus::faults
