#include "main/open_history.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "main/configuration.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using engine::LogLevel;

// USER:PASSWORD in one line of a file that nobody else may read.
Answer<void> read_login(const std::string& path, history::ClickHouseAddress& address) {
    const std::string doing = "read the login of the history in " + path;
    struct stat about{};
    if (stat(path.c_str(), &about) != 0) return failed({Fault::not_found, std::strerror(errno)}, doing);
    if (!S_ISREG(about.st_mode)) return failed({Fault::invalid, "is no regular file"}, doing);
    if ((about.st_mode & 077) != 0) return failed({Fault::denied, "others may read it"}, doing, "chmod 600 " + path);
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const auto colon = line.find(':');
    if (colon == std::string::npos || colon == 0)
        return failed({Fault::invalid, "its first line is not USER:PASSWORD"}, doing);
    address.user = line.substr(0, colon);
    address.password = line.substr(colon + 1);
    return {};
}

}  // namespace

Answer<history::ClickHouseAddress> clickhouse_of(const config::Server& settings) {
    auto address = history::parse_clickhouse(settings.history);
    if (!address) return failed(address.error(), "server.history");
    if (!settings.history_login_file.empty())
        if (auto ok = read_login(settings.history_login_file, *address); !ok) return std::unexpected(ok.error());
    address->ca_file = settings.history_ca_file;
    return *std::move(address);
}

Answer<std::unique_ptr<OpenHistory>> OpenHistory::open(const config::Server& settings, Log& log) {
    std::unique_ptr<OpenHistory> open(new OpenHistory);
    if (settings.history.empty()) {
        auto embedded = history::SqliteHistory::open({.path = settings.data + "/history.db"});
        if (!embedded) return failed(embedded.error(), "open " + settings.data + "/history.db");
        open->embedded_ = *std::move(embedded);
        if (!open->embedded_->put_aside().empty())
            log.write(LogLevel::warning, "history_put_aside",
                      "the history could not be read; it was put aside as " + open->embedded_->put_aside());
        return open;
    }
    auto address = clickhouse_of(settings);
    if (!address) return std::unexpected(address.error());
    const std::string where = address->text();
    open->server_ = std::make_unique<history::ClickHouseHistory>(history::ClickHouseOptions{.address = *address});
    history::SpoolOptions options{.directory = settings.data + "/history-spool",
                                  .bytes_max = settings.history_spool_max};
    options.probe = [server = open->server_.get()] { return server->probe(); };
    options.changed = [&log, where](const Error* why) {
        if (why != nullptr)
            log.write(LogLevel::warning, "history_away",
                      "the history is not written, its rows wait in history-spool: " + why->what);
        else
            log.write(LogLevel::info, "history_back", "the history is written to " + where);
    };
    auto spool = history::SpooledHistory::open(std::move(options), *open->server_);
    if (!spool) return failed(spool.error(), "open " + settings.data + "/history-spool");
    open->spool_ = *std::move(spool);
    return open;
}

OpenHistory::~OpenHistory() {
    if (server_) server_->interrupt();
}

history::HistoryStore& OpenHistory::store() {
    if (embedded_) return *embedded_;
    return *spool_;
}

std::function<history::HistoryHealth()> OpenHistory::health() const {
    if (!spool_) return {};
    return [spool = spool_.get(), store = server_->address().text()] {
        history::HistoryHealth health = spool->health();
        health.store = store;
        return health;
    };
}

}  // namespace nexus::serve
