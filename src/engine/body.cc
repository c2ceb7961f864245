#include "engine/body.h"

#include <openssl/sha.h>

#include <cmath>

#include "base/bytes.h"
#include "base/name.h"
#include "base/shape_bytes.h"
#include "core/priority.h"
#include "core/shape.h"

namespace nexus::engine {
namespace {

constexpr std::uint8_t kBodyVersion = 1;
constexpr std::int64_t kDurationMax = hours(24 * 3650).us;
// Calendar times from 2000 to 2200: anything else is a unit mistaken for another.
constexpr std::int64_t kWallMin = 946'684'800'000'000;
constexpr std::int64_t kWallMax = 7'258'118'400'000'000;

std::unexpected<Error> invalid(std::string_view field, std::string_view why) {
    return fail(Fault::invalid, std::string(field) + ": " + std::string(why));
}

Result<void> check_name(std::string_view field, std::string_view value, bool may_be_empty = false) {
    if (value.empty() && may_be_empty) return {};
    if (!is_name(value)) return invalid(field, kNameRule);
    return {};
}

Result<void> check_labels(std::string_view field, const core::Labels& labels, std::size_t most) {
    if (labels.size() > most) return invalid(field, "more than " + std::to_string(most) + " labels");
    for (std::size_t i = 0; i < labels.size(); ++i) {
        if (auto ok = check_name(field, labels[i].first); !ok) return ok;
        if (labels[i].second.size() > 256) return invalid(field, "a value is longer than 256 bytes");
        if (i > 0 && labels[i - 1].first >= labels[i].first) return invalid(field, "duplicate label");
    }
    return {};
}

Result<void> check_span(std::string_view field, Duration value) {
    if (value.us < 0 || value.us > kDurationMax) return invalid(field, "must be from 0 to ten years");
    return {};
}

Result<void> check_key(std::string_view field, std::string_view value, std::size_t most) {
    if (value.size() > most) return invalid(field, "longer than " + std::to_string(most) + " bytes");
    return {};
}

Result<void> check_resources(std::string_view field, const core::Resources& r, bool offered) {
    const std::int64_t least = offered ? -1 : 0;
    if (r.cpu_milli < least || r.memory_bytes < least || r.gpu_milli < least)
        return invalid(field, "must not be negative");
    if (r.custom.size() > 16) return invalid(field, "more than 16 custom resources");
    for (const auto& [name, amount] : r.custom) {
        if (auto ok = check_name(field, name); !ok) return ok;
        if (amount < least) return invalid(field, "must not be negative");
    }
    return {};
}

Result<void> check_times(const core::TaskSpec& spec, WallTime wall) {
    const auto is_wall = [](WallTime t) { return t.us == 0 || (t.us >= kWallMin && t.us <= kWallMax); };
    if (!is_wall(spec.run_at))
        return invalid("run_at_unix_us", "must be microseconds since 1970, between 2000 and 2200");
    if (!is_wall(spec.deadline))
        return invalid("deadline_unix_us", "must be microseconds since 1970, between 2000 and 2200");
    if (spec.deadline.us != 0 && spec.deadline <= wall) return invalid("deadline_unix_us", "is in the past");
    if (spec.deadline.us != 0 && spec.run_at > spec.deadline) return invalid("run_at_unix_us", "is after the deadline");
    if (auto ok = check_span("timeout_us", spec.timeout); !ok) return ok;
    if (auto ok = check_span("ttl_us", spec.ttl); !ok) return ok;
    if (auto ok = check_span("retry.backoff_first_us", spec.retry.backoff_first); !ok) return ok;
    return check_span("retry.backoff_max_us", spec.retry.backoff_max);
}

void sha256(std::string_view bytes, std::uint64_t (&words)[2]) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
    for (int w = 0; w < 2; ++w) {
        words[w] = 0;
        for (int i = 0; i < 8; ++i) words[w] = (words[w] << 8) | digest[8 * w + i];
    }
}

}  // namespace

