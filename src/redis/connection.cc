#include "redis/connection.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace nexus::redis {
namespace {

Result<std::string> password_of(const std::string& path) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0)
        return fail(Fault::not_found, "the password file " + path + ": " + std::strerror(errno));
    if (!S_ISREG(about.st_mode)) return fail(Fault::invalid, "the password file " + path + " is no regular file");
    if ((about.st_mode & 077) != 0)
        return fail(Fault::denied, "others may read the password file " + path + "; chmod 600 it");
    std::ifstream file(path);
    std::string password;
    std::getline(file, password);
    while (!password.empty() && (password.back() == '\r' || password.back() == ' ')) password.pop_back();
    if (password.empty())
        return fail(Fault::invalid, "the password file " + path + " has no password in its first line");
    return password;
}

// The server is not, or not any more, the one that these keys may be written on.
bool is_elsewhere(std::string_view code) {
    return code == "READONLY" || code == "MOVED" || code == "ASK" || code == "CLUSTERDOWN";
}

}  // namespace

Error error_of(const Reply& reply) {
    constexpr std::array<std::string_view, 11> kLater = {"LOADING",  "BUSY",       "READONLY",    "MASTERDOWN",
                                                         "TRYAGAIN", "UNKILLABLE", "CLUSTERDOWN", "NOREPLICAS",
                                                         "NOTBUSY",  "MOVED",      "ASK"};
    constexpr std::array<std::string_view, 3> kDenied = {"NOPERM", "NOAUTH", "WRONGPASS"};
    const std::string_view code = reply.error_code();
    Fault fault = Fault::failed;
    if (std::ranges::find(kLater, code) != kLater.end()) fault = Fault::unreachable;
    if (std::ranges::find(kDenied, code) != kDenied.end()) fault = Fault::denied;
    if (code == "OOM" || code == "MISCONF") fault = Fault::no_space;
    return {.fault = fault, .what = "Redis answers: " + reply.text.substr(0, 300)};
}

Result<std::unique_ptr<Connection>> Connection::reach(const Server& server, const Address& at) {
    auto stream = Stream::connect(at, server.tls, server.connect_limit);
    if (!stream) return std::unexpected(std::move(stream).error().during(to_text(at)));
    std::unique_ptr<Connection> connection(new Connection(std::move(*stream), server.reply_limit));
    if (auto ok = connection->sign_in(server); !ok) return std::unexpected(std::move(ok).error().during(to_text(at)));
    return connection;
}

Result<std::unique_ptr<Connection>> Connection::open(const Server& server) {
    if (server.address.finding == Finding::direct) return reach(server, server.address);
    const auto at = find(server);
    if (!at) return std::unexpected(at.error());
    auto connection = reach(server, *at);
    // Whom they name may have been overtaken since.
    if (connection && server.address.finding == Finding::sentinel)
        if (auto ok = (*connection)->check_master(); !ok)
            return std::unexpected(std::move(ok).error().during(to_text(*at)));
    return connection;
}

Result<void> Connection::check_master() {
    const auto role = run({"ROLE"});
    if (!role) return std::unexpected(role.error());
    if (role->is_list() && !role->items.empty() && role->items[0].text == "master") return {};
    if (role->is_error()) return std::unexpected(error_of(*role));
    return fail(Fault::unreachable, "Sentinel names it as master, and it is none yet: a failover is under way");
}

// The first that answers is believed.
Result<Address> Connection::find(const Server& server) {
    Error last;
    for (const Node& seed : server.address.seeds) {
        auto at = ask_one(server, seed);
        if (at) return at;
        last = std::move(at).error();
        if (last.fault == Fault::denied || last.fault == Fault::invalid) break;
    }
    return std::unexpected(std::move(last));
}

