#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "base/rng.h"
#include "predict/key_table.h"
#include "predict/payload_slope.h"
#include "predict/type_name.h"
#include "predict/window.h"

using namespace nexus;
using namespace nexus::predict;

namespace {

// The heaviest window of the band's width that starts at some value, found the slow way.
float heaviest(const std::vector<std::pair<float, float>>& values) {
    float best = 0;
    for (const auto& low : values) {
        float inside = 0;
        for (const auto& [value, weight] : values)
            if (value >= low.first && value - low.first <= kBandWidth) inside += weight;
        best = std::max(best, inside);
    }
    return best;
}

struct Number {
    std::uint64_t n = 0;
    void save(Writer& out) const { out.varint(n); }
    void load(Reader& in) { n = in.varint(); }
};

}  // namespace

TEST_CASE("the densest band weighs what exhaustive search finds, and all of it is within 25 % of its centre") {
    Rng rng(2);
    for (int round = 0; round < 500; ++round) {
        std::vector<std::pair<float, float>> values;
        const std::uint64_t count = 1 + rng.below(20);
        // Few different values, so that ties and equal values are common.
        for (std::uint64_t i = 0; i < count; ++i)
            values.emplace_back(static_cast<float>(rng.below(30)) * 0.1F, static_cast<float>(1 + rng.below(4)));
        std::sort(values.begin(), values.end());
        std::vector<float> value, weight;
        for (const auto& [v, w] : values) {
            value.push_back(v);
            weight.push_back(w);
        }
        const Band band = densest_band(value.data(), weight.data(), value.size());
        REQUIRE_EQ(band.weight, doctest::Approx(heaviest(values)));
        float hit = 0;
        for (const auto& [v, w] : values)
            if (band.centre - v >= kHitLow - 1e-4F && band.centre - v <= kHitHigh + 1e-4F) hit += w;
        REQUIRE_EQ(hit, doctest::Approx(band.weight));
    }
    CHECK_EQ(densest_band(nullptr, nullptr, 0).total, 0);
}

TEST_CASE("values that come and go stay in order, and their densest band is what a search from scratch finds") {
    Rng rng(3);
    SortedBand sorted;
    std::vector<std::pair<float, std::uint32_t>> model;
    std::vector<std::int32_t> weight(2000);
    for (std::int32_t& w : weight) w = static_cast<std::int32_t>(rng.below(4) * 1000);
    for (std::uint32_t tag = 0; tag < weight.size(); ++tag) {
        // Coarse steps: ties, and distances of exactly the band's width or next to it, are common.
        const float value = static_cast<float>(rng.below(40)) * (kBandWidth / 4);
        if (model.size() < 60) {
            sorted.insert(value, tag);
        } else {
            const std::size_t leaving = rng.below(model.size());
            sorted.replace(sorted.place_of(model[leaving].second), value, tag);
            model.erase(model.begin() + static_cast<std::ptrdiff_t>(leaving));
        }
        model.emplace_back(value, tag);
        if (rng.one_in(50)) {
            const auto value_of = [](std::uint32_t t) { return static_cast<float>(t % 37) * (kBandWidth / 5); };
            sorted.reorder(value_of);
            for (auto& [v, t] : model) v = value_of(t);
        }
        std::sort(model.begin(), model.end());
        std::vector<float> values, weights;
        std::vector<std::pair<float, std::uint32_t>> kept;
        for (std::size_t i = 0; i < sorted.size(); ++i) {
            kept.emplace_back(sorted.value(i), sorted.tag(i));
            values.push_back(sorted.value(i));
            weights.push_back(static_cast<float>(weight[sorted.tag(i)]) / kWeightOne);
        }
        REQUIRE(std::is_sorted(values.begin(), values.end()));
        std::sort(kept.begin(), kept.end());
        REQUIRE_EQ(kept, model);
        const Band band = sorted.densest([&](std::uint32_t t) { return weight[t]; });
        const Band scratch = densest_band(values.data(), weights.data(), values.size());
        REQUIRE_EQ(band.weight, doctest::Approx(scratch.weight));
        REQUIRE_EQ(band.total, doctest::Approx(scratch.total));
        if (band.weight > 0) REQUIRE_EQ(band.centre, doctest::Approx(scratch.centre));
    }
}

