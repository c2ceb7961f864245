// The models by name.

#include <array>

#include "predict/baselines.h"
#include "predict/mixture.h"
#include "predict/predictor.h"

namespace nexus::predict {
namespace {

struct Entry {
    std::string_view name;
    std::unique_ptr<Model> (*make)();
};

constexpr std::array<Entry, 4> kModels = {{
    {"mixture", []() -> std::unique_ptr<Model> { return std::make_unique<Mixture>(); }},
    {"ema", make_ema},
    {"median10", make_median10},
    {"mode50", make_mode50},
}};

}  // namespace

Result<std::unique_ptr<Model>> make_model(std::string_view name) {
    for (const Entry& entry : kModels)
        if (entry.name == name) return entry.make();
    std::string what = "no model '" + std::string(name) + "'; there are";
    for (const Entry& entry : kModels) what.append(" ").append(entry.name);
    return fail(Fault::not_found, std::move(what));
}

std::vector<std::string_view> model_names() {
    std::vector<std::string_view> names;
    for (const Entry& entry : kModels) names.push_back(entry.name);
    return names;
}

}  // namespace nexus::predict
