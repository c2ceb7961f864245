// The live configuration: read, changed as an edit or as a whole, its versions, and the way back to one.
#include <algorithm>
#include <utility>

#include "base/name.h"
#include "config/versions.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kVersionsBack = ListConfigVersions::kVersionsBack;

config::Edit edit_of(const history::AuditRow& row) {
    return {.before = row.before, .after = row.after};
}

ConfigVersionInfo version_of(const history::AuditRow& row) {
    return {.version = config::version_of(edit_of(row)),
            .at = row.place.at,
            .author = row.author,
            .caller = row.caller,
            .reason = row.reason,
            .changes = config::changes_of(edit_of(row))};
}

// `rows`: the newest changes, newest first; they may have passed `now` meanwhile.
Result<core::Config> config_at(std::uint32_t version, const core::Config& now,
                               const std::vector<history::AuditRow>& rows) {
    const std::string what = "version " + std::to_string(version) + " of the configuration";
    if (version == 0 || version > now.version)
        return fail(Fault::not_found, "there is no " + what + ": the newest is " + std::to_string(now.version));
    std::vector<config::Edit> edits;
    for (const history::AuditRow& row : rows) {
        config::Edit edit = edit_of(row);
        const std::uint32_t made = config::version_of(edit);
        if (made > version && made <= now.version) edits.push_back(std::move(edit));
    }
    core::Config config = now;
    if (auto undone = config::undo(edits, config); !undone)
        return std::unexpected(std::move(undone).error().during(what));
    if (config.version != version)
        return fail(Fault::not_found, what + ": what came after it is not kept any more, or is more than " +
                                          std::to_string(kVersionsBack) + " changes");
    return config;
}

AskAudit newest_versions() {
    AskAudit asked;
    asked.query.versions = true;
    asked.query.limit = kVersionsBack;
    return asked;
}

}  // namespace

void Engine::answer(const Caller&, GetConfig, Done<core::Config> done) {
    reply<core::Config>(std::move(done), core_.config());
}

Result<void> Engine::is_current(std::uint32_t version) const {
    const std::uint32_t now = core_.config().version;
    if (version == 0 || version == now) return {};
    return fail(Fault::conflict, "the configuration is at version " + std::to_string(now) + ", not " +
                                     std::to_string(version) + ": read it again");
}

void Engine::answer(const Caller& caller, Configure request, Done<Reconfigured> done) {
    const auto change = [&]() -> Result<Reconfigured> {
        if (auto ok = is_current(request.version); !ok) return std::unexpected(std::move(ok).error());
        core::Config config = request.whole ? *std::move(request.whole) : core_.config();
        config.version = core_.config().version;
        if (!request.toml.empty())
            if (auto ok = config::apply(request.toml, config); !ok) return std::unexpected(std::move(ok).error());
        core::Act act = act_of(caller, std::move(request.author), std::move(request.reason));
        if (auto ok = may_configure(config, act); !ok) return std::unexpected(std::move(ok).error());
        Reconfigured answer{.config = config, .changes = config::diff(core_.config(), config)};
        if (request.dry_run || answer.changes.empty()) return answer;
        answer.config = take_configuration(std::move(config), std::move(act));
        return answer;
    };
    reply<Reconfigured>(std::move(done), change());
}

void Engine::answer(const Caller& caller, RollBackConfig request, Done<Reconfigured> done) {
    if (auto ok = is_current(request.version); !ok)
        return reply<Reconfigured>(std::move(done), std::unexpected(std::move(ok).error()));
    ask(newest_versions(), [post = post, caller, request = std::move(request),
                            done = std::move(done)](Result<std::vector<history::AuditRow>> rows) mutable {
        if (!rows) return done(std::unexpected(std::move(rows).error()));
        post([caller, request = std::move(request), done = std::move(done),
              rows = *std::move(rows)](Engine& engine) mutable {
            auto whole = config_at(request.to, engine.core_.config(), rows);
            if (!whole) return engine.reply<Reconfigured>(std::move(done), std::unexpected(std::move(whole).error()));
            std::string reason = "back to version " + std::to_string(request.to);
            if (!request.reason.empty()) reason += ": " + request.reason;
            engine.answer(caller,
                          Configure{.version = request.version,
                                    .toml = {},
                                    .author = std::move(request.author),
                                    .reason = std::move(reason),
                                    .dry_run = request.dry_run,
                                    .whole = *std::move(whole)},
                          std::move(done));
        });
    });
}

