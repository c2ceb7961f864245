#include "engine/config_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <utility>
#include <variant>

#include "base/must.h"
#include "base/quantity.h"
#include "base/spelling.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace nexus::engine {
namespace {

using core::Config;

using Member = std::variant<Duration Config::*, std::uint32_t Config::*, std::uint64_t Config::*, bool Config::*,
                            core::PolicyKind Config::*, core::Placement Config::*>;

// Bounds are in microseconds for durations. They keep sums far from overflow; the meaning sets them where noted.
struct Key {
    ConfigKey key;
    Member member;
    std::int64_t min = 0;
    std::int64_t max = std::numeric_limits<std::uint32_t>::max();
};

constexpr std::int64_t kDay = hours(24).us;
constexpr std::int64_t kYear = 365 * kDay;
constexpr Duration kHeartbeat = seconds(1);  // of the worker protocol (contract C12)

constexpr std::array kKeys{
    Key{{"policy", "predictive, fcfs, least_loaded, power_of_two, random, round_robin, nexus_ema or least_work"},
        &Config::policy},
    Key{{"lease", "of an attempt from its worker's last contact; at least two heartbeats (2s)"},
        &Config::lease,
        2 * kHeartbeat.us,
        kDay},
    Key{{"close_grace", "after a connection closes without goodbye; at most the lease"}, &Config::close_grace, 0, kDay},
    Key{{"reconnect_grace", "for workers to return after a server start; at most the lease"},
        &Config::reconnect_grace,
        0,
        kDay},
    Key{{"attempts_max", "reported failures before a task is dead"}, &Config::attempts_max, 1, 1000},
    Key{{"crashes_max", "lost workers before a task is dead"}, &Config::crashes_max, 1, 1000},
    Key{{"backoff_first", "before the second attempt; doubles, full jitter"}, &Config::backoff_first, 0, kDay},
    Key{{"backoff_max", "ceiling of the backoff"}, &Config::backoff_max, 0, 30 * kDay},
    Key{{"ttl", "a task not finished by then expires"}, &Config::ttl, 1'000'000, 10 * kYear},
    Key{{"timeout_grace", "past an attempt's timeout the server ends it itself"}, &Config::timeout_grace, 0, kDay},
    Key{{"idempotency_window", "how long a key is remembered after its task ended"},
        &Config::idempotency_window,
        hours(1).us,
        kYear},
    Key{{"size_weight_permille", "250 protects the tail in overload, 4000 is nearly shortest first"},
        &Config::size_weight_permille,
        0,
        100'000},
    Key{{"priority_credit_permille", "seconds of credit per priority level, in permille of the mean task"},
        &Config::priority_credit_permille,
        0,
        100'000'000},
    Key{{"overtake_cap_means", "tau is capped at, and the bound on being overtaken is at least, this many mean tasks"},
        &Config::overtake_cap_means,
        1,
        1'000'000},
    Key{{"overtake_max", "hard bound on being overtaken by lower or equal priority, where overtake_cap_means is less"},
        &Config::overtake_max,
        0,
        kDay},
    Key{{"placement", "balanced or fastest"}, &Config::placement},
    Key{{"breaker", "the circuit breaker of each worker"}, &Config::breaker},
    Key{{"breaker_ratio_permille", "slower than its peers by this factor opens the breaker"},
        &Config::breaker_ratio_permille,
        1001,
        1'000'000},
    Key{{"speculation", "second copies of idempotent stragglers"}, &Config::speculation},
    Key{{"speculation_slots_permille", "share of all slots that copies may use"},
        &Config::speculation_slots_permille,
        0,
        1000},
    Key{{"preemption", "stop preemptible tasks for tasks of higher priority"}, &Config::preemption},
    Key{{"preemptions_max", "of one task"}, &Config::preemptions_max, 0, 1000},
    Key{{"pause", "let short tasks pause long ones, on workers that can"}, &Config::pause},
    Key{{"pause_ratio_permille", "what is paused has still to run for this many times the short task's estimate"},
        &Config::pause_ratio_permille,
        1000,
        100'000'000},
    Key{{"tasks_max", "live tasks; more are refused"}, &Config::tasks_max, 1, 100'000'000},
    Key{{"idempotency_keys_max", "remembered keys of ended tasks"}, &Config::idempotency_keys_max, 0, 100'000'000},
    Key{{"fallback_threshold", "prediction failures in a row before round-robin takes over"},
        &Config::fallback_threshold,
        1,
        1'000'000},
};

constexpr auto kNames = [] {
    std::array<ConfigKey, kKeys.size()> names{};
    for (std::size_t i = 0; i < kKeys.size(); ++i) names[i] = kKeys[i].key;
    return names;
}();

template <class... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

// A value as it was written: text or a bare word (number, true, false).
struct Written {
    std::string_view text;
    bool quoted = false;
    bool either = false;  // from the environment or a flag, where quotes do not tell
};

Result<std::int64_t> written_number(Written value, std::int64_t min, std::int64_t max) {
    std::int64_t number = 0;
    const auto [end, fault] = std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    if (value.quoted || fault != std::errc{} || end != value.text.data() + value.text.size() || value.text.empty())
        return invalid("expected a whole number");
    if (number < min || number > max)
        return invalid(std::to_string(number) + " is out of range: " + std::to_string(min) + " to " +
                       std::to_string(max));
    return number;
}

Result<Duration> written_duration(Written value, std::int64_t min, std::int64_t max) {
    if (!value.quoted && !value.either) return invalid("expected a duration with a unit in quotes, e.g. \"5s\"");
    const Result<Duration> duration = parse_duration(value.text);
    if (!duration) return std::unexpected(duration.error());
    if (duration->us < min || duration->us > max)
        return invalid(duration_text(*duration) + " is out of range: " + duration_text({min}) + " to " +
                       duration_text({max}));
    return *duration;
}

template <class Whole>
Result<void> set_number(const Key& key, Written value, Whole& field) {
    const Result<std::int64_t> number = written_number(value, key.min, key.max);
    if (!number) return std::unexpected(number.error());
    field = static_cast<Whole>(*number);
    return {};
}

Result<void> set_flag(Written value, bool& field) {
    if (value.quoted || (value.text != "true" && value.text != "false")) return invalid("expected true or false");
    field = value.text == "true";
    return {};
}

Result<void> set_policy(Written value, core::PolicyKind& field) {
    std::string name(value.text);  // underscores are accepted: environment variables have no dashes
    std::ranges::replace(name, '_', '-');
    if ((value.quoted || value.either) && core::policy_from_name(name, field)) return {};
    std::vector<std::string_view> known;
    for (const core::PolicyKind kind : core::kPolicies) known.emplace_back(core::name_of(kind));
    std::string names;
    for (const std::string_view word : known) names.append(names.empty() ? "" : ", ").append(word);
    return invalid("unknown policy \"" + std::string(value.text) + "\"" + did_you_mean(name, known) +
                   "; policies: " + names);
}

Result<void> set_placement(Written value, core::Placement& field) {
    if (value.text != "balanced" && value.text != "fastest") return invalid("expected \"balanced\" or \"fastest\"");
    field = value.text == "fastest" ? core::Placement::fastest : core::Placement::balanced;
    return {};
}

Result<void> set_key(const Key& key, Written value, Config& config) {
    return std::visit(Overloaded{
                          [&](Duration Config::* member) -> Result<void> {
                              const Result<Duration> duration = written_duration(value, key.min, key.max);
                              if (!duration) return std::unexpected(duration.error());
                              config.*member = *duration;
                              return {};
                          },
                          [&](std::uint32_t Config::* member) { return set_number(key, value, config.*member); },
                          [&](std::uint64_t Config::* member) { return set_number(key, value, config.*member); },
                          [&](bool Config::* member) { return set_flag(value, config.*member); },
                          [&](core::PolicyKind Config::* member) { return set_policy(value, config.*member); },
                          [&](core::Placement Config::* member) { return set_placement(value, config.*member); },
                      },
                      key.member);
}

std::string quoted(std::string_view text) {
    return std::string("\"").append(text).append("\"");
}

std::string toml_value(const Key& key, const Config& config) {
    return std::visit(Overloaded{
                          [&](Duration Config::* member) { return quoted(duration_text(config.*member)); },
                          [&](std::uint32_t Config::* member) { return std::to_string(config.*member); },
                          [&](std::uint64_t Config::* member) { return std::to_string(config.*member); },
                          [&](bool Config::* member) { return std::string(config.*member ? "true" : "false"); },
                          [&](core::PolicyKind Config::* member) { return quoted(core::name_of(config.*member)); },
                          [&](core::Placement Config::* member) {
                              return quoted(config.*member == core::Placement::fastest ? "fastest" : "balanced");
                          },
                      },
                      key.member);
}

const Key* find_key(std::string_view name) {
    const auto found = std::ranges::find(kKeys, name, [](const Key& key) { return key.key.name; });
    return found == kKeys.end() ? nullptr : &*found;
}

std::unexpected<Error> unknown_key(std::string_view name, std::span<const std::string_view> known) {
    return invalid("unknown key \"" + std::string(name.substr(0, 64)) + "\"" + did_you_mean(name, known));
}

std::unexpected<Error> unknown_scheduler_key(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Key& key : kKeys) known.push_back(key.key.name);
    return unknown_key(name, known);
}

std::string line_of(const toml::node& node) {
    return "line " + std::to_string(node.source().begin.line);
}

// The value of a node as it was written; other kinds of nodes give nothing.
bool written(const toml::node& node, std::string& text, Written& value) {
    if (const auto* word = node.as_string()) {
        text = word->get();
        value.quoted = true;
    } else if (const auto* number = node.as_integer()) {
        text = std::to_string(number->get());
    } else if (const auto* flag = node.as_boolean()) {
        text = flag->get() ? "true" : "false";
    } else {
        return false;
    }
    value.text = text;
    return true;
}

Result<void> apply_scheduler(const toml::table& table, Config& config, std::vector<std::string>& named) {
    for (const auto& [name, node] : table) {
        const Key* key = find_key(name.str());
        if (key == nullptr) return std::unexpected(unknown_scheduler_key(name.str()).error().during(line_of(node)));
        std::string text;
        Written value;
        Result<void> set =
            written(node, text, value) ? set_key(*key, value, config) : invalid("expected a single value");
        const std::string full = "scheduler." + std::string(name.str());
        if (!set) return std::unexpected(std::move(set.error()).during(full).during(line_of(node)));
        named.push_back(full);
    }
    return {};
}

bool is_name(std::string_view text) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == ':' || c == '-';
    };
    return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, allowed);
}

