#include "intake/entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/hash.h"
#include "base/name.h"
#include "base/utf8.h"
#include "core/priority.h"
#include "engine/body.h"

namespace nexus::intake {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kIdBytesMax = 1024;
constexpr std::int64_t kManual = 999;  // the priority of what an operator placed by hand
constexpr double kMsMax = 1000.0 * 3600 * 24 * 3650;
constexpr std::uint32_t kAttemptsMax = 1000;

std::unexpected<Error> no(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

// Of a field that is given twice the last one holds. None: absent or empty.
std::optional<std::string_view> field(const Entry& entry, std::string_view name) {
    for (auto at = entry.fields.rbegin(); at != entry.fields.rend(); ++at)
        if (at->first == name) return at->second.empty() ? std::nullopt : std::optional<std::string_view>(at->second);
    return std::nullopt;
}

// One of 0 to 10 and 999; what is none of them goes to the nearest.
std::int64_t read_priority(std::string_view text, std::vector<std::string>& warnings) {
    std::int64_t asked = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), asked);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (!whole) {
        double number = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool is_number = read.ec == std::errc{} && read.ptr == text.data() + text.size() && std::isfinite(number);
        asked = is_number ? static_cast<std::int64_t>(std::llround(std::clamp(number, 0.0, 999.0))) : 0;
    }
    const std::int64_t nearest = asked > (10 + kManual) / 2 ? kManual : std::clamp<std::int64_t>(asked, 0, 10);
    if (!whole || nearest != asked)
        warnings.push_back("priority: '" + std::string(text.substr(0, 40)) + "' was taken as " +
                           std::to_string(nearest));
    return nearest;
}

// A number of milliseconds above 0; none, with a warning, when it is something else.
std::optional<Duration> read_ms(const Json& value, const char* name, std::vector<std::string>& warnings) {
    if (value.is_number() && value.get<double>() > 0 && value.get<double>() <= kMsMax)
        return Duration{static_cast<std::int64_t>(value.get<double>() * 1000)};
    warnings.push_back("metadata." + std::string(name) + ": is no number of milliseconds above 0; left out");
    return std::nullopt;
}

Result<void> read_capabilities(const Json& value, core::TaskSpec& spec) {
    std::vector<std::string> names;
    if (value.is_string()) names.push_back(value.get<std::string>());
    if (!value.is_string() && !value.is_array()) return no("metadata.requiredCapabilities: must be an array of text");
    if (value.is_array()) {
        for (const Json& item : value) {
            if (!item.is_string()) return no("metadata.requiredCapabilities: must be an array of text");
            names.push_back(item.get<std::string>());
        }
    }
    for (const std::string& name : names) spec.labels_required.emplace_back(capability_label(name), "true");
    std::ranges::sort(spec.labels_required);
    spec.labels_required.erase(std::unique(spec.labels_required.begin(), spec.labels_required.end()),
                               spec.labels_required.end());
    return {};
}

Result<void> read_metadata(std::string_view text, ReadEntry& out) {
    if (const std::size_t most = engine::SubmissionLimits{}.metadata_bytes_max; text.size() > most)
        return no("metadata: more than " + std::to_string(most) + " bytes");
    const Json metadata = Json::parse(text, nullptr, false);
    if (!metadata.is_object()) return no("metadata: is no JSON object");
    core::TaskSpec& spec = out.submission.spec;
    for (const auto& [name, value] : metadata.items()) {
        if (value.is_null()) continue;
        if (name == "estimatedDurationMs") {
            if (const auto hint = read_ms(value, "estimatedDurationMs", out.warnings)) out.submission.body.hint = *hint;
        } else if (name == "timeout") {
            if (const auto timeout = read_ms(value, "timeout", out.warnings)) spec.timeout = *timeout;
        } else if (name == "maxRetries") {
            if (value.is_number_unsigned())
                spec.retry.attempts_max = static_cast<std::uint32_t>(
                    std::min<std::uint64_t>(value.get<std::uint64_t>(), kAttemptsMax - 1) + 1);
            else
                out.warnings.emplace_back("metadata.maxRetries: is no whole number of 0 or more; left out");
        } else if (name == "requiredCapabilities") {
            if (auto ok = read_capabilities(value, spec); !ok) return ok;
        }
    }
    out.submission.body.metadata.emplace_back(kOldMetadata, text);
    return {};
}

}  // namespace

