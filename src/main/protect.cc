#include "main/protect.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "base/must.h"
#include "base/private_file.h"
#include "base/system_clock.h"
#include "cli/output.h"
#include "config/sources.h"
#include "main/configuration.h"

namespace nexus::serve {
namespace {

using cli::Answer;

constexpr mode_t kOthers = 0077;
constexpr const char* kFirstName = "admin";

// How many files were open to others; they are not any more.
int close_to_others(const std::string& directory) {
    int changed = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        struct stat about{};
        const std::string path = entry.path();
        if (lstat(path.c_str(), &about) != 0 || !S_ISREG(about.st_mode) || (about.st_mode & kOthers) == 0) continue;
        changed += chmod(path.c_str(), about.st_mode & ~kOthers & 07777) == 0 ? 1 : 0;
    }
    return changed;
}

}  // namespace

Answer<void> protect_data(const std::string& directory, Log& log) {
    umask(kOthers);
    struct stat about{};
    if (stat(directory.c_str(), &about) != 0) return {};  // it is made, with the umask
    if (!S_ISDIR(about.st_mode)) return {};               // the store says so
    if (about.st_uid != geteuid())
        return failed({Fault::denied, "it belongs to another user"}, "open " + directory,
                      "run the server as the owner of its data");
    const bool was_open = (about.st_mode & kOthers) != 0;
    if (was_open && chmod(directory.c_str(), about.st_mode & ~kOthers & 07777) != 0)
        return failed(file_error(directory), "open " + directory, "chmod 700 it");
    const int files = close_to_others(directory);
    if (was_open || files > 0)
        log.write(
            engine::LogLevel::warning, "data_closed",
            fmt::format("{} could be read by others: it is 0700 now, and {} of its files 0600", directory, files));
    return {};
}

Answer<std::optional<identity::TlsFiles>> tls_of(const config::Server& settings) {
    if (settings.tls_cert.empty()) return std::nullopt;
    identity::TlsFiles files{.certificate = settings.tls_cert,
                             .key = settings.tls_key,
                             .client_ca = settings.tls_client_ca,
                             .require_client = settings.tls_require_client_cert};
    if (auto ok = identity::check(files); !ok) return failed(ok.error(), "TLS");
    return files;
}

Answer<std::shared_ptr<identity::Guard>> make_guard(const config::Server& settings) {
    auto subjects = identity::subjects_from(settings.tls_subjects);
    if (!subjects) return failed(subjects.error(), "server.tls_subjects");
    return std::make_shared<identity::Guard>(
        identity::GuardOptions{.asks = config::asks_who_calls(settings),
                               .insecure = config::is_open_beyond_loopback(settings),
                               .subjects = std::move(*subjects),
                               .limits = {.requests_per_s = settings.limit_requests,
                                          .tasks_per_s = settings.limit_tasks,
                                          .in_flight = settings.limit_in_flight,
                                          .streams = settings.limit_streams,
                                          .tenant_requests_per_s = settings.limit_tenant_requests,
                                          .tenant_tasks_per_s = settings.limit_tenant_tasks}});
}

Answer<std::string> first_admin(const config::Server& settings, engine::Runner& runner, const identity::Guard& guard) {
    if (settings.auth != "tokens" || guard.tokens()->has_admin(system_wall())) return "";
    const std::string path = settings.data + "/admin.token";
    identity::Secret secret = identity::make_secret();
    // The file first: a token whose secret nobody has would lock everybody out.
    if (auto ok = write_private(path, secret.text + "\n"); !ok) return failed(ok.error(), "write the first token");
    std::promise<Result<identity::Token>> promise;
    auto issued = promise.get_future();
    runner.ask(server_itself(),
               engine::IssueToken{.token = {.id = secret.id,
                                            .hash = secret.hash,
                                            .name = kFirstName,
                                            .roles = kAllRoles,
                                            .tenant = {},
                                            .created = {},
                                            .expires = {},
                                            .created_by = {}},
                                  .author = "",
                                  .reason = "there was no token that could make others"},
               [&promise](Result<identity::Token>&& token) { promise.set_value(std::move(token)); });
    if (auto token = issued.get(); !token) return failed(token.error(), "issue the first token");
    // Not where a log is kept of it.
    if (isatty(STDOUT_FILENO) == 0) return "a token for an administrator is in " + path;
    return "a token for an administrator, shown once and kept in " + path + ":\n  " + secret.text;
}

}  // namespace nexus::serve
