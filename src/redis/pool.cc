#include "redis/pool.h"

#include <algorithm>
#include <utility>

namespace nexus::redis {
namespace {

constexpr std::size_t kIdleMax = 8;
constexpr std::chrono::milliseconds kPauseFirst{20}, kPauseMax{250};

}  // namespace

Pool::Pool(Server server)
    : server_(std::move(server)),
      jitter_(static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) ^
              reinterpret_cast<std::uintptr_t>(this)) {}

Result<std::unique_ptr<Connection>> Pool::open() {
    {
        const std::lock_guard lock(mutex_);
        if (pause_.count() > 0 && Clock::now() < try_again_) return std::unexpected(last_error_);
    }
    auto opened = Connection::open(server_);
    const std::lock_guard lock(mutex_);
    if (opened) {
        pause_ = {};
        return opened;
    }
    idle_.clear();  // whatever they were connected to, it is not there now
    pause_ = std::clamp(pause_ * 2, kPauseFirst, kPauseMax);
    const auto half = static_cast<std::uint64_t>(pause_.count()) / 2;
    try_again_ = Clock::now() + std::chrono::milliseconds(half + jitter_.below(half + 1));
    last_error_ = opened.error();
    return opened;
}

std::unique_ptr<Connection> Pool::take_idle() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
}

Result<std::vector<Reply>> Pool::run(const Commands& commands, Duration patience) {
    for (;;) {
        auto connection = take_idle();
        const bool fresh = !connection;
        if (fresh) {
            auto opened = open();
            if (!opened) return std::unexpected(std::move(opened).error());
            connection = std::move(*opened);
        }
        auto replies = connection->run(commands, patience);
        const std::lock_guard lock(mutex_);
        if (connection->broken()) idle_.clear();  // the others lead to the same server
        if (replies) {
            if (!connection->broken() && idle_.size() < kIdleMax) idle_.push_back(std::move(connection));
            return replies;
        }
        if (fresh) return replies;
    }
}

Result<Reply> Pool::run(std::initializer_list<std::string_view> words, Duration patience) {
    Commands commands;
    commands.add(words);
    auto replies = run(commands, patience);
    if (!replies) return std::unexpected(std::move(replies).error());
    return std::move(replies->front());
}

}  // namespace nexus::redis
