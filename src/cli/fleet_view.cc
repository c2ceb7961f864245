#include "cli/fleet_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/ascii.h"
#include "base/quantity.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

constexpr std::size_t kBarWidth = 10;
constexpr std::int64_t kRivalLatelyUs = 60'000'000;  // a worker asks again within 5 s

double share_busy(const pb::Worker& worker) {
    return worker.slots() == 0 ? 0 : static_cast<double>(worker.running()) / worker.slots();
}

std::string labels_text(const pb::Worker& worker) {
    std::vector<std::string> labels;
    for (const auto& [name, value] : worker.labels())
        labels.push_back(safe_text(name, 32) + "=" + safe_text(value, 32));
    std::ranges::sort(labels);
    return labels.empty() ? "-" : fmt::format("{}", fmt::join(labels, ","));
}

// "-" where nothing is known.
std::string known_span(std::int64_t us) {
    return us > 0 ? span_text(us) : "-";
}

std::string breaker_text(const pb::Worker& worker) {
    return worker.breaker().empty() || worker.breaker() == "closed" ? "-" : worker.breaker();
}

Tone tone_of(pb::WorkerState state) {
    if (state == pb::WORKER_STATE_READY) return Tone::good;
    return state == pb::WORKER_STATE_GONE ? Tone::bad : Tone::warn;
}

}  // namespace

std::string worker_state_text(pb::WorkerState state) {
    return lower_case(std::string_view(pb::WorkerState_Name(state)).substr(std::string_view("WORKER_STATE_").size()));
}

pb::WorkerState worker_state_from_text(std::string_view text) {
    for (int n = pb::WORKER_STATE_READY; n < pb::WorkerState_ARRAYSIZE; ++n)
        if (worker_state_text(static_cast<pb::WorkerState>(n)) == text) return static_cast<pb::WorkerState>(n);
    return pb::WORKER_STATE_UNSPECIFIED;
}

std::string rivals_text(const pb::Worker& worker, std::int64_t now) {
    const std::int64_t ago = now - worker.rival_unix_us();
    if (worker.rivals() == 0 || ago > kRivalLatelyUs) return "";
    return fmt::format("another process on host {} wants its name, {}, last {} ago",
                       worker.rival_hostname().empty() ? "unknown" : safe_text(worker.rival_hostname(), 80),
                       counted(worker.rivals(), "time"), span_text(std::max<std::int64_t>(ago, 0)));
}

const Kind<pb::Worker>& worker_kind() {
    using W = pb::Worker;
    static const Kind<W> kind{
        .columns = {{.name = "name", .value = [](const W& w, const Look& look) { return look.text(w.name(), 40); }},
                    {.name = "state",
                     .value =
                         [](const W& w, const Look& look) {
                             return look.tone(worker_state_text(w.state()), tone_of(w.state()));
                         }},
                    {.name = "busy",
                     .value =
                         [](const W& w, const Look& look) {
                             return look.plain ? look.share(share_busy(w))
                                               : bar_text(share_busy(w), kBarWidth, look.terminal.unicode);
                         }},
                    {.name = "running",
                     .value = [](const W& w, const Look&) { return fmt::format("{}/{}", w.running(), w.slots()); },
                     .right = true},
                    {.name = "speed",
                     .value =
                         [](const W& w, const Look& look) {
                             return w.speed() > 0 ? fmt::format("{}{:.2f}", look.plain ? "" : "x", w.speed())
                                                  : look.none();
                         },
                     .right = true},
                    {.name = "used",
                     .value = [](const W& w, const Look& look) { return look.share(w.utilization()); },
                     .right = true},
                    {.name = "breaker",
                     .value = [](const W& w, const Look& look) { return look.plain ? w.breaker() : breaker_text(w); }},
                    {.name = "succeeded",
                     .value = [](const W& w, const Look& look) { return look.count(w.succeeded()); },
                     .right = true},
                    {.name = "failed",
                     .value = [](const W& w, const Look& look) { return look.count(w.failed()); },
                     .right = true},
                    {.name = "heard",
                     .value = [](const W& w, const Look& look) { return look.moment(w.last_heard_unix_us()); }},
                    {.name = "labels",
                     .value = [](const W& w,
                                 const Look& look) { return look.plain && w.labels().empty() ? "" : labels_text(w); },
                     .wide = true},
                    {.name = "host",
                     .value = [](const W& w, const Look& look) { return look.text(w.hostname(), 40); },
                     .wide = true},
                    {.name = "version",
                     .value = [](const W& w, const Look& look) { return look.text(w.version(), 20); },
                     .wide = true},
                    {.name = "note",
                     .value = [](const W& w, const Look& look) { return rivals_text(w, look.now); },
                     .sparse = true}},
        .name = [](const W& w) { return w.name(); }};
    return kind;
}

