// What happened lately, as the engine tells it and shows it: lately.h.

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kTenantsTold = 1000, kLimitsTold = 1000;
constexpr std::size_t kIdleSamples = 60;  // one a minute
constexpr std::int64_t kGapMost = 6 * 360;

const std::string& who(const core::Act& act) {
    return act.author.empty() ? act.caller : act.author;
}

float quantile(const std::vector<float>& sorted, double share) {
    if (sorted.empty()) return kNotKnown;
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- what is told

void Engine::tell(const core::Event& event) {
    const WallTime at = wall_of(event.at);
    const auto of_session = [&](SessionId session, What what) {
        const core::WorkerView worker = core_.worker(core_.worker_of(session));
        if (!worker.name.empty()) lately_.happened({.at = at, .what = what, .about = std::string(worker.name)});
    };
    if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) {
        lately_.happened({.at = at, .what = What::connected, .about = joined->name, .count = joined->slots});
    } else if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) {
        of_session(left->session, left->planned ? What::left : What::closed);
    } else if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) {
        of_session(lost->session, What::lost);
    } else if (const auto* suspected = std::get_if<core::WorkerSuspected>(&event.what)) {
        of_session(suspected->session, What::suspected);
    } else if (const auto* recovered = std::get_if<core::WorkerRecovered>(&event.what)) {
        of_session(recovered->session, What::recovered);
    } else if (const auto* controlled = std::get_if<core::WorkerControlled>(&event.what)) {
        static constexpr What kWhats[] = {What::cordoned, What::cordoned,  What::uncordoned,
                                          What::draining, What::forgotten, What::breaker_ordered};
        if (core_.find_worker(controlled->name))
            lately_.happened({.at = at,
                              .what = kWhats[static_cast<std::size_t>(controlled->order)],
                              .about = controlled->name,
                              .author = who(controlled->act),
                              .reason = controlled->act.reason});
    } else if (const auto* forced = std::get_if<core::EstimateForced>(&event.what)) {
        lately_.happened({.at = at,
                          .what = forced->estimate.us > 0 ? What::forced : What::freed,
                          .of_type = true,
                          .about = forced->type,
                          .author = who(forced->act),
                          .reason = forced->act.reason,
                          .text = {},
                          .count = forced->estimate.us});
    } else if (const auto* reset = std::get_if<core::TypeReset>(&event.what)) {
        lately_.happened({.at = at,
                          .what = What::reset,
                          .of_type = true,
                          .about = reset->type,
                          .author = who(reset->act),
                          .reason = reset->act.reason});
    }
}

void Engine::tell(const core::AttemptEnded& ended, const Live& live, std::string_view worker, Duration predicted) {
    const WallTime at = wall_of(now_.at);
    const Duration ran = ended.run.us >= 0 ? ended.run : ended.started_at == kNever ? Duration{} : ended.ran;
    lately_.types.add(at, key_of(live).type, ran);
    lately_.tenants.add(at, key_of(live).tenant, ran);
    lately_.tenants_day.add(at, key_of(live).tenant, ran);
    if (worker.empty() || ended.started_at == kNever) return;
    const std::string name(worker);
    lately_.ran(name, {.at = at,
                       .task = ended.task,
                       .type = key_of(live).type,
                       .run = ran,
                       .predicted = predicted,
                       .outcome = ended.outcome});
    using enum core::AttemptOutcome;
    if (ended.outcome == failed || ended.outcome == timed_out || ended.outcome == out_of_memory)
        lately_.happened({.at = at,
                          .what = What::failed,
                          .about = name,
                          .author = {},
                          .reason = {},
                          .text = core::name_of(ended.outcome),
                          .count = ran.us,
                          .task = ended.task});
}

void Engine::tell_start(const core::TaskView& view) {
    const std::int64_t ns = (view.started_at - view.submitted_at).us * 1000;
    wait_step_.add(ns);
    wait_minute_.add(ns);
}

