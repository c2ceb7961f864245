// nexus doctor: what is wrong, and what to do about it.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/quantity.h"
#include "base/version.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::int64_t kSkewMaxUs = 2'000'000;      // of contract C11: larger jumps are logged
constexpr std::uint64_t kDiskFreeMin = 1ULL << 30;  // chosen: hours of warning at 100 tasks a second
constexpr rlim_t kFilesMin = 1024;                  // one per worker and client, and a few dozen

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
}

void check_ready(Session& session, Findings& findings) {
    findings.looked();
    const auto ready = session.ready();
    if (ready && !*ready)
        findings.add("ready", "the server accepts no new tasks now",
                     "see its log: it is stopping, or its disk is full");
}

std::string without_stop(const std::string& text) {
    const std::string safe = safe_text(text, 400);
    return safe.ends_with('.') ? safe.substr(0, safe.size() - 1) : safe;
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

// What the server itself says that needs somebody: the same that its page shows. Whether it takes tasks has been asked,
// and that a type is learned anew is no problem.
void check_needs(const pb::Attention& attention, Findings& findings) {
    findings.looked();
    for (const pb::Need& need : attention.needs())
        if (need.kind() != "ready" && need.kind() != "type")
            findings.add(need.kind(), without_stop(need.sentence()), without_stop(need.act()));
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
    const auto attention = shell.session.attention();
    if (!attention) return std::unexpected(attention.error());
    check_needs(*attention, findings);
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
