#include "main/configuration.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/quantity.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "config/toml.h"
#include "identity/subjects.h"
#include "main/serve.h"
#include "predict/predictor.h"

namespace nexus::serve {
namespace {

using cli::Answer;

constexpr std::size_t kFilesMax = 1000;  // of the folder

Result<std::string> read_file(const std::string& path) {
    struct stat about{};
    if (stat(path.c_str(), &about) != 0) return fail(Fault::not_found, std::strerror(errno));
    if (!S_ISREG(about.st_mode)) return fail(Fault::invalid, "not a regular file");
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
    if (!file) return fail(Fault::denied, std::strerror(errno));
    std::string text(config::kTextBytesMax + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (text.size() > config::kTextBytesMax)
        return fail(Fault::invalid, "more than " + size_text(config::kTextBytesMax));
    return text;
}

Result<void> take_file(const std::string& path, config::Start& start) {
    const auto text = read_file(path);
    if (!text) return std::unexpected(Error(text.error()).during("cannot read " + path));
    auto taken = config::take_text(*text, "file " + path, start);
    if (!taken) return std::unexpected(std::move(taken).error().during(path));
    return {};
}

// The files NAME.toml of a folder, by name; hidden ones are what editors leave behind.
Result<std::vector<std::string>> files_in(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code fault;
    for (std::filesystem::directory_iterator at(folder, fault), end; !fault && at != end; at.increment(fault)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with('.') || !name.ends_with(".toml")) continue;
        files.push_back(at->path().string());
        if (files.size() > kFilesMax)
            return fail(Fault::invalid, folder + ": more than " + std::to_string(kFilesMax) + " files");
    }
    if (fault) return fail(Fault::not_found, "cannot read " + folder + ": " + fault.message());
    std::ranges::sort(files);
    return files;
}

// The folder beside "nexus.toml" is "nexus.d".
std::string folder_of(const StartFlags& flags) {
    if (!flags.folder.empty()) return flags.folder;
    if (flags.file.empty()) return {};
    std::string folder = std::filesystem::path(flags.file).replace_extension(".d").string();
    std::error_code fault;
    return std::filesystem::is_directory(folder, fault) ? folder : std::string();
}

Result<void> take_files(const StartFlags& flags, config::Start& start) {
    Result<void> done;
    if (!flags.file.empty()) done = take_file(flags.file, start);
    const std::string folder = folder_of(flags);
    if (!done || folder.empty()) return done;
    const auto files = files_in(folder);
    if (!files) return std::unexpected(files.error());
    for (const std::string& file : *files)
        if (done = take_file(file, start); !done) return done;
    return {};
}

// The models are known to `predict`, which the room of the settings cannot see.
Result<void> check_start(const config::Start& start) {
    if (auto model = predict::make_model(start.values.server.model); !model)
        return std::unexpected(std::move(model).error().during("server.model"));
    if (auto subjects = identity::subjects_from(start.values.server.tls_subjects); !subjects)
        return std::unexpected(std::move(subjects).error().during("server.tls_subjects"));
    return config::check(start);
}

}  // namespace

std::unexpected<cli::Failure> failed(const Error& error, std::string_view doing, std::string next) {
    return cli::failure(exit_code_of(error.fault),
                        doing.empty() ? error.what : fmt::format("{}: {}", doing, error.what), std::move(next));
}

void add_start_flags(CLI::App& verb, StartFlags& flags, std::span<const std::string_view> only) {
    verb.add_option("-c,--config", flags.file, "TOML file; the environment and flags override it");
    verb.add_option("--config-dir", flags.folder,
                    "Folder of further TOML files, read after it by name (default: nexus.d beside nexus.toml)");
    const config::Values defaults;
    for (const config::Setting& setting : config::settings()) {
        if (!setting.has_flag || (!only.empty() && std::ranges::find(only, setting.name) == only.end())) continue;
        std::string name = "--" + std::string(setting.key());
        std::ranges::replace(name, '_', '-');
        // --tls-cert of a verb that calls a server is what it shows that server.
        if (verb.get_option_no_throw(name) != nullptr) continue;
        std::string& given = flags.named[std::string(setting.name)];
        if (setting.kind == config::Kind::hosts) {  // one of them each time
            verb.add_option("--http-host", given, fmt::format("{}; repeatable", setting.meaning))->join(',');
            continue;
        }
        if (setting.kind == config::Kind::flag) {
            verb.add_flag_callback(name, [&given] { given = "true"; }, std::string(setting.meaning));
            continue;
        }
        std::string value = config::value_text(setting, defaults);
        std::erase(value, '"');
        verb.add_option(name, given,
                        fmt::format("{}{}", setting.meaning, value.empty() ? "" : " (default " + value + ")"));
    }
    verb.add_option("--set", flags.set, "Any setting, e.g. scheduler.lease=3s; see `nexus config keys`");
}

Result<config::Start> read_files(const std::vector<std::string>& paths) {
    config::Start start;
    Result<void> done;
    for (const std::string& path : paths) {
        std::error_code fault;
        if (!std::filesystem::is_directory(path, fault)) {
            done = take_file(path, start);
        } else if (const auto files = files_in(path); !files) {
            done = std::unexpected(files.error());
        } else if (files->empty()) {  // it was named, so something was expected there
            done = fail(Fault::not_found, path + ": no file in this folder ends in .toml");
        } else {
            for (const std::string& file : *files)
                if (done) done = take_file(file, start);
        }
        if (!done) return std::unexpected(std::move(done).error());
    }
    if (done = check_start(start); !done) return std::unexpected(std::move(done).error());
    return start;
}

Answer<config::Start> read_start(const StartFlags& flags) {
    config::Start start;
    Result<void> done = take_files(flags, start);
    if (!done) return failed(done.error(), "configuration");
    std::size_t count = 0;
    while (environ[count] != nullptr) ++count;
    done = config::take_environment(std::span<const char* const>(environ, count), start);
    const auto take = [&](const std::string& name, const std::string& value) {
        if (done && !value.empty()) done = config::take_value(name, value, "flag", start);
    };
    for (const auto& [name, value] : flags.named) take(name, value);
    for (const std::string& text : flags.set) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos)
            return cli::failure(cli::kExitUsage, "--set " + cli::safe_text(text, 80) + ": expected key=value");
        take(text.substr(0, equals), text.substr(equals + 1));
    }
    if (done) done = check_start(start);
    if (!done) return failed(done.error(), "configuration", "see `nexus config show` and `nexus config keys`");
    return start;
}

}  // namespace nexus::serve
