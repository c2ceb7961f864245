#include "main/config_verbs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/columns.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "config/toml.h"
#include "main/configuration.h"
#include "main/serve.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using cli::Shell;

int finish(const Answer<void>& done) {
    return done ? cli::kExitOk : cli::report(done.error());
}

void add_validate(CLI::App& config, int& exit_code) {
    const auto paths = std::make_shared<std::vector<std::string>>();
    CLI::App* validate = config.add_subcommand("validate", "Check configuration files without starting anything");
    validate->footer(
        "Examples:\n  nexus config validate nexus.toml\n  nexus config validate nexus.toml nexus.d    (together, as "
        "a server reads them)");
    validate->add_option("files", *paths, "Files, and folders of files; the later one wins")->required();
    validate->callback([paths, &exit_code] {
        exit_code = finish([&]() -> Answer<void> {
            const auto start = read_files(*paths);
            if (!start) return failed(start.error(), "");
            const std::size_t keys = start->origins.size();
            cli::put(fmt::format("{}: valid, {} {}\n", fmt::join(*paths, ", "), keys, keys == 1 ? "key" : "keys"));
            return {};
        }());
    });
}

// Somebody who names a server on the command line means the one that runs there.
bool names_server(const CLI::App& verb) {
    const CLI::Option* option = verb.get_option("--server");
    const char* usual = std::getenv("NEXUS_SERVER");
    return option->count() > 0 && (usual == nullptr || option->as<std::string>() != usual);
}

struct ShowFlags {
    StartFlags start;
    bool effective = false, running = false;
    const CLI::App* verb = nullptr;
};

Answer<int> show(Shell& shell, const ShowFlags& flags) {
    if (!flags.running && !names_server(*flags.verb)) {
        const auto start = read_start(flags.start);
        if (!start) return std::unexpected(start.error());
        cli::put(config::to_toml(*start, flags.effective));
        return cli::kExitOk;
    }
    const auto config = shell.session.get_config(true);
    if (!config) return std::unexpected(config.error());
    if (shell.wants_json())
        shell.put_json(*config);
    else
        cli::put(fmt::format("# of {}, version {}\n{}", shell.session.server(), config->version(), config->toml()));
    return cli::kExitOk;
}

void add_show(CLI::App& config, int& exit_code) {
    const auto flags = std::make_shared<ShowFlags>();
    CLI::App* verb = cli::add_verb(config,
                                   {.name = "show",
                                    .help = "The configuration a server would start with, or one runs with",
                                    .examples = "  nexus config show > nexus.toml\n"
                                                "  nexus config show --effective --config nexus.toml\n"
                                                "  nexus config show --running"},
                                   exit_code, [flags](Shell& shell) { return show(shell, *flags); });
    flags->verb = verb;
    verb->add_flag("--effective", flags->effective, "Say where each value comes from");
    verb->add_flag("--running", flags->running, "Of the running server, with where each value comes from");
    add_start_flags(*verb, flags->start);
}

// One line of `diff`: `live` when a reload takes it over.
struct Difference {
    std::string key, running, file;
    bool live = false;
};

Result<std::vector<Difference>> differences(const config::Start& files, std::string_view running_toml) {
    config::Values running;
    if (auto read = config::apply(running_toml, running); !read)
        return std::unexpected(std::move(read).error().during("the server's configuration"));
    std::vector<Difference> found;
    for (const config::Setting& setting : config::settings()) {
        if (setting.live() || !files.origins.contains(std::string(setting.name))) continue;
        Difference row{.key = std::string(setting.name),
                       .running = config::value_text(setting, running),
                       .file = config::value_text(setting, files.values)};
        if (row.running != row.file) found.push_back(std::move(row));
    }
    const auto laid = config::laid_over(running.scheduler, files);
    if (!laid) return std::unexpected(laid.error());
    for (config::Change& change : config::diff(running.scheduler, *laid))
        found.push_back({.key = std::move(change.key),
                         .running = std::move(change.before),
                         .file = std::move(change.after),
                         .live = true});
    return found;
}

const cli::Kind<Difference>& difference_kind() {
    using D = Difference;
    using cli::Look;
    static const cli::Kind<D> kind{
        .columns = {{.name = "key", .value = [](const D& d, const Look&) { return d.key; }},
                    {.name = "running",
                     .value = [](const D& d, const Look& look) { return look.text(d.running, 200); }},
                    {.name = "file", .value = [](const D& d, const Look& look) { return look.text(d.file, 200); }},
                    {.name = "taken-over-by",
                     .value = [](const D& d, const Look&) -> std::string {
                         return d.live ? "a reload" : "a restart";
                     }}},
        .name = [](const D& d) { return d.key; }};
    return kind;
}

cli::pb::SchedulerConfig message_of(const std::vector<Difference>& found) {
    cli::pb::SchedulerConfig out;
    for (const Difference& row : found) {
        cli::pb::ConfigChange& change = *out.add_changes();
        change.set_key(row.key);
        change.set_before(row.running);
        change.set_after(row.file);
        if (!row.live) out.add_restart_keys(row.key);
    }
    return out;
}

Answer<int> diff(Shell& shell, std::vector<std::string> paths) {
    if (paths.empty()) paths.emplace_back("nexus.toml");
    const auto files = read_files(paths);
    if (!files) return failed(files.error(), "configuration");
    const auto config = shell.session.get_config(true);
    if (!config) return std::unexpected(config.error());
    const auto found = differences(*files, config->toml());
    if (!found) return failed(found.error(), "");
    if (shell.wants_json()) {
        shell.put_json(message_of(*found));
    } else if (shell.format == cli::Format::name) {
        for (const Difference& row : *found) cli::put(row.key + "\n");
    } else if (found->empty()) {
        shell.say("no difference: the server runs with what the files say");
    } else {
        cli::put_rows(shell, *found, difference_kind());
    }
    return found->empty() ? cli::kExitOk : cli::kExitFailure;
}

void add_diff(CLI::App& config, int& exit_code) {
    const auto paths = std::make_shared<std::vector<std::string>>();
    CLI::App* verb =
        cli::add_verb(config,
                      {.name = "diff",
                       .help = "What files say otherwise than the running server; exit code 1 when there is something",
                       .examples = "  nexus config diff nexus.toml\n  nexus config diff nexus.toml nexus.d",
                       .columns = difference_kind().names()},
                      exit_code, [paths](Shell& shell) { return diff(shell, *paths); });
    verb->add_option("files", *paths, "Files, and folders of files (default nexus.toml)");
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

void add_config_verbs(CLI::App& root, int& exit_code) {
    CLI::App& config = *cli::add_noun(root, "config", "The configuration");
    add_validate(config, exit_code);
    add_show(config, exit_code);
    add_diff(config, exit_code);
    add_keys(config, exit_code);
}

}  // namespace nexus::serve
