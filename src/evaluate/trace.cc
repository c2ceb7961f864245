#include "evaluate/trace.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "evaluate/foreign_trace.h"

namespace nexus::evaluate {
namespace {

enum Column : std::size_t {
    submit,
    duration,
    type,
    group,
    payload,
    cpu,
    memory,
    gpu,
    user_estimate,
    worker,
    column_count
};

constexpr std::array<std::string_view, column_count> kColumns = {
    "submit_time_s", "duration_s", "type",    "group_or_user",   "payload_size",
    "req_cpu",       "req_mem",    "req_gpu", "user_estimate_s", "worker"};
constexpr std::size_t kRequired = 3;
constexpr std::size_t kBytesMax = std::size_t{4} << 30;  // of the uncompressed text
constexpr double kStoredMax = 9e18;                      // of what is kept: fits in int64

// Where each known column stands in the file's lines; npos = absent.
struct Layout {
    std::array<std::size_t, column_count> at{};
    std::size_t fields = 0;
};

std::string place(std::string_view name, std::size_t line) {
    return std::string(name) + ": line " + std::to_string(line);
}

Result<Layout> read_header(std::string_view line, std::string_view name) {
    Layout layout;
    layout.at.fill(std::string_view::npos);
    while (true) {
        const std::size_t comma = line.find(',');
        const std::string_view word = line.substr(0, comma);
        const auto* known = std::find(kColumns.begin(), kColumns.end(), word);
        if (known == kColumns.end()) {
            if (line.find('|') != std::string_view::npos && line.find("Elapsed") != std::string_view::npos)
                return fail(Fault::invalid, place(name, 1) + ": this looks like sacct -P: say --format sacct");
            if (line.find("JobRuntime") != std::string_view::npos)
                return fail(Fault::invalid, place(name, 1) + ": this looks like a joblog: say --format joblog");
            std::string what = place(name, 1) + ": unknown column '" + std::string(word.substr(0, 64)) + "'; known are";
            for (const auto column : kColumns) what.append(" ").append(column);
            return fail(Fault::invalid, std::move(what));
        }
        std::size_t& at = layout.at[static_cast<std::size_t>(known - kColumns.begin())];
        if (at != std::string_view::npos)
            return fail(Fault::invalid, place(name, 1) + ": column " + std::string(word) + " appears twice");
        at = layout.fields++;
        if (comma == std::string_view::npos) break;
        line.remove_prefix(comma + 1);
    }
    for (std::size_t c = 0; c < kRequired; ++c)
        if (layout.at[c] == std::string_view::npos)
            return fail(Fault::invalid, place(name, 1) + ": column " + std::string(kColumns[c]) + " is missing");
    return layout;
}

// One line's fields, and the number reader that explains itself.
class Line {
public:
    Line(std::string_view name, std::size_t number, const Layout& layout)
        : name_(name), number_(number), layout_(layout) {}

    bool split(std::string_view line) {
        std::size_t count = 0;
        while (true) {
            const std::size_t comma = line.find(',');
            if (count < fields_.size()) fields_[count] = line.substr(0, comma);
            ++count;
            if (comma == std::string_view::npos) break;
            line.remove_prefix(comma + 1);
        }
        if (count == layout_.fields) return true;
        error_ = place(name_, number_) + ": " + std::to_string(count) + " fields, the header has " +
                 std::to_string(layout_.fields);
        return false;
    }

    std::string_view text(Column column) const {
        const std::size_t at = layout_.at[column];
        return at == std::string_view::npos ? std::string_view() : fields_[at];
    }

    // The field times `scale`, rounded; an empty field is zero. Remembers the first error.
    std::int64_t number(Column column, double scale) {
        const std::string_view word = text(column);
        if (word.empty()) return 0;
        double value = 0;
        const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
        const bool whole = code == std::errc() && end == word.data() + word.size();
        if (!whole || !std::isfinite(value) || value < 0 || value * scale > kStoredMax) {
            if (error_.empty())
                error_ = place(name_, number_) + ": column " + std::string(kColumns[column]) + ": '" +
                         std::string(word.substr(0, 64)) + "' is not a number of 0 or more that fits";
            return 0;
        }
        return std::llround(value * scale);
    }

