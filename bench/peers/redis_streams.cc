// The least that a queue on Redis Streams can do: XADD in pipelines of 500; each worker is a thread with a connection of
// its own that reads up to as many entries as it has slots, does nothing with them, and acknowledges them with the same
// write that asks for the next. No retries, no results, no deadlines, nothing is taken from dead workers.
#include <hiredis/hiredis.h>

#include <cstring>

#include "peer.h"

namespace {

constexpr int kPipeline = 500;

struct Redis {
    explicit Redis(int port) : context(redisConnect("127.0.0.1", port)) {
        if (context == nullptr || context->err != 0) peers::die("redis does not answer");
    }
    ~Redis() { redisFree(context); }
    redisReply* reply() {
        void* answer = nullptr;
        if (redisGetReply(context, &answer) != REDIS_OK) peers::die(context->errstr);
        auto* const given = static_cast<redisReply*>(answer);
        if (given->type == REDIS_REPLY_ERROR) peers::die(given->str);
        return given;
    }
    void drop_reply() { freeReplyObject(reply()); }
    redisContext* context;
};

void fill(const peers::Arguments& given) {
    Redis redis(given.port);
    redisAppendCommand(redis.context, "XGROUP CREATE tasks workers 0 MKSTREAM");
    redis.drop_reply();
    const std::string payload(given.payload, 'x');
    for (std::uint64_t sent = 0; sent < given.tasks;) {
        int some = 0;
        for (; some < kPipeline && sent < given.tasks; ++some, ++sent)
            redisAppendCommand(redis.context, "XADD tasks * body %b", payload.data(), payload.size());
        while (some-- > 0) redis.drop_reply();
    }
}

void drain(const peers::Arguments& given, unsigned number, std::atomic<std::uint64_t>& done) {
    Redis redis(given.port);
    const std::string name = "w" + std::to_string(number), slots = std::to_string(given.slots);
    const auto read = [&] {
        redisAppendCommand(redis.context, "XREADGROUP GROUP workers %s COUNT %s BLOCK 2 STREAMS tasks >", name.c_str(),
                           slots.c_str());
    };
    read();
    while (done < given.tasks) {
        redisReply* const answer = redis.reply();
        if (answer->type == REDIS_REPLY_NIL) {  // nothing came for 2 ms
            freeReplyObject(answer);
            read();
            continue;
        }
        redisReply* const entries = answer->element[0]->element[1];
        std::vector<const char*> words{"XACK", "tasks", "workers"};
        std::vector<std::size_t> lengths{4, 5, 7};
        for (std::size_t i = 0; i < entries->elements; ++i) {
            words.push_back(entries->element[i]->element[0]->str);
            lengths.push_back(entries->element[i]->element[0]->len);
        }
        redisAppendCommandArgv(redis.context, static_cast<int>(words.size()), words.data(), lengths.data());
        const std::size_t taken = entries->elements;
        freeReplyObject(answer);
        const bool last = done + taken >= given.tasks;
        if (!last) read();
        redis.drop_reply();  // of XACK
        done += taken;
        if (last) return;
    }
}

}  // namespace

int main(int argc, char** argv) {
    const peers::Arguments given = peers::arguments(argc, argv);
    peers::measure(
        given, [&] { fill(given); },
        [&](unsigned number, std::atomic<std::uint64_t>& done) { drain(given, number, done); });
}
