#include "predict/type_record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "predict/band.h"
#include "predict/floats.h"

namespace nexus::predict {
namespace {

constexpr float kResidualStep = 0.02F;
constexpr float kAccuracyStep = 0.01F;
constexpr float kLatelyStep = 0.05F;
constexpr float kResidualMax = 3;
constexpr float kSpreadMin = 0.05F;  // ln; below it everything would look like a drift
constexpr float kDriftRest = 1.5F;
constexpr float kDriftAlarm = 14;
constexpr float kLineAlarm = 6;  // about five runs far off on the same side
constexpr std::uint32_t kDriftShown = 20;
constexpr std::size_t kPeaks = 64;
constexpr float kTailUp = 0.045F;
constexpr float kTailDown = 0.005F;  // together: balance at 90 % kept
constexpr float kBeyondSeen = 2;     // times the longest run: the most that a P90 says

}  // namespace

void RollingMean::save(Writer& out) const {
    put_float(out, mean);
    put_float(out, count);
}

void RollingMean::load(Reader& in) {
    mean = get_float(in);
    count = get_float(in);
    if (count < 0) in.set_failed();
}

bool Cusum::add(float z, float alarm) {
    z = std::clamp(z, -3.0F, 3.0F);
    up = std::max(0.0F, up + z - kDriftRest);
    down = std::max(0.0F, down - z - kDriftRest);
    if (std::max(up, down) < alarm) return false;
    up = down = 0;
    return true;
}

// So many runs under way together are worth as much as the square root of their number one after the other.
float Burst::moved() const {
    const auto runs = static_cast<float>(over + within);
    if (runs == 0) return 0;
    return (kTailUp * static_cast<float>(over) - kTailDown * static_cast<float>(within)) / std::sqrt(runs);
}

float Burst::add(bool exceeded, Instant began, Instant now) {
    if (began >= since) *this = {.since = now};
    const float before = moved();
    ++(exceeded ? over : within);
    return moved() - before;
}

void Burst::save(Writer& out) const {
    out.svarint(since.us);
    out.varint(over);
    out.varint(within);
}

void Burst::load(Reader& in) {
    since.us = in.svarint();
    const std::uint64_t beyond = in.varint();
    const std::uint64_t kept = in.varint();
    if (beyond > UINT32_MAX || kept > UINT32_MAX) return in.set_failed();
    over = static_cast<std::uint32_t>(beyond);
    within = static_cast<std::uint32_t>(kept);
}

Estimate TypeRecord::bounded(Estimate made) const {
    if (longest.us <= 0) return made;
    const auto most = static_cast<double>(longest.us);
    const auto bound = [&](Duration& d, double times) {
        d.us = std::min(d.us, std::max<std::int64_t>(made.p50.us, std::llround(std::min(times * most, 9e15))));
    };
    bound(made.p90, kBeyondSeen);
    bound(made.mean, 1);
    return made;
}

// Of one change one is counted, whoever notices it first.
void TypeRecord::note_drift() {
    if (drifting == 0) ++drifts;
    drifting = kDriftShown;
}

bool TypeRecord::learn_residual(float residual, bool own) {
    const float hit = within_band(-residual, 0) ? 1.0F : 0.0F;
    hits.add(hit, kAccuracyStep);
    hits_lately.add(hit, kLatelyStep);
    if (own) ratio.add(std::exp(std::clamp(residual, -kResidualMax, kResidualMax)), kResidualStep);
    const float off = std::clamp(residual - bias.mean, -kResidualMax, kResidualMax);
    const float deviation = std::max(std::sqrt(spread.mean), kSpreadMin);
    const bool settled = spread.count >= 10;
    bias.add(residual, kResidualStep);
    // A jump widens the spread only a little, so that it still stands out at the next run.
    spread.add(settled ? std::min(off * off, 9 * deviation * deviation) : off * off, kResidualStep);
    if (drifting > 0) --drifting;
    if (answering > 0) --answering;
    if (!settled) return false;
    if (!drift.add(off / deviation, kDriftAlarm)) return false;
    note_drift();
    // Estimates made before the alarm are still to be answered for: while they come in, nothing new is said.
    return std::exchange(answering, kDriftShown) == 0;
}

float TypeRecord::learn_line(const Features& features, float value, float worker) {
    const bool known = line.count() >= 3;
    const float distance = value - line.expected(line.size_of(features));
    const bool changed = line.learn(features, value - worker);
    if (!known || changed) return std::numeric_limits<float>::quiet_NaN();
    const float own = std::clamp(distance - worker, -kResidualMax, kResidualMax);
    // The type has changed: until its line has followed, each worker would seem to have changed by a part of it.
    if (line_spread.count >= 10 &&
        line_drift.add(own / std::max(std::sqrt(line_spread.mean), kSpreadMin), kLineAlarm)) {
        line.forget();
        note_drift();
    }
    line_spread.add(own * own, kResidualStep);
    return distance;
}

void TypeRecord::learn_memory(std::uint64_t peak_bytes, bool out_of_memory) {
    if (peak_bytes == 0) return;
    const auto peak = static_cast<float>(std::log(static_cast<double>(peak_bytes)));
    if (out_of_memory) {
        memory_floor = std::max(memory_floor, peak + 0.405F);  // ln 1.5
        return;
    }
    peaks.insert(peak, kPeaks);
    memory_floor = std::max(0.0F, memory_floor - 0.01F);
}

std::uint64_t TypeRecord::memory_p95_bytes() const {
    const float seen = peaks.empty() ? 0.0F : peaks.quantile(0.95F);
    const float wanted = std::max(seen, memory_floor);
    return wanted <= 0
               ? 0
               : static_cast<std::uint64_t>(std::llround(std::exp(std::min(static_cast<double>(wanted), 43.0))));
}

void TypeRecord::save(Writer& out) const {
    out.text(name);
    for (const std::uint64_t n : {samples, failed, std::uint64_t{overdue}, std::uint64_t{drifting}, drifts})
        out.varint(n);
    for (const Duration d : {last.p50, last.p90, last.mean}) out.svarint(d.us);
    out.svarint(known_since.us);
    out.varint(last.confidence_permille);
    out.u8(static_cast<std::uint8_t>(last.source));
    for (const RollingMean* mean : {&bias, &spread, &ratio, &hits, &hits_lately, &covered, &line_spread})
        mean->save(out);
    line.save(out);
    for (const float v : {tail, drift.up, drift.down, line_drift.up, line_drift.down, memory_floor}) put_float(out, v);
    peaks.save(out);
    for (const std::uint32_t n : histogram) out.varint(n);
}

void TypeRecord::load(Reader& in) {
    name = in.text();
    std::uint64_t beyond = 0;
    std::uint64_t left = 0;
    for (std::uint64_t* n : {&samples, &failed, &beyond, &left, &drifts}) *n = in.varint();
    for (Duration* d : {&last.p50, &last.p90, &last.mean}) d->us = in.svarint();
    known_since.us = in.svarint();
    const std::uint64_t confidence = in.varint();
    const std::uint8_t source = in.u8();
    if (beyond > UINT32_MAX || left > kDriftShown || confidence > 1000 ||
        source > static_cast<std::uint8_t>(EstimateSource::sibling_wait))
        return in.set_failed();
    overdue = static_cast<std::uint32_t>(beyond);
    drifting = static_cast<std::uint32_t>(left);
    last.confidence_permille = static_cast<std::uint16_t>(confidence);
    last.source = static_cast<EstimateSource>(source);
    for (RollingMean* mean : {&bias, &spread, &ratio, &hits, &hits_lately, &covered, &line_spread}) mean->load(in);
    line.load(in);
    for (float* v : {&tail, &drift.up, &drift.down, &line_drift.up, &line_drift.down, &memory_floor})
        *v = get_float(in);
    peaks.load(in);
    for (std::uint32_t& n : histogram) n = static_cast<std::uint32_t>(std::min<std::uint64_t>(in.varint(), UINT32_MAX));
    if (spread.mean < 0 || ratio.mean < 0 || tail < 0 || tail > kTailMax) in.set_failed();
}

void TypeRecord::save_more(Writer& out) const {
    out.svarint(longest.us);
    out.varint(answering);
    burst.save(out);
}

void TypeRecord::guess_more() {
    for (std::size_t i = 0; i < histogram.size(); ++i)
        if (histogram[i] > 0) longest.us = std::int64_t{1} << i;
}

void TypeRecord::load_more(Reader& in) {
    longest.us = in.svarint();
    const std::uint64_t left = in.varint();
    answering = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kDriftShown));
    burst.load(in);
    if (longest.us < 0 || left > kDriftShown) in.set_failed();
}

}  // namespace nexus::predict