    std::string& error() { return error_; }

private:
    std::string_view name_;
    std::size_t number_;
    const Layout& layout_;
    std::array<std::string_view, column_count> fields_;
    std::string error_;
};

Result<std::string> read_bytes(const std::string& path) {
    errno = 0;
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr)
        return fail(errno == ENOENT ? Fault::not_found : Fault::unavailable,
                    path + ": cannot open: " + std::strerror(errno == 0 ? ENOMEM : errno));
    gzbuffer(file, 1u << 18);
    std::string bytes;
    std::string piece(std::size_t{1} << 20, '\0');
    int got = 0;
    while ((got = gzread(file, piece.data(), static_cast<unsigned>(piece.size()))) > 0) {
        bytes.append(piece.data(), static_cast<std::size_t>(got));
        if (bytes.size() > kBytesMax) break;
    }
    int code = Z_OK;
    const std::string message = gzerror(file, &code);
    const int system = errno;
    const int closed = gzclose(file);
    if (code == Z_ERRNO) return fail(Fault::unavailable, path + ": cannot read: " + std::strerror(system));
    if (code == Z_BUF_ERROR || closed == Z_BUF_ERROR)
        return fail(Fault::corrupt, path + ": the gzip data is cut short");
    if (got < 0) return fail(Fault::corrupt, path + ": the gzip data is broken: " + message);
    if (bytes.size() > kBytesMax) return fail(Fault::exhausted, path + ": more than 4 GiB of text");
    return bytes;
}

}  // namespace

Result<std::vector<TraceRow>> parse_trace(std::string_view csv, std::string_view name, std::size_t limit) {
    std::vector<TraceRow> rows;
    Layout layout;
    std::size_t number = 0;
    if (csv.starts_with("\xEF\xBB\xBF")) csv.remove_prefix(3);
    while (!csv.empty()) {
        const std::size_t end = csv.find('\n');
        std::string_view text = csv.substr(0, end);
        csv.remove_prefix(end == std::string_view::npos ? csv.size() : end + 1);
        if (text.ends_with('\r')) text.remove_suffix(1);
        if (++number == 1) {
            auto header = read_header(text, name);
            if (!header) return std::unexpected(std::move(header).error());
            layout = *header;
            continue;
        }
        Line line(name, number, layout);
        if (!line.split(text)) return fail(Fault::invalid, std::move(line.error()));
        TraceRow row{
            .submit = {line.number(Column::submit, 1e6)},
            .run = {line.number(Column::duration, 1e6)},
            .type = std::string(line.text(Column::type)),
            .group = std::string(line.text(Column::group)),
            .worker = std::string(line.text(Column::worker)),
            .payload = static_cast<std::uint64_t>(line.number(Column::payload, 1)),
            .cpu_milli = line.number(Column::cpu, 1e3),
            .memory = line.number(Column::memory, 1),
            .gpu_milli = line.number(Column::gpu, 1e3),
            .user_estimate = {line.number(Column::user_estimate, 1e6)},
        };
        if (!line.error().empty()) return fail(Fault::invalid, std::move(line.error()));
        // Zero and unknown durations are no runs; anything shorter than the clock's grain counts as one grain.
        const std::string_view run = line.text(Column::duration);
        if (row.run.us == 0 && run.find_first_of("123456789") == std::string_view::npos)
            return fail(Fault::invalid, place(name, number) + ": column duration_s: must be above 0");
        row.run = std::max(row.run, microseconds(1));
        if (!rows.empty() && row.submit < rows.back().submit)
            return fail(Fault::invalid, place(name, number) + ": submit_time_s goes back; sort the trace by it");
        if (rows.size() == kTraceRowsMax)
            return fail(Fault::exhausted, place(name, number) + ": more than 20 million rows; use --limit");
        rows.push_back(std::move(row));
        if (limit != 0 && rows.size() == limit) break;
    }
    if (number == 0) return fail(Fault::invalid, std::string(name) + ": empty, not even a header line");
    if (rows.empty()) return fail(Fault::invalid, std::string(name) + ": no rows below the header");
    return rows;
}

Result<std::vector<TraceRow>> read_trace(const std::string& path, std::size_t limit, TraceFormat format) {
    auto bytes = read_bytes(path);
    if (!bytes) return std::unexpected(std::move(bytes).error());
    if (format == TraceFormat::csv) return parse_trace(*bytes, path, limit);
    auto rows = format == TraceFormat::sacct ? parse_sacct(*bytes, path) : parse_joblog(*bytes, path);
    if (rows && limit != 0 && rows->size() > limit) rows->resize(limit);
    return rows;
}

predict::Features features_of(const TraceRow& row) {
    return {
        .type = row.type,
        .tenant = row.group,
        .worker = row.worker,
        .payload_bytes = row.payload,
        .hint = row.user_estimate,
        .cpu_milli = row.cpu_milli,
        .memory_bytes = row.memory,
        .gpu_milli = row.gpu_milli,
    };
}

}  // namespace nexus::evaluate
