#include "config/toml.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/name.h"
#include "base/quantity.h"
#include "base/spelling.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace nexus::config {
namespace {

using Named = std::vector<std::string>;

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

std::string line_of(const toml::node& node) {
    return "line " + std::to_string(node.source().begin.line);
}

std::unexpected<Error> unknown_key(std::string_view name, std::span<const std::string_view> known) {
    return invalid("unknown key \"" + std::string(name.substr(0, 64)) + "\"" + did_you_mean(name, known));
}

std::unexpected<Error> unknown_setting(std::string_view section, std::string_view key) {
    std::vector<std::string_view> known;
    for (const Setting& setting : settings())
        if (setting.section() == section) known.push_back(setting.key());
    return unknown_key(key, known);
}

// The value of a node as it was written; `text` holds its characters. Tables and lists give nothing.
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

Result<void> apply_section(std::string_view section, const toml::node& node, Values& values, Named& named) {
    const toml::table* table = node.as_table();
    if (table == nullptr)
        return invalid(line_of(node) + ": " + std::string(section) + ": expected a [" + std::string(section) +
                       "] table");
    for (const auto& [key, item] : *table) {
        const std::string full = std::string(section).append(".").append(key.str());
        const Setting* setting = find_setting(full);
        if (setting == nullptr)
            return std::unexpected(unknown_setting(section, key.str()).error().during(line_of(item)));
        std::string text;
        Written value;
        Result<void> done =
            written(item, text, value) ? set(*setting, value, values) : invalid("expected a single value");
        if (!done) return std::unexpected(std::move(done.error()).during(full).during(line_of(item)));
        named.push_back(full);
    }
    return {};
}

template <class Entry>
Result<void> apply_field(const List<Entry>& list, std::string_view key, const toml::node& node, Entry& entry) {
    std::string text;
    Written value;
    if (!written(node, text, value)) return invalid("expected a single value");
    const auto found = std::ranges::find(list.fields, key, &ListField<Entry>::name);
    if (found != list.fields.end()) return set(*found, value, entry);
    std::vector<std::string_view> known{"name"};
    for (const auto& field : list.fields) known.push_back(field.name);
    return unknown_key(key, known);
}

Result<void> apply_name(const toml::node& node, std::string& name) {
    const auto* text = node.as_string();
    if (text == nullptr || !is_name(text->get())) return invalid(std::string(kNameRule));
    name = text->get();
    return {};
}

// The fields of one entry. `name` is null where the name is given by the key already.
template <class Entry>
Result<void> apply_entry(const List<Entry>& list, const toml::node& node, std::string* name, Entry& entry) {
    const std::string title(list.name);
    const toml::table* table = node.as_table();
    if (table == nullptr)
        return invalid(line_of(node) + ": " + title + ": write [[" + title + "]] or [" + title + ".NAME] tables");
    for (const auto& [key, item] : *table) {
        Result<void> done = name != nullptr && key.str() == "name" ? apply_name(item, *name)
                                                                   : apply_field(list, key.str(), item, entry);
        if (done) continue;
        const std::string full = title + "." + std::string(key.str());
        return std::unexpected(std::move(done.error()).during(full).during(line_of(item)));
    }
    return {};
}

// [[queues]]: the whole list.
template <class Entry>
Result<void> replace_list(const List<Entry>& list, const toml::array& items, std::vector<Entry>& entries) {
    entries.clear();
    for (const toml::node& item : items) {
        Entry entry;
        if (auto done = apply_entry(list, item, &entry.name, entry); !done) return done;
        if (entry.name.empty()) return invalid(line_of(item) + ": " + std::string(list.name) + ": name is missing");
        entries.push_back(std::move(entry));
    }
    std::ranges::stable_sort(entries, {}, &Entry::name);
    return {};
}

// [queues.mail]: one entry.
template <class Entry>
Result<void> change_entries(const List<Entry>& list, const toml::table& items, std::vector<Entry>& entries) {
    for (const auto& [key, item] : items) {
        const std::string name(key.str());
        if (item.is_table() && !is_name(name))
            return invalid(line_of(item) + ": " + std::string(list.name) + ": a name " + std::string(kNameRule));
        auto at = std::ranges::lower_bound(entries, name, {}, &Entry::name);
        if (at == entries.end() || at->name != name) {
            at = entries.insert(at, Entry{});
            at->name = name;
        }
        if (auto done = apply_entry(list, item, nullptr, *at); !done) return done;
    }
    return {};
}

Result<void> apply_top(std::string_view name, const toml::node& node, bool with_server, Values& values, Named& named) {
    if (name == "scheduler" || (name == "server" && with_server)) return apply_section(name, node, values, named);
    Result<void> done;
    bool found = false;
    for_each_list([&](const auto& list) {
        if (list.name != name) return;
        found = true;
        auto& entries = values.scheduler.*list.member;
        if (const toml::array* items = node.as_array())
            done = replace_list(list, *items, entries);
        else if (const toml::table* changes = node.as_table())
            done = change_entries(list, *changes, entries);
        else
            done = invalid(line_of(node) + ": " + std::string(name) + ": write [[" + std::string(name) + "]] tables");
    });
    named.emplace_back(name);
    if (found) return done;
    if (name == "server")
        return invalid(line_of(node) + ": [server] is read when the server starts; it cannot be changed while it runs");
    static constexpr std::array<std::string_view, 5> known{"scheduler", "queues", "tenants", "types", "server"};
    return std::unexpected(unknown_key(name, known).error().during(line_of(node)));
}

// The line of the first character beyond ASCII outside of quotes and comments, where TOML allows none; 0 = there is
// none. toml++ 3.3 meets undefined behaviour there (its table of white space), so it must not see one.
std::size_t line_of_stray(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    std::size_t line = 1;
    char quote = 0;     // of the string that we are in; '#' in a comment
    bool many = false;  // the string has three of them, and goes over lines
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\n') ++line;
        const bool three = i + 2 < text.size() && text[i + 1] == c && text[i + 2] == c;
        if (quote == 0) {
            if ((static_cast<unsigned char>(c) & 0x80U) != 0) return line;
            if (c != '#' && c != '"' && c != '\'') continue;
            quote = c;
            many = c != '#' && three;
            if (many) i += 2;
        } else if (c == '\n') {
            if (!many) quote = 0;
        } else if (c == '\\' && quote == '"') {
            if (++i < text.size() && text[i] == '\n') ++line;
        } else if (c == quote && c != '#' && (three || !many)) {
            if (many) {
                i += 2;
                for (int more = 0; more < 2 && i + 1 < text.size() && text[i + 1] == quote; ++more) ++i;
            }
            quote = 0;
        }
    }
    return 0;
}