Result<Address> Connection::ask_one(const Server& server, const Node& seed) {
    Address at = server.address;
    at.finding = Finding::direct;
    at.seeds.clear();
    at.master.clear();
    at.host = seed.host;
    at.port = seed.port;
    const auto told = [&](const Reply& host, std::int64_t port) {
        if (!host.text.empty()) at.host = host.text;  // an empty one means: as you reached me
        at.port = static_cast<std::uint16_t>(port);
        return at;
    };
    if (server.address.finding == Finding::sentinel) {
        Server sentinel = server;  // Sentinels have users of their own; ours is of the servers behind them
        sentinel.address = at;
        sentinel.address.user.clear();
        sentinel.address.password.clear();
        sentinel.address.database = 0;
        sentinel.password_file.clear();
        auto connection = reach(sentinel, sentinel.address);
        if (!connection) return std::unexpected(std::move(connection).error().during("asking a Sentinel"));
        const auto reply = (*connection)->run({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", server.address.master});
        if (!reply) return std::unexpected(Error(reply.error()).during("asking a Sentinel"));
        if (reply->is_error()) return std::unexpected(error_of(*reply).during("asking a Sentinel"));
        if (reply->items.size() < 2)
            return fail(Fault::unreachable,
                        "the Sentinel " + to_text(at) + " knows no master '" + server.address.master + "'");
        std::int64_t port = 0;
        for (const char c : reply->items[1].text) port = port * 10 + (c - '0');
        return told(reply->items[0], port);
    }
    auto connection = reach(server, at);
    if (!connection) return std::unexpected(std::move(connection).error().during("asking a node"));
    const auto reply = (*connection)->run({"CLUSTER", "SLOTS"});
    if (!reply) return std::unexpected(Error(reply.error()).during("asking a node"));
    if (reply->is_error()) return std::unexpected(error_of(*reply).during("asking a node"));
    const std::int64_t slot = hash_slot(server.key);
    for (const Reply& range : reply->items)
        if (range.items.size() > 2 && range.items[0].number <= slot && slot <= range.items[1].number &&
            range.items[2].items.size() > 1)
            return told(range.items[2].items[0], range.items[2].items[1].number);
    return fail(Fault::unreachable, "no node of the Cluster has hash slot " + std::to_string(slot) + " now");
}

Result<void> Connection::sign_in(const Server& server) {
    if (!server.password_file.empty() || !server.address.password.empty()) {
        const auto password = server.password_file.empty() ? Result<std::string>(server.address.password)
                                                           : password_of(server.password_file);
        if (!password) return std::unexpected(password.error());
        const Address& to = server.address;
        const auto reply = to.user.empty() ? run({"AUTH", *password}) : run({"AUTH", to.user, *password});
        if (!reply) return std::unexpected(reply.error());
        // What Redis says of AUTH never repeats the password; its code tells enough.
        if (reply->is_error() && reply->error_code() != "LOADING")
            return fail(Fault::denied, "Redis refuses the user or the password of " +
                                           (server.password_file.empty() ? "the address" : server.password_file) +
                                           " (" + std::string(reply->error_code()) + ")");
    }
    if (server.address.database == 0 || server.address.finding == Finding::cluster) return {};
    const auto reply = run({"SELECT", std::to_string(server.address.database)});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(error_of(*reply).during("choosing the database"));
    return {};
}

Result<std::vector<Reply>> Connection::run(const Commands& commands, Duration patience) {
    if (broken_) return fail(Fault::unreachable, "the connection is broken");
    const auto end = [this](Error error) {
        broken_ = true;
        error.fault = Fault::unreachable;
        return std::unexpected(std::move(error));
    };
    if (auto ok = stream_->write(commands.bytes(), limit_); !ok) return end(std::move(ok).error());
    std::vector<Reply> replies;
    replies.reserve(commands.count());
    while (replies.size() < commands.count()) {
        auto reply = reader_.next();
        if (!reply) return end(std::move(reply).error());
        if (*reply) {
            if ((*reply)->is_error() && is_elsewhere((*reply)->error_code()))
                broken_ = true;  // the next one finds who may
            replies.push_back(std::move(**reply));
            continue;
        }
        const auto bytes = stream_->read(limit_ + patience);
        if (!bytes) return end(bytes.error());
        if (auto ok = reader_.feed(*bytes); !ok) return end(std::move(ok).error());
    }
    return replies;
}

Result<Reply> Connection::run(std::initializer_list<std::string_view> words, Duration patience) {
    Commands commands;
    commands.add(words);
    auto replies = run(commands, patience);
    if (!replies) return std::unexpected(std::move(replies).error());
    return std::move(replies->front());
}

}  // namespace nexus::redis
