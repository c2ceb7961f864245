#include "cli/shell.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>

#include "base/quantity.h"
#include "base/spelling.h"
#include "base/system_clock.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

struct Flags {
    reach::Flags access;
    std::int64_t timeout_us = 0;  // 0 = not given
    std::string format = "table";
    bool quiet = false;
    bool no_colour = false;
    bool watch = false;
    std::vector<std::string> columns;
    std::string columns_known;  // of this verb, with commas between them
};

std::vector<std::string> split(const std::string& names) {
    std::vector<std::string> words;
    std::istringstream in(names);
    for (std::string word; std::getline(in, word, ',');) words.push_back(word);
    return words;
}

Answer<void> check_columns(const Flags& flags) {
    const std::vector<std::string> known = split(flags.columns_known);
    if (known.empty() && flags.format == "csv")
        return failure(kExitUsage, "-o csv: this verb shows no list", "use -o json or -o yaml");
    const std::vector<std::string_view> words(known.begin(), known.end());
    for (const std::string& name : flags.columns)
        if (std::ranges::find(known, name) == known.end())
            return failure(kExitUsage,
                           "--columns: no column is called \"" + safe_text(name, 40) + "\"" + did_you_mean(name, words),
                           "one of " + flags.columns_known);
    return {};
}

Format format_from(const std::string& name) {
    if (name == "wide") return Format::wide;
    if (name == "json") return Format::json;
    if (name == "jsonl") return Format::jsonl;
    if (name == "yaml") return Format::yaml;
    if (name == "csv") return Format::csv;
    if (name == "name") return Format::name;
    return Format::table;
}

void add_shared_flags(CLI::App& verb, Flags& flags) {
    reach::add_flags(verb, flags.access, "Shared");
    add_duration(verb, "--timeout", flags.timeout_us,
                 "Longest wait for an answer, e.g. 500ms (default 10s; no limit with --wait)")
        ->group("Shared");
    verb.add_option("-o,--output", flags.format, "table, wide, json, jsonl, yaml, name or csv")
        ->check(CLI::IsMember({"table", "wide", "json", "jsonl", "yaml", "name", "csv"}))
        ->default_str("table")
        ->group("Shared");
    verb.add_flag("-q,--quiet", flags.quiet, "Results and errors only")->group("Shared");
    verb.add_flag("--no-color", flags.no_colour, "No colours (NO_COLOR does the same)")->group("Shared");
}

Answer<int> repeat(Shell& shell, const std::function<Answer<int>(Shell&)>& show) {
    while (true) {
        if (shell.terminal.out_is_tty && !shell.wants_json()) put("\x1b[H\x1b[2J");
        const auto shown = show(shell);
        if (!shown && shown.error().exit_code != kExitUnavailable) return shown;
        if (!shown) report(shown.error());
        if (shell.interrupt.wait(seconds(1))) return kExitOk;
    }
}

int run_verb(const Flags& flags, const std::function<Answer<int>(Shell&)>& run) {
    auto access = reach::resolve(flags.access);
    if (!access)
        return report({.exit_code = access.error().fault == Fault::not_found ? kExitNotFound : kExitUsage,
                       .what = access.error().what});
    if (const auto fine = check_address(access->server); !fine) return report(fine.error());
    if (const auto fine = check_columns(flags); !fine) return report(fine.error());
    Interrupt interrupt;
    const Format format = format_from(flags.format);
    Session session({.server = std::move(access->server),
                     .token = std::move(access->token),
                     .tls = std::move(access->tls),
                     .timeout = flags.timeout_us > 0 ? microseconds(flags.timeout_us) : seconds(10),
                     .for_people = format != Format::json && format != Format::jsonl && format != Format::yaml},
                    interrupt);
    Shell shell{.session = session,
                .interrupt = interrupt,
                .terminal = look_at_terminal(flags.no_colour),
                .format = format,
                .quiet = flags.quiet,
                .limit = microseconds(flags.timeout_us),
                .columns = flags.columns};
    const auto done = flags.watch ? repeat(shell, run) : run(shell);
    return done ? *done : report(done.error());
}

CLI::App* add(CLI::App& parent, const Verb& verb, int& exit_code, std::function<Answer<int>(Shell&)> run,
              bool watched) {
    const auto flags = std::make_shared<Flags>();
    CLI::App* app = parent.add_subcommand(verb.name, verb.help);
    app->footer("Examples:\n" + std::string(verb.examples));
    add_shared_flags(*app, *flags);
    flags->columns_known = verb.columns;
    if (!verb.columns.empty())
        app->add_option("--columns", flags->columns, "Only these, in this order: " + verb.columns)
            ->delimiter(',')
            ->group("Shared");
    if (watched) app->add_flag("-w,--watch", flags->watch, "Repeat every second until Ctrl-C");
    app->callback([flags, run = std::move(run), &exit_code] { exit_code = run_verb(*flags, run); });
    return app;
}

}  // namespace

void Shell::say(std::string_view line) const {
    if (!quiet) std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void Shell::say_more(const std::string& page_token) const {
    if (!page_token.empty() && !wants_json()) say("more with --page " + page_token);
}

bool Shell::put_table(const Table& table) const {
    const bool whole = !terminal.out_is_tty || format == Format::wide;
    return put(table.text(terminal.colour, whole ? 0 : terminal.columns));
}

CLI::App* add_verb(CLI::App& parent, const Verb& verb, int& exit_code, std::function<Answer<int>(Shell&)> run) {
    return add(parent, verb, exit_code, std::move(run), false);
}

CLI::App* add_watched_verb(CLI::App& parent, const Verb& verb, int& exit_code,
                           std::function<Answer<int>(Shell&)> show) {
    return add(parent, verb, exit_code, std::move(show), true);
}

CLI::App* add_noun(CLI::App& root, const char* name, const char* help) {
    const auto known = root.get_subcommands([&](const CLI::App* app) { return app->get_name() == name; });
    if (!known.empty()) return known.front();
    CLI::App* noun = root.add_subcommand(name, help);
    noun->require_subcommand(1);
    return noun;
}

std::string default_author() {
    const passwd* entry = getpwuid(getuid());
    return entry != nullptr && entry->pw_name != nullptr ? entry->pw_name : "unknown";
}

CLI::Option* add_duration(CLI::App& verb, const std::string& flags, std::int64_t& us, const std::string& help) {
    return verb
        .add_option_function<std::string>(
            flags,
            [&us, flags](const std::string& text) {
                const auto parsed = parse_duration(text);
                if (!parsed) throw CLI::ValidationError(flags, parsed.error().what);
                us = parsed->us;
            },
            help)
        ->type_name("DURATION");
}

std::int64_t now_unix_us() {
    return system_wall().us;
}

}  // namespace nexus::cli
