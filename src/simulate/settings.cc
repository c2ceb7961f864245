#include "simulate/settings.h"

#include <cmath>
#include <cstdlib>

namespace nexus::simulate {
namespace {

Result<double> number_of(const std::string& name, const std::string& value, double max) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(number >= 0) || number > max)
        return fail(Fault::invalid, "setting " + name + ": '" + value + "' is not a number from 0 to " +
                                        std::to_string(static_cast<long>(max)));
    return number;
}

}  // namespace

Result<void> set_config(core::Config& config, const std::string& name, const std::string& value) {
    if (name == "placement") {
        if (value != "balanced" && value != "fastest")
            return fail(Fault::invalid, "setting placement: '" + value + "' is neither balanced nor fastest");
        config.placement = value == "fastest" ? core::Placement::fastest : core::Placement::balanced;
        return {};
    }
    const bool flag = name == "breaker" || name == "speculation" || name == "pause";
    Result<double> number = number_of(name, value, flag ? 1 : 100'000);
    if (!number) return std::unexpected(std::move(number).error());
    const auto permille = static_cast<std::uint32_t>(std::llround(*number * 1000));
    if (name == "size-weight")
        config.size_weight_permille = permille;
    else if (name == "credit")
        config.priority_credit_permille = permille;
    else if (name == "overtake-cap")
        config.overtake_cap_means = permille / 1000;
    else if (name == "overtake-max-s")
        config.overtake_max = milliseconds(permille);
    else if (name == "breaker")
        config.breaker = *number != 0;
    else if (name == "breaker-ratio")
        config.breaker_ratio_permille = permille;
    else if (name == "pause")
        config.pause = *number != 0;
    else if (name == "pause-ratio")
        config.pause_ratio_permille = permille;
    else if (name == "speculation")
        config.speculation = *number != 0;
    else
        return fail(Fault::invalid,
                    "setting '" + name +
                        "' is unknown; known are size-weight, credit, overtake-cap, "
                        "overtake-max-s, placement, breaker, breaker-ratio, speculation, pause, pause-ratio");
    return {};
}

}  // namespace nexus::simulate