Table worker_table(const pb::ListWorkersResponse& workers, const Terminal& terminal, std::int64_t now) {
    std::vector<const Column<pb::Worker>*> columns;
    for (const auto& column : worker_kind().columns)
        if (!column.wide) columns.push_back(&column);
    const auto rows = rows_of(workers.workers(), columns, {.terminal = terminal, .now = now}, false);
    Table table(rows.front());
    for (std::size_t i = 1; i < rows.size(); ++i) table.add(rows[i]);
    return table;
}

std::string worker_page(const pb::Worker& worker, std::int64_t now) {
    std::string page = fmt::format(
        "name         {}\nstate        {}\nrunning      {} of {} slots, {} used lately\n"
        "speed        x{:.2f}: 2 is twice as fast as the average\n",
        safe_text(worker.name(), 128), worker_state_text(worker.state()), worker.running(), worker.slots(),
        percent_text(worker.utilization()), worker.speed());
    if (worker.paused() > 0)
        page += fmt::format("paused       {}, for shorter ones\n", counted(worker.paused(), "task"));
    if (worker.prefetched() > 0)
        page += fmt::format("prefetched   {}, ready until a slot is free\n", counted(worker.prefetched(), "task"));
    if (worker.turnaround_us() > 0)
        page += fmt::format("turn-around  {} from a decision to its start\n", span_text(worker.turnaround_us()));
    page += fmt::format("tasks        {} succeeded, {} failed\n", count_text(worker.succeeded()),
                        count_text(worker.failed()));
    if (worker.breaker() != "closed" && !worker.breaker().empty())
        page += fmt::format("breaker      {}: {}\n", worker.breaker(), safe_text(worker.breaker_reason(), 300));
    page += fmt::format("labels       {}\nhost         {}, version {}\n", labels_text(worker),
                        safe_text(worker.hostname(), 80), safe_text(worker.version(), 40));
    page += fmt::format("connected    {}, heard {}\n", moment_text(worker.connected_unix_us(), now),
                        moment_text(worker.last_heard_unix_us(), now));
    if (worker.rivals() > 0)
        page += fmt::format("name wanted  {}, last {} by a process on host {}\n", counted(worker.rivals(), "time"),
                            moment_text(worker.rival_unix_us(), now),
                            worker.rival_hostname().empty() ? "unknown" : safe_text(worker.rival_hostname(), 80));
    page += fmt::format("load         cpu {}, memory {}\n", percent_text(worker.cpu_usage()),
                        percent_text(worker.memory_usage()));
    return page;
}

namespace {

// "120 told: 91 % by the p90, 90 % not before the p10, 64 % within 25 %".
std::string promise_text(const pb::PromiseStat& promises) {
    return fmt::format("{} told: {} by the p90, {} not before the p10, {} within 25 %", count_text(promises.told()),
                       percent_text(promises.by_p90()), percent_text(promises.from_p10()),
                       percent_text(promises.within_25()));
}

}  // namespace

