// nexus doctor: what is wrong, and what to do about it.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "base/quantity.h"
#include "base/version.h"
#include "cli/fleet_view.h"
#include "cli/shell.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::int64_t kSkewMaxUs = 2'000'000;      // of contract C11: larger jumps are logged
constexpr std::uint64_t kDiskFreeMin = 1ULL << 30;  // chosen: hours of warning at 100 tasks a second
constexpr rlim_t kFilesMin = 1024;                  // one per worker and client, and a few dozen
constexpr std::uint32_t kWaitingLookedAt = 1000;
constexpr std::uint32_t kConnectsMany = 5;
constexpr std::int64_t kLatelyUs = 3'600'000'000;  // chosen: what is older has been seen, or hurts nobody

struct Problem {
    std::string check, what, next;
};

class Findings {
public:
    void add(std::string check, std::string what, std::string next) {
        problems_.push_back({.check = std::move(check), .what = std::move(what), .next = std::move(next)});
    }
    void looked() { ++checks_; }
    const std::vector<Problem>& problems() const { return problems_; }
    int checks() const { return checks_; }

private:
    std::vector<Problem> problems_;
    int checks_ = 0;
};

void check_server(const pb::Status& status, std::int64_t half_way_us, Findings& findings) {
    findings.looked();
    if (status.version() != kVersion)
        findings.add("version",
                     fmt::format("the server is version {}, this is {}", safe_text(status.version(), 30), kVersion),
                     "use the same version for both");
    findings.looked();
    const std::int64_t skew = status.now_unix_us() - half_way_us;
    if (std::abs(skew) > kSkewMaxUs)
        findings.add("clock",
                     fmt::format("the server's clock is {} {} of this machine's", span_text(std::abs(skew)),
                                 skew > 0 ? "ahead" : "behind"),
                     "let both follow a time server; run_at and deadline are calendar times");
    findings.looked();
    if (status.fallback())
        findings.add("prediction", "predictions fail; tasks are placed round-robin",
                     "see the server's log, and `nexus type list`");
    if (status.history_dropped() > 0)
        findings.add("history", fmt::format("{} dropped", counted(status.history_dropped(), "history row")),
                     "the history store is too slow or its disk is full");
}

void check_ready(Session& session, Findings& findings) {
    findings.looked();
    const auto ready = session.ready();
    if (ready && !*ready)
        findings.add("ready", "the server accepts no new tasks now",
                     "see its log: it is stopping, or its disk is full");
}

// Beyond this machine a server that asks nobody lets everybody run programs on its workers.
void check_identity(Session& session, Findings& findings) {
    findings.looked();
    const std::string& server = session.server();
    const bool here = server.starts_with("127.") || server.starts_with("localhost:") || server.starts_with("[::1]") ||
                      server.starts_with("unix:");
    const auto me = session.who_am_i();
    if (!here && me && me->open())
        findings.add("security", "the server asks nobody who they are, and can be reached from other machines",
                     "set server.auth = \"tokens\" and TLS; see docs/security.md");
}

void check_workers(const pb::ListWorkersResponse& all, std::int64_t now, Findings& findings) {
    findings.looked();
    std::uint32_t ready = 0;
    for (const pb::Worker& worker : all.workers()) {
        const std::string name = safe_text(worker.name(), 60);
        if (worker.state() == pb::WORKER_STATE_READY) ++ready;
        if (worker.state() == pb::WORKER_STATE_GONE && now - worker.last_heard_unix_us() < kLatelyUs)
            findings.add("worker",
                         fmt::format("{} has been gone for {}", name, span_text(now - worker.last_heard_unix_us())),
                         "if it was not stopped on purpose, see its log and start it again");
        if (worker.state() == pb::WORKER_STATE_SUSPECT)
            findings.add("worker", fmt::format("{} is silent", name),
                         "is its machine or network in trouble? it gets no new tasks");
        if (const std::string rivals = rivals_text(worker, now); !rivals.empty())
            findings.add("worker", fmt::format("{}: {}: two workers have one --name", name, rivals),
                         "give each its own; nothing is lost, but the second gets no tasks");
        if (worker.reconnects() > kConnectsMany)
            findings.add(
                "worker",
                fmt::format("{} connected {} within the last 5 minutes", name, counted(worker.reconnects(), "time")),
                "it is started again and again, or its connection breaks: see its log");
        if (worker.breaker() == "open")
            findings.add(
                "worker",
                fmt::format("the circuit breaker of {} is open: {}", name, safe_text(worker.breaker_reason(), 120)),
                fmt::format("see `nexus worker get {}`; it is tried again automatically", name));
    }
    if (ready == 0)
        findings.add("worker", all.workers().empty() ? "no worker has ever connected" : "no worker is ready",
                     "start one: nexus worker --allow exec");
}

