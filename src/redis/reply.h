#pragma once
// The protocol of Redis (RESP 2): commands as bytes, and replies from bytes. Not thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct redisReader;

namespace nexus::redis {

struct Reply {
    enum class Type : std::uint8_t { nil, text, number, list, error };
    Type type = Type::nil;
    std::string text;  // of text and error
    std::int64_t number = 0;
    std::vector<Reply> items;  // of a list

    bool is_error() const { return type == Type::error; }
    bool is_text() const { return type == Type::text; }
    bool is_list() const { return type == Type::list; }
    // The first word of an error: "NOSCRIPT", "LOADING", "ERR".
    std::string_view error_code() const;
};

// Commands one after the other, ready to be sent together.
class Commands {
public:
    // Begins a command of `words` words, which must follow.
    void begin(std::size_t words);
    Commands& word(std::string_view text);
    // A whole command.
    void add(std::initializer_list<std::string_view> words);
    void clear();
    const std::string& bytes() const { return bytes_; }
    std::size_t count() const { return count_; }

private:
    std::string bytes_;
    std::size_t count_ = 0;
    std::size_t words_left_ = 0;
};

class ReplyReader {
public:
    ReplyReader();
    ~ReplyReader();
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    // Faults: corrupt, when these are no replies of a Redis server.
    Result<void> feed(std::string_view bytes);
    // The next whole reply; none: more bytes are needed.
    Result<std::optional<Reply>> next();

private:
    redisReader* reader_;
};

}  // namespace nexus::redis
