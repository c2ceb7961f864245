#include "evaluate/foreign_trace.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <utility>

namespace nexus::evaluate {
namespace {

std::vector<std::string_view> split(std::string_view line, char by) {
    std::vector<std::string_view> fields;
    while (true) {
        const std::size_t at = line.find(by);
        fields.push_back(line.substr(0, at));
        if (at == std::string_view::npos) return fields;
        line.remove_prefix(at + 1);
    }
}

std::optional<double> number_of(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (!whole || !std::isfinite(value) || value < 0 || value > 9e12) return std::nullopt;
    return value;
}

// "[DD-]HH:MM:SS[.fff]" or "MM:SS", in seconds.
std::optional<double> elapsed_of(std::string_view text) {
    double days = 0;
    if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
        const auto number = number_of(text.substr(0, dash));
        if (!number) return std::nullopt;
        days = *number;
        text.remove_prefix(dash + 1);
    }
    double seconds = 0;
    for (const std::string_view part : split(text, ':')) {
        const auto number = number_of(part);
        if (!number) return std::nullopt;
        seconds = seconds * 60 + *number;
    }
    return days * 86'400 + seconds;
}

// "2026-03-01T12:00:00" by the clock that wrote it, in seconds.
std::optional<double> moment_of(std::string_view text) {
    if (text.size() != 19 || text[10] != 'T') return std::nullopt;
    int parts[6] = {};
    const std::size_t at[] = {0, 5, 8, 11, 14, 17, 20};
    for (int i = 0; i < 6; ++i) {
        const std::string_view part = text.substr(at[i], at[i + 1] - at[i] - 1);
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), parts[i]);
        if (error != std::errc{} || end != part.data() + part.size()) return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year{parts[0]},
                                           std::chrono::month{static_cast<unsigned>(parts[1])},
                                           std::chrono::day{static_cast<unsigned>(parts[2])}};
    if (!date.ok()) return std::nullopt;
    const double days = std::chrono::sys_days{date}.time_since_epoch().count();
    return ((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5];
}

// "4000M", "4Gn", "16G" in bytes; 0 when it says nothing.
std::int64_t memory_of(std::string_view text) {
    while (!text.empty() && (text.back() == 'n' || text.back() == 'c')) text.remove_suffix(1);
    double unit = 1 << 20;
    constexpr std::string_view kUnits = "KMGT";
    if (!text.empty() && kUnits.find(text.back()) != std::string_view::npos) {
        unit = std::pow(1024.0, 1.0 + static_cast<double>(kUnits.find(text.back())));
        text.remove_suffix(1);
    }
    const auto number = number_of(text);
    return number && *number * unit < 9e18 ? std::llround(*number * unit) : 0;
}

// A table with a header line, walked line by line.
class Table {
public:
    Table(std::string_view text, std::string_view name, char by) : text_(text), name_(name), by_(by) {
        if (next()) header_ = std::exchange(fields_, {});
    }
    bool next() {
        while (!text_.empty()) {
            const std::size_t end = text_.find('\n');
            std::string_view line = text_.substr(0, end);
            text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
            if (line.ends_with('\r')) line.remove_suffix(1);
            ++line_;
            if (line.empty()) continue;
            fields_ = split(line, by_);
            return true;
        }
        return false;
    }
    bool has(std::string_view column) const { return std::ranges::find(header_, column) != header_.end(); }
    // The field of the first of these columns that there is; empty when there is none.
    std::string_view field(std::initializer_list<std::string_view> columns) const {
        for (const std::string_view column : columns) {
            const auto at = std::ranges::find(header_, column);
            const auto index = static_cast<std::size_t>(at - header_.begin());
            if (at != header_.end() && index < fields_.size()) return fields_[index];
        }
        return {};
    }
    std::unexpected<Error> wrong(std::string_view column) const {
        return fail(Fault::invalid, std::string(name_) + ": line " + std::to_string(line_) + ": column " +
                                        std::string(column) + ": '" + std::string(field({column}).substr(0, 64)) +
                                        "' cannot be read");
    }
    std::unexpected<Error> missing(std::string_view columns) const {
        return fail(Fault::invalid, std::string(name_) + ": line 1: no column " + std::string(columns));
    }

private:
    std::string_view text_, name_;
    char by_;
    std::vector<std::string_view> header_, fields_;
    std::size_t line_ = 0;
};

