#include "main/configuration.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
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

// The models are known to `predict`, which the room of the settings cannot see.
Result<void> check_start(const config::Start& start) {
    if (auto model = predict::make_model(start.values.server.model); !model)
        return std::unexpected(std::move(model).error().during("server.model"));
    if (auto subjects = identity::subjects_from(start.values.server.tls_subjects); !subjects)
        return std::unexpected(std::move(subjects).error().during("server.tls_subjects"));
    return config::check(start);
}

int finish(const Answer<void>& done) {
    return done ? cli::kExitOk : cli::report(done.error());
}

void add_validate(CLI::App& config, int& exit_code) {
    const auto path = std::make_shared<std::string>();
    CLI::App* validate = config.add_subcommand("validate", "Check a configuration file without starting anything");
    validate->footer("Examples:\n  nexus config validate nexus.toml");
    validate->add_option("file", *path, "The file")->required();
    validate->callback([path, &exit_code] {
        exit_code = finish([&]() -> Answer<void> {
            config::Start start;
            auto done = take_file(*path, start);
            if (done) done = check_start(start);
            if (!done) return failed(done.error(), "");
            const std::size_t keys = start.origins.size();
            cli::put(fmt::format("{}: valid, {} {}\n", *path, keys, keys == 1 ? "key" : "keys"));
            return {};
        }());
    });
}

void add_show(CLI::App& config, int& exit_code) {
    const auto flags = std::make_shared<StartFlags>();
    CLI::App* show = config.add_subcommand("show", "The configuration a server would start with");
    show->footer("Examples:\n  nexus config show > nexus.toml\n  nexus config show --effective --config nexus.toml");
    const auto effective = std::make_shared<bool>(false);
    show->add_flag("--effective", *effective, "Say where each value comes from");
    add_start_flags(*show, *flags);
    show->callback([flags, effective, &exit_code] {
        exit_code = finish([&]() -> Answer<void> {
            const auto start = read_start(*flags);
            if (!start) return std::unexpected(start.error());
            cli::put(config::to_toml(*start, *effective));
            return {};
        }());
    });
}

void add_keys(CLI::App& config, int& exit_code) {
    const auto markdown = std::make_shared<bool>(false);
    CLI::App* keys = config.add_subcommand("keys", "All settings: default, range, meaning");
    keys->footer("Examples:\n  nexus config keys\n  nexus config keys | grep lease");
    keys->add_flag("--markdown", *markdown, "As docs/settings.md has them");
    keys->callback([markdown, &exit_code] {
        exit_code = cli::kExitOk;
        if (*markdown) return void(cli::put(config::settings_markdown()));
        const config::Values defaults;
        cli::Table table({"KEY", "CHANGE", "DEFAULT", "MEANING", "RANGE"});
        for (const config::Setting& setting : config::settings())
            table.add({std::string(setting.name), setting.live() ? "live" : "restart",
                       config::value_text(setting, defaults), std::string(setting.meaning),
                       config::range_text(setting)});
        cli::put(table.text(false));
    });
}

}  // namespace

std::unexpected<cli::Failure> failed(const Error& error, std::string_view doing, std::string next) {
    return cli::failure(exit_code_of(error.fault),
                        doing.empty() ? error.what : fmt::format("{}: {}", doing, error.what), std::move(next));
}

void add_start_flags(CLI::App& verb, StartFlags& flags) {
    verb.add_option("-c,--config", flags.file, "TOML file; the environment and flags override it");
    const config::Values defaults;
    for (const config::Setting& setting : config::settings()) {
        if (!setting.has_flag) continue;
        std::string& given = flags.named[std::string(setting.name)];
        if (setting.kind == config::Kind::hosts) {  // one of them each time
            verb.add_option("--http-host", given, fmt::format("{}; repeatable", setting.meaning))->join(',');
            continue;
        }
        std::string name = "--" + std::string(setting.key());
        std::ranges::replace(name, '_', '-');
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

Answer<config::Start> read_start(const StartFlags& flags) {
    config::Start start;
    Result<void> done;
    if (!flags.file.empty()) done = take_file(flags.file, start);
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

void add_config_verbs(CLI::App& root, int& exit_code) {
    const auto nouns = root.get_subcommands([](const CLI::App* app) { return app->get_name() == "config"; });
    CLI::App& config = nouns.empty() ? *cli::add_noun(root, "config", "The configuration") : *nouns.front();
    add_validate(config, exit_code);
    add_show(config, exit_code);
    add_keys(config, exit_code);
}

}  // namespace nexus::serve
