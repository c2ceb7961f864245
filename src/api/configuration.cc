#include "api/configuration.h"

#include <nexus/v1/nexus.pb.h>

#include <utility>

#include "api/view.h"
#include "base/quantity.h"
#include "config/setting.h"

namespace nexus::api {
namespace {

std::unexpected<Error> no_files() {
    return fail(Fault::unsupported, "this server does not tell what it was started with");
}

// Durations and sizes are told as they are written in a file; their unit stands in them.
std::string bound_text(config::Kind kind, std::int64_t bound) {
    if (kind == config::Kind::duration) return duration_text({bound});
    return kind == config::Kind::size ? size_text(static_cast<std::uint64_t>(bound)) : std::to_string(bound);
}

void describe(const config::Setting& setting, const config::Values& defaults, v1::SettingInfo& out) {
    using config::Kind;
    out.set_key(std::string(setting.name));
    out.set_type(std::string(config::kind_text(setting.kind)));
    if (setting.kind == Kind::duration) out.set_unit("us, ms, s, m, h, d");
    if (setting.kind == Kind::size) out.set_unit("B, kB, MB, GB, TB, KiB, MiB, GiB, TiB");
    const bool has_bounds =
        setting.kind == Kind::duration || setting.kind == Kind::size || setting.kind == Kind::number;
    if (has_bounds) out.set_min(bound_text(setting.kind, setting.min));
    if (has_bounds && setting.max != INT64_MAX) out.set_max(bound_text(setting.kind, setting.max));
    if (setting.kind == Kind::choice) out.set_unit(config::range_text(setting));
    out.set_default_(config::value_text(setting, defaults));
    out.set_live(setting.live());
    out.set_help(std::string(setting.meaning));
}

}  // namespace

void reload(Door& door, const Caller& caller, std::string author, std::string reason, engine::Done<Reloaded> done) {
    if (!door.start_files) return done(no_files());
    auto lay = door.start_files->read();
    if (!lay) return done(std::unexpected(std::move(lay).error()));
    door.engine.ask(caller, engine::GetConfig{},
                    [&door, caller, author = std::move(author), reason = std::move(reason), done = std::move(done),
                     lay = *std::move(lay)](Result<core::Config> live) mutable {
                        if (!live) return done(std::unexpected(std::move(live).error()));
                        auto read = lay(*live);
                        if (!read) return done(std::unexpected(std::move(read).error()));
                        // A change that comes between is not undone: the version says so, and whoever asked asks again.
                        engine::Configure request{.version = live->version,
                                                  .toml = {},
                                                  .author = std::move(author),
                                                  .reason = std::move(reason),
                                                  .whole = std::move(read->live)};
                        door.engine.ask(caller, std::move(request),
                                        [&door, keys = std::move(read->restart_keys),
                                         done = std::move(done)](Result<engine::Reconfigured> now) mutable {
                                            if (!now) return done(std::unexpected(std::move(now).error()));
                                            door.start_files->taken();
                                            done(Reloaded{.now = *std::move(now), .restart_keys = std::move(keys)});
                                        });
                    });
}

void run_reload(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done) {
    auto& asked = static_cast<v1::ReloadConfigRequest&>(request);
    reload(door, caller, asked.author(), asked.reason(),
           [&response, done = std::move(done)](Result<Reloaded> reloaded) mutable {
               if (!reloaded) return done(std::unexpected(std::move(reloaded).error()));
               auto& out = static_cast<v1::SchedulerConfig&>(response);
               to_message(reloaded->now, out);
               for (std::string& key : reloaded->restart_keys) out.add_restart_keys(std::move(key));
               done({});
           });
}

void run_get_schema(Door& door, const Caller& caller, Message&, Message& response, engine::Done<void> done) {
    door.engine.ask(caller, engine::GetConfig{},
                    [&door, &response, done = std::move(done)](Result<core::Config> config) mutable {
                        if (!config) return done(std::unexpected(std::move(config).error()));
                        const config::Values defaults;
                        config::Start now;
                        now.values.scheduler = *config;
                        const bool knows_origins = door.start_files && door.start_files->in_force;
                        if (knows_origins) now = door.start_files->in_force(*config);
                        for (const config::Setting& setting : config::settings()) {
                            if (!setting.live() && !knows_origins) continue;
                            v1::SettingInfo& info = *static_cast<v1::ConfigSchema&>(response).add_settings();
                            describe(setting, defaults, info);
                            info.set_value(config::value_text(setting, now.values));
                            const auto origin = now.origins.find(std::string(setting.name));
                            if (origin != now.origins.end())
                                info.set_origin(origin->second);
                            else if (knows_origins)
                                info.set_origin("default");
                        }
                        done({});
                    });
}

void run_get_config(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done) {
    const bool effective = static_cast<v1::GetConfigRequest&>(request).effective();
    if (effective && !door.start_files) return done(no_files());
    door.engine.ask(caller, engine::GetConfig{},
                    [&door, effective, &response, done = std::move(done)](Result<core::Config> config) mutable {
                        if (!config) return done(std::unexpected(std::move(config).error()));
                        auto& out = static_cast<v1::SchedulerConfig&>(response);
                        to_message(*config, out);
                        if (effective) out.set_toml(door.start_files->effective(*config));
                        done({});
                    });
}

}  // namespace nexus::api
