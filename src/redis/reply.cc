#include "redis/reply.h"

#include <hiredis/read.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/must.h"

namespace nexus::redis {
namespace {

constexpr int kItemsAhead = 1024;

// The reader's callbacks build the tree of replies in place. A list grows as its items come, whatever it said of their
// number: only the list that is being read moves, and nobody else holds what it has.
Reply* place(const redisReadTask* task) {
    if (task->parent == nullptr) return new Reply;  // owned by the reader until next() takes it
    return &static_cast<Reply*>(task->parent->obj)->items.emplace_back();
}
void* make_text(const redisReadTask* task, char* bytes, std::size_t size) {
    Reply* reply = place(task);
    reply->type = task->type == REDIS_REPLY_ERROR ? Reply::Type::error : Reply::Type::text;
    reply->text.assign(bytes, size);
    return reply;
}
void* make_list(const redisReadTask* task, int count) {
    Reply* reply = place(task);
    reply->type = Reply::Type::list;
    reply->items.reserve(static_cast<std::size_t>(std::min(count, kItemsAhead)));
    return reply;
}
void* make_number(const redisReadTask* task, long long number) {
    Reply* reply = place(task);
    reply->type = Reply::Type::number;
    reply->number = number;
    return reply;
}
void* make_nil(const redisReadTask* task) {
    return place(task);
}
void drop(void* reply) {
    delete static_cast<Reply*>(reply);
}

redisReplyObjectFunctions functions = {make_text, make_list, make_number, make_nil, drop};

void append_number(std::string& out, char mark, std::size_t n) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
    out += mark;
    out.append(digits, end);
    out += "\r\n";
}

}  // namespace

std::string_view Reply::error_code() const {
    return std::string_view(text).substr(0, text.find(' '));
}

void Commands::begin(std::size_t words) {
    MUST(words_left_ == 0 && words > 0);
    append_number(bytes_, '*', words);
    words_left_ = words;
    ++count_;
}

Commands& Commands::word(std::string_view text) {
    MUST(words_left_ > 0);
    --words_left_;
    append_number(bytes_, '$', text.size());
    bytes_ += text;
    bytes_ += "\r\n";
    return *this;
}

void Commands::add(std::initializer_list<std::string_view> words) {
    begin(words.size());
    for (const std::string_view text : words) word(text);
}

void Commands::clear() {
    bytes_.clear();
    count_ = words_left_ = 0;
}

ReplyReader::ReplyReader() : reader_(redisReaderCreateWithFunctions(&functions)) {
    MUST(reader_ != nullptr);
}

ReplyReader::~ReplyReader() {
    redisReaderFree(reader_);
}

Result<void> ReplyReader::feed(std::string_view bytes) {
    if (redisReaderFeed(reader_, bytes.data(), bytes.size()) == 0) return {};
    return fail(Fault::corrupt, std::string("what came is no reply of Redis: ") + reader_->errstr);
}

Result<std::optional<Reply>> ReplyReader::next() {
    void* made = nullptr;
    if (redisReaderGetReply(reader_, &made) != 0)
        return fail(Fault::corrupt, std::string("what came is no reply of Redis: ") + reader_->errstr);
    if (made == nullptr) return std::nullopt;
    const std::unique_ptr<Reply> reply(static_cast<Reply*>(made));
    return std::move(*reply);
}

}  // namespace nexus::redis
