#pragma once
// What a server does for its safety before anybody can reach it: its files, who may call, and the first token.

#include <memory>
#include <optional>
#include <string>

#include "cli/failure.h"
#include "config/setting.h"
#include "engine/runner.h"
#include "identity/guard.h"
#include "identity/tls_files.h"
#include "main/log.h"

namespace nexus::serve {

// Nothing that this process makes can be read by others from here on; nor can what is in the directory already: it is
// made 0700 and its files 0600, and that is said. Refused when it is another user's.
cli::Answer<void> protect_data(const std::string& directory, Log& log);

// The files of both listeners, checked; none when there is no TLS.
cli::Answer<std::optional<identity::TlsFiles>> tls_of(const config::Server& settings);

cli::Answer<std::shared_ptr<identity::Guard>> make_guard(const config::Server& settings);

// Where tokens are asked for and nobody has one that could make others, a token for an administrator is made: it is in
// DATA/admin.token, mode 0600, and on the terminal, if there is one. Returns what to say, or nothing.
cli::Answer<std::string> first_admin(const config::Server& settings, engine::Runner& runner,
                                     const identity::Guard& guard);

}  // namespace nexus::serve