const Kind<pb::TypeStat>& type_kind() {
    using T = pb::TypeStat;
    static const Kind<T> kind{
        .columns =
            {{.name = "type", .value = [](const T& t, const Look& look) { return look.text(t.type(), 40); }},
             {.name = "runs",
              .value = [](const T& t, const Look& look) { return look.count(t.samples()); },
              .right = true},
             {.name = "p50",
              .value = [](const T& t, const Look& look) { return look.known_span(t.p50_us()); },
              .right = true},
             {.name = "p90",
              .value = [](const T& t, const Look& look) { return look.known_span(t.p90_us()); },
              .right = true},
             {.name = "mean",
              .value = [](const T& t, const Look& look) { return look.known_span(t.mean_us()); },
              .right = true},
             {.name = "within-25",
              .value = [](const T& t,
                          const Look& look) { return t.samples() > 0 ? look.share(t.within_25()) : look.none(); },
              .right = true,
              .title = "WITHIN 25 %"},
             {.name = "within-p90",
              .value = [](const T& t,
                          const Look& look) { return t.samples() > 0 ? look.share(t.p90_coverage()) : look.none(); },
              .right = true},
             {.name = "eta-kept",
              .value =
                  [](const T& t, const Look& look) {
                      return t.promises().told() > 0 ? look.share(t.promises().by_p90()) : look.none();
                  },
              .right = true},
             {.name = "model", .value = [](const T& t, const Look& look) { return look.text(t.expert(), 24); }},
             {.name = "failed",
              .value = [](const T& t, const Look& look) { return look.count(t.failed()); },
              .right = true},
             {.name = "note",
              .value =
                  [](const T& t, const Look& look) {
                      std::string note = t.override_us() > 0 ? "forced to " + span_text(t.override_us()) : "";
                      if (!t.drifting()) return note;
                      return note + (note.empty() ? "" : ", ") + look.tone("drifting", Tone::warn);
                  },
              .sparse = true}},
        .name = [](const T& t) { return t.type(); }};
    return kind;
}

std::string type_page(const pb::TypeStat& type, const Terminal& terminal) {
    std::string page = fmt::format(
        "type         {}\nruns         {} learned, {} succeeded, {} failed\nrun time     p50 {}, p90 {}, mean {}\n",
        safe_text(type.type(), 128), count_text(type.samples()), count_text(type.succeeded()),
        count_text(type.failed()), known_span(type.p50_us()), known_span(type.p90_us()), known_span(type.mean_us()));
    if (type.samples() > 0)
        page += fmt::format("accuracy     {} within 25 % ({:+.0f} points lately), {} within p90\n",
                            percent_text(type.within_25()), 100 * type.trend(), percent_text(type.p90_coverage()));
    if (type.promises().told() > 0) page += "finish       " + promise_text(type.promises()) + "\n";
    page += fmt::format("model        {}{}, {} seen\n", safe_text(type.expert(), 40),
                        type.drifting() ? ", drifting" : "", counted(type.drifts(), "drift"));
    if (type.payload_slope() != 0)
        page += fmt::format("grows with   {} to the power of {:.2f}\n", safe_text(type.size_name(), 64),
                            type.payload_slope());
    if (type.override_us() > 0) {
        page += "forced       " + span_text(type.override_us());
        if (!type.override_author().empty()) page += " by " + safe_text(type.override_author(), 64);
        if (type.override_expires_unix_us() > 0)
            page += " until " + calendar_text(type.override_expires_unix_us()) + " UTC";
        if (!type.override_reason().empty()) page += ": " + safe_text(type.override_reason(), 200);
        page += "\n";
    }
    if (type.memory_p95_bytes() > 0)
        page += "memory p95   " + bytes_text(static_cast<std::uint64_t>(type.memory_p95_bytes())) + "\n";
    if (!type.experts().empty()) {
        Table experts({"MODEL", ">WEIGHT", ">HITS", ">ESTIMATE"});
        for (const pb::ExpertStat& expert : type.experts())
            experts.add({safe_text(expert.name(), 40), fmt::format("{:.3f}", expert.weight()),
                         percent_text(expert.hit_rate()), span_text(expert.estimate_us())});
        page += "\n" + experts.text(terminal.colour);
    }
    const int buckets = std::min(type.histogram_us_size(), type.histogram_count_size());
    std::uint64_t most = 0;
    for (int i = 0; i < buckets; ++i) most = std::max(most, type.histogram_count(i));
    if (most > 0) page += "\n";
    for (int i = 0; i < buckets; ++i) {
        if (type.histogram_count(i) == 0) continue;
        page += fmt::format(
            "up to {:>8} {} {}\n", span_text(type.histogram_us(i)),
            bar_text(static_cast<double>(type.histogram_count(i)) / static_cast<double>(most), 40, terminal.unicode),
            count_text(type.histogram_count(i)));
    }
    return page;
}