Answer<void> check_waiting(Session& session, Findings& findings) {
    findings.looked();
    pb::ListTasksRequest request;
    request.add_states(pb::TASK_STATE_WAITING);
    request.set_page_size(kWaitingLookedAt);
    const auto page = session.list_tasks(request);
    if (!page) return std::unexpected(page.error());
    std::map<std::string, std::pair<std::uint64_t, std::string>> stuck;  // culprit -> how many, one of them
    std::map<std::string, std::uint64_t> paused;                         // queue -> how many
    for (const pb::Task& task : page->tasks()) {
        if (task.waiting().reason() == pb::WAIT_REASON_QUEUE_PAUSED) ++paused[task.queue()];
        if (task.waiting().reason() != pb::WAIT_REASON_NO_ELIGIBLE_WORKER) continue;
        auto& [tasks, example] = stuck[task.waiting().culprit()];
        ++tasks;
        example = task.id();
    }
    for (const auto& [culprit, found] : stuck)
        findings.add("waiting",
                     fmt::format("{}{} cannot run on any connected worker: {}",
                                 page->next_page_token().empty() ? "" : "at least ", counted(found.first, "task"),
                                 safe_text(culprit, 120)),
                     fmt::format("see `nexus task explain {}`", found.second));
    for (const auto& [queue, tasks] : paused)
        findings.add("queue",
                     fmt::format("{} is paused, and {}{} in it", safe_text(queue, 60),
                                 page->next_page_token().empty() ? "" : "at least ",
                                 tasks == 1 ? "1 task waits" : counted(tasks, "task") + " wait"),
                     fmt::format("let it go on with `nexus queue resume {}`", safe_text(queue, 60)));
    return {};
}

Answer<void> check_dead(Session& session, std::int64_t now, Findings& findings) {
    findings.looked();
    pb::ListTasksRequest request;
    request.add_states(pb::TASK_STATE_DEAD);
    request.set_page_size(kWaitingLookedAt);
    const auto page = session.list_tasks(request);
    if (!page) return std::unexpected(page.error());
    std::uint64_t lately = 0;
    for (const pb::Task& task : page->tasks()) lately += now - task.finished_unix_us() < kLatelyUs ? 1 : 0;
    if (lately == 0) return {};
    const bool more = lately == static_cast<std::uint64_t>(page->tasks_size()) && !page->next_page_token().empty();
    findings.add("dead",
                 fmt::format("{}{} died within the last hour, the newest of {}: {}", more ? "at least " : "",
                             counted(lately, "task"), safe_text(page->tasks(0).type(), 60),
                             safe_text(page->tasks(0).error(), 120)),
                 "see `nexus task list --state dead`; `nexus task retry ID` submits one again");
    return {};
}

void check_disk(const std::string& folder, Findings& findings) {
    struct statvfs disk{};
    if (statvfs(folder.c_str(), &disk) != 0) return;  // the data is not on this machine, or elsewhere
    findings.looked();
    const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    if (free < kDiskFreeMin)
        findings.add("disk", fmt::format("{} has {} free", safe_text(folder, 120), bytes_text(free)),
                     "free some space: without it submissions are refused");
    if (access(folder.c_str(), W_OK) != 0)
        findings.add("disk", fmt::format("{} cannot be written: {}", safe_text(folder, 120), std::strerror(errno)),
                     "run as its owner");
}

void check_limits(Findings& findings) {
    findings.looked();
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max >= kFilesMin) return;
    findings.add("limits", fmt::format("a process may open {} files here", files.rlim_max),
                 "raise it: ulimit -Hn 4096, or LimitNOFILE= in systemd");
}

void put_findings(const Shell& shell, const Findings& findings) {
    if (shell.wants_json()) {
        nlohmann::ordered_json out;
        out["ok"] = findings.problems().empty();
        out["checks"] = findings.checks();
        out["problems"] = nlohmann::ordered_json::array();
        for (const Problem& problem : findings.problems())
            out["problems"].push_back({{"check", problem.check}, {"what", problem.what}, {"next", problem.next}});
        put(out.dump(shell.wants_document() ? 1 : -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
            "\n");
        return;
    }
    for (const Problem& problem : findings.problems())
        put(fmt::format("{}: {}; {}\n", toned(problem.check, Tone::bad, shell.terminal.colour), problem.what,
                        problem.next));
    if (findings.problems().empty())
        shell.say(fmt::format("{}: {} checks, all fine", shell.session.server(), findings.checks()));
}

Answer<int> examine(Shell& shell, const std::string& folder) {
    Findings findings;
    check_limits(findings);
    check_disk(folder, findings);
    const std::int64_t before = now_unix_us();
    const auto status = shell.session.status();
    findings.looked();
    if (!status) {
        findings.add("server", status.error().what, status.error().next);
        put_findings(shell, findings);
        return status.error().exit_code;
    }
    check_server(*status, before + (now_unix_us() - before) / 2, findings);
    check_ready(shell.session, findings);
    check_identity(shell.session, findings);
    const auto workers = shell.session.list_workers();
    if (!workers) return std::unexpected(workers.error());
    check_workers(*workers, status->now_unix_us(), findings);
    if (const auto done = check_waiting(shell.session, findings); !done) return std::unexpected(done.error());
    const auto dead = check_dead(shell.session, status->now_unix_us(), findings);
    if (!dead) return std::unexpected(dead.error());
    put_findings(shell, findings);
    return findings.problems().empty() ? kExitOk : kExitFailure;
}

}  // namespace

void add_doctor(CLI::App& root, int& exit_code) {
    const auto folder = std::make_shared<std::string>("./nexus-data");
    CLI::App* verb = add_verb(root,
                              {.name = "doctor",
                               .help = "Find problems: server, clock, workers, stuck tasks, disk, limits",
                               .examples = "  nexus doctor\n  nexus doctor --quiet || systemctl restart nexus\n  nexus "
                                           "doctor --data /var/lib/nexus -o json"},
                              exit_code, [folder](Shell& shell) { return examine(shell, *folder); });
    verb->add_option("--data", *folder,
                     "The server's data directory, when it is on this machine (default ./nexus-data)");
}

}  // namespace nexus::cli