// O(workers): whoever looks at the page costs nothing more.
void Engine::tick() {
    if (!started_ || now_.at < next_tick_) return;
    next_tick_ = now_.at + seconds(1);
    lately_.forget(now_.wall);
    const std::int64_t step = now_.wall.us / Series::kFine.us;
    std::vector<float> use;
    for (std::uint32_t n = 0; n < core_.worker_count(); ++n) {
        const core::WorkerView view = core_.worker(WorkerNo{n}, now_.at);
        if (view.name.empty()) continue;
        const Lately::OfWorker* const known = lately_.worker(view.name);
        if (view.breaker != (known == nullptr ? 0 : known->breaker))
            lately_.breaker(std::string(view.name), view.breaker, view.breaker_reason, now_.wall);
        if (step > step_ && view.connected && view.slots > 0)
            use.push_back(static_cast<float>(view.utilization_ppm) / 1e6F);
    }
    const bool fallback = learner_.predictor().failures_in_a_row() >= core_.config().fallback_threshold;
    if (fallback != (fallback_since_.us != 0)) fallback_since_ = fallback ? now_.wall : WallTime{};
    if (learner_.predictor().failures().drifts != drifts_told_) look_for_drifts();
    if (const std::int64_t minute = now_.at.us / minutes(1).us; minute != minute_) {
        wait_minute_before_ = minute == minute_ + 1 ? wait_minute_ : Latency{};
        wait_minute_ = {};
        minute_ = minute;
        idle_told_.emplace_back(now_.at, core_.counters().idle_while_waiting);
        while (idle_told_.size() > kIdleSamples || idle_told_.front().first + hours(1) < now_.at)
            idle_told_.pop_front();
        lately_.forget_workers([this](const std::string& name) { return static_cast<bool>(core_.find_worker(name)); });
    }
    if (step > step_) add_points(step, std::move(use));
}

// The step that was under way is over. Where none of us was awake meanwhile nothing happened.
void Engine::add_points(std::int64_t step, std::vector<float> use) {
    const core::Counters& counters = core_.counters();
    const predict::Accuracy accuracy = learner_.predictor().accuracy();
    std::ranges::sort(use);
    Point point;
    point[Gauge::waiting] = static_cast<float>(counters.waiting);
    point[Gauge::running] = static_cast<float>(counters.assigned + counters.running);
    if (accuracy.samples > 0) {
        point[Gauge::within_25] = static_cast<float>(accuracy.within_25);
        point[Gauge::p90_coverage] = static_cast<float>(accuracy.p90_coverage);
    }
    point[Gauge::use_p5] = quantile(use, 0.05);
    point[Gauge::use_p50] = quantile(use, 0.5);
    point[Gauge::use_p95] = quantile(use, 0.95);
    point[Gauge::use_min] = quantile(use, 0);
    point[Gauge::use_max] = quantile(use, 1);
    Point quiet = point;
    quiet[Gauge::finished] = quiet[Gauge::submitted] = 0;
    const std::uint64_t finished = counters.succeeded + counters.dead + counters.cancelled + counters.expired;
    point[Gauge::finished] = static_cast<float>(finished - std::exchange(finished_told_, finished));
    point[Gauge::submitted] =
        static_cast<float>(counters.submitted - std::exchange(submitted_told_, counters.submitted));
    if (wait_step_.count() > 0) {
        point[Gauge::wait_p50_us] = static_cast<float>(wait_step_.quantile_us(0.5));
        point[Gauge::wait_p99_us] = static_cast<float>(wait_step_.quantile_us(0.99));
        wait_step_ = {};
    }
    lately_.series.add({step_ * Series::kFine.us}, point);
    for (std::int64_t missed = std::max(step_ + 1, step - kGapMost); missed < step; ++missed)
        lately_.series.add({missed * Series::kFine.us}, quiet);
    step_ = step;
}

void Engine::tell_rates(ReadModel& model) const {
    constexpr Duration kSpan = minutes(5);
    const auto series = lately_.series.read({.names = {name_of(Gauge::submitted), name_of(Gauge::finished)},
                                             .from = {now_.wall.us - kSpan.us},
                                             .to = now_.wall,
                                             .step = {}},
                                            now_.wall);
    if (!series || series->values[0].empty()) return;
    const auto rate = [&](const std::vector<float>& counts) {
        double sum = 0;
        for (const float count : counts) sum += std::isnan(count) ? 0 : count;
        return sum / (static_cast<double>(counts.size()) * static_cast<double>(series->step.us) / 1e6);
    };
    model.arrived_per_s = rate(series->values[0]);
    model.ended_per_s = rate(series->values[1]);
}

