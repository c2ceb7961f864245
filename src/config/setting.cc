#include "config/setting.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "base/ascii.h"
#include "base/quantity.h"
#include "base/spelling.h"

namespace nexus::config {
namespace {

using core::Config;

constexpr std::int64_t kDay = hours(24).us;
constexpr std::int64_t kYear = 365 * kDay;
constexpr Duration kHeartbeat = seconds(1);    // of the worker protocol (contract C12)
constexpr std::int64_t kLimitMax = 1'000'000;  // of what one caller may do a second
constexpr std::size_t kTextBytesMax = 4096;    // of one text value

constexpr std::array kSettings{
    Setting{.name = "server.listen",
            .kind = Kind::text,
            .meaning =
                "Address of the gRPC server, or unix:PATH; port 0 = any free port. Beyond loopback: docs/security.md",
            .member = &Server::listen,
            .has_flag = true},
    Setting{.name = "server.http",
            .kind = Kind::text,
            .meaning = "Address of the page and the REST API; off = neither. Beyond loopback: docs/security.md",
            .member = &Server::http,
            .has_flag = true},
    Setting{
        .name = "server.http_hosts",
        .kind = Kind::hosts,
        .meaning = "Names that the page and the REST API answer to beside localhost and the address, e.g. of a proxy",
        .member = &Server::http_hosts,
        .has_flag = true},
    Setting{.name = "server.scheduler_keys_file",
            .kind = Kind::text,
            .meaning = "File with the keys of /scheduler/*, one a line; nobody else may read it",
            .member = &Server::scheduler_keys_file,
            .has_flag = true},
    Setting{.name = "server.data",
            .kind = Kind::text,
            .meaning = "Directory of the embedded store, and of the history",
            .member = &Server::data,
            .has_flag = true},
    Setting{.name = "server.durability",
            .kind = Kind::choice,
            .meaning = "What an acknowledged change survives: disk = a power cut, process = the end of the process, "
                       "replicated = the loss of the machine of Redis (docs/redis.md)",
            .member = &Server::durability,
            .choices = "disk process replicated",
            .has_flag = true},
    Setting{.name = "server.store",
            .kind = Kind::address,
            .meaning = "Where the journal is kept: embedded = in the data directory, or redis://HOST:PORT and other "
                       "addresses of docs/redis.md; the environment may call it REDIS_URL",
            .member = &Server::store,
            .has_flag = true,
            .old_name = "REDIS_URL"},
    Setting{.name = "server.store_prefix",
            .kind = Kind::text,
            .meaning = "How the keys of the journal in Redis begin; each journal needs its own",
            .member = &Server::store_prefix,
            .has_flag = true},
    Setting{.name = "server.store_password_file",
            .kind = Kind::text,
            .meaning = "File whose first line is the password for Redis; nobody else may read it",
            .member = &Server::store_password_file,
            .has_flag = true},
    Setting{.name = "server.store_ca",
            .kind = Kind::text,
            .meaning = "File of the authorities that may sign the certificate of Redis; empty = those of the system",
            .member = &Server::store_ca,
            .has_flag = true},
    Setting{.name = "server.store_cert",
            .kind = Kind::text,
            .meaning = "File of the certificate that Redis is shown",
            .member = &Server::store_cert,
            .has_flag = true},
    Setting{.name = "server.store_key",
            .kind = Kind::text,
            .meaning = "File of that certificate's key",
            .member = &Server::store_key,
            .has_flag = true},
    Setting{.name = "server.store_volatile",
            .kind = Kind::flag,
            .meaning = "Accept a Redis without append-only file, whose end loses every task",
            .member = &Server::store_volatile,
            .has_flag = true},
    Setting{
        .name = "server.store_replicas",
        .kind = Kind::number,
        .meaning = "How many replicas of Redis must have a change before it is acknowledged; 0 = none is waited for",
        .member = &Server::store_replicas,
        .max = 16,
        .has_flag = true},
    Setting{.name = "server.store_start_limit",
            .kind = Kind::duration,
            .meaning = "How long a start waits for a Redis that does not answer",
            .member = &Server::store_start_limit,
            .max = hours(1).us,
            .has_flag = true},
    Setting{.name = "server.intake",
            .kind = Kind::flag,
            .meaning = "Take tasks from the stream nexus:tasks:pending, and workers that speak Redis alone, from the "
                       "Redis that holds the journal",
            .member = &Server::intake},
    Setting{.name = "server.intake_claim_after",
            .kind = Kind::duration,
            .meaning = "How long an entry that another consumer fetched may stand still before it is taken from it",
            .member = &Server::intake_claim_after,
            .min = seconds(1).us,
            .max = hours(24).us},
    Setting{.name = "server.redis_worker_timeout",
            .kind = Kind::duration,
            .meaning = "Silence after which a worker that speaks Redis alone is lost; the environment may call it "
                       "HEARTBEAT_TIMEOUT_MS",
            .member = &Server::redis_worker_timeout,
            .min = seconds(1).us,
            .max = hours(24).us,
            .old_name = "HEARTBEAT_TIMEOUT_MS"},
    Setting{.name = "server.model",
            .kind = Kind::text,
            .meaning = "The model that predicts run times",
            .member = &Server::model},
    Setting{.name = "server.name",
            .kind = Kind::text,
            .meaning = "Name of this server, told in its status and shown on the page",
            .member = &Server::name},
    Setting{.name = "server.history",
            .kind = Kind::text,
            .meaning =
                "Where the history is kept: clickhouse://HOST:PORT/DATABASE, clickhouses:// with TLS, or empty: in "
                "the data directory",
            .member = &Server::history,
            .has_flag = true},
    Setting{.name = "server.history_login_file",
            .kind = Kind::text,
            .meaning = "File with USER:PASSWORD for that ClickHouse, mode 0600; empty = user default, no password",
            .member = &Server::history_login_file},
    Setting{.name = "server.history_ca_file",
            .kind = Kind::text,
            .meaning = "File with the certificates of whoever signs that ClickHouse's; empty = whom the system trusts",
            .member = &Server::history_ca_file},
    Setting{.name = "server.history_spool_max",
            .kind = Kind::size,
            .meaning = "Size on disk of what waits while that ClickHouse is away; beyond it the oldest is dropped",
            .member = &Server::history_spool_max,
            .min = 1 << 20},
    Setting{.name = "server.history_retention",
            .kind = Kind::duration,
            .meaning = "How long finished tasks are kept",
            .member = &Server::history_retention,
            .min = minutes(1).us,
            .max = kDurationTextMax.us},
    Setting{.name = "server.history_size_max",
            .kind = Kind::size,
            .meaning = "Size of the history on disk; 0B = no limit",
            .member = &Server::history_bytes_max},
    Setting{.name = "server.disk_reserve",
            .kind = Kind::size,
            .meaning = "Space set aside so that finished work can be stored on a full disk; 0B = none",
            .member = &Server::reserve_bytes},
    Setting{.name = "server.auth",
            .kind = Kind::choice,
            .meaning = "Who may call: tokens = whoever has one, none = everybody, for loopback only",
            .member = &Server::auth,
            .choices = "none tokens",
            .has_flag = true},
    Setting{.name = "server.insecure",
            .kind = Kind::flag,
            .meaning = "Listen beyond loopback without TLS or without asking who calls: anyone can run programs",
            .member = &Server::insecure,
            .has_flag = true},
    Setting{.name = "server.tls_cert",
            .kind = Kind::text,
            .meaning = "File with the server's certificate in PEM, for both listeners; read again when it changes",
            .member = &Server::tls_cert,
            .has_flag = true},
    Setting{.name = "server.tls_key",
            .kind = Kind::text,
            .meaning = "File with its key in PEM, mode 0600",
            .member = &Server::tls_key,
            .has_flag = true},
    Setting{
        .name = "server.tls_client_ca",
        .kind = Kind::text,
        .meaning = "File with the certificates of whoever signs those of clients; empty = clients are asked for none",
        .member = &Server::tls_client_ca,
        .has_flag = true},
    Setting{.name = "server.tls_require_client_cert",
            .kind = Kind::flag,
            .meaning = "No connection without a certificate of the client",
            .member = &Server::tls_require_client_cert},
    Setting{.name = "server.tls_subjects",
            .kind = Kind::text,
            .meaning =
                "What names in clients' certificates may do: worker-1=worker,ci=submitter@tenant,ops=viewer+operator",
            .member = &Server::tls_subjects},
    Setting{.name = "server.limit_requests",
            .kind = Kind::number,
            .meaning = "Requests a second of one caller, ten seconds' worth at once; 0 = no limit",
            .member = &Server::limit_requests,
            .max = kLimitMax},
    Setting{.name = "server.limit_tasks",
            .kind = Kind::number,
            .meaning = "Tasks that one caller submits a second, ten seconds' worth at once; 0 = no limit",
            .member = &Server::limit_tasks,
            .max = kLimitMax},
    Setting{.name = "server.limit_in_flight",
            .kind = Kind::number,
            .meaning = "Requests of one caller that are being answered; 0 = no limit",
            .member = &Server::limit_in_flight,
            .max = kLimitMax},
    Setting{.name = "server.limit_streams",
            .kind = Kind::number,
            .meaning = "Watches, submit streams and event streams that one caller has open; 0 = no limit",
            .member = &Server::limit_streams,
            .max = kLimitMax},
    Setting{.name = "server.limit_tenant_requests",
            .kind = Kind::number,
            .meaning = "Requests a second of all who are bound to one tenant; 0 = no limit",
            .member = &Server::limit_tenant_requests,
            .max = kLimitMax},
    Setting{.name = "server.limit_tenant_tasks",
            .kind = Kind::number,
            .meaning = "Tasks that all who are bound to one tenant submit a second; 0 = no limit",
            .member = &Server::limit_tenant_tasks,
            .max = kLimitMax},
    Setting{.name = "scheduler.policy",
            .kind = Kind::choice,
            .meaning = "How tasks are ordered and placed",
            .member = &Config::policy},
    Setting{.name = "scheduler.lease",
            .kind = Kind::duration,
            .meaning = "Time from a worker's last contact until its attempts may be given to others",
            .member = &Config::lease,
            .min = 2 * kHeartbeat.us,
            .max = kDay},
    Setting{.name = "scheduler.close_grace",
            .kind = Kind::duration,
            .meaning = "After a connection closes without a goodbye, until the worker is lost; at most the lease",
            .member = &Config::close_grace,
            .max = kDay},
    Setting{.name = "scheduler.reconnect_grace",
            .kind = Kind::duration,
            .meaning = "For workers to return after the server started; at most the lease",
            .member = &Config::reconnect_grace,
            .max = kDay},
    Setting{.name = "scheduler.attempts_max",
            .meaning = "Failed attempts before a task is dead",
            .member = &Config::attempts_max,
            .min = 1,
            .max = 1000},
    Setting{.name = "scheduler.crashes_max",
            .meaning = "Workers lost while they ran a task before it is dead",
            .member = &Config::crashes_max,
            .min = 1,
            .max = 1000},
    Setting{.name = "scheduler.backoff_first",
            .kind = Kind::duration,
            .meaning = "Backoff before the second attempt; it doubles, with full jitter",
            .member = &Config::backoff_first,
            .max = kDay},
    Setting{.name = "scheduler.backoff_max",
            .kind = Kind::duration,
            .meaning = "Longest backoff",
            .member = &Config::backoff_max,
            .max = 30 * kDay},
    Setting{.name = "scheduler.ttl",
            .kind = Kind::duration,
            .meaning = "A task that has not finished so long after its submission, or its run_at if later, expires",
            .member = &Config::ttl,
            .min = seconds(1).us,
            .max = 10 * kYear},
    Setting{.name = "scheduler.timeout_grace",
            .kind = Kind::duration,
            .meaning = "How far past an attempt's timeout the server ends it itself",
            .member = &Config::timeout_grace,
            .max = kDay},
    Setting{.name = "scheduler.idempotency_window",
            .kind = Kind::duration,
            .meaning = "How long an idempotency key is remembered after its task ended",
            .member = &Config::idempotency_window,
            .min = hours(1).us,
            .max = kYear},
    Setting{
        .name = "scheduler.size_weight_permille",
        .meaning =
            "Weight of a task's size in the order: 250 protects the tail in overload, 4000 is nearly shortest first",
        .member = &Config::size_weight_permille,
        .max = 100'000},
    Setting{.name = "scheduler.priority_credit_permille",
            .meaning = "Head start per priority level, in permille of the mean run time",
            .member = &Config::priority_credit_permille,
            .max = 100'000'000},
    Setting{.name = "scheduler.overtake_cap_means",
            .meaning = "Mean run times: tau is at most, and the bound on being overtaken at least, this many",
            .member = &Config::overtake_cap_means,
            .min = 1,
            .max = 1'000'000},
    Setting{.name = "scheduler.overtake_max",
            .kind = Kind::duration,
            .meaning = "Bound on being overtaken by lower or equal priority, where overtake_cap_means gives less",
            .member = &Config::overtake_max,
            .max = kDay},
    Setting{.name = "scheduler.placement",
            .kind = Kind::choice,
            .meaning = "Which free worker gets a task: one that keeps the fleet evenly used, or the fastest",
            .member = &Config::placement,
            .choices = "balanced fastest"},
    Setting{.name = "scheduler.breaker",
            .kind = Kind::flag,
            .meaning = "Circuit breaker of each worker",
            .member = &Config::breaker},
    Setting{.name = "scheduler.breaker_ratio_permille",
            .meaning = "How many times slower than its peers a worker is when its breaker opens, in permille",
            .member = &Config::breaker_ratio_permille,
            .min = 1001,
            .max = 1'000'000},
    Setting{.name = "scheduler.speculation",
            .kind = Kind::flag,
            .meaning = "Second copies of idempotent stragglers",
            .member = &Config::speculation},
    Setting{.name = "scheduler.speculation_slots_permille",
            .meaning = "Share of all slots that such copies may use",
            .member = &Config::speculation_slots_permille,
            .max = 1000},
    Setting{.name = "scheduler.preemption",
            .kind = Kind::flag,
            .meaning = "Stop preemptible tasks for tasks of higher priority",
            .member = &Config::preemption},
    Setting{.name = "scheduler.preemptions_max",
            .meaning = "How often one task may be stopped so",
            .member = &Config::preemptions_max,
            .max = 1000},
    Setting{.name = "scheduler.pause",
            .kind = Kind::flag,
            .meaning = "Let short tasks pause long ones, on workers that can",
            .member = &Config::pause},
    Setting{.name = "scheduler.pause_ratio_permille",
            .meaning = "A paused task still has to run for this many times the short task's estimate, in permille",
            .member = &Config::pause_ratio_permille,
            .min = 1000,
            .max = 100'000'000},
    Setting{.name = "scheduler.tasks_max",
            .meaning = "Live tasks; more are refused",
            .member = &Config::tasks_max,
            .min = 1,
            .max = 100'000'000},
    Setting{.name = "scheduler.idempotency_keys_max",
            .meaning = "Remembered idempotency keys of ended tasks",
            .member = &Config::idempotency_keys_max,
            .max = 100'000'000},
    Setting{.name = "scheduler.fallback_threshold",
            .meaning = "Failed predictions in a row before tasks are placed round-robin",
            .member = &Config::fallback_threshold,
            .min = 1,
            .max = 1'000'000,
            .old_name = "FALLBACK_THRESHOLD"},
    Setting{.name = "scheduler.worker_retention",
            .kind = Kind::duration,
            .meaning = "How long a worker that is gone is remembered, with its speed; 0s = for ever",
            .member = &Config::worker_retention,
            .max = 10 * kYear},
    Setting{.name = "scheduler.prefetch",
            .kind = Kind::flag,
            .meaning = "Send short tasks to workers that can hold them, shortly before their slots become free",
            .member = &Config::prefetch},
};

using Queue = core::QueueLimits;
using Tenant = core::TenantLimits;
using Type = core::TypeLimits;
constexpr std::array kQueueFields{
    ListField<Queue>{.name = "paused", .member = &Queue::paused, .meaning = "Start no more tasks of this queue"},
    ListField<Queue>{.name = "count_fair",
                     .member = &Queue::count_fair,
                     .meaning = "Share between tenants by number of tasks instead of predicted work"},
    ListField<Queue>{.name = "running_max", .member = &Queue::running_max, .meaning = "Running tasks; 0 = no limit"}};
constexpr std::array kTenantFields{
    // Shares beyond a million would weigh nothing against others in integer arithmetic.
    ListField<Tenant>{
        .name = "share", .member = &Tenant::share, .meaning = "Weight in fair sharing", .min = 1, .max = 1'000'000},
    ListField<Tenant>{.name = "running_max", .member = &Tenant::running_max, .meaning = "Running tasks; 0 = no limit"},
    ListField<Tenant>{.name = "waiting_max", .member = &Tenant::waiting_max, .meaning = "Waiting tasks; 0 = no limit"}};
constexpr std::array kTypeFields{
    ListField<Type>{.name = "running_max", .member = &Type::running_max, .meaning = "Running tasks; 0 = no limit"}};
constexpr List<Queue> kQueues{.name = "queues", .member = &Config::queues, .fields = kQueueFields};
constexpr List<Tenant> kTenants{.name = "tenants", .member = &Config::tenants, .fields = kTenantFields};
constexpr List<Type> kTypes{.name = "types", .member = &Config::types, .fields = kTypeFields};

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

std::vector<std::string_view> choices_of(const Setting& setting) {
    std::vector<std::string_view> words;
    if (std::holds_alternative<core::PolicyKind Config::*>(setting.member)) {
        for (const core::PolicyKind kind : core::kPolicies) words.emplace_back(core::name_of(kind));
        return words;
    }
    std::string_view rest = setting.choices;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        words.push_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return words;
}

std::string joined(std::span<const std::string_view> words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i)
        text.append(i == 0 ? "" : i + 1 == words.size() ? " or " : ", ").append(words[i]);
    return text;
}

Result<std::int64_t> whole_number(Written value, std::int64_t min, std::int64_t max) {
    std::int64_t number = 0;
    const char* const end = value.text.data() + value.text.size();
    const auto [stopped, fault] = std::from_chars(value.text.data(), end, number);
    if (value.quoted || fault != std::errc{} || stopped != end || value.text.empty())
        return invalid("expected a whole number");
    if (number < min || number > max)
        return invalid(std::to_string(number) + " is out of range: " + std::to_string(min) + " to " +
                       std::to_string(max));
    return number;
}

Result<void> read_flag(Written value, bool& field) {
    if (value.quoted || (value.text != "true" && value.text != "false")) return invalid("expected true or false");
    field = value.text == "true";
    return {};
}

// The choice that was written, underscores taken for dashes: environment variables have none.
Result<std::string_view> read_choice(const Setting& setting, Written value) {
    if (!value.quoted && !value.either) return invalid("expected text in quotes");
    const std::vector<std::string_view> known = choices_of(setting);
    std::string name(value.text);
    std::ranges::replace(name, '_', '-');
    if (const auto found = std::ranges::find(known, name); found != known.end()) return *found;
    return invalid("\"" + std::string(value.text.substr(0, 64)) + "\": expected " + joined(known) +
                   did_you_mean(name, known));
}

bool is_host(std::string_view name) {
    const bool v6 = name.starts_with('[') && name.ends_with(']');
    constexpr std::string_view kOfNames = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    constexpr std::string_view kOfAddresses = "0123456789abcdef:.";
    const std::string_view inner = v6 ? name.substr(1, name.size() - 2) : name;
    return !inner.empty() && inner.size() <= 253 &&
           inner.find_first_not_of(v6 ? kOfAddresses : kOfNames) == std::string_view::npos;
}

// Names with commas between them, as they are compared: in lower case.
Result<std::string> read_hosts(std::string_view text) {
    const std::string hosts = lower_case(text.substr(0, kTextBytesMax + 1));
    if (hosts.size() > kTextBytesMax) return invalid("must be at most " + std::to_string(kTextBytesMax) + " bytes");
    for (std::size_t at = 0; at < hosts.size();) {
        const std::size_t end = std::min(hosts.find(',', at), hosts.size());
        const std::string name = hosts.substr(at, end - at);
        if (!is_host(name))
            return invalid("\"" + name.substr(0, 64) +
                           "\" is no host name; expected names without a port, with commas between them");
        if (end + 1 == hosts.size()) return invalid("nothing follows the last comma");
        at = end + 1;
    }
    return hosts;
}

// One overload per type of a member. They write `field` last, so that a refusal changes nothing.
Result<void> read(const Setting& setting, Written value, std::string& field) {
    if (setting.kind == Kind::choice) {
        const Result<std::string_view> choice = read_choice(setting, value);
        if (!choice) return std::unexpected(choice.error());
        field = *choice;
        return {};
    }
    if (!value.quoted && !value.either) return invalid("expected text in quotes");
    if (setting.kind == Kind::hosts) {
        Result<std::string> hosts = read_hosts(value.text);
        if (!hosts) return std::unexpected(std::move(hosts).error());
        field = *std::move(hosts);
        return {};
    }
    const auto* member = std::get_if<std::string Server::*>(&setting.member);
    const bool may_be_empty = member != nullptr && (Server().**member).empty();  // what is not set can be unset
    if ((value.text.empty() && !may_be_empty) || value.text.size() > kTextBytesMax)
        return invalid("must be 1 to " + std::to_string(kTextBytesMax) + " bytes");
    field = value.text;
    return {};
}

Result<void> read(const Setting& setting, Written value, Duration& field) {
    if (!value.quoted && !value.either) return invalid("expected a duration with a unit in quotes, e.g. \"5s\"");
    const Result<Duration> duration = parse_duration(value.text);
    if (!duration) return std::unexpected(duration.error());
    if (duration->us < setting.min || duration->us > setting.max)
        return invalid(duration_text(*duration) + " is out of range: " + range_text(setting));
    field = *duration;
    return {};
}

Result<void> read(const Setting& setting, Written value, std::uint32_t& field) {
    const auto number = whole_number(value, setting.min, std::min<std::int64_t>(setting.max, UINT32_MAX));
    if (!number) return std::unexpected(number.error());
    field = static_cast<std::uint32_t>(*number);
    return {};
}

Result<void> read(const Setting& setting, Written value, std::uint64_t& field) {
    if (setting.kind == Kind::size) {
        if (!value.quoted && !value.either) return invalid("expected a size with a unit in quotes, e.g. \"64MiB\"");
        const Result<std::uint64_t> size = parse_size(value.text);
        if (!size) return std::unexpected(size.error());
        field = *size;
        return {};
    }
    const Result<std::int64_t> number = whole_number(value, setting.min, setting.max);
    if (!number) return std::unexpected(number.error());
    field = static_cast<std::uint64_t>(*number);
    return {};
}

Result<void> read(const Setting&, Written value, bool& field) {
    return read_flag(value, field);
}

Result<void> read(const Setting& setting, Written value, core::PolicyKind& field) {
    const Result<std::string_view> choice = read_choice(setting, value);
    if (!choice) return std::unexpected(choice.error());
    core::policy_from_name(*choice, field);
    return {};
}

Result<void> read(const Setting& setting, Written value, core::Placement& field) {
    const Result<std::string_view> choice = read_choice(setting, value);
    if (!choice) return std::unexpected(choice.error());
    field = *choice == "fastest" ? core::Placement::fastest : core::Placement::balanced;
    return {};
}

std::string text_of(const Setting& setting, const std::string& field) {
    return quoted(setting.kind == Kind::address ? without_password(field) : field);
}
std::string text_of(const Setting&, Duration field) {
    return quoted(duration_text(field));
}
std::string text_of(const Setting&, std::uint32_t field) {
    return std::to_string(field);
}
std::string text_of(const Setting& setting, std::uint64_t field) {
    return setting.kind == Kind::size ? quoted(size_text(field)) : std::to_string(field);
}
std::string text_of(const Setting&, bool field) {
    return field ? "true" : "false";
}
std::string text_of(const Setting&, core::PolicyKind field) {
    return quoted(core::name_of(field));
}
std::string text_of(const Setting&, core::Placement field) {
    return quoted(field == core::Placement::fastest ? "fastest" : "balanced");
}

// `values` is Values or const Values.
template <class T>
auto& member_of(auto& values, T Server::* member) {
    return values.server.*member;
}
template <class T>
auto& member_of(auto& values, T Config::* member) {
    return values.scheduler.*member;
}

template <class Entry>
void list_markdown(const List<Entry>& list, std::string& out) {
    out.append("\n`[[").append(list.name).append("]]`, each with a `name` and:\n\n");
    out += "| key | kind | default | range | meaning |\n|---|---|---|---|---|\n";
    for (const ListField<Entry>& field : list.fields) {
        const bool flag = std::holds_alternative<bool Entry::*>(field.member);
        out.append("| `").append(field.name).append("` | ").append(kind_text(flag ? Kind::flag : Kind::number));
        out.append(" | `").append(value_text(field, Entry{})).append("` | ");
        if (!flag && (field.min > 0 || field.max < UINT32_MAX))
            out.append(std::to_string(field.min)).append(" to ").append(std::to_string(field.max)).append(" ");
        out.append("| ").append(field.meaning).append(" |\n");
    }
}

}  // namespace

std::span<const Setting> settings() {
    return kSettings;
}

const Setting* find_setting(std::string_view name) {
    const auto found = std::ranges::find(kSettings, name, &Setting::name);
    return found == kSettings.end() ? nullptr : &*found;
}

std::string environment_name(const Setting& setting) {
    std::string name = "NEXUS_" + std::string(setting.name);
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return c == '.' ? '_' : static_cast<char>(std::toupper(c)); });
    return name;
}