std::string plain_name(std::string_view text) {
    std::string name;
    for (const char c : text.substr(0, kNameBytesMax)) name += is_name({&c, 1}) ? c : '_';
    return name;
}

std::string capability_label(std::string_view capability) {
    return plain_name("capability." + std::string(capability));
}

std::string iso_time(std::int64_t unix_ms) {
    const std::time_t second = unix_ms / 1000;
    std::tm parts{};
    gmtime_r(&second, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, unix_ms % 1000);
}

std::pair<std::uint64_t, std::uint64_t> parts_of(std::string_view id) {
    std::pair<std::uint64_t, std::uint64_t> parts;
    const std::size_t dash = id.find('-');
    if (dash == std::string_view::npos) return parts;
    std::from_chars(id.data(), id.data() + dash, parts.first);
    std::from_chars(id.data() + dash + 1, id.data() + id.size(), parts.second);
    return parts;
}

Result<ReadEntry> to_submission(const Entry& entry) {
    constexpr std::string_view kKnown[] = {"id", "type", "payload", "priority", "createdAt", "metadata"};
    if (std::ranges::none_of(entry.fields, [&](const auto& each) {
            return std::ranges::find(kKnown, std::string_view(each.first)) != std::end(kKnown);
        }))
        return no("it has none of the fields of a task: id, type, payload, priority, createdAt, metadata");
    ReadEntry out;
    engine::Submission& item = out.submission;
    const std::string_view old_id = field(entry, "id").value_or(entry.id);
    const std::string_view type = field(entry, "type").value_or("unknown");
    if (old_id.size() > kIdBytesMax) return no("id: longer than 1024 bytes");
    if (type.size() > kIdBytesMax) return no("type: longer than 1024 bytes");
    for (const auto& [name, text] : {std::pair{"id", old_id}, std::pair{"type", type}})
        if (!is_utf8(text)) return no(std::string(name) + ": is not UTF-8");
    item.spec.type = plain_name(type);
    item.body.metadata.emplace_back(kOldId, old_id);
    if (item.spec.type != type) item.body.metadata.emplace_back(kOldType, type);
    item.body.payload = field(entry, "payload").value_or("{}");
    if (const std::size_t most = engine::SubmissionLimits{}.payload_bytes_max; item.body.payload.size() > most)
        return no("payload: has " + std::to_string(item.body.payload.size()) + " bytes; at most " +
                  std::to_string(most) + " are taken");
    if (!Json::accept(item.body.payload)) return no("payload: is no JSON");
    const std::int64_t priority = read_priority(field(entry, "priority").value_or("0"), out.warnings);
    item.spec.priority = static_cast<std::uint8_t>(priority == kManual ? core::kPriorityTop : priority);
    if (priority != 0) item.body.metadata.emplace_back(kOldPriority, std::to_string(priority));
    const auto [ms, number] = parts_of(entry.id);
    const auto created = field(entry, "createdAt");
    if (created && created->size() <= 64 && is_utf8(*created)) item.body.metadata.emplace_back(kOldCreated, *created);
    if (const auto metadata = field(entry, "metadata"))
        if (auto ok = read_metadata(*metadata, out); !ok) return std::unexpected(std::move(ok).error());
    // The id follows from the entry, so that whoever reads the entry again finds its task.
    item.entry = entry.id;
    item.task = make_task_id(static_cast<std::int64_t>(ms & 0xFFFF'FFFF'FFFFULL), 0,
                             hash_bytes(entry.id + "\n" + std::string(old_id)) << 12 | (number & 0xFFF));
    if (auto ok = engine::check_submission(item, {}); !ok) return std::unexpected(std::move(ok).error());
    return out;
}

}  // namespace nexus::intake
