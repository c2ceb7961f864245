#pragma once
// The table of settings. One row holds everything there is to know of a setting; the file, the environment, flags, the
// API, `nexus config` and docs/settings.md are made from it, so that a key has one name, one meaning and one range.
//
//   server.*              read when the server starts
//   scheduler.*           live: `nexus config set` changes them while it runs
//   queues, tenants, types  lists of limits by name, live as well
//
// To add a setting, add a member to Server or core::Config and one row to setting.cc. No threads, clock or files.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"

namespace nexus::config {

struct Server {
    std::string listen = "127.0.0.1:7070";
    std::string http = "127.0.0.1:7080";
    std::string http_hosts;  // with commas between them
    std::string scheduler_keys_file;
    std::string data = "./nexus-data";
    std::string durability = "disk";
    std::string store = "embedded";
    std::string store_prefix = "nexus";
    std::string store_password_file, store_ca, store_cert, store_key;
    bool store_volatile = false;
    std::uint64_t store_replicas = 0;
    Duration store_start_limit = minutes(1);
    bool intake = true;
    Duration intake_claim_after = seconds(60);
    Duration redis_worker_timeout = seconds(30);
    std::string model = "mixture";
    std::string name = "nexus";
    Duration history_retention = hours(24 * 30);
    std::uint64_t history_bytes_max = 0;
    std::string history;  // empty: embedded
    std::string history_login_file, history_ca_file;
    std::uint64_t history_spool_max = 1ULL << 30;
    std::uint64_t reserve_bytes = 64ULL << 20;
    std::string auth = "none";
    bool insecure = false;
    std::string tls_cert, tls_key, tls_client_ca;
    bool tls_require_client_cert = false;
    std::string tls_subjects;
    std::uint64_t limit_requests = 50'000, limit_tasks = 100'000;  // a second, of one caller
    std::uint64_t limit_in_flight = 8192, limit_streams = 512;
    std::uint64_t limit_tenant_requests = 100'000, limit_tenant_tasks = 200'000;
    bool operator==(const Server&) const = default;
};

struct Values {
    Server server;
    core::Config scheduler;
    bool operator==(const Values&) const = default;
};

enum class Kind : std::uint8_t { text, choice, duration, size, number, flag, hosts, address };

struct Setting {
    using Member =
        std::variant<std::string Server::*, Duration Server::*, std::uint64_t Server::*, bool Server::*,
                     Duration core::Config::*, std::uint32_t core::Config::*, std::uint64_t core::Config::*,
                     bool core::Config::*, core::PolicyKind core::Config::*, core::Placement core::Config::*>;
    std::string_view name;  // "scheduler.lease"
    Kind kind = Kind::number;
    std::string_view meaning;  // one sentence
    Member member;
    // Of durations (in microseconds), numbers and sizes. The bounds keep sums far from overflow where no meaning sets them.
    std::int64_t min = 0;
    std::int64_t max = INT64_MAX;
    std::string_view choices{};   // of a choice, separated by blanks
    bool has_flag = false;        // `nexus serve` has a flag of this name
    std::string_view old_name{};  // in the environment of the old Nexus; the name that is ours wins

    bool live() const { return name.starts_with("scheduler."); }
    std::string_view section() const { return name.substr(0, name.find('.')); }
    std::string_view key() const { return name.substr(name.find('.') + 1); }
};

// All of them, in the order of the manual.
std::span<const Setting> settings();
// Null when there is none of that name.
const Setting* find_setting(std::string_view name);

std::string environment_name(const Setting& setting);  // NEXUS_SCHEDULER_LEASE
std::string range_text(const Setting& setting);        // "2s to 1d", "balanced or fastest"; empty: anything of its kind
std::string_view kind_text(Kind kind);                 // "duration"

// A value as it was written: in quotes, or a bare word (number, true, false).
struct Written {
    std::string_view text;
    bool quoted = false;
    bool either = false;  // from the environment or a flag, where quotes say nothing
};
// Fault invalid says what was expected; `values` is unchanged then. The caller names the setting.
Result<void> set(const Setting& setting, Written value, Values& values);
void copy(const Setting& setting, const Values& from, Values& to);
// As TOML: quoted where TOML wants quotes, with escapes. Of an address without its password.
std::string value_text(const Setting& setting, const Values& values);
std::string quoted(std::string_view text);

// One field of an entry of [[queues]], [[tenants]] or [[types]].
template <class Entry>
struct ListField {
    std::string_view name;
    std::variant<std::uint32_t Entry::*, bool Entry::*> member;
    std::string_view meaning;
    std::int64_t min = 0;
    std::int64_t max = UINT32_MAX;
};
template <class Entry>
struct List {
    std::string_view name;  // "queues"
    std::vector<Entry> core::Config::* member;
    std::span<const ListField<Entry>> fields;
};
const List<core::QueueLimits>& queue_list();
const List<core::TenantLimits>& tenant_list();
const List<core::TypeLimits>& type_list();
// Calls `act` with each of the three.
template <class Act>
void for_each_list(Act act) {
    act(queue_list());
    act(tenant_list());
    act(type_list());
}
template <class Entry>
Result<void> set(const ListField<Entry>& field, Written value, Entry& entry);
template <class Entry>
std::string value_text(const ListField<Entry>& field, const Entry& entry) {
    if (const auto* flag = std::get_if<bool Entry::*>(&field.member)) return entry.**flag ? "true" : "false";
    return std::to_string(entry.*std::get<std::uint32_t Entry::*>(field.member));
}

// An address with *** where its password stands: "redis://me:***@host".
std::string without_password(std::string_view address);
// The whole table as docs/settings.md shows it.
std::string settings_markdown();

}  // namespace nexus::config