Result<Named> apply_text(std::string_view text, bool with_server, Values& values) {
    if (text.size() > kTextBytesMax) return invalid("the configuration has more than " + size_text(kTextBytesMax));
    if (const std::size_t line = line_of_stray(text); line > 0)
        return invalid("line " + std::to_string(line) + ": a character beyond ASCII outside of quotes: quote it");
    const toml::parse_result parsed = toml::parse(text);
    if (!parsed) {
        const toml::parse_error& error = parsed.error();
        return invalid("line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
    }
    Values changed = values;
    Named named;
    for (const auto& [name, node] : parsed.table()) {
        Result<void> applied = apply_top(name.str(), node, with_server, changed, named);
        if (!applied) return std::unexpected(std::move(applied.error()));
    }
    if (!with_server)
        if (auto checked = check(changed.scheduler); !checked) return std::unexpected(std::move(checked.error()));
    values = std::move(changed);
    return named;
}

template <class Entry>
void append_list(const List<Entry>& list, const core::Config& config, std::string& out) {
    for (const Entry& entry : config.*list.member) {
        out.append("\n[[").append(list.name).append("]]\nname = ").append(quoted(entry.name)).append("\n");
        for (const auto& field : list.fields)
            out.append(field.name).append(" = ").append(value_text(field, entry)).append("\n");
    }
}

template <class Entry>
const Entry* find_entry(const std::vector<Entry>& entries, std::string_view name) {
    const auto at = std::ranges::find(entries, name, &Entry::name);
    return at == entries.end() ? nullptr : &*at;
}

template <class Entry>
void diff_list(const List<Entry>& list, const core::Config& before, const core::Config& after,
               std::vector<Change>& out) {
    std::vector<std::string> names;
    for (const Entry& entry : before.*list.member) names.push_back(entry.name);
    for (const Entry& entry : after.*list.member) names.push_back(entry.name);
    std::ranges::sort(names);
    const auto rest = std::ranges::unique(names);
    names.erase(rest.begin(), rest.end());
    for (const std::string& name : names) {
        const Entry* was = find_entry(before.*list.member, name);
        const Entry* is = find_entry(after.*list.member, name);
        for (const auto& field : list.fields) {
            Change change{.key = std::string(list.name).append(".").append(name).append(".").append(field.name),
                          .before = was == nullptr ? "" : value_text(field, *was),
                          .after = is == nullptr ? "" : value_text(field, *is)};
            if (change.before != change.after) out.push_back(std::move(change));
        }
    }
}

template <class Entry>
Result<void> check_names(const List<Entry>& list, const core::Config& config) {
    const std::vector<Entry>& entries = config.*list.member;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (!is_name(entries[i].name)) return invalid(std::string(list.name) + ": a name " + std::string(kNameRule));
        if (i > 0 && entries[i - 1].name == entries[i].name)
            return invalid(std::string(list.name) + ": duplicate entry \"" + entries[i].name + "\"");
    }
    return {};
}

}  // namespace