// One field of an entry of [[queues]], [[tenants]] or [[types]].
template <class Entry>
struct Field {
    std::string_view name;
    std::variant<std::uint32_t Entry::*, bool Entry::*> member;
    std::int64_t min = 0;
};
constexpr std::array kQueueFields{Field<core::QueueLimits>{"paused", &core::QueueLimits::paused},
                                  Field<core::QueueLimits>{"count_fair", &core::QueueLimits::count_fair},
                                  Field<core::QueueLimits>{"running_max", &core::QueueLimits::running_max}};
constexpr std::array kTenantFields{Field<core::TenantLimits>{"share", &core::TenantLimits::share, 1},
                                   Field<core::TenantLimits>{"running_max", &core::TenantLimits::running_max},
                                   Field<core::TenantLimits>{"waiting_max", &core::TenantLimits::waiting_max}};
constexpr std::array kTypeFields{Field<core::TypeLimits>{"running_max", &core::TypeLimits::running_max}};

// Shares beyond a million would let one tenant's clock stand still in integer arithmetic.
constexpr std::int64_t kShareMax = 1'000'000;

template <class Entry>
Result<void> apply_field(std::string_view name, const toml::node& node, std::span<const Field<Entry>> fields,
                         Entry& entry) {
    std::string text;
    Written value;
    if (!written(node, text, value)) return invalid("expected a single value");
    if (name == "name") {
        if (!value.quoted || !is_name(value.text)) return invalid("a name is 1 to 128 of A-Z a-z 0-9 . _ : -");
        entry.name = value.text;
        return {};
    }
    const auto found = std::ranges::find(fields, name, &Field<Entry>::name);
    if (found == fields.end()) {
        std::vector<std::string_view> known{"name"};
        for (const auto& field : fields) known.push_back(field.name);
        return unknown_key(name, known);
    }
    if (const auto* flag = std::get_if<bool Entry::*>(&found->member)) return set_flag(value, entry.**flag);
    const auto member = std::get<std::uint32_t Entry::*>(found->member);
    const std::int64_t max = name == "share" ? kShareMax : std::numeric_limits<std::uint32_t>::max();
    const Result<std::int64_t> number = written_number(value, found->min, max);
    if (!number) return std::unexpected(number.error());
    entry.*member = static_cast<std::uint32_t>(*number);
    return {};
}

