#include "main/history_trace.h"

#include <algorithm>
#include <memory>

#include "core/task.h"
#include "history/clickhouse/clickhouse_history.h"
#include "history/sqlite/sqlite_history.h"
#include "main/configuration.h"
#include "main/open_history.h"

namespace nexus::serve {
namespace {

constexpr std::string_view kSettings[] = {"server.data", "server.history", "server.history_login_file",
                                          "server.history_ca_file"};
constexpr std::size_t kAtOnce = 10'000;
constexpr Duration kQuestionTimeMax = minutes(1);  // nobody waits for it but who asks

cli::Answer<std::unique_ptr<history::HistoryStore>> open_to_read(const StartFlags& flags) {
    const auto start = read_start(flags);
    if (!start) return std::unexpected(start.error());
    const config::Server& settings = start->values.server;
    const auto given = [&](const char* key) {
        const auto origin = start->origins.find(key);
        return origin != start->origins.end() && origin->second == "flag";
    };
    if (settings.history.empty() || (given("server.data") && !given("server.history"))) {
        auto embedded = history::SqliteHistory::open_to_read(
            {.path = settings.data + "/history.db", .question_time_max = kQuestionTimeMax});
        if (!embedded) return failed(embedded.error(), settings.data);
        return *std::move(embedded);
    }
    auto address = clickhouse_of(settings);
    if (!address) return std::unexpected(address.error());
    return std::make_unique<history::ClickHouseHistory>(
        history::ClickHouseOptions{.address = *address, .question_time_max = kQuestionTimeMax, .makes_tables = false});
}

// The newest first, as the history gives them.
Result<std::vector<history::TaskRow>> newest(history::HistoryStore& history, std::size_t limit) {
    std::vector<history::TaskRow> tasks;
    history::TaskQuery query{.states = {static_cast<std::uint8_t>(core::TaskState::succeeded)},
                             .order = history::TaskOrder::submitted};
    for (;;) {
        query.limit = limit == 0 ? kAtOnce : std::min(kAtOnce, limit - tasks.size());
        auto page = history.tasks(query);
        if (!page) return std::unexpected(std::move(page).error());
        const bool last = page->size() < query.limit;
        if (!page->empty()) query.before = page->back().task;
        std::ranges::move(*page, std::back_inserter(tasks));
        if (last || tasks.size() == limit) return tasks;
        if (tasks.size() > evaluate::kTraceRowsMax)
            return fail(Fault::invalid, "more tasks than can be measured at once; give --limit");
    }
}

Result<std::vector<evaluate::TraceRow>> read(const StartFlags& flags, std::size_t limit) {
    const auto history = open_to_read(flags);
    if (!history) return fail(Fault::not_found, history.error().what);
    auto tasks = newest(**history, limit);
    if (!tasks) return std::unexpected(std::move(tasks).error());
    std::erase_if(*tasks, [](const history::TaskRow& task) { return task.run.us < 0; });
    if (tasks->empty()) return fail(Fault::not_found, "the history holds no task that succeeded");
    std::ranges::reverse(*tasks);
    std::ranges::stable_sort(*tasks, {}, [](const history::TaskRow& task) { return task.submitted.us; });
    std::vector<evaluate::TraceRow> rows;
    rows.reserve(tasks->size());
    for (history::TaskRow& task : *tasks)
        rows.push_back({.submit = {task.submitted.us - tasks->front().submitted.us},
                        .run = std::max(task.run, microseconds(1)),
                        .type = std::move(task.type),
                        .group = std::move(task.tenant),
                        .worker = std::move(task.worker),
                        .payload = task.payload_bytes});
    return rows;
}

}  // namespace

evaluate::HistorySource history_source() {
    const auto flags = std::make_shared<StartFlags>();
    return {.add_flags = [flags](CLI::App& verb) { add_start_flags(verb, *flags, kSettings); },
            .read = [flags](std::size_t limit) { return read(*flags, limit); }};
}

}  // namespace nexus::serve