Result<void> check_submission(const Submission& submission, WallTime wall, const SubmissionLimits& limits) {
    const core::TaskSpec& spec = submission.spec;
    const TaskBody& body = submission.body;
    if (auto ok = check_name("type", spec.type); !ok) return ok;
    if (auto ok = check_name("tenant", spec.tenant); !ok) return ok;
    if (auto ok = check_name("queue", spec.queue); !ok) return ok;
    if (auto ok = check_name("worker", spec.pinned_worker, true); !ok) return ok;
    if (spec.priority > (submission.entry.empty() ? core::kPriorityMax : core::kPriorityTop))
        return invalid("priority", "must be from 0 to 9");
    if (body.payload.size() > limits.payload_bytes_max)
        return invalid("payload", "longer than " + std::to_string(limits.payload_bytes_max) + " bytes");
    if (auto ok = check_times(spec, wall); !ok) return ok;
    if (spec.retry.attempts_max > 1000) return invalid("retry.attempts_max", "must be at most 1000");
    if (auto ok = check_labels("labels_required", spec.labels_required, limits.labels_max); !ok) return ok;
    if (auto ok = check_labels("labels_preferred", spec.labels_preferred, limits.labels_max); !ok) return ok;
    if (auto ok = check_labels("labels_forbidden", spec.labels_forbidden, limits.labels_max); !ok) return ok;
    if (auto ok = check_resources("resources", spec.resources, false); !ok) return ok;
    if (spec.after.size() > limits.after_max)
        return invalid("after", "more than " + std::to_string(limits.after_max) + " tasks");
    if (auto ok = check_key("concurrency_key", spec.concurrency_key, limits.key_bytes_max); !ok) return ok;
    if (auto ok = check_key("ordering_key", spec.ordering_key, limits.key_bytes_max); !ok) return ok;
    if (auto ok = check_key("rate_key", spec.rate_key, limits.key_bytes_max); !ok) return ok;
    if (auto ok = check_key("idempotency_key", submission.idempotency_key, limits.key_bytes_max); !ok) return ok;
    if (!spec.rate_key.empty() && spec.rate_per_1000s == 0)
        return invalid("rate_per_s", "must be above 0 with a rate_key");
    if (auto ok = check_span("duration_hint_us", body.hint); !ok) return ok;
    if (body.features.size() > limits.features_max)
        return invalid("features", "more than " + std::to_string(limits.features_max) + " numbers");
    for (const auto& [name, value] : body.features) {
        if (auto ok = check_name("features", name); !ok) return ok;
        if (!std::isfinite(value)) return invalid("features", name + " is not a finite number");
    }
    std::size_t metadata = body.traceparent.size() + body.tracestate.size();
    for (const auto& [name, value] : body.metadata) {
        if (name.empty() || name.size() > 256) return invalid("metadata", "names are 1 to 256 bytes");
        metadata += name.size() + value.size();
    }
    if (metadata > limits.metadata_bytes_max)
        return invalid("metadata", "more than " + std::to_string(limits.metadata_bytes_max) + " bytes in all");
    return {};
}

Result<void> check_hello(const WorkerHello& hello) {
    const core::WorkerJoined& joined = hello.joined;
    if (auto ok = check_name("worker", joined.name); !ok) return ok;
    if (joined.slots < 1 || joined.slots > 4096) return invalid("slots", "must be from 1 to 4096");
    if (auto ok = check_labels("labels", joined.labels, 64); !ok) return ok;
    if (auto ok = check_resources("resources", joined.offered, true); !ok) return ok;
    if (joined.types.size() > 4096) return invalid("types", "more than 4096 types");
    for (const auto& type : joined.types)
        if (auto ok = check_name("types", type); !ok) return ok;
    if (hello.version.size() > 128) return invalid("version", "longer than 128 bytes");
    if (hello.hostname.size() > kHostNameBytesMax) return invalid("hostname", "longer than 255 bytes");
    return {};
}

void seal(Submission& submission) {
    core::TaskSpec& spec = submission.spec;
    spec.payload_bytes = submission.body.payload.size();
    spec.idempotency_hi = spec.idempotency_lo = spec.body_hash = 0;
    if (submission.idempotency_key.empty()) return;
    std::uint64_t words[2];
    std::string text = spec.tenant;
    text += '\0';
    text += submission.idempotency_key;
    sha256(text, words);
    spec.idempotency_hi = words[0] | 1;  // never "no key"
    spec.idempotency_lo = words[1];
    text.clear();
    Writer writer(text);
    put_part<kWork>(writer, spec);
    put_part<kWork>(writer, submission.body);
    sha256(text, words);
    spec.body_hash = words[0];
}

void seal_redrive(core::TaskSpec& spec, TaskId old) {
    std::uint64_t words[2];
    sha256("redrive\n" + to_text(old), words);  // no tenant's name holds a line end
    spec.idempotency_hi = words[0] | 1;
    spec.idempotency_lo = words[1];
    spec.body_hash = 1;
}

std::uint64_t body_hash_before_8(const Submission& submission) {
    const core::TaskSpec& spec = submission.spec;
    std::uint64_t words[2];
    sha256(spec.type + '\0' + spec.queue + '\0' + std::to_string(spec.priority) + '\0' + encode_body(submission.body),
           words);
    return words[0];
}

std::string encode_body(const TaskBody& body) {
    std::string out;
    out.reserve(body.payload.size() + 32);
    Writer writer(out);
    writer.u8(kBodyVersion);
    for_each_member<TaskBody>([&](const auto& m) { put(writer, body.*m.at); });
    return out;
}

Result<TaskBody> decode_body(std::string_view bytes) {
    Reader reader(bytes);
    TaskBody body;
    if (reader.u8() != kBodyVersion) return fail(Fault::unsupported, "task body: unknown version");
    for_each_member<TaskBody>([&](const auto& m) {
        if (!reader.failed()) get(reader, body.*m.at);
    });
    if (reader.failed() || !reader.at_end())
        return fail(Fault::corrupt, "task body: malformed at byte " + std::to_string(reader.position()));
    return body;
}

namespace {
constexpr std::string_view kResultMark{"\0nxr", 4}, kBodyMark{"\0nxb", 4};
}

std::string marked(LeftBehind::What what, std::string_view bytes) {
    std::string stored;
    const std::string_view mark = what == LeftBehind::What::result ? kResultMark : kBodyMark;
    stored.reserve(mark.size() + bytes.size());
    stored += mark;
    stored += bytes;
    return stored;
}

LeftBehind left_behind(std::string_view stored) {
    if (stored.starts_with(kResultMark)) return {LeftBehind::What::result, stored.substr(kResultMark.size())};
    if (stored.starts_with(kBodyMark)) return {LeftBehind::What::body, stored.substr(kBodyMark.size())};
    return {LeftBehind::What::unmarked, stored};
}

}  // namespace nexus::engine