void Engine::look_for_drifts() {
    drifts_told_ = learner_.predictor().failures().drifts;
    for (const predict::TypeStat& type : learner_.predictor().types()) {
        std::uint64_t& told = drifts_[name_number(type.type)];
        if (type.drifts > told && next_tick_.us != 0)
            lately_.happened({.at = now_.wall,
                              .what = What::drifted,
                              .of_type = true,
                              .about = type.type,
                              .author = {},
                              .reason = {},
                              .text = {},
                              .count = type.p50.us});
        told = type.drifts;
    }
}

// ------------------------------------------------------------------------------------------------------ what is shown

void Engine::answer(const Caller&, GetWorker request, Done<WorkerDetail> done) {
    tick();
    const WorkerNo number = core_.find_worker(request.name);
    if (!number)
        return reply<WorkerDetail>(std::move(done), fail(Fault::not_found, "no worker '" + request.name + "'"));
    WorkerDetail detail{.worker = info_of(number), .runs = {}};
    if (const Lately::OfWorker* lately = lately_.worker(request.name))
        for (const WorkerRun& run : lately->runs)
            detail.runs.push_back({.at = run.at,
                                   .task = run.task,
                                   .type = names_[run.type],
                                   .run = run.run,
                                   .predicted = run.predicted,
                                   .outcome = run.outcome});
    reply<WorkerDetail>(std::move(done), std::move(detail));
}

void Engine::answer(const Caller&, ListHappened request, Done<std::vector<Happened>> done) {
    using Answer = std::vector<Happened>;
    tick();
    Answer events = lately_.events(request.of_type, request.about);
    const bool known = !events.empty() || (request.of_type ? learner_.predictor().type(request.about).has_value()
                                                           : static_cast<bool>(core_.find_worker(request.about)));
    if (known) return reply<Answer>(std::move(done), std::move(events));
    reply<Answer>(std::move(done), fail(Fault::not_found, (request.of_type ? "type '" : "no worker '") + request.about +
                                                              (request.of_type ? "' was never observed" : "'")));
}

void Engine::answer(const Caller&, ReadSeries request, Done<SeriesInfo> done) {
    tick();
    reply<SeriesInfo>(std::move(done), lately_.series.read(request.query, now_.wall));
}

void Engine::answer(const Caller&, ListTenants, Done<std::vector<TenantInfo>> done) {
    tick();
    std::uint64_t weights = 0;  // of those that want something now
    std::vector<TenantInfo> all;
    const auto share_of = [&](const SlotTime& times, const std::string& name) {
        const auto number = name_numbers_.find(name);
        if (number == name_numbers_.end() || times.all().us == 0) return 0.0;
        return static_cast<double>(times.of(number->second).us) / static_cast<double>(times.all().us);
    };
    for (const core::TenantView& view : core_.tenants(kTenantsTold)) {
        TenantInfo info{.name = std::string(view.name),
                        .weight = view.share,
                        .waiting = view.waiting,
                        .running = view.running,
                        .running_max = view.running_max};
        if (view.waiting + view.running > 0) weights += view.share;
        info.got_15m = share_of(lately_.tenants, info.name);
        info.got_24h = share_of(lately_.tenants_day, info.name);
        all.push_back(std::move(info));
    }
    for (TenantInfo& info : all)
        if (info.waiting + info.running > 0)
            info.entitled = static_cast<double>(info.weight) / static_cast<double>(std::max<std::uint64_t>(weights, 1));
    std::ranges::sort(all, {}, &TenantInfo::name);
    reply<std::vector<TenantInfo>>(std::move(done), std::move(all));
}

namespace {

constexpr Duration kComingStep = seconds(5);
constexpr int kComingPoints = 12;
constexpr double kTenth = 1.2816;  // standard deviations from the middle to p10 and p90 of a sum of many

bool takes(const core::WorkerView& worker, const GetFreeSlots& wanted) {
    if (!worker.connected || worker.suspect || worker.cordoned || worker.draining || worker.breaker != 0) return false;
    const bool any = worker.types == nullptr || worker.types->empty() || wanted.type.empty();
    if (!any && std::ranges::find(*worker.types, wanted.type) == worker.types->end()) return false;
    return std::ranges::all_of(wanted.labels, [&](const auto& label) {
        return worker.labels != nullptr && std::ranges::find(*worker.labels, label) != worker.labels->end();
    });
}

// How likely it is that a run has ended by then: straight between what is told of it, and as far beyond its P90 as that
// lies beyond its p50.
double ended_by(const core::EtaView& eta, Instant now, Instant at) {
    const std::pair<Instant, double> told[] = {{now, 0},
                                               {eta.finish_p10, 0.1},
                                               {eta.finish_p50, 0.5},
                                               {eta.finish_p90, 0.9},
                                               {eta.finish_p90 + (eta.finish_p90 - eta.finish_p50), 1}};
    const auto* const next = std::ranges::find_if(told, [&](const auto& each) { return at < each.first; });
    if (next == std::end(told)) return 1;
    if (next == std::begin(told)) return 0;
    const auto& [from, least] = next[-1];
    return least +
           (next->second - least) * static_cast<double>((at - from).us) / static_cast<double>((next->first - from).us);
}

}  // namespace