void Engine::answer(const Caller&, ListConfigVersions request, Done<ConfigVersionsPage> done) {
    const auto place = event_place_of(request.page);
    if (!place) return reply<ConfigVersionsPage>(std::move(done), std::unexpected(place.error()));
    if (request.version != 0)
        return ask(newest_versions(), [version = request.version, now = core_.config(),
                                       done = std::move(done)](Result<std::vector<history::AuditRow>> rows) mutable {
            if (!rows) return done(std::unexpected(std::move(rows).error()));
            auto whole = config_at(version, now, *rows);
            if (!whole) return done(std::unexpected(std::move(whole).error()));
            ConfigVersionsPage page{.versions = {{.version = version}}, .whole = *std::move(whole)};
            for (const history::AuditRow& row : *rows)
                if (config::version_of(edit_of(row)) == version) page.versions.front() = version_of(row);
            done(std::move(page));
        });
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, 1000);
    AskAudit asked = newest_versions();
    asked.query.before = *place;
    asked.query.limit = limit + 1;
    ask(std::move(asked), [limit, done = std::move(done)](Result<std::vector<history::AuditRow>> rows) mutable {
        if (!rows) return done(std::unexpected(std::move(rows).error()));
        ConfigVersionsPage page;
        for (std::size_t i = 0; i < std::min(limit, rows->size()); ++i) page.versions.push_back(version_of((*rows)[i]));
        if (rows->size() > limit) page.next = page_token((*rows)[limit - 1].place);
        done(std::move(page));
    });
}

void Engine::answer(const Caller& caller, SetPolicy request, Done<core::Config> done) {
    core::Config config = core_.config();
    config.policy = request.policy;
    reply<core::Config>(std::move(done), reconfigure(std::move(config), act_of(caller, std::move(request.author),
                                                                               std::move(request.reason))));
}

void Engine::answer(const Caller& caller, PauseQueue request, Done<StatusInfo> done) {
    if (!is_name(request.queue))
        return reply<StatusInfo>(std::move(done), fail(Fault::invalid, "queue: " + std::string(kNameRule)));
    core::Config config = core_.config();
    auto& queues = config.queues;
    auto at = std::ranges::lower_bound(queues, request.queue, {}, &core::QueueLimits::name);
    if (at == queues.end() || at->name != request.queue) at = queues.insert(at, {.name = request.queue});
    at->paused = request.paused;
    if (auto ok = reconfigure(std::move(config), act_of(caller, std::move(request.author), std::move(request.reason)));
        !ok)
        return reply<StatusInfo>(std::move(done), std::unexpected(std::move(ok).error()));
    reply<StatusInfo>(std::move(done), status_now());
}

Result<void> Engine::may_configure(const core::Config& config, const core::Act& act) const {
    if (auto ok = may_act(act); !ok) return ok;
    if (auto ok = config::check(config); !ok) return ok;
    // Whatever the server has must be readable again by `config set`.
    if (config::to_toml(config).size() > config::kTextBytesMax)
        return fail(Fault::exhausted, "the configuration would be longer than " +
                                          std::to_string(config::kTextBytesMax / 1024) +
                                          " KiB: drop some queues first");
    return {};
}

Result<core::Config> Engine::reconfigure(core::Config config, core::Act act) {
    if (auto ok = may_configure(config, act); !ok) return std::unexpected(std::move(ok).error());
    return take_configuration(std::move(config), std::move(act));
}

core::Config Engine::take_configuration(core::Config config, core::Act act) {
    config.version = core_.config().version + 1;
    apply(core::ConfigChanged{.config = config, .act = std::move(act)});
    return config;
}

}  // namespace nexus::engine
