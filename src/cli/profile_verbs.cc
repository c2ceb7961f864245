// profile: names for servers with the token and the certificates that go with them.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/name.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "reach/profiles.h"

namespace nexus::cli {
namespace {

struct ProfileFlags {
    std::string name, output = "table";
    reach::Profile profile;
};

Answer<void> told(const Error& error) {
    return failure(error.fault == Fault::denied ? kExitRefused : kExitUsage, "profiles: " + error.what);
}

// Reads them, lets `change` change them, and writes them.
Answer<void> change_profiles(const std::function<Answer<void>(reach::Profiles&)>& change) {
    const std::string path = reach::profiles_path();
    auto profiles = reach::read_profiles(path);
    if (!profiles) return told(profiles.error());
    if (auto done = change(*profiles); !done) return done;
    if (auto done = reach::write_profiles(path, *profiles); !done) return told(done.error());
    return {};
}

Answer<void> none(const std::string& name) {
    return failure(kExitNotFound, "there is no profile " + safe_text(name, 128), "see `nexus profile list`");
}

Answer<void> add_profile(ProfileFlags flags) {
    if (!is_name(flags.name)) return failure(kExitUsage, "name: " + std::string(kNameRule));
    if (auto fine = check_address(flags.profile.server); !fine) return fine;
    // A path must mean the same from every directory.
    for (std::string* path :
         {&flags.profile.token_file, &flags.profile.tls_ca, &flags.profile.tls_cert, &flags.profile.tls_key})
        if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
    return change_profiles([&](reach::Profiles& profiles) -> Answer<void> {
        profiles.all[flags.name] = flags.profile;
        if (profiles.current.empty()) profiles.current = flags.name;
        return {};
    });
}

Answer<void> use_profile(const std::string& name) {
    return change_profiles([&](reach::Profiles& profiles) -> Answer<void> {
        if (!profiles.all.contains(name)) return none(name);
        profiles.current = name;
        return {};
    });
}

Answer<void> remove_profile(const std::string& name) {
    return change_profiles([&](reach::Profiles& profiles) -> Answer<void> {
        if (profiles.all.erase(name) == 0) return none(name);
        if (profiles.current == name) profiles.current.clear();
        return {};
    });
}

Answer<void> list_profiles(const std::string& output) {
    const auto profiles = reach::read_profiles(reach::profiles_path());
    if (!profiles) return told(profiles.error());
    if (output == "json") {
        nlohmann::ordered_json all = nlohmann::ordered_json::array();
        for (const auto& [name, profile] : profiles->all)
            all.push_back({{"name", name},
                           {"current", name == profiles->current},
                           {"server", profile.server},
                           {"token_file", profile.token_file},
                           {"tls", profile.tls || !profile.tls_ca.empty()},
                           {"tls_ca", profile.tls_ca}});
        put(all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
        return {};
    }
    Table table({"", "NAME", "SERVER", "TLS", "TOKEN FILE"});
    for (const auto& [name, profile] : profiles->all)
        table.add({name == profiles->current ? "*" : "", name, safe_text(profile.server, 80),
                   profile.tls || !profile.tls_ca.empty() ? "yes" : "no", safe_text(profile.token_file, 120)});
    put(table.empty() ? "no profiles yet; see `nexus profile add --help`\n" : table.text(false));
    return {};
}

CLI::App* add(CLI::App& noun, const char* name, const char* help, const char* examples, int& exit_code,
              std::function<Answer<void>()> run) {
    CLI::App* verb = noun.add_subcommand(name, help);
    verb->footer("Examples:\n" + std::string(examples));
    verb->callback([run = std::move(run), &exit_code] {
        const auto done = run();
        exit_code = done ? kExitOk : report(done.error());
    });
    return verb;
}

}  // namespace

void add_profile_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "profile", "Servers by name, with their tokens and certificates");
    const auto flags = std::make_shared<ProfileFlags>();
    CLI::App* added =
        add(*noun, "add", "Keep a server under a name, or change what is kept",
            "  nexus profile add prod --server nexus.example.org:7070 --token-file ~/prod.token --tls-ca ca.pem",
            exit_code, [flags] { return add_profile(*flags); });
    added->add_option("name", flags->name, "The name")->required();
    added->add_option("--server", flags->profile.server, "Address of the server, host:port")->required();
    added->add_option("--token-file", flags->profile.token_file, "File with the token to show");
    added->add_flag("--tls", flags->profile.tls, "Connect in TLS, with the certificate authorities of this system");
    added->add_option("--tls-ca", flags->profile.tls_ca, "In TLS, with the authority in this file (PEM)");
    added->add_option("--tls-cert", flags->profile.tls_cert, "Certificate to show (PEM), for mutual TLS");
    added->add_option("--tls-key", flags->profile.tls_key, "Its key (PEM)");
    add(*noun, "use", "Use a profile whenever none is named", "  nexus profile use prod", exit_code,
        [flags] { return use_profile(flags->name); })
        ->add_option("name", flags->name, "The name")
        ->required();
    add(*noun, "remove", "Forget a profile; its token file stays", "  nexus profile remove prod", exit_code,
        [flags] { return remove_profile(flags->name); })
        ->add_option("name", flags->name, "The name")
        ->required();
    add(*noun, "list", "All profiles; * marks the one in use", "  nexus profile list", exit_code,
        [flags] { return list_profiles(flags->output); })
        ->add_option("-o,--output", flags->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
}

}  // namespace nexus::cli
