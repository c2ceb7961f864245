#pragma once
// The live configuration between the API and what the server was started with: reading the files of the start again,
// and telling where each value comes from. The files themselves belong to whoever started the server; without them both
// are refused.

#include <functional>
#include <string>
#include <vector>

#include "api/methods.h"
#include "base/result.h"
#include "config/sources.h"
#include "core/config.h"
#include "engine/requests.h"

namespace nexus::api {

// The files, the environment and the flags of the start, read again and laid over the configuration in force.
struct Reread {
    core::Config live;
    std::vector<std::string> restart_keys;  // what differs and is read at start only: "server.listen"
};
struct StartFiles {
    // Reads the files now; what it returns is pure and may be called on the engine's thread. Thread-safe.
    using Lay = std::function<Result<Reread>(const core::Config& live)>;
    std::function<Result<Lay>()> read;
    // The live configuration took over what was read. Thread-safe.
    std::function<void()> taken;
    // All settings as TOML, with a comment behind each that says where it comes from. Thread-safe.
    std::function<std::string(const core::Config& live)> effective;
    // The same as values with their origins, see config::in_force. Thread-safe.
    std::function<config::Start(const core::Config& live)> in_force;
};

struct Reloaded {
    engine::Reconfigured now;
    std::vector<std::string> restart_keys;
};
// What SIGHUP and ReloadConfig do: one event with all that differs, or none. After an error nothing has changed. Reads
// files on this thread. Faults: those of reading and of engine::Configure; unsupported: there are no files.
void reload(Door& door, const Caller& caller, std::string author, std::string reason, engine::Done<Reloaded> done);

// Method::run of the rows that need the files.
void run_reload(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done);
void run_get_schema(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done);
void run_get_config(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done);

}  // namespace nexus::api
