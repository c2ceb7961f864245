// What happened lately -> nexus.v1 messages.

#include <algorithm>
#include <cmath>

#include "api/attention.h"
#include "api/error.h"
#include "api/sentences.h"
#include "api/view.h"

namespace nexus::api {
namespace {

const char* name_of(engine::What what) {
    using enum engine::What;
    switch (what) {
        case connected: return "connected";
        case left: return "left";
        case closed: return "closed";
        case suspected: return "silent";
        case recovered: return "recovered";
        case lost: return "lost";
        case cordoned: return "cordoned";
        case uncordoned: return "uncordoned";
        case draining: return "draining";
        case forgotten: return "forgotten";
        case breaker_ordered: return "breaker_ordered";
        case breaker_opened: return "breaker_opened";
        case breaker_probing: return "breaker_probing";
        case breaker_closed: return "breaker_closed";
        case failed: return "failed";
        case drifted: return "drifted";
        case forced: return "forced";
        case freed: return "freed";
        case reset: return "reset";
    }
    return "";
}

const char* name_of(core::LimitView::Kind kind) {
    using enum core::LimitView::Kind;
    switch (kind) {
        case queue: return "queue";
        case tenant: return "tenant";
        case type: return "type";
        case concurrency: return "concurrency";
        case rate: return "rate";
        case ordering: return "ordering";
    }
    return "";
}

// The normal law's distance from the median, in standard deviations.
struct Quantile {
    double share, z;
};
constexpr Quantile kQuantiles[] = {{0.1, -1.2816}, {0.25, -0.6745}, {0.5, 0},      {0.75, 0.6745},
                                   {0.9, 1.2816},  {0.95, 1.6449},  {0.99, 2.3263}};
constexpr double kNinth = 1.2816;

double normal(double z) {
    return std::erfc(-z / std::sqrt(2.0)) / 2;
}

// Of a log-normal law with this spread: the share within 25 % of the best that one could say.
double share_within_25(double sigma) {
    if (sigma < 1e-6) return 1;
    const double width = std::log(1.25 / 0.75);
    return 2 * normal(width / 2 / sigma) - 1;
}

// The spread of the logarithm of the run times that is left when the part that grows with the size is taken out.
double spread_of(const std::vector<engine::TypeRunInfo>& runs) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
    for (const engine::TypeRunInfo& run : runs) {
        if (run.run.us <= 0) continue;
        const double size = std::log1p(static_cast<double>(run.size)), took = std::log(static_cast<double>(run.run.us));
        n += 1;
        x += size;
        y += took;
        xx += size * size;
        xy += size * took;
        yy += took * took;
    }
    if (n < 3) return -1;
    const double sxx = xx - x * x / n, sxy = xy - x * y / n, syy = yy - y * y / n;
    const double rest = syy - (sxx > 1e-9 ? sxy * sxy / sxx : 0);
    return std::sqrt(std::max(rest, 0.0) / (n - 2));
}

}  // namespace

void to_message(const engine::WorkerDetail& detail, v1::Worker& out) {
    to_message(detail.worker, out);
    for (const engine::WorkerRunInfo& run : detail.runs) {
        v1::WorkerRun& to = *out.add_runs_recent();
        to.set_at_unix_us(run.at.us);
        to.set_task_id(to_text(run.task));
        to.set_type(run.type);
        to.set_run_us(run.run.us);
        to.set_predicted_us(run.predicted.us);
        to.set_outcome(core::name_of(run.outcome));
    }
}

void to_message(const std::vector<engine::Happened>& events, v1::ListHappenedResponse& out) {
    for (const engine::Happened& event : events) {
        v1::HappenedEvent& to = *out.add_events();
        to.set_at_unix_us(event.at.us);
        to.set_kind(name_of(event.what));
        to.set_sentence(happened_words(event));
        if (event.task) to.set_task_id(to_text(event.task));
    }
}

void to_message(const engine::SeriesInfo& series, v1::Series& out) {
    out.set_from_unix_us(series.from.us);
    out.set_step_us(series.step.us);
    for (std::size_t i = 0; i < series.gauges.size(); ++i) {
        out.add_names(engine::name_of(series.gauges[i]));
        auto& list = *out.add_values();
        list.mutable_values()->Reserve(static_cast<int>(series.values[i].size()));
        for (const float value : series.values[i]) {
            if (std::isnan(value))
                list.add_values()->set_null_value(google::protobuf::NULL_VALUE);
            else
                list.add_values()->set_number_value(std::round(static_cast<double>(value) * 1e4) / 1e4);
        }
    }
}

