#pragma once
// One connection to a Redis server: signed in, at its database, ready for commands. Not thread-safe.
//
// Faults: unreachable (no answer: whether it was done is unknown; the connection is of no use any more, see broken()),
// denied (wrong user or password). What the server refuses is a Reply of type error, not a fault.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "redis/address.h"
#include "redis/reply.h"
#include "redis/stream.h"

namespace nexus::redis {

struct Server {
    Address address;
    std::string key{};            // of a Cluster: the node that has this key is meant
    std::string password_file{};  // its first line is the password; empty = address.password. Read anew each time
    Tls tls{};
    Duration connect_limit = seconds(1);
    Duration reply_limit = seconds(2);  // the longest silence while an answer is awaited
};

class Connection {
public:
    // To the server itself, or to the one that the Sentinels or the Cluster name now.
    static Result<std::unique_ptr<Connection>> open(const Server& server);

    // Sends all and takes one reply for each. `patience` is added to the limit of silence, for commands that block.
    Result<std::vector<Reply>> run(const Commands& commands, Duration patience = {});
    Result<Reply> run(std::initializer_list<std::string_view> words, Duration patience = {});
    // Of no use any more: no answer came, or the server told that it is not the one that may write (READONLY, MOVED…).
    bool broken() const { return broken_; }

private:
    Connection(std::unique_ptr<Stream> stream, Duration limit) : stream_(std::move(stream)), limit_(limit) {}
    static Result<std::unique_ptr<Connection>> reach(const Server& server, const Address& at);
    static Result<Address> find(const Server& server);
    static Result<Address> ask_one(const Server& server, const Node& seed);
    Result<void> sign_in(const Server& server);
    Result<void> check_master();

    std::unique_ptr<Stream> stream_;
    ReplyReader reader_;
    Duration limit_;
    bool broken_ = false;
};

// Fault of an error that the server answered, for those who have no better meaning for it: unreachable where the same
// call may succeed later (LOADING, BUSY, MASTERDOWN, READONLY, TRYAGAIN…), no_space (OOM, MISCONF), denied (NOPERM,
// NOAUTH, WRONGPASS), failed for the rest.
Error error_of(const Reply& reply);

}  // namespace nexus::redis
