// Saving and restoring a Predictor.
//
//   u32 magic, u32 crc32c of the rest, then: version, models, types, "(other)", worker speeds, overrides, rolling
//   figures, and of each type and of "(other)" what version 3 had not.
//
// The checksum refuses damage; the reader itself refuses any length that the bytes cannot hold, so that a forged
// checksum still cannot make it allocate more than a small multiple of its input.

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "predict/floats.h"
#include "predict/predictor_state.h"

namespace nexus::predict {
namespace {

constexpr std::uint32_t kMagic = 0x3150584E;  // "NXP1"
constexpr std::uint64_t kVersion = 4;
constexpr std::uint64_t kVersionBefore = 3;  // without the last part
constexpr std::size_t kSnapshotTypesMax = 100'000;
constexpr int kWarmRuns = 5;  // of a type restored from a mean: enough to answer, few enough to be outvoted soon

Result<void> damaged(std::string_view where) {
    return fail(Fault::corrupt, "predictor state: " + std::string(where));
}

std::array<float*, 5> parts(TrustSlope& t) {
    return {&t.count, &t.mean_x, &t.mean_y, &t.xx, &t.xy};
}

}  // namespace

void Predictor::save(std::string& out) const {
    State& s = *state_;
    std::string body;
    Writer writer(body);
    writer.varint(kVersion);
    std::string models;
    s.models.save(models);
    writer.text(models);
    s.types.save(writer);
    s.rest.save(writer);
    s.speeds.save(writer);
    writer.varint(s.forced.size());
    for (const auto& [type, forced] : s.forced) {
        writer.text(type);
        writer.svarint(forced.estimate.us);
        writer.svarint(forced.expires.us);
        writer.svarint(forced.expires_wall.us);
        writer.text(forced.author);
        writer.text(forced.reason);
    }
    put_float(writer, s.unseen_tail);
    put_float(writer, s.new_tail);
    put_float(writer, s.fleet_tail);
    for (const RollingMean* mean : {&s.hits, &s.hits_lately, &s.covered, &s.eta_covered}) mean->save(writer);
    for (const float* v : parts(s.trust)) put_float(writer, *v);
    for (const auto& entry : s.types.entries()) entry.value.save_more(writer);
    s.rest.save_more(writer);
    s.speeds.save_more(writer);
    Writer head(out);
    head.u32(kMagic);
    head.u32(crc32c(body));
    out.append(body);
}

Result<void> Predictor::load(std::string_view bytes) {
    Reader in(bytes);
    const std::uint32_t magic = in.u32();
    const std::uint32_t sum = in.u32();
    if (in.failed() || magic != kMagic) return damaged("not one");
    if (crc32c(bytes.substr(in.position())) != sum) return damaged("checksum mismatch");
    const std::uint64_t version = in.varint();
    if (version != kVersion && version != kVersionBefore)
        return fail(Fault::unsupported, "predictor state: written by a newer release");
    const std::string_view models = in.text();
    State fresh(nullptr);
    fresh.types.load(in);
    fresh.rest.load(in);
    fresh.speeds.load(in);
    const std::uint64_t forced = in.count(6);
    if (forced > kForcedMax) in.set_failed();
    for (std::uint64_t i = 0; i < forced && !in.failed(); ++i) {
        const std::string_view type = in.text();
        Override entry;
        entry.estimate.us = in.svarint();
        entry.expires.us = in.svarint();
        entry.expires_wall.us = in.svarint();
        entry.author = in.text();
        entry.reason = in.text();
        if (entry.estimate.us <= 0 || entry.estimate > kRunMax) in.set_failed();
        fresh.forced.emplace(type, std::move(entry));
    }
    fresh.unseen_tail = get_float(in);
    fresh.new_tail = get_float(in);
    fresh.fleet_tail = get_float(in);
    for (RollingMean* mean : {&fresh.hits, &fresh.hits_lately, &fresh.covered, &fresh.eta_covered}) mean->load(in);
    for (float* v : parts(fresh.trust)) *v = get_float(in);
    if (version == kVersion) {
        for (auto& entry : fresh.types.entries()) entry.value.load_more(in);
        fresh.rest.load_more(in);
        fresh.speeds.load_more(in);
    } else {
        for (auto& entry : fresh.types.entries()) entry.value.guess_more();
        fresh.rest.guess_more();
    }
    if (in.failed() || !in.at_end()) return damaged("bytes do not parse");
    if (auto loaded = state_->models.load(models); !loaded)
        return std::unexpected(std::move(loaded).error().during("predictor state"));
    state_->types = std::move(fresh.types);
    state_->rest = std::move(fresh.rest);
    state_->speeds = std::move(fresh.speeds);
    state_->forced = std::move(fresh.forced);
    state_->unseen_tail = fresh.unseen_tail;
    state_->new_tail = fresh.new_tail;
    state_->fleet_tail = fresh.fleet_tail;
    state_->hits = fresh.hits;
    state_->hits_lately = fresh.hits_lately;
    state_->covered = fresh.covered;
    state_->eta_covered = fresh.eta_covered;
    state_->trust = fresh.trust;
    return {};
}

Result<void> Predictor::load_nexus_snapshot(std::string_view json) {
    const auto snapshot = nlohmann::json::parse(json, nullptr, false);
    if (snapshot.is_discarded() || !snapshot.is_object())
        return fail(Fault::corrupt, "scheduler:predictions: not a JSON object");
    const auto version = snapshot.find("version");
    if (version != snapshot.end() && *version != 1)
        return fail(Fault::unsupported, "scheduler:predictions: only version 1 is known");
    const auto predictions = snapshot.find("predictions");
    if (predictions == snapshot.end() || !predictions->is_object())
        return fail(Fault::corrupt, "scheduler:predictions: 'predictions' is not an object");
    if (predictions->size() > kSnapshotTypesMax)
        return fail(Fault::exhausted, "scheduler:predictions: more than 100000 types");
    // Everything is checked before anything is learned: half a snapshot would be worse than none.
    struct Known {
        std::string type;
        Duration run;
        int runs = 0;
    };
    std::vector<Known> known;
    for (const auto& [type, state] : predictions->items()) {
        const auto ema = state.is_object() ? state.find("ema") : state.end();
        const auto count = state.is_object() ? state.find("sampleCount") : state.end();
        const bool whole =
            state.is_object() && ema != state.end() && ema->is_number() && count != state.end() && count->is_number();
        const double us = whole ? ema->get<double>() * 1000 : -1;
        const double samples = whole ? count->get<double>() : -1;
        if (!(us >= 0) || us > static_cast<double>(kRunMax.us) || !(samples >= 0))
            return fail(Fault::corrupt,
                        "scheduler:predictions: type '" + type.substr(0, 128) + "' has no usable ema and sampleCount");
        known.push_back(
            {.type = type, .run = {std::llround(us)}, .runs = static_cast<int>(std::min<double>(samples, kWarmRuns))});
    }
    for (const Known& entry : known)
        for (int i = 0; i < entry.runs; ++i)
            learn({.features = {.type = entry.type}, .run = std::max(entry.run, microseconds(1))});
    return {};
}

}  // namespace nexus::predict
