#include "api/configuration.h"

#include <nexus/v1/nexus.pb.h>

#include <utility>

#include "api/view.h"

namespace nexus::api {
namespace {

std::unexpected<Error> no_files() {
    return fail(Fault::unsupported, "this server does not tell what it was started with");
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
