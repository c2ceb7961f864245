#pragma once
// What a list of things looks like: one description of columns for each kind of thing, from which the table, -o wide,
// -o name, -o csv and --columns are made.
//
// A value is written for people ("3.4 s") or, in CSV, for programs: durations in microseconds, times as RFC 3339 in UTC,
// shares from 0 to 1, nothing where nothing is known. To add a column, add a row to its kind.

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "cli/shell.h"

namespace nexus::cli {

// How values are to be written.
struct Look {
    Terminal terminal{};
    std::int64_t now = 0;  // microseconds since 1970
    bool plain = false;    // for programs

    std::string none() const { return plain ? "" : "-"; }
    std::string span(std::int64_t us) const;        // 0 is a value, a negative one is none
    std::string known_span(std::int64_t us) const;  // 0 is none
    std::string calendar(std::int64_t unix_us) const;
    std::string moment(std::int64_t unix_us) const;  // from now: "in 12 s"
    std::string count(std::uint64_t number) const;
    std::string share(double share) const;
    std::string text(std::string_view text, std::size_t columns) const;  // cut for people; empty is none
    std::string tone(std::string_view text, Tone tone) const { return toned(text, tone, terminal.colour && !plain); }
};

template <class Item>
struct Column {
    const char* name = "";  // as --columns takes it
    std::string (*value)(const Item&, const Look&) = nullptr;
    bool right = false;           // aligned to the right
    bool wide = false;            // only with -o wide, -o csv or by name
    bool sparse = false;          // not in a table where no item has a value
    const char* title = nullptr;  // of the table; null: the name in capitals
};

template <class Item>
struct Kind {
    std::vector<Column<Item>> columns;
    std::string (*name)(const Item&) = nullptr;  // what -o name prints

    // "id,type,state": for Verb::columns.
    std::string names() const {
        std::string names;
        for (const Column<Item>& column : columns) names.append(names.empty() ? "" : ",").append(column.name);
        return names;
    }
};

std::string title_of(const char* name, const char* title, bool right);
// A line of CSV as RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe.
std::string csv_line(const std::vector<std::string>& cells);
Look look_of(const Shell& shell);

// The columns that were asked for, or those that the format has.
template <class Item>
std::vector<const Column<Item>*> columns_for(const Shell& shell, const Kind<Item>& kind) {
    std::vector<const Column<Item>*> chosen;
    for (const std::string& name : shell.columns)
        for (const Column<Item>& column : kind.columns)
            if (column.name == name) chosen.push_back(&column);
    if (!shell.columns.empty()) return chosen;
    const bool all = shell.format == Format::wide || shell.format == Format::csv;
    for (const Column<Item>& column : kind.columns)
        if (all || !column.wide) chosen.push_back(&column);
    return chosen;
}

// Items as rows of text, the titles first.
template <class Items, class Item>
std::vector<std::vector<std::string>> rows_of(const Items& items, std::vector<const Column<Item>*> columns,
                                              const Look& look, bool chosen) {
    std::vector<std::vector<std::string>> rows;
    for (const Item& item : items) {
        std::vector<std::string>& row = rows.emplace_back();
        for (const Column<Item>* column : columns) row.push_back(column->value(item, look));
    }
    for (std::size_t at = columns.size(); at-- > 0;) {
        const auto has_value = [&](const auto& row) { return !row[at].empty() && row[at] != "-"; };
        if (chosen || look.plain || !columns[at]->sparse || std::ranges::any_of(rows, has_value)) continue;
        columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(at));
        for (auto& row : rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::vector<std::string> titles;
    for (const Column<Item>* column : columns)
        titles.push_back(look.plain ? column->name : title_of(column->name, column->title, column->right));
    rows.insert(rows.begin(), std::move(titles));
    return rows;
}

template <class Items, class Item>
bool put_rows(const Shell& shell, const Items& items, const Kind<Item>& kind) {
    const auto rows = rows_of(items, columns_for(shell, kind), look_of(shell), !shell.columns.empty());
    if (shell.format != Format::csv) {
        Table table(rows.front());
        for (std::size_t i = 1; i < rows.size(); ++i) table.add(rows[i]);
        return shell.put_table(table);
    }
    return std::ranges::all_of(rows, [](const auto& row) { return put(csv_line(row)); });
}

// A list in every format. `whole` is the message that JSON and YAML show, `nothing` what is said of an empty table.
template <class Response, class Items, class Item>
Answer<int> put_list(const Shell& shell, const Response& whole, const Items& items, const Kind<Item>& kind,
                     std::string_view nothing) {
    if (shell.wants_document()) {
        shell.put_json(whole);
    } else if (shell.format == Format::jsonl || shell.format == Format::name) {
        for (const Item& item : items)
            if (!(shell.format == Format::name ? put(kind.name(item) + "\n") : shell.put_json(item))) break;
    } else if (items.empty() && shell.format != Format::csv) {
        shell.say(nothing);
    } else {
        put_rows(shell, items, kind);
    }
    return kExitOk;
}

// One thing in every format; `page` is what people read.
template <class Item, class Page>
Answer<int> put_one(const Shell& shell, const Item& item, const Kind<Item>& kind, Page page) {
    if (shell.wants_json())
        shell.put_json(item);
    else if (shell.format == Format::name)
        put(kind.name(item) + "\n");
    else if (shell.format == Format::csv || !shell.columns.empty())
        put_rows(shell, std::initializer_list<Item>{item}, kind);
    else
        put(page());
    return kExitOk;
}

}  // namespace nexus::cli