// O(workers + runs): the runs of those workers, each with what is told of its end.
void Engine::answer(const Caller&, GetFreeSlots wanted, Done<FreeSlotsInfo> done) {
    FreeSlotsInfo info;
    std::vector<bool> takers(core_.worker_count());
    for (std::uint32_t n = 0; n < takers.size(); ++n) {
        const core::WorkerView worker = core_.worker(WorkerNo{n}, now_.at);
        takers[n] = takes(worker, wanted);
        if (takers[n]) info.free += worker.slots - std::min(worker.slots, worker.running);
    }
    std::array<double, kComingPoints> mean{}, spread{};
    for (const TaskId id : core_.running_after({})) {
        const auto task = core_.task(id);
        if (!task || task->prefetched || task->paused_at != kNever || !takers[task->worker.n]) continue;
        const auto eta = core_.eta(id, now_.at);
        if (!eta) continue;
        ++info.taken;
        for (int i = 0; i < kComingPoints; ++i) {
            const double p = ended_by(*eta, now_.at, now_.at + Duration{kComingStep.us * (i + 1)});
            mean[i] += p;
            spread[i] += p * (1 - p);
        }
    }
    info.coming.push_back({});
    for (int i = 0; i < kComingPoints; ++i) {
        const double wide = kTenth * std::sqrt(spread[i]);
        info.coming.push_back({.in = {kComingStep.us * (i + 1)},
                               .p10 = std::max(0.0, mean[i] - wide),
                               .p50 = mean[i],
                               .p90 = std::min(static_cast<double>(info.taken), mean[i] + wide)});
    }
    reply<FreeSlotsInfo>(std::move(done), std::move(info));
}

void Engine::answer(const Caller&, ListLimits, Done<std::vector<LimitInfo>> done) {
    std::vector<LimitInfo> all;
    for (const core::LimitView& view : core_.limits(kLimitsTold, now_.at)) {
        LimitInfo info{.kind = view.kind,
                       .most = view.most,
                       .used = view.used,
                       .waiting = view.waiting,
                       .next = wall_of(view.next)};
        const std::size_t end = view.name.find('\n');  // of the tenant
        info.key = std::string(end == std::string_view::npos ? view.name : view.name.substr(end + 1));
        if (end != std::string_view::npos) info.tenant = std::string(view.name.substr(0, end));
        all.push_back(std::move(info));
    }
    reply<std::vector<LimitInfo>>(std::move(done), std::move(all));
}

void Engine::answer(const Caller&, ListTypeRuns request, Done<std::vector<TypeRunInfo>> done) {
    history::TaskQuery query;
    query.states = {static_cast<std::uint8_t>(core::TaskState::succeeded)};
    query.type = std::move(request.type);
    query.limit = std::clamp<std::size_t>(request.limit, 1, 500);
    ask(AskTasks{std::move(query)}, [done = std::move(done)](Result<std::vector<EndedTask>> ended) mutable {
        if (!ended) return done(std::unexpected(std::move(ended).error()));
        std::vector<TypeRunInfo> runs;
        for (const EndedTask& one : *ended) {
            TypeRunInfo run{.at = one.row.finished,
                            .task = one.row.task,
                            .worker = one.row.worker,
                            .run = one.row.run,
                            .p50 = one.row.predicted_p50,
                            .p90 = one.row.predicted_p90,
                            .size = one.row.payload_bytes};
            if (!one.attempts.empty()) {  // as it was when it began, not when it was submitted
                run.p50 = one.attempts.back().predicted_p50;
                run.p90 = one.attempts.back().predicted_p90;
            }
            runs.push_back(std::move(run));
        }
        done(std::move(runs));
    });
}

}  // namespace nexus::engine
