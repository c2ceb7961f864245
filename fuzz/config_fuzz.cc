// F8: bytes as configuration text, and as names in a configuration. What is accepted is written and read again as the
// same; a name that is none is refused wherever it comes from, and never becomes another key when it is written.
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/name.h"
#include "choices.h"
#include "config/toml.h"

using namespace nexus;

namespace {

void insist(bool condition) {
    if (!condition) std::abort();
}

void try_text(std::string_view text) {
    core::Config config;
    const auto named = config::apply(text, config);
    if (!named) {
        insist(named.error().fault == Fault::invalid && !named.error().what.empty());
        return insist(config == core::Config{});
    }
    core::Config back;
    insist(config::apply(config::to_toml(config), back).has_value());
    insist(back == config);
    insist(config::check(config).has_value());
    for (const config::Change& change : config::diff(core::Config{}, config)) insist(change.before != change.after);
}

void try_name(std::string_view name) {
    const std::string text(name);
    core::Config paused;
    const bool taken = config::apply(config::pause_edit(name, true), paused).has_value();
    insist(taken == is_name(name));
    if (!taken) insist(paused == core::Config{});
    core::Config config;
    config.queues = {{.name = text, .paused = true}};
    config.tenants = {{.name = text, .share = 7}};
    config.types = {{.name = text, .running_max = 3}};
    insist(config::check(config).has_value() == is_name(name));
    core::Config back;
    const bool read = config::apply(config::to_toml(config), back).has_value();
    insist(read == is_name(name));
    insist(read ? back == config : back == core::Config{});
    core::Config policy;
    if (config::apply(config::policy_edit(name), policy)) {
        policy.policy = core::Config{}.policy;
        insist(policy == core::Config{});
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    try_text(bytes);
    try_name(bytes);
    fuzz::Choices choices(data, size);
    try_name(choices.bytes(choices.below(130)));
    return 0;
}
