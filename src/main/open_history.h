#pragma once
// Where the history is kept, by server.history: embedded in the data directory, or in ClickHouse with a spool before it.

#include <functional>
#include <memory>

#include "cli/failure.h"
#include "config/setting.h"
#include "history/clickhouse/clickhouse_history.h"
#include "history/spool/spooled_history.h"
#include "history/sqlite/sqlite_history.h"
#include "main/log.h"

namespace nexus::serve {

class OpenHistory {
public:
    // A ClickHouse that is away, or refuses, does not keep a server from starting: it is told, and the rows wait.
    static cli::Answer<std::unique_ptr<OpenHistory>> open(const config::Server& settings, Log& log);
    // Does not wait for a server that does not answer.
    ~OpenHistory();

    history::HistoryStore& store();
    // How the server of the history is doing; empty for the embedded one, which is no server.
    std::function<history::HistoryHealth()> health() const;

private:
    OpenHistory() = default;
    std::unique_ptr<history::SqliteHistory> embedded_;
    std::unique_ptr<history::ClickHouseHistory> server_;
    std::unique_ptr<history::SpooledHistory> spool_;
};

// As server.history, the login file and the CA say; server.history must not be empty.
cli::Answer<history::ClickHouseAddress> clickhouse_of(const config::Server& settings);

}  // namespace nexus::serve