std::string to_toml(const core::Config& config) {
    std::string out = "[scheduler]\n";
    const Values values{.server = {}, .scheduler = config};
    for (const Setting& setting : settings())
        if (setting.live()) out.append(setting.key()).append(" = ").append(value_text(setting, values)).append("\n");
    for_each_list([&](const auto& list) { append_list(list, config, out); });
    return out;
}

Result<std::vector<std::string>> apply(std::string_view toml, core::Config& config) {
    Values values{.server = {}, .scheduler = config};
    Result<Named> named = apply_text(toml, false, values);
    if (named) config = std::move(values.scheduler);
    return named;
}

Result<std::vector<std::string>> apply(std::string_view toml, Values& values) {
    return apply_text(toml, true, values);
}

Result<void> apply_value(std::string_view name, std::string_view value, Values& values) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    const std::string_view section = name.substr(0, dot);
    if (section != "server" && section != "scheduler")
        return invalid("unknown key " + std::string(name.substr(0, 64)) + ": keys begin with server. or scheduler.");
    const Setting* setting = find_setting(name);
    if (setting == nullptr)
        return std::unexpected(unknown_setting(section, name.substr(std::min(dot + 1, name.size()))).error());
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    Values changed = values;
    Result<void> done = set(*setting, {.text = value, .either = true}, changed);
    if (!done) return std::unexpected(std::move(done.error()).during(name));
    values = std::move(changed);
    return {};
}

std::string pause_edit(std::string_view queue, bool paused) {
    return "[queues." + quoted(queue) + "]\npaused = " + (paused ? "true" : "false") + "\n";
}

std::string policy_edit(std::string_view policy) {
    return "[scheduler]\npolicy = " + quoted(policy) + "\n";
}

std::vector<Change> diff(const core::Config& before, const core::Config& after) {
    std::vector<Change> out;
    const Values was{.server = {}, .scheduler = before};
    const Values is{.server = {}, .scheduler = after};
    for (const Setting& setting : settings()) {
        Change change{
            .key = std::string(setting.name), .before = value_text(setting, was), .after = value_text(setting, is)};
        if (change.before != change.after) out.push_back(std::move(change));
    }
    for_each_list([&](const auto& list) { diff_list(list, before, after, out); });
    return out;
}

Result<void> check(const core::Config& config) {
    const auto at_most = [](std::string_view a, Duration a_value, std::string_view b,
                            Duration b_value) -> Result<void> {
        if (a_value <= b_value) return {};
        return invalid("scheduler." + std::string(a) + " (" + duration_text(a_value) + ") must be at most scheduler." +
                       std::string(b) + " (" + duration_text(b_value) + ")");
    };
    Result<void> done;
    for_each_list([&](const auto& list) {
        if (done) done = check_names(list, config);
    });
    if (done) done = at_most("close_grace", config.close_grace, "lease", config.lease);
    if (done) done = at_most("reconnect_grace", config.reconnect_grace, "lease", config.lease);
    if (done) done = at_most("backoff_first", config.backoff_first, "backoff_max", config.backoff_max);
    return done;
}

}  // namespace nexus::config