std::string_view kind_text(Kind kind) {
    static constexpr std::string_view names[] = {"text",   "choice",        "duration", "size",
                                                 "number", "true or false", "names",    "address"};
    return names[static_cast<std::size_t>(kind)];
}

std::string range_text(const Setting& setting) {
    if (setting.kind == Kind::choice) return joined(choices_of(setting));
    if (setting.kind == Kind::duration) return duration_text({setting.min}) + " to " + duration_text({setting.max});
    if (setting.kind == Kind::number) return std::to_string(setting.min) + " to " + std::to_string(setting.max);
    return {};
}

Result<void> set(const Setting& setting, Written value, Values& values) {
    return std::visit([&](auto member) { return read(setting, value, member_of(values, member)); }, setting.member);
}

void copy(const Setting& setting, const Values& from, Values& to) {
    std::visit([&](auto member) { member_of(to, member) = member_of(from, member); }, setting.member);
}

std::string value_text(const Setting& setting, const Values& values) {
    return std::visit([&](auto member) { return text_of(setting, member_of(values, member)); }, setting.member);
}

std::string quoted(std::string_view text) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out.append({'\\', c});
        } else if (byte < 0x20 || byte == 0x7F) {
            out.append("\\u00").append({hex[byte >> 4], hex[byte & 15]});
        } else {
            out.push_back(c);
        }
    }
    return out + "\"";
}

