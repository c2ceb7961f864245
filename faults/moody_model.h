#pragma once
// A model that fails as models do: by error, exception, nonsense. In between it is the production default.

#include <functional>
#include <memory>
#include <stdexcept>

#include "base/must.h"
#include "base/rng.h"
#include "predict/predictor.h"

namespace nexus::faults {

class MoodyModel final : public predict::Model {
public:
    // `one_in` is asked each time; 0 = well.
    MoodyModel(std::uint64_t seed, std::function<std::uint32_t()> one_in) : rng_(seed), one_in_(std::move(one_in)) {
        auto made = predict::make_model("mixture");
        MUST(made.has_value());
        inner_ = std::move(*made);
    }
    std::string_view name() const override { return "moody"; }
    Result<Estimate> estimate(const predict::Features& features) override {
        const std::uint32_t n = one_in_();
        if (n == 0 || !rng_.one_in(n)) return inner_->estimate(features);
        switch (rng_.below(4)) {
            case 0: return fail(Fault::unavailable, "moody");
            case 1: throw std::runtime_error("moody");
            case 2: return Estimate{.p50 = {-1}, .p90 = {-1}, .mean = {-1}, .source = EstimateSource::model};
            default:
                return Estimate{
                    .p50 = {INT64_MAX}, .p90 = {INT64_MAX}, .mean = {INT64_MAX}, .source = EstimateSource::model};
        }
    }
    void learn(const predict::Observation& observation) override { inner_->learn(observation); }
    void forget(std::string_view type) override { inner_->forget(type); }
    void shorten(std::string_view type) override { inner_->shorten(type); }
    void save(std::string& out) const override { inner_->save(out); }
    Result<void> load(std::string_view bytes) override { return inner_->load(bytes); }

private:
    Rng rng_;
    std::function<std::uint32_t()> one_in_;
    std::unique_ptr<predict::Model> inner_;
};

}  // namespace nexus::faults