TEST_CASE("a mode window holds the newest values in order, through loss and restoring") {
    Rng rng(4);
    ModeWindow window;
    std::deque<float> model;
    for (int i = 0; i < 2000; ++i) {
        const auto value = static_cast<float>(rng.below(12));
        window.insert(value, 7);
        model.push_back(value);
        if (model.size() > 7) model.pop_front();
        if (rng.one_in(50)) {
            window.keep_newest(3);
            while (model.size() > 3) model.pop_front();
        }
        std::vector<float> sorted(model.begin(), model.end());
        std::sort(sorted.begin(), sorted.end());
        REQUIRE_EQ(window.size(), sorted.size());
        REQUIRE_EQ(window.median(), (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2);
        REQUIRE_EQ(window.quantile(1), sorted.back());
        std::string bytes;
        Writer out(bytes);
        window.save(out);
        Reader in(bytes);
        ModeWindow restored;
        restored.load(in);
        REQUIRE_FALSE(in.failed());
        window = restored;
    }
}

TEST_CASE("a sample window keeps age, weight and order under any slope, through loss and restoring") {
    std::vector<float> weight_at{1};  // by age
    while (weight_at.size() < kWindowMax) weight_at.push_back(weight_at.back() * kSampleDecay);
    Rng rng(6);
    SampleWindow window;
    std::deque<Sample> model;  // oldest first; each value is unique
    float slope = 0;
    for (int i = 0; i < 1500; ++i) {
        const Sample fresh{.value = static_cast<float>(i % 97) + static_cast<float>(i) * 1e-3F,
                           .payload = static_cast<float>(rng.below(5)),
                           .type = static_cast<std::uint32_t>(i),
                           .user = 2,
                           .demand = 3,
                           .worker = static_cast<std::uint32_t>(i + 4)};
        window.insert(fresh, slope);
        model.push_back(fresh);
        if (model.size() > kWindowMax) model.pop_front();
        if (rng.one_in(10)) {
            slope = static_cast<float>(rng.below(4)) * 0.5F;
            window.resort(slope);
        }
        if (rng.one_in(400)) {
            window.keep_newest(4);
            while (model.size() > 4) model.pop_front();
        }
        REQUIRE_EQ(window.size(), model.size());
        for (std::size_t at = 0; at < window.size(); ++at) {
            const std::uint32_t slot = window.sorted().tag(at);
            const Sample here = window.sample(slot);
            REQUIRE_EQ(here, model[model.size() - 1 - window.age(slot)]);
            REQUIRE_EQ(window.sorted().value(at), here.value - slope * here.payload);
            REQUIRE_EQ(window.weights()[slot], weight_at[window.age(slot)]);
            REQUIRE_EQ(window.payloads()[slot], here.payload);
            REQUIRE_EQ(window.workers()[slot], here.worker);
            if (at > 0) REQUIRE_LE(window.sorted().value(at - 1), window.sorted().value(at));
        }
        if (!rng.one_in(20)) continue;
        std::string bytes;
        Writer out(bytes);
        window.save(out);
        Reader in(bytes);
        SampleWindow restored;
        restored.load(in, slope);
        REQUIRE_FALSE(in.failed());
        window = restored;
    }
}

TEST_CASE("a key table stays bounded, keeps the busy keys, and restores to the same bytes") {
    KeyTable<Number> table(64);
    for (std::uint64_t key = 1; key <= 20; ++key) table.find_or_admit(key)->n = key;
    for (std::uint64_t once = 0; once < 100'000; ++once) {
        if (Number* value = table.find_or_admit(1000 + once)) value->n = 1000 + once;
        // The twenty are asked for all the time.
        if (Number* busy = table.find(1 + once % 20)) CHECK_EQ(busy->n, 1 + once % 20);
    }
    CHECK_EQ(table.size(), 64);
    for (std::uint64_t key = 1; key <= 20; ++key) CHECK(table.peek(key) != nullptr);
    for (const auto& entry : table.entries()) {
        REQUIRE(table.peek(entry.key) == &entry.value);
        CHECK_EQ(entry.value.n, entry.key);
    }
    std::string bytes;
    Writer out(bytes);
    table.save(out);
    KeyTable<Number> restored(64);
    Reader in(bytes);
    restored.load(in);
    CHECK_FALSE(in.failed());
    std::string again;
    Writer second(again);
    restored.save(second);
    CHECK_EQ(again, bytes);
}

TEST_CASE("the payload slope is found, bounded, and not moved by one wild run") {
    Rng rng(8);
    for (const float slope : {0.0F, 0.5F, 1.0F, 3.0F, -1.0F}) {
        CAPTURE(slope);
        PayloadSlope learned;
        for (int i = 0; i < 300; ++i) {
            const auto x = static_cast<float>(4 + 6 * rng.unit());
            learned.learn(x, 5 + slope * x + 0.1F * static_cast<float>(rng.unit()));
        }
        const float want = std::clamp(slope, 0.0F, 1.5F);
        CHECK_EQ(learned.slope(), doctest::Approx(want).epsilon(0.06));
        learned.learn(10, 40);
        CHECK_EQ(learned.slope(), doctest::Approx(want).epsilon(0.15));
    }
}

TEST_CASE("families of type names") {
    static constexpr struct {
        const char *name, *family;
    } rows[] = {
        {"mag:BUSCO", "mag"},
        {"resize-image", "resize"},
        {"repo/org/build", "repo/org"},
        {"app80", "app"},
        {"app-1", "app"},
        {"plain", ""},
        {"", ""},
        {"12", ""},
        {"a_b_3", "a_b"},
        {"trailing/", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK_EQ(family_of(row.name), row.family);
    }
}