const List<Queue>& queue_list() {
    return kQueues;
}
const List<Tenant>& tenant_list() {
    return kTenants;
}
const List<Type>& type_list() {
    return kTypes;
}

template <class Entry>
Result<void> set(const ListField<Entry>& field, Written value, Entry& entry) {
    if (const auto* flag = std::get_if<bool Entry::*>(&field.member)) return read_flag(value, entry.**flag);
    const Result<std::int64_t> number = whole_number(value, field.min, field.max);
    if (!number) return std::unexpected(number.error());
    entry.*std::get<std::uint32_t Entry::*>(field.member) = static_cast<std::uint32_t>(*number);
    return {};
}
template Result<void> set(const ListField<Queue>&, Written, Queue&);
template Result<void> set(const ListField<Tenant>&, Written, Tenant&);
template Result<void> set(const ListField<Type>&, Written, Type&);

std::string without_password(std::string_view address) {
    const std::size_t scheme = address.find("://");
    const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
    const std::size_t at = address.rfind('@');
    const std::size_t colon = address.find(':', begin);
    if (at == std::string_view::npos || colon == std::string_view::npos || colon > at) return std::string(address);
    return std::string(address.substr(0, colon + 1)) + "***" + std::string(address.substr(at));
}

std::string settings_markdown() {
    const Values defaults;
    std::string out;
    std::string_view section;
    for (const Setting& setting : kSettings) {
        if (setting.section() != section) {
            section = setting.section();
            out.append(out.empty() ? "" : "\n").append("`[").append(section).append("]`, ");
            out.append(setting.live() ? "live" : "read at start").append(":\n\n");
            out += "| key | kind | default | range | meaning |\n|---|---|---|---|---|\n";
        }
        std::string value = value_text(setting, defaults);
        std::erase(value, '"');
        out.append("| `").append(setting.key()).append("` | ").append(kind_text(setting.kind));
        out.append(" | `").append(value).append("` | ").append(range_text(setting));
        out.append(range_text(setting).empty() ? "| " : " | ").append(setting.meaning).append(" |\n");
    }
    for_each_list([&](const auto& list) { list_markdown(list, out); });
    return out;
}

}  // namespace nexus::config
