#include "config/versions.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace nexus::config {
namespace {

constexpr std::string_view kVersion = "version = ";

struct Line {
    std::string_view key, value;
};

std::vector<Line> lines_of(std::string_view text) {
    constexpr std::string_view equals = " = ";
    std::vector<Line> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::size_t at = line.find(equals);
        if (at != std::string_view::npos)
            lines.push_back({.key = line.substr(0, at), .value = line.substr(at + equals.size())});
    }
    return lines;
}

std::uint32_t version_in(std::string_view text) {
    std::uint32_t version = 0;
    if (!text.starts_with(kVersion)) return 0;
    text.remove_prefix(kVersion.size());
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), version);
    return fault == std::errc{} && end != text.data() + text.size() && *end == '\n' ? version : 0;
}

// A value as value_text() writes it; quotes of text are taken off, with their escapes.
Written written(std::string_view value, std::string& text) {
    const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    text = quoted ? value.substr(1, value.size() - 2) : value;
    return {.text = text, .quoted = quoted};
}

std::unexpected<Error> no_setting(std::string_view key) {
    return fail(Fault::not_found, "it has the setting " + std::string(key) + ", which this release does not know");
}

template <class Entry>
Result<void> undo_entry(const List<Entry>& list, std::string_view name, std::string_view key, const Change& change,
                        core::Config& config) {
    auto& entries = config.*list.member;
    auto at = std::ranges::lower_bound(entries, name, {}, &Entry::name);
    const bool there = at != entries.end() && at->name == name;
    if (change.before.empty()) {  // the entry was made by this change
        if (there) entries.erase(at);
        return {};
    }
    if (!there) {
        at = entries.insert(at, Entry{});
        at->name = name;
    }
    const auto field = std::ranges::find(list.fields, key, &ListField<Entry>::name);
    if (field == list.fields.end()) return no_setting(change.key);
    std::string text;
    return set(*field, written(change.before, text), *at);
}

Result<void> undo_change(const Change& change, Values& values) {
    if (const Setting* setting = find_setting(change.key); setting != nullptr && setting->live()) {
        std::string text;
        return set(*setting, written(change.before, text), values);
    }
    // "queues.a.b.running_max": the name of the entry may have dots.
    const std::string_view key = change.key;
    const std::size_t first = key.find('.'), last = key.rfind('.');
    if (first == std::string_view::npos || first == last) return no_setting(key);
    Result<void> done = no_setting(key);
    for_each_list([&](const auto& list) {
        if (list.name == key.substr(0, first))
            done = undo_entry(list, key.substr(first + 1, last - first - 1), key.substr(last + 1), change,
                              values.scheduler);
    });
    return done;
}

}  // namespace

Edit edit_of(const core::Config& before, const core::Config& after) {
    Edit edit{.before = std::string(kVersion) + std::to_string(before.version) + "\n",
              .after = std::string(kVersion) + std::to_string(after.version) + "\n"};
    for (const Change& change : diff(before, after)) {
        if (!change.before.empty()) edit.before += change.key + " = " + change.before + "\n";
        if (!change.after.empty()) edit.after += change.key + " = " + change.after + "\n";
    }
    return edit;
}

std::uint32_t version_of(const Edit& edit) {
    return version_in(edit.before) == 0 ? 0 : version_in(edit.after);
}

std::vector<Change> changes_of(const Edit& edit) {
    std::vector<Change> changes;
    const auto change_of = [&](std::string_view key) -> Change& {
        const auto found = std::ranges::find(changes, key, &Change::key);
        return found != changes.end() ? *found : changes.emplace_back(Change{.key = std::string(key)});
    };
    for (const Line& line : lines_of(edit.after))
        if (line.key != "version") change_of(line.key).after = line.value;
    for (const Line& line : lines_of(edit.before))
        if (line.key != "version") change_of(line.key).before = line.value;
    return changes;
}

Result<void> undo(const std::vector<Edit>& newest_first, core::Config& config) {
    Values values{.server = {}, .scheduler = config};
    for (const Edit& edit : newest_first) {
        if (version_of(edit) != values.scheduler.version)
            return fail(Fault::not_found,
                        "what changed version " + std::to_string(values.scheduler.version) + " is not kept any more");
        for (const Change& change : changes_of(edit))
            if (auto done = undo_change(change, values); !done)
                return std::unexpected(
                    std::move(done).error().during("version " + std::to_string(version_in(edit.before))));
        values.scheduler.version = version_in(edit.before);
    }
    if (auto done = check(values.scheduler); !done) return done;
    config = std::move(values.scheduler);
    return {};
}

}  // namespace nexus::config