template <class Entry>
Result<void> apply_list(std::string_view list, const toml::node& node, std::span<const Field<Entry>> fields,
                        std::vector<Entry>& entries) {
    const toml::array* items = node.as_array();
    if (items == nullptr)
        return invalid(line_of(node) + ": " + std::string(list) + ": write [[" + std::string(list) + "]] tables");
    std::vector<Entry> parsed;
    for (const toml::node& item : *items) {
        const toml::table* table = item.as_table();
        if (table == nullptr) return invalid(line_of(item) + ": " + std::string(list) + ": expected a table");
        Entry entry;
        for (const auto& [name, value] : *table) {
            Result<void> set = apply_field<Entry>(name.str(), value, fields, entry);
            const std::string full = std::string(list) + "." + std::string(name.str());
            if (!set) return std::unexpected(std::move(set.error()).during(full).during(line_of(value)));
        }
        if (entry.name.empty()) return invalid(line_of(item) + ": " + std::string(list) + ": name is missing");
        parsed.push_back(std::move(entry));
    }
    std::ranges::sort(parsed, {}, &Entry::name);
    const auto twice = std::ranges::adjacent_find(parsed, {}, &Entry::name);
    if (twice != parsed.end()) return invalid(std::string(list) + ": \"" + twice->name + "\" stands there twice");
    entries = std::move(parsed);
    return {};
}

