// Saving and restoring the mixture. A damaged length is refused before anything is allocated for it.

#include <algorithm>

#include "predict/floats.h"
#include "predict/mixture.h"

namespace nexus::predict {
namespace {

constexpr std::uint64_t kVersion = 3;
constexpr std::uint64_t kVersionBefore = 2;  // without the last part: arrays, and their expert

}  // namespace

void Mixture::TypeState::save(Writer& out) const {
    out.varint(seen);
    out.varint(beyond);
    recent.save(out);
    put_float(out, sorted_slope);
    samples.save(out);
    size.save(out);
    score.save(out);
    put_values(out, said);
}

void Mixture::TypeState::load(Reader& in) {
    seen = in.varint();
    beyond = static_cast<std::uint32_t>(std::min<std::uint64_t>(in.varint(), UINT32_MAX));
    recent.load(in);
    sorted_slope = get_float(in);
    samples.load(in, sorted_slope);
    size.load(in);
    score.load(in);
    said = get_values(in);
}

void Mixture::Cell::save(Writer& out) const {
    out.u64(type);
    recent.save(out);
    score.save(out);
    put_values(out, said);
}

void Mixture::Cell::load(Reader& in) {
    type = in.u64();
    recent.load(in);
    score.load(in);
    said = get_values(in);
}

void Mixture::Recent::save(Writer& out) const {
    out.u64(type);
    recent.save(out);
}

void Mixture::Recent::load(Reader& in) {
    type = in.u64();
    recent.load(in);
}

void Mixture::save(std::string& out) const {
    Writer writer(out);
    writer.varint(kVersion);
    types_.save(writer);
    users_.save(writer);
    cells_.save(writer);
    places_.save(writer);
    families_.save(writer);
    std::uint64_t used = 0;
    for (const Said& said : said_) used += said.key == 0 ? 0 : 1;
    writer.varint(used);
    for (const Said& said : said_) {
        if (said.key == 0) continue;
        writer.u64(said.key);
        put_values(writer, said.values);
    }
    rest_.save(writer);
    all_.save(writer);
    score_.save(writer);
    new_score_.save(writer);
    arrays_.save(writer);
    const auto more = [&](const auto& one) {
        one.score.save_more(writer);
        put_more(writer, one.said);
    };
    for (const auto& entry : types_.entries()) more(entry.value);
    for (const auto& entry : cells_.entries()) more(entry.value);
    more(rest_);
    for (const Said& said : said_)
        if (said.key != 0) put_more(writer, said.values);
    score_.save_more(writer);
    new_score_.save_more(writer);
}

void Mixture::load_more(Reader& in) {
    arrays_.load(in);
    const auto more = [&](auto& one) {
        one.score.load_more(in);
        get_more(in, one.said);
    };
    for (auto& entry : types_.entries()) more(entry.value);
    for (auto& entry : cells_.entries()) more(entry.value);
    more(rest_);
    for (Said& said : said_)
        if (said.key != 0) get_more(in, said.values);
    score_.load_more(in);
    new_score_.load_more(in);
}

Result<void> Mixture::load(std::string_view bytes) {
    Reader in(bytes);
    const std::uint64_t version = in.varint();
    if ((version != kVersion && version != kVersionBefore) || in.failed())
        return fail(Fault::corrupt, "mixture: not of this version");
    Mixture fresh(limits_);
    fresh.types_.load(in);
    fresh.users_.load(in);
    fresh.cells_.load(in);
    fresh.places_.load(in);
    fresh.families_.load(in);
    for (std::uint64_t left = in.count(8 + kExpertsBefore * 4); left > 0 && !in.failed(); --left) {
        const std::uint64_t key = in.u64();
        fresh.said_slot(key) = {.key = key, .values = get_values(in)};
    }
    fresh.rest_.load(in);
    fresh.all_.load(in);
    fresh.score_.load(in);
    fresh.new_score_.load(in);
    if (version == kVersion) fresh.load_more(in);
    if (in.failed() || !in.at_end()) return fail(Fault::corrupt, "mixture: bytes do not parse");
    *this = std::move(fresh);
    return {};
}

}  // namespace nexus::predict
