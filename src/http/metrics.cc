// The nexus_* families, and the names of the old Nexus that existing dashboards read.

#include "http/metrics.h"

#include <fmt/format.h>

#include <atomic>
#include <iterator>
#include <utility>

#include "api/error.h"

namespace nexus::http {
namespace {

struct Page {
    std::string text;
    void family(const char* name, const char* type, const char* help) {
        fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    template <class T>
    void value(const char* name, T v, const std::string& labels = {}) {
        fmt::format_to(std::back_inserter(text), "{}{} {}\n", name, labels, v);
    }
    template <class T>
    void single(const char* name, const char* type, const char* help, T v) {
        family(name, type, help);
        value(name, v);
    }
    void summary(const char* name, const char* help, const engine::Latency& latency) {
        family(name, "summary", help);
        for (const double q : {0.5, 0.9, 0.99, 0.999})
            value(name, latency.quantile_us(q) / 1e6, fmt::format("{{quantile=\"{}\"}}", q));
        value(fmt::format("{}_sum", name).c_str(), static_cast<double>(latency.sum_ns()) / 1e9);
        value(fmt::format("{}_count", name).c_str(), latency.count());
    }
};

void ports(Page& page, const api::Door& door) {
    const std::pair<const char*, const api::PortCounts*> both[] = {{"{port=\"grpc\"}", &door.grpc},
                                                                   {"{port=\"http\"}", &door.http}};
    const auto family = [&](const char* name, const char* type, const char* help,
                            std::atomic<std::uint64_t> api::PortCounts::* member) {
        page.family(name, type, help);
        for (const auto& [label, port] : both) page.value(name, (port->*member).load(), label);
    };
    using Ports = api::PortCounts;
    family("nexus_connections", "gauge", "Open connections.", &Ports::open);
    family("nexus_connections_accepted_total", "counter", "Connections taken.", &Ports::accepted);
    family("nexus_connections_refused_total", "counter", "Connections closed at once: a limit was met.",
           &Ports::refused);
    family("nexus_connections_cut_total", "counter", "Connections and streams cut: slow, silent or not reading.",
           &Ports::cut);
    family("nexus_accept_errors_total", "counter", "Connections that found no file descriptor.", &Ports::errors);
    family("nexus_requests_malformed_total", "counter", "Requests that could not be understood.", &Ports::malformed);
    family("nexus_tls_handshakes_failed_total", "counter", "TLS handshakes that failed or took too long.",
           &Ports::handshakes_failed);
    family("nexus_tls_certificates_read_total", "counter", "Certificates read again because their files changed.",
           &Ports::certificates_read);
}

void stores(Page& page, const api::StoreFacts& store) {
    page.family("nexus_store_level", "gauge", "1 for what an acknowledged change survives now: docs/redis.md.");
    for (const char* level : {"process", "disk", "replicated"})
        page.value("nexus_store_level", store.wrong.empty() && store.level == level ? 1 : 0,
                   fmt::format("{{level=\"{}\"}}", level));
    page.single("nexus_store_reached", "gauge", "1 while the store can be reached.", store.reached ? 1 : 0);
    page.single("nexus_store_reconnects_total", "counter", "How often a store that was lost was reached again.",
                store.reconnects);
    page.family("nexus_store_rollbacks_total", "counter", "How often the store had lost the end of the journal.");
    page.value("nexus_store_rollbacks_total", store.repaired, "{result=\"repaired\"}");
    page.value("nexus_store_rollbacks_total", store.forked, "{result=\"forked\"}");
    page.single("nexus_store_memory_bytes", "gauge", "Memory that Redis uses; 0 = the store is embedded.",
                store.memory_used);
    page.single("nexus_store_memory_max_bytes", "gauge", "Its maxmemory; 0 = no limit.", store.memory_max);
}

void intake(Page& page, const api::IntakeFacts& intake) {
    page.family("nexus_intake_entries_total", "counter", "Entries of nexus:tasks:pending, by what became of them.");
    page.value("nexus_intake_entries_total", intake.submitted, "{result=\"submitted\"}");
    page.value("nexus_intake_entries_total", intake.duplicates, "{result=\"duplicate\"}");
    page.value("nexus_intake_entries_total", intake.dead, "{result=\"dead\"}");
    page.value("nexus_intake_entries_total", intake.deleted, "{result=\"deleted\"}");
    page.single("nexus_intake_warnings_total", "counter", "Values of entries that were taken otherwise than written.",
                intake.warnings);
    page.single("nexus_intake_claimed_total", "counter", "Entries taken from consumers that are dead.", intake.claimed);
    page.single("nexus_intake_foreign_pending", "gauge",
                "Entries that other consumers fetched and did not acknowledge.", intake.foreign);
    page.single("nexus_redis_workers", "gauge", "Connected workers that speak Redis alone.", intake.workers);
    page.family("nexus_redis_published_total", "counter", "Tasks sent to such workers, by whether anybody listened.");
    page.value("nexus_redis_published_total", intake.published, "{result=\"heard\"}");
    page.value("nexus_redis_published_total", intake.unheard, "{result=\"nobody\"}");
    page.family("nexus_redis_completions_total", "counter", "Entries of nexus:tasks:completed.");
    page.value("nexus_redis_completions_total", intake.completions - intake.stale - intake.malformed,
               "{result=\"taken\"}");
    page.value("nexus_redis_completions_total", intake.stale, "{result=\"stale\"}");
    page.value("nexus_redis_completions_total", intake.malformed, "{result=\"malformed\"}");
    page.single("nexus_intake_stopped", "gauge", "1 while nothing can be read.", intake.trouble.empty() ? 0 : 1);
}

void identities(Page& page, const identity::Guard& guard) {
    page.single("nexus_insecure", "gauge",
                "1: reachable from outside without TLS or without asking who calls, by order.",
                guard.insecure() ? 1 : 0);
    page.single("nexus_unauthenticated_total", "counter",
                "Requests without a credential, or with one that is not good.", guard.refusals());
    page.family("nexus_limit_refused_total", "counter", "Requests refused because their caller asked too much.");
    for (std::size_t i = 0; i < identity::kLimits; ++i) {
        const auto limit = static_cast<identity::Limit>(i);
        page.value("nexus_limit_refused_total", guard.limits.refused(limit),
                   fmt::format("{{limit=\"{}\"}}", identity::name_of(limit)));
    }
}

// What became of the times told at submission: counts, from which coverage is a quotient.
void promises(Page& page, const engine::ReadModel& state) {
    using Count = engine::PromiseCount;
    const auto family = [&](const char* name, const char* help, std::uint64_t Count::* member) {
        page.family(name, "counter", help);
        for (const auto as : {core::ToldAs::placed, core::ToldAs::queued, core::ToldAs::backlog})
            page.value(name, state.status.promises[static_cast<std::size_t>(as)].*member,
                       fmt::format("{{regime=\"{}\"}}", core::name_of(as)));
        for (const auto& [type, count] : state.promises_of_types)
            page.value(name, count.*member, fmt::format("{{type=\"{}\"}}", type));
        for (const auto& [tenant, count] : state.status.promises_of_tenants)
            page.value(name, count.*member, fmt::format("{{tenant=\"{}\"}}", tenant));
    };
    family("nexus_eta_told_total", "Tasks that were told at submission when they would be done, and succeeded.",
           &Count::told);
    family("nexus_eta_by_p90_total", "Those of them that finished by the P90 told.", &Count::by_p90);
    family("nexus_eta_from_p10_total", "Those of them that finished no earlier than the P10 told.", &Count::from_p10);
    family("nexus_eta_within25_total", "Those of them whose response was told within 25 % of the actual.",
           &Count::within_25);
}

// Only where it is kept elsewhere.
void histories(Page& page, const api::Door& door) {
    if (!door.history) return;
    const history::HistoryHealth health = door.history();
    page.single("nexus_history_up", "gauge", "1: the history's server took what it was given last.",
                health.good ? 1 : 0);
    page.single("nexus_history_spool_rows", "gauge", "Rows that wait on disk for the history's server.",
                health.waiting);
    page.single("nexus_history_spool_bytes", "gauge", "Their size on disk.", health.spool_bytes);
    page.single("nexus_history_spool_bytes_max", "gauge",
                "Beyond it the oldest are dropped (server.history_spool_max).", health.spool_bytes_max);
    page.single("nexus_history_written_total", "counter", "Rows that the history's server took.", health.written);
    page.single("nexus_history_failures_total", "counter", "Calls that the history's server did not answer well.",
                health.failures);
}

}  // namespace

std::string prometheus_text(const engine::ReadModel& state, const api::Door& door) {
    const api::MethodCounts& counts = *door.counts;
    const engine::StatusInfo& status = state.status;
    const core::Counters& c = status.counters;
    Page page;
    page.family("nexus_build_info", "gauge", "Version and policy of the running server.");
    page.value("nexus_build_info", 1,
               fmt::format("{{version=\"{}\",policy=\"{}\",durability=\"{}\"}}", status.version, status.policy,
                           status.durability));
    page.single("nexus_tasks_submitted_total", "counter", "Tasks accepted.", c.submitted);
    page.family("nexus_tasks_finished_total", "counter", "Tasks that reached a terminal state.");
    for (const auto end :
         {core::TaskState::succeeded, core::TaskState::dead, core::TaskState::cancelled, core::TaskState::expired})
        page.value("nexus_tasks_finished_total", state.finished[static_cast<std::size_t>(end)],
                   fmt::format("{{outcome=\"{}\"}}", core::name_of(end)));
    page.single("nexus_tasks_pending", "gauge", "Tasks that wait.", c.waiting);
    page.single("nexus_tasks_running", "gauge", "Tasks assigned or running.", c.assigned + c.running);
    page.single("nexus_tasks_paused", "gauge", "Tasks that are paused on their worker.", c.paused);
    page.single("nexus_tasks_prefetched", "gauge",
                "Tasks that are ready on their worker until a slot becomes free, part of nexus_tasks_running.",
                c.prefetched);
    page.single("nexus_backlog_work_seconds", "gauge", "Predicted work that waits, at average worker speed.",
                static_cast<double>(c.backlog.us) / 1e6);
    page.family("nexus_decisions_total", "counter", "Placement decisions.");
    page.value("nexus_decisions_total", c.decisions - c.fallback_decisions, "{outcome=\"success\"}");
    page.value("nexus_decisions_total", c.fallback_decisions, "{outcome=\"fallback\"}");
    page.summary("nexus_decision_seconds", "Time of one event in the core, its decisions included.", state.decide);
    page.summary("nexus_store_write_seconds", "Time of one group commit of the journal.", state.commit);
    page.summary("nexus_task_queue_wait_seconds", "Submission to start.", state.wait);
    page.summary("nexus_slot_gap_seconds", "End of an attempt to the next start in its slot, while tasks wait.",
                 state.gap);
    page.single("nexus_prediction_within25_ratio", "gauge",
                "Share of recent predictions within 25 % of the actual run time.", status.accuracy.within_25);
    page.single("nexus_prediction_interval_coverage_ratio", "gauge",
                "Share of recent runs that ended within their predicted P90.", status.accuracy.p90_coverage);
    page.single("nexus_eta_interval_coverage_ratio", "gauge",
                "Share of recent tasks that finished by the P90 told at submission.", status.accuracy.eta_p90_coverage);
    promises(page, state);
    const predict::ModelFailures& failures = state.failures;
    page.family("nexus_model_failures_total", "counter", "Answers of the model that could not be used.");
    page.value("nexus_model_failures_total", failures.errors, "{kind=\"error\"}");
    page.value("nexus_model_failures_total", failures.exceptions, "{kind=\"exception\"}");
    page.value("nexus_model_failures_total", failures.invalid, "{kind=\"invalid\"}");
    page.value("nexus_model_failures_total", failures.slow, "{kind=\"slow\"}");
    page.value("nexus_model_failures_total", failures.skipped, "{kind=\"resting\"}");
    page.single("nexus_prediction_drifts_total", "counter", "Alarms of the drift detectors, all types.",
                failures.drifts);
    page.single("nexus_fallback_active", "gauge", "1 while round-robin replaces failed predictions.",
                status.fallback ? 1 : 0);
    page.single("nexus_fenced_results_total", "counter", "Reports of superseded attempts that were refused.",
                c.stale_reports);
    page.single("nexus_requeues_total", "counter", "Attempts whose task went back to waiting.", c.requeues);
    page.single("nexus_lease_expired_total", "counter", "Workers lost.", c.workers_lost);
    page.single("nexus_speculative_total", "counter", "Second copies of stragglers.", c.speculations);
    page.single("nexus_pauses_total", "counter", "Runs paused for shorter ones.", c.pauses);
    page.single("nexus_prefetches_total", "counter", "Tasks sent to a worker beyond its slots.", c.prefetches);
    page.single("nexus_recalls_total", "counter", "Prefetched tasks that were asked back.", c.recalls);
    page.single("nexus_preemptions_total", "counter", "Runs stopped for more important ones.", c.preemptions);
    page.single("nexus_idle_while_pending_seconds_total", "counter",
                "Slot time idle beside a task it may run; must stay 0.",
                static_cast<double>(c.idle_while_waiting.us) / 1e6);
    page.single("nexus_worker_utilization_ratio", "gauge", "Busy slots of connected workers.", status.utilization);
    page.single("nexus_history_dropped_total", "counter",
                "History rows dropped because their buffer or spool was full.", status.history_dropped);
    histories(page, door);
    page.family("nexus_audit_head_info", "gauge",
                "Hash of the newest entry of the audit; kept elsewhere it proves the rest.");
    if (!status.audit_head.empty())
        page.value("nexus_audit_head_info", 1, fmt::format("{{hash=\"{}\"}}", status.audit_head));
    page.single("nexus_journal_position", "gauge", "Number of the last event.", status.journal_position);
    std::uint32_t suspect = 0, cordoned = 0;
    page.family("nexus_worker_breaker_open", "gauge", "1 for a worker whose circuit breaker is not closed.");
    for (const engine::WorkerInfo& worker : state.workers) {
        if (!worker.connected) continue;
        suspect += worker.suspect ? 1 : 0;
        cordoned += worker.cordoned || worker.draining ? 1 : 0;
        if (worker.breaker != "closed")
            page.value("nexus_worker_breaker_open", 1, fmt::format("{{worker=\"{}\"}}", worker.name));
    }
    page.family("nexus_workers", "gauge", "Connected workers by state.");
    page.value("nexus_workers", status.workers_ready, "{state=\"ready\"}");
    page.value("nexus_workers", suspect, "{state=\"suspect\"}");
    page.value("nexus_workers", cordoned, "{state=\"cordoned\"}");
    page.family("nexus_requests_total", "counter", "Requests answered, by method and gRPC code.");
    for (const api::Method& method : api::methods())
        for (int code = 0; code < static_cast<int>(api::MethodCounts::kCodes); ++code)
            if (const std::uint64_t count = counts.get(method, code); count > 0)
                page.value("nexus_requests_total", count,
                           fmt::format("{{method=\"{}\",code=\"{}\"}}", method.name, api::name_of_grpc(code)));
    ports(page, door);
    if (door.store) stores(page, door.store());
    if (door.intake) intake(page, door.intake());
    identities(page, *door.guard);

    page.family("scheduler_decisions_total", "counter", "The old Nexus name of nexus_decisions_total.");
    page.value("scheduler_decisions_total", c.decisions - c.fallback_decisions, "{status=\"success\"}");
    page.value("scheduler_decisions_total", c.fallback_decisions, "{status=\"fallback\"}");
    page.value("scheduler_decisions_total", 0, "{status=\"error\"}");
    page.single("scheduler_queue_depth", "gauge", "The old Nexus name of nexus_tasks_pending.", c.waiting);
    page.family("scheduler_workers_active", "gauge", "The old Nexus name of nexus_workers.");
    page.value("scheduler_workers_active", status.workers_ready, "{status=\"healthy\"}");
    page.value("scheduler_workers_active", cordoned, "{status=\"degraded\"}");
    page.value("scheduler_workers_active", suspect, "{status=\"unhealthy\"}");
    return std::move(page.text);
}

void metrics(api::Door& door, const Request& request, Reply reply) {
    using State = engine::ReadState::Answer;
    door.engine.ask(caller_of(request), engine::ReadState{},
                    [&door, reply = std::move(reply)](Result<State>&& state) mutable {
                        if (!state) return reply(problem_of(state.error()));
                        Response response = plain_text(prometheus_text(**state, door));
                        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                        reply(std::move(response));
                    });
}

}  // namespace nexus::http
