#include "reach/reach.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "reach/profiles.h"

namespace nexus::reach {
namespace {

constexpr std::size_t kTokenBytesMax = 4096;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string first_of(const std::string& flag, const char* variable, const std::string& profile) {
    if (!flag.empty()) return flag;
    const std::string given = variable == nullptr ? "" : environment(variable);
    return given.empty() ? profile : given;
}

Result<std::string> read_token(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file.is_open()) return fail(Fault::not_found, "token file " + path + " cannot be read");
    std::string token{std::istreambuf_iterator<char>(file), {}};
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
    if (token.empty() || token.size() > kTokenBytesMax || token.find_first_of(" \r\n\t") != std::string::npos)
        return fail(Fault::invalid, "token file " + path + " does not hold one token");
    return token;
}

Result<Profile> choose_profile(const Flags& flags, const std::string& server) {
    const std::string named = first_of(flags.profile, "NEXUS_PROFILE", "");
    auto profiles = read_profiles(profiles_path());
    if (!profiles) return std::unexpected(std::move(profiles).error());
    const std::string name = named.empty() ? profiles->current : named;
    if (name.empty()) return Profile{};
    const auto found = profiles->all.find(name);
    if (found == profiles->all.end())
        return fail(Fault::not_found, "there is no profile " + name + "; see `nexus profile list`");
    if (named.empty() && !server.empty() && server != found->second.server) return Profile{};
    return found->second;
}

}  // namespace

void add_flags(CLI::App& verb, Flags& flags, const std::string& group) {
    verb.add_option("--server", flags.server, "Address of the server, host:port")
        ->envname("NEXUS_SERVER")
        ->default_str(std::string(kServerDefault))
        ->group(group);
    verb.add_option("--profile", flags.profile, "Server, token and certificates by name, see `nexus profile`")
        ->group(group);
    verb.add_option("--token-file", flags.token_file, "File with the token to show (or the token in NEXUS_TOKEN)")
        ->group(group);
    verb.add_flag("--tls", flags.tls, "Connect in TLS, with the certificate authorities of this system")->group(group);
    verb.add_option("--tls-ca", flags.tls_ca, "In TLS, with the authority in this file (PEM)")->group(group);
    verb.add_option("--tls-cert", flags.tls_cert, "Certificate to show (PEM), for mutual TLS")->group(group);
    verb.add_option("--tls-key", flags.tls_key, "Its key (PEM)")->group(group);
}

Result<Access> resolve(const Flags& flags) {
    const auto profile = choose_profile(flags, flags.server);
    if (!profile) return std::unexpected(profile.error());
    Access access;
    access.server = first_of(flags.server, nullptr, profile->server);
    if (access.server.empty()) access.server = kServerDefault;
    const std::string from_environment = environment("NEXUS_TOKEN");
    const std::string file = !flags.token_file.empty()   ? flags.token_file
                             : !from_environment.empty() ? ""
                                                         : first_of("", "NEXUS_TOKEN_FILE", profile->token_file);
    if (!file.empty()) {
        auto token = read_token(file);
        if (!token) return std::unexpected(std::move(token).error());
        access.token = *std::move(token);
    } else {
        access.token = from_environment;
    }
    TlsFiles tls{.ca = first_of(flags.tls_ca, "NEXUS_TLS_CA", profile->tls_ca),
                 .certificate = first_of(flags.tls_cert, "NEXUS_TLS_CERT", profile->tls_cert),
                 .key = first_of(flags.tls_key, "NEXUS_TLS_KEY", profile->tls_key)};
    const std::string asked = environment("NEXUS_TLS");
    if (flags.tls || profile->tls || (!asked.empty() && asked != "0" && asked != "false") || !tls.ca.empty() ||
        !tls.certificate.empty())
        access.tls = std::move(tls);
    return access;
}

}  // namespace nexus::reach
