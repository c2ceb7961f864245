#include "predict/baselines.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/bytes.h"
#include "base/hash.h"
#include "predict/key_table.h"
#include "predict/window.h"

namespace nexus::predict {
namespace {

constexpr std::size_t kTypesMax = 16'384;
constexpr double kUnknownUs = 5e6;  // the old Nexus default

Estimate estimate_of(double us, EstimateSource source, double confidence) {
    Estimate estimate;
    estimate.p50.us = std::max<std::int64_t>(std::llround(us), 1);
    estimate.p90 = estimate.p50;
    estimate.mean = estimate.p50;
    estimate.confidence_permille = static_cast<std::uint16_t>(std::lround(1000 * confidence));
    estimate.source = source;
    return estimate;
}

// What the three have in common: a table by type and its bytes. `State` needs learn(us), save and load.
template <class State>
class ByType : public Model {
public:
    void learn(const Observation& observation) override {
        if (observation.end != RunEnd::succeeded) return;
        const double us = static_cast<double>(std::max<std::int64_t>(observation.run.us, 1));
        State* state = types_.find_or_admit(hash_bytes(observation.features.type));
        if (state != nullptr) state->learn(us);
        all_.learn(us);
    }
    void forget(std::string_view type) override {
        if (State* state = types_.find(hash_bytes(type))) *state = State();
    }
    void save(std::string& out) const override {
        Writer writer(out);
        all_.save(writer);
        types_.save(writer);
    }
    Result<void> load(std::string_view bytes) override {
        Reader in(bytes);
        State all;
        all.load(in);
        KeyTable<State> types(kTypesMax);
        if (!in.failed()) types.load(in);
        if (in.failed() || !in.at_end())
            return fail(Fault::corrupt, std::string(name()) + " model: bytes do not parse");
        all_ = std::move(all);
        types_ = std::move(types);
        return {};
    }

protected:
    const State* known(std::string_view type) {
        const State* state = types_.find(hash_bytes(type));
        return state == nullptr || state->empty() ? nullptr : state;
    }
    KeyTable<State> types_{kTypesMax};
    State all_;
};

struct EmaState {
    double us = 0;
    std::uint64_t samples = 0;
    bool empty() const { return samples == 0; }
    void learn(double run) {
        constexpr double kAlpha = 0.3;
        us = samples++ == 0 ? run : kAlpha * run + (1 - kAlpha) * us;
    }
    void save(Writer& out) const {
        out.f64(us);
        out.varint(samples);
    }
    void load(Reader& in) {
        us = in.f64();
        samples = in.varint();
        if (!(us >= 0 && us < 1e19)) in.set_failed();
    }
};

struct WindowState {
    ModeWindow window;
    bool empty() const { return window.empty(); }
    void save(Writer& out) const { window.save(out); }
    void load(Reader& in) { window.load(in); }
};
struct MedianState : WindowState {
    void learn(double run) { window.insert(static_cast<float>(std::log(run)), 10); }
};
struct ModeState : WindowState {
    void learn(double run) { window.insert(static_cast<float>(std::log(run)), 50); }
};

class Ema final : public ByType<EmaState> {
public:
    std::string_view name() const override { return "ema"; }
    Result<Estimate> estimate(const Features& features) override {
        const EmaState* state = known(features.type);
        if (state == nullptr) return estimate_of(kUnknownUs, EstimateSource::fallback, 0);
        const double confidence = std::min(1.0, static_cast<double>(state->samples) / 100);
        return estimate_of(state->us, EstimateSource::ema, confidence);
    }
};

class Median10 final : public ByType<MedianState> {
public:
    std::string_view name() const override { return "median10"; }
    Result<Estimate> estimate(const Features& features) override {
        const MedianState* state = known(features.type);
        if (state == nullptr && all_.empty()) return estimate_of(kUnknownUs, EstimateSource::fallback, 0);
        const ModeWindow& window = state == nullptr ? all_.window : state->window;
        const double confidence = state == nullptr ? 0.0 : static_cast<double>(window.size()) / 20;
        return estimate_of(std::exp(static_cast<double>(window.median())),
                           state == nullptr ? EstimateSource::global : EstimateSource::model, confidence);
    }
};

class Mode50 final : public ByType<ModeState> {
public:
    std::string_view name() const override { return "mode50"; }
    Result<Estimate> estimate(const Features& features) override {
        static constexpr AgeWeights kWeights = age_weights(0.95F);
        const ModeState* state = known(features.type);
        if (state == nullptr && all_.empty()) return estimate_of(kUnknownUs, EstimateSource::fallback, 0);
        const Band band = (state == nullptr ? all_ : *state).window.mode(kWeights);
        const double confidence = state == nullptr ? 0.0 : static_cast<double>(band.weight / (band.total + 1));
        return estimate_of(std::exp(static_cast<double>(band.centre)),
                           state == nullptr ? EstimateSource::global : EstimateSource::type_mode, confidence);
    }
};

}  // namespace

std::unique_ptr<Model> make_ema() {
    return std::make_unique<Ema>();
}
std::unique_ptr<Model> make_median10() {
    return std::make_unique<Median10>();
}
std::unique_ptr<Model> make_mode50() {
    return std::make_unique<Mode50>();
}

}  // namespace nexus::predict