void to_message(const std::vector<engine::TenantInfo>& tenants, v1::ListTenantsResponse& out) {
    for (const engine::TenantInfo& tenant : tenants) {
        v1::Tenant& to = *out.add_tenants();
        to.set_name(tenant.name);
        to.set_weight(tenant.weight);
        to.set_entitled(tenant.entitled);
        to.set_got_15m(tenant.got_15m);
        to.set_got_24h(tenant.got_24h);
        to.set_waiting(tenant.waiting);
        to.set_running(tenant.running);
        to.set_running_max(tenant.running_max);
    }
}

void to_message(const engine::FreeSlotsInfo& free, v1::FreeSlots& out) {
    out.set_free(free.free);
    out.set_taken(free.taken);
    for (const auto& point : free.coming) {
        v1::SlotsFree& to = *out.add_slots_free();
        to.set_in_us(point.in.us);
        to.set_p10(point.p10);
        to.set_p50(point.p50);
        to.set_p90(point.p90);
    }
}

void to_message(const std::vector<engine::LimitInfo>& limits, v1::ListLimitsResponse& out) {
    for (const engine::LimitInfo& limit : limits) {
        v1::Limit& to = *out.add_limits();
        to.set_kind(name_of(limit.kind));
        to.set_key(limit.key);
        to.set_tenant(limit.tenant);
        to.set_max(limit.most);
        to.set_used(limit.used);
        to.set_waiting(limit.waiting);
        to.set_next_unix_us(limit.next.us);
    }
}

void to_message(const std::vector<engine::TypeRunInfo>& runs, v1::ListTypeRunsResponse& out) {
    for (const engine::TypeRunInfo& run : runs) {
        v1::TypeRun& to = *out.add_runs();
        to.set_at_unix_us(run.at.us);
        to.set_task_id(to_text(run.task));
        to.set_worker(run.worker);
        to.set_run_us(run.run.us);
        to.set_p50_us(run.p50.us);
        to.set_p90_us(run.p90.us);
        to.set_size(static_cast<std::int64_t>(run.size));
    }
}

void to_message(const std::vector<engine::TypeRunInfo>& runs, v1::TypeReliability& out) {
    for (const Quantile& quantile : kQuantiles) {
        std::uint64_t n = 0, kept = 0;
        for (const engine::TypeRunInfo& run : runs) {
            if (run.run.us <= 0 || run.p50.us <= 0 || run.p90.us < run.p50.us) continue;
            const auto p50 = static_cast<double>(run.p50.us), p90 = static_cast<double>(run.p90.us);
            const double told = p50 * std::pow(p90 / p50, quantile.z / kNinth);
            ++n;
            kept += static_cast<double>(run.run.us) <= told + 0.5 ? 1 : 0;
        }
        v1::ReliabilityPoint& point = *out.add_points();
        point.set_promised(quantile.share);
        point.set_kept(n == 0 ? 0 : static_cast<double>(kept) / static_cast<double>(n));
        point.set_n(n);
    }
    if (const double spread = spread_of(runs); spread >= 0) out.set_ceiling(share_within_25(spread));
}

void to_message(const engine::StatusInfo& status, const Door& door, v1::Status& out) {
    to_message(status, out);
    out.set_server_name(door.name);
    if (door.store) out.set_durability(door.store().level);
    if (!door.disk) return;
    const Disk disk = door.disk();
    out.set_store_bytes(disk.store_bytes);
    out.set_disk_free_bytes(disk.free_bytes);
    out.set_disk_full_unix_us(disk.full.us);
}

void to_message(const engine::ReadModel& state, const Door& door, v1::Attention& out) {
    attention_of({.state = state,
                  .checks = door.engine.checks(),
                  .disk = door.disk ? door.disk() : Disk{},
                  .history = door.history ? std::optional(door.history()) : std::nullopt,
                  .store = door.store ? door.store() : StoreFacts{},
                  .intake = door.intake ? door.intake() : IntakeFacts{}},
                 out);
}

}  // namespace nexus::api