// A run of less than the clock's grain counts as one grain.
Duration run_of(double seconds) {
    return {std::max<std::int64_t>(1, std::llround(seconds * 1e6))};
}

Result<std::vector<TraceRow>> sorted(std::vector<TraceRow> rows, std::string_view name) {
    if (rows.empty()) return fail(Fault::invalid, std::string(name) + ": no finished job in it");
    std::ranges::stable_sort(rows, {}, [](const TraceRow& row) { return row.submit.us; });
    const Duration zero{rows.front().submit.us};
    for (TraceRow& row : rows) row.submit.us -= zero.us;
    return rows;
}

}  // namespace

Result<std::vector<TraceRow>> parse_sacct(std::string_view text, std::string_view name) {
    Table table(text, name, '|');
    const std::string_view submit = table.has("Submit") ? "Submit" : "Start";
    const std::string_view elapsed = table.has("ElapsedRaw") ? "ElapsedRaw" : "Elapsed";
    if (!table.has(submit)) return table.missing("Submit; use sacct -P -o JobID,JobName,User,Submit,ElapsedRaw,State");
    if (!table.has(elapsed)) return table.missing("ElapsedRaw; use sacct -P -o JobID,JobName,User,Submit,ElapsedRaw");
    std::vector<TraceRow> rows;
    while (table.next()) {
        if (table.field({"JobID"}).find('.') != std::string_view::npos) continue;  // a step of the job above
        const std::string_view state = table.field({"State"});
        if (!state.empty() && !state.starts_with("COMPLETED")) continue;
        const auto at = moment_of(table.field({submit}));
        if (!at) return table.wrong(submit);
        const std::string_view ran = table.field({elapsed});
        const auto run = elapsed == "ElapsedRaw" ? number_of(ran) : elapsed_of(ran);
        if (!run) return table.wrong(elapsed);
        const auto cpus = number_of(table.field({"ReqCPUS", "AllocCPUS"}));
        const auto limit = elapsed_of(table.field({"Timelimit"}));
        rows.push_back({.submit = {std::llround(*at * 1e6)},
                        .run = run_of(*run),
                        .type = std::string(table.field({"JobName"})),
                        .group = std::string(table.field({"User", "Account"})),
                        .worker = std::string(table.field({"NodeList"})),
                        .cpu_milli = std::llround(cpus.value_or(0) * 1e3),
                        .memory = memory_of(table.field({"ReqMem"})),
                        .user_estimate = {std::llround(limit.value_or(0) * 1e6)}});
    }
    return sorted(std::move(rows), name);
}

Result<std::vector<TraceRow>> parse_joblog(std::string_view text, std::string_view name) {
    Table table(text, name, '\t');
    for (const std::string_view column : {"Starttime", "JobRuntime", "Command"})
        if (!table.has(column)) return table.missing(std::string(column) + "; is it from parallel --joblog?");
    std::vector<TraceRow> rows;
    while (table.next()) {
        const std::string_view exit = table.field({"Exitval"}), signal = table.field({"Signal"});
        if ((!exit.empty() && exit != "0") || (!signal.empty() && signal != "0")) continue;
        std::string_view start = table.field({"Starttime"}), ran = table.field({"JobRuntime"});
        while (start.starts_with(' ')) start.remove_prefix(1);  // both are aligned to the right
        while (ran.starts_with(' ')) ran.remove_prefix(1);
        const auto at = number_of(start);
        if (!at) return table.wrong("Starttime");
        const auto run = number_of(ran);
        if (!run) return table.wrong("JobRuntime");
        std::string_view program = table.field({"Command"});
        program = program.substr(0, program.find(' '));
        program = program.substr(program.rfind('/') + 1);
        const std::string_view host = table.field({"Host"});
        rows.push_back({.submit = {std::llround(*at * 1e6)},
                        .run = run_of(*run),
                        .type = std::string(program),
                        .group = {},
                        .worker = std::string(host == ":" ? std::string_view() : host),
                        .user_estimate = {}});
    }
    return sorted(std::move(rows), name);
}

}  // namespace nexus::evaluate
