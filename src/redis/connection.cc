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

}  // namespace

Error error_of(const Reply& reply) {
    constexpr std::array<std::string_view, 9> kLater = {
        "LOADING", "BUSY", "READONLY", "MASTERDOWN", "TRYAGAIN", "UNKILLABLE", "CLUSTERDOWN", "NOREPLICAS", "NOTBUSY"};
    constexpr std::array<std::string_view, 3> kDenied = {"NOPERM", "NOAUTH", "WRONGPASS"};
    const std::string_view code = reply.error_code();
    Fault fault = Fault::failed;
    if (std::ranges::find(kLater, code) != kLater.end()) fault = Fault::unreachable;
    if (std::ranges::find(kDenied, code) != kDenied.end()) fault = Fault::denied;
    if (code == "OOM" || code == "MISCONF") fault = Fault::no_space;
    return {.fault = fault, .what = "Redis answers: " + reply.text.substr(0, 300)};
}

Result<std::unique_ptr<Connection>> Connection::open(const Server& server) {
    auto stream = Stream::connect(server.address, server.tls, server.connect_limit);
    if (!stream) return std::unexpected(std::move(stream).error().during(to_text(server.address)));
    std::unique_ptr<Connection> connection(new Connection(std::move(*stream), server.reply_limit));
    if (auto ok = connection->sign_in(server); !ok)
        return std::unexpected(std::move(ok).error().during(to_text(server.address)));
    return connection;
}

Result<void> Connection::sign_in(const Server& server) {
    if (!server.password_file.empty()) {
        const auto password = password_of(server.password_file);
        if (!password) return std::unexpected(password.error());
        const Address& to = server.address;
        const auto reply = to.user.empty() ? run({"AUTH", *password}) : run({"AUTH", to.user, *password});
        if (!reply) return std::unexpected(reply.error());
        // What Redis says of AUTH never repeats the password; its code tells enough.
        if (reply->is_error() && reply->error_code() != "LOADING")
            return fail(Fault::denied, "Redis refuses the user or the password of " + server.password_file + " (" +
                                           std::string(reply->error_code()) + ")");
    }
    if (server.address.database == 0) return {};
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