Result<void> apply_top(std::string_view name, const toml::node& node, Config& config, std::vector<std::string>& named) {
    if (name == "scheduler") {
        if (const toml::table* table = node.as_table()) return apply_scheduler(*table, config, named);
        return invalid(line_of(node) + ": scheduler: expected a [scheduler] table");
    }
    named.emplace_back(name);
    if (name == "queues") return apply_list<core::QueueLimits>(name, node, kQueueFields, config.queues);
    if (name == "tenants") return apply_list<core::TenantLimits>(name, node, kTenantFields, config.tenants);
    if (name == "types") return apply_list<core::TypeLimits>(name, node, kTypeFields, config.types);
    static constexpr std::array<std::string_view, 5> known{"scheduler", "queues", "tenants", "types", "server"};
    return std::unexpected(unknown_key(name, known).error().during(line_of(node)));
}

template <class Entry>
void append_list(std::string_view list, std::span<const Field<Entry>> fields, const std::vector<Entry>& entries,
                 std::string& out) {
    for (const Entry& entry : entries) {
        out.append("\n[[").append(list).append("]]\nname = ").append(quoted(entry.name)).append("\n");
        for (const auto& field : fields) {
            out.append(field.name).append(" = ");
            if (const auto* flag = std::get_if<bool Entry::*>(&field.member))
                out.append(entry.**flag ? "true" : "false");
            else
                out.append(std::to_string(entry.*std::get<std::uint32_t Entry::*>(field.member)));
            out.append("\n");
        }
    }
}

}  // namespace

std::span<const ConfigKey> config_keys() {
    return kNames;
}

std::string config_text(const Config& config) {
    std::string out = "[scheduler]\n";
    for (const Key& key : kKeys) out.append(key.key.name).append(" = ").append(toml_value(key, config)).append("\n");
    append_list<core::QueueLimits>("queues", kQueueFields, config.queues, out);
    append_list<core::TenantLimits>("tenants", kTenantFields, config.tenants, out);
    append_list<core::TypeLimits>("types", kTypeFields, config.types, out);
    return out;
}

Result<std::vector<std::string>> apply_config_text(std::string_view toml, Config& config, std::string_view foreign) {
    if (toml.size() > kConfigTextBytesMax)
        return invalid("the configuration has more than " + size_text(kConfigTextBytesMax));
    const toml::parse_result parsed = toml::parse(toml);
    if (!parsed) {
        const toml::parse_error& error = parsed.error();
        return invalid("line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
    }
    Config changed = config;
    std::vector<std::string> named;
    for (const auto& [name, node] : parsed.table()) {
        if (!foreign.empty() && name.str() == foreign) continue;
        Result<void> applied = apply_top(name.str(), node, changed, named);
        if (!applied) return std::unexpected(std::move(applied.error()));
    }
    Result<void> checked = check_config(changed);
    if (!checked) return std::unexpected(std::move(checked.error()));
    config = std::move(changed);
    return named;
}

Result<void> set_config_value(std::string_view key, std::string_view value, Config& config) {
    const Key* found = find_key(key);
    if (found == nullptr) return unknown_scheduler_key(key);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    Config changed = config;
    Result<void> set = set_key(*found, {.text = value, .either = true}, changed);
    if (!set) return std::unexpected(std::move(set.error()).during(std::string("scheduler.").append(key)));
    Result<void> checked = check_config(changed);
    if (!checked) return checked;
    config = std::move(changed);
    return {};
}

Result<std::string> config_value(std::string_view key, const Config& config) {
    const Key* found = find_key(key);
    if (found == nullptr) return unknown_scheduler_key(key);
    return toml_value(*found, config);
}

Result<void> check_config(const Config& config) {
    const auto at_most = [](std::string_view a, Duration a_value, std::string_view b,
                            Duration b_value) -> Result<void> {
        if (a_value <= b_value) return {};
        return invalid("scheduler." + std::string(a) + " (" + duration_text(a_value) + ") must be at most scheduler." +
                       std::string(b) + " (" + duration_text(b_value) + ")");
    };
    if (auto ok = at_most("close_grace", config.close_grace, "lease", config.lease); !ok) return ok;
    if (auto ok = at_most("reconnect_grace", config.reconnect_grace, "lease", config.lease); !ok) return ok;
    return at_most("backoff_first", config.backoff_first, "backoff_max", config.backoff_max);
}

}  // namespace nexus::engine