std::string drain_text(const pb::Status& status, std::int64_t now) {
    std::vector<std::string> stuck;
    if (status.waiting_no_worker() > 0)
        stuck.push_back(counted(status.waiting_no_worker(), "task") +
                        (status.waiting_no_worker() == 1 ? " has no worker" : " have no worker"));
    if (status.waiting_paused() > 0)
        stuck.push_back(counted(status.waiting_paused(), "task") +
                        (status.waiting_paused() == 1 ? " waits in a paused queue" : " wait in paused queues"));
    if (status.waiting_held() > 0)
        stuck.push_back(counted(status.waiting_held(), "task") +
                        (status.waiting_held() == 1 ? " is held" : " are held"));
    if (stuck.empty()) return done_text(status.drain_eta_unix_us(), now);
    std::string text = fmt::format("never: {}", fmt::join(stuck, ", "));
    if (status.drain_eta_unix_us() > 0) text += "; the rest " + done_text(status.drain_eta_unix_us(), now);
    return text;
}

std::string status_page(const pb::Status& status, const std::string& server, std::int64_t now) {
    std::string page = fmt::format("server       {} version {}, up {}, policy {}{}, durability {}\n", server,
                                   safe_text(status.version(), 20), span_text(status.uptime_us()), status.policy(),
                                   status.fallback() ? " (fallback: predictions fail)" : "", status.durability());
    page += fmt::format(
        "tasks        {} waiting, {} running{}; {} submitted, {} succeeded, {} dead, {} cancelled, {} expired\n",
        count_text(status.waiting()), count_text(status.running()),
        status.paused() > 0 ? ", " + count_text(status.paused()) + " paused" : "", count_text(status.submitted()),
        count_text(status.succeeded()), count_text(status.dead()), count_text(status.cancelled()),
        count_text(status.expired()));
    page += fmt::format("workers      {} of {} ready, {} slots, {} used\n", status.workers_ready(),
                        status.workers_total(), status.slots(), percent_text(status.utilization()));
    page += fmt::format("backlog      {} of predicted work, done {}\n", span_text(status.backlog_work_us()),
                        drain_text(status, now));
    page += fmt::format("predictions  {} within 25 %, {} within p90; {} of finish times within p90\n",
                        rate_text(status.within_25()), rate_text(status.p90_coverage()),
                        rate_text(status.eta_p90_coverage()));
    const std::pair<const char*, const pb::PromiseStat&> regimes[] = {{"with a slot", status.promises_placed()},
                                                                      {"short queue", status.promises_queued()},
                                                                      {"backlog", status.promises_backlog()}};
    for (const auto& [regime, promises] : regimes)
        if (promises.told() > 0) page += fmt::format("  {:<11}{}\n", regime, promise_text(promises));
    page += fmt::format("decisions    {}, p50 {:.1f} us, p99 {:.1f} us; commit p50 {:.0f} us, p99 {:.0f} us\n",
                        count_text(status.decisions()), status.decision_p50_us(), status.decision_p99_us(),
                        status.commit_p50_us(), status.commit_p99_us());
    page += fmt::format("journal      event {}, digest {}\n", count_text(status.journal_position()), status.digest());
    page += fmt::format("memory       {}; {} stale reports refused, {} history rows dropped\n",
                        bytes_text(status.rss_bytes()), status.stale_reports(), status.history_dropped());
    return page;
}

}  // namespace nexus::cli
