#include "intake/workers.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/hash.h"
#include "base/system_clock.h"
#include "base/utf8.h"

namespace nexus::intake {
namespace {

using engine::LogLevel;
using redis::Commands, redis::Reply;
using Json = nlohmann::ordered_json;

constexpr Duration kWait = milliseconds(200);  // for completions
constexpr std::chrono::milliseconds kLookEvery{500};
constexpr std::chrono::seconds kDescribeEvery{5};
constexpr std::chrono::milliseconds kRetry{100};
constexpr std::uint32_t kSlotsMax = 4096;

// Once, and noted in the same step. An attempt that nobody hears is not noted. What is noted is not sent again, unless
// the server ended before it answered: then the note may be all that it did.
constexpr std::string_view kPublish = R"(
if ARGV[5] == '0' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'again' end
if redis.call('PUBLISH', ARGV[3], ARGV[4]) == 0 then return 'nobody' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'ok'
)";

Caller who() {
    return {
        .name = "redis", .tenant = {}, .roles = static_cast<Roles>(Role::worker), .credential = {}, .from = "redis"};
}

std::string_view old_text(const engine::TaskBody& body, std::string_view name) {
    for (const auto& [key, value] : body.metadata)
        if (key == name) return value;
    return {};
}

// What a worker of the old Nexus is told. `payload` is JSON already, or goes as text.
std::string message_of(const engine::Assignment& assignment, std::string_view old_id) {
    const engine::TaskBody& body = *assignment.body;
    const auto text_or = [](std::string_view text, std::string_view other) { return text.empty() ? other : text; };
    Json payload = Json::parse(body.payload, nullptr, false);
    if (payload.is_discarded()) payload = body.payload;
    Json metadata = Json::object();
    if (const auto old = old_text(body, kOldMetadata); !old.empty())
        if (Json read = Json::parse(old, nullptr, false); read.is_object()) metadata = std::move(read);
    std::int64_t priority = 0;
    if (const auto event_priority = old_text(body, kOldPriority); !event_priority.empty())
        std::from_chars(event_priority.data(), event_priority.data() + event_priority.size(), priority);
    const auto ms = static_cast<std::int64_t>(assignment.order.task.hi >> 16);
    const std::string created = iso_time(ms);
    const Json message = {{"taskId", old_id},
                          {"task",
                           {{"id", old_id},
                            {"type", text_or(old_text(body, kOldType), assignment.type)},
                            {"payload", std::move(payload)},
                            {"priority", priority},
                            {"createdAt", text_or(old_text(body, kOldCreated), created)},
                            {"metadata", std::move(metadata)}}},
                          {"assignedAt", iso_time(system_wall().us / 1000)}};
    return message.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string_view field(const Entry& entry, std::string_view name) {
    for (auto at = entry.fields.rbegin(); at != entry.fields.rend(); ++at)
        if (at->first == name) return at->second;
    return {};
}

}  // namespace

// A session's stream: orders go to the queue of the sender.
class Workers::Link final : public engine::WorkerLink {
public:
    Link(std::shared_ptr<Way> way, std::string id, std::uint64_t number)
        : way_(std::move(way)), id_(std::move(id)), number_(number) {}
    void send(engine::WorkerOrders orders) override {
        const std::lock_guard lock(way_->mutex);
        if (way_->workers != nullptr) way_->workers->take(id_, number_, std::move(orders));
    }
    void lost() override {
        engine::WorkerOrders over;
        over.close = true;
        send(std::move(over));
    }

private:
    const std::shared_ptr<Way> way_;
    const std::string id_;
    const std::uint64_t number_;  // of the session, as this side counts them
};

Workers::Workers(Options options, redis::Pool& pool, engine::Service& engine)
    : options_(std::move(options)),
      pool_(pool),
      engine_(engine),
      group_(pool, {.stream = kCompletedStream,
                    .consumer = "nexus-0",
                    .place_key = options_.keys + "places",
                    .place_field = kCompletedStream}),
      sent_key_(options_.keys + "sent") {
    way_->workers = this;
    sender_ = std::thread([this] { send(); });
    pthread_setname_np(sender_.native_handle(), "nexus-publish");
    reader_ = std::thread([this] { run(); });
    pthread_setname_np(reader_.native_handle(), "nexus-rworkers");
}

Workers::~Workers() {
    {
        const std::lock_guard lock(way_->mutex);
        way_->workers = nullptr;
    }
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    sender_.join();
    reader_.join();
}

WorkerCounts Workers::counts() const {
    const std::lock_guard lock(mutex_);
    WorkerCounts counts = counts_;
    counts.workers = static_cast<std::uint64_t>(
        std::ranges::count_if(workers_, [](const auto& each) { return bool(each.second.session); }));
    return counts;
}

void Workers::heard(const std::string& id, engine::WorkerReport::Load load) {
    if (id.empty() || id.size() > 1024 || !is_utf8(id)) return;
    const std::lock_guard lock(mutex_);
    Worker& worker = workers_[id];
    worker.id = id;
    worker.heard = worker.alive = Clock::now();
    worker.load = load;
}

// ------------------------------------------------------------------------------------------------------ from the engine

void Workers::take(const std::string& id, std::uint64_t number, engine::WorkerOrders orders) {
    const std::lock_guard lock(mutex_);
    const auto found = workers_.find(id);
    if (found == workers_.end() || found->second.number != number) return;
    Worker& worker = found->second;
    if (orders.welcome) {
        worker.session = orders.welcome->session;
        for (const AttemptId attempt : orders.welcome->abandon) {
            if (const auto held = worker.held.find(attempt); held != worker.held.end()) {
                done_.emplace_back(held->second.entry, attempt);
                worker.held.erase(held);
            }
        }
    }
    for (engine::Assignment& assignment : orders.assign) outgoing_.push_back({id, std::move(assignment)});
    for (const core::AnswerReport& answer : orders.answers) {
        const auto held = worker.held.find(answer.attempt);
        if (held == worker.held.end()) continue;
        if (!answer.accepted) ++counts_.stale;
        done_.emplace_back(held->second.entry, answer.attempt);
        worker.held.erase(held);
    }
    // What it holds is told when it joins again, at the next look.
    if (orders.close) worker.session = {};
    wake_.notify_one();
}

void Workers::joined(const std::string& id, std::uint64_t number, Result<SessionId> session) {
    std::string why;
    {
        const std::lock_guard lock(mutex_);
        const auto found = workers_.find(id);
        if (found == workers_.end() || found->second.number != number) return;
        found->second.connecting = false;
        if (!session) why = session.error().what;
    }
    if (!why.empty()) options_.log(LogLevel::warning, "redis_worker", "worker " + id + " cannot join: " + why);
}

// ----------------------------------------------------------------------------------------------------------- the sender

void Workers::send() {
    for (;;) {
        Outgoing out;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !outgoing_.empty(); });
            if (stopping_) return;
            out = std::move(outgoing_.front());
            outgoing_.pop_front();
            publishing_ = out.worker;
        }
        std::string tried_on;
        while (!stopping_ && !publish(out, tried_on)) {
            std::unique_lock lock(mutex_);
            wake_.wait_for(lock, kRetry, [this] { return stopping_.load(); });
        }
        const std::lock_guard lock(mutex_);
        publishing_.clear();
    }
}

Result<void> Workers::reach() {
    if (connection_ && !connection_->broken()) return {};
    auto opened = pool_.open();
    if (!opened) return std::unexpected(std::move(opened).error());
    const auto info = (*opened)->run({"INFO", "server"});
    if (!info) return std::unexpected(info.error());
    if (info->is_error()) return std::unexpected(redis::error_of(*info));
    const std::size_t at = info->text.find("run_id:");
    run_ = at == std::string::npos ? std::string() : info->text.substr(at, info->text.find('\r', at) - at);
    connection_ = std::move(*opened);
    return {};
}

// `tried_on`: the process of Redis that it was sent to before and that has not answered; empty = none.
Result<void> Workers::publish(const Outgoing& out, std::string& tried_on) {
    const core::AssignAttempt& order = out.assignment.order;
    bool over = false;
    {
        const std::lock_guard lock(mutex_);
        const auto found = workers_.find(out.worker);
        if (found == workers_.end()) return {};
        over = found->second.session != order.session;
    }
    // Of a session that is over: the core gives it to others.
    if (over && tried_on.empty()) return {};
    std::string old_id(old_text(*out.assignment.body, kOldId));
    if (old_id.empty()) old_id = to_text(order.task);
    const Duration long_run = order.decision.estimate.p90 + order.decision.estimate.p90;
    Held held{.task = order.task,
              .old_id = old_id,
              .entry = {},
              .sent = Clock::now(),
              .type = out.assignment.type,
              .long_run = long_run,
              .doubted_from = {}};
    const std::string note = Json{
        {"task", to_text(order.task)},
        {"worker", out.worker},
        {"id", old_id},
        {"type", out.assignment.type},
        {"long_us", long_run.us}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::string attempt = to_text(order.attempt), channel = kWorkerChannel + out.worker;
    if (auto ok = reach(); !ok) return ok;
    if (over) {  // but it may have been sent: then the worker holds it, and its next session says so
        const auto noted = connection_->run({"HEXISTS", sent_key_, attempt});
        if (!noted) return std::unexpected(noted.error());
        const std::lock_guard lock(mutex_);
        const auto found = workers_.find(out.worker);
        if (noted->number == 1 && tried_on == run_ && found != workers_.end())
            found->second.held[order.attempt] = std::move(held);
        else if (noted->number == 1)
            done_.emplace_back(std::string(), order.attempt);
        return {};
    }
    const char* const once_more = !tried_on.empty() && tried_on != run_ ? "1" : "0";
    tried_on = run_;
    const auto reply = connection_->run(
        {"EVAL", kPublish, "1", sent_key_, attempt, note, channel, message_of(out.assignment, old_id), once_more});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    engine::WorkerReport report;
    {
        const std::lock_guard lock(mutex_);
        const auto found = workers_.find(out.worker);
        if (found == workers_.end()) return {};
        if (reply->text == "nobody") {
            ++counts_.unheard;
            found->second.subscribed = false;
            report.finished.push_back({.task = order.task,
                                       .attempt = order.attempt,
                                       .outcome = core::AttemptOutcome::rejected,
                                       .error = "nobody listens to " + channel});
            report.capacity = {.slots = found->second.slots, .offered = {-1, -1, -1, {}}, .draining = true};
            found->second.told_draining = true;
        } else {
            ++counts_.published;
            found->second.held[order.attempt] = std::move(held);
            report.started.emplace_back(order.task, order.attempt);
        }
    }
    engine_.report(order.session, std::move(report));
    return {};
}

// ----------------------------------------------------------------------------------------------------------- the reader

void Workers::run() {
    bool away = false;
    while (!stopping_) {
        const auto done = turn();
        if (done) {
            trouble_.clear();
            const std::lock_guard lock(mutex_);
            if (std::exchange(away, false))  // their connections were cut, too: they have the time to come back
                for (auto& [id, worker] : workers_) {
                    worker.alive = Clock::now();
                    worker.cut_off = true;
                    if (worker.heard) worker.heard = worker.alive;
                }
            continue;
        }
        group_.start_over();
        if (done.error().fault == Fault::unreachable) away = true;
        const bool fresh = trouble_ != done.error().what;
        trouble_ = done.error().what;
        if (fresh) options_.log(LogLevel::warning, "redis_workers", trouble_);
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, kRetry, [this] { return stopping_.load(); });
    }
}

Result<void> Workers::turn() {
    if (!engine_.sure()) return fail(Fault::unavailable, "the server is cut off from its store");
    if (!loaded_)
        if (auto ok = load_sent(); !ok) return ok;
    if (auto ok = settle(); !ok) return ok;
    if (Clock::now() >= look_at_) {
        look_at_ = Clock::now() + kLookEvery;
        if (auto ok = look(); !ok) return ok;
        judge();
    }
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(read_again_, false)) group_.start_over();
    }
    const auto entries = group_.next(kWait);
    if (!entries) return std::unexpected(entries.error());
    for (const Entry& entry : *entries)
        if (auto ok = complete(entry); !ok) return ok;
    return {};
}

// What an earlier process of ours had sent: those workers hold it still.
Result<void> Workers::load_sent() {
    const auto reply = pool_.run({"HGETALL", sent_key_});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i + 1 < reply->items.size(); i += 2) {
        const auto attempt = parse_id<AttemptId>(reply->items[i].text);
        const Json note = Json::parse(reply->items[i + 1].text, nullptr, false);
        if (!attempt || !note.is_object()) continue;
        const auto task = parse_id<TaskId>(text_of(note, "task"));
        const std::string id = text_of(note, "worker");
        if (!task || id.empty()) continue;
        // It may have died while we were away, which nobody saw: more patience, but not for ever.
        const Duration long_run{note.value("long_us", std::int64_t{0})};
        const Duration patience = std::max(Duration{options_.timeout.us * 10}, Duration{long_run.us * 2});
        Worker& worker = workers_[id];
        worker.id = id;
        worker.alive = Clock::now();
        worker.held[*attempt] = {.task = *task,
                                 .old_id = text_of(note, "id"),
                                 .entry = {},
                                 .sent = Clock::now(),
                                 .type = text_of(note, "type"),
                                 .long_run = long_run,
                                 .doubted_from = Clock::now() + std::chrono::microseconds(patience.us)};
    }
    loaded_ = true;
    return {};
}

// Ends that are in the journal: their entries are acknowledged, then what was sent is forgotten.
Result<void> Workers::settle() {
    std::vector<std::pair<std::string, AttemptId>> done;
    {
        const std::lock_guard lock(mutex_);
        done.swap(done_);
    }
    if (done.empty()) return {};
    std::vector<std::string> entries;
    Commands forget;
    forget.begin(2 + done.size());
    forget.word("HDEL").word(sent_key_);
    for (const auto& [entry, attempt] : done) {
        if (!entry.empty()) entries.push_back(entry);
        forget.word(to_text(attempt));
    }
    auto ok = group_.acknowledge(entries);
    if (ok)
        if (const auto replies = pool_.run(forget); !replies) ok = std::unexpected(replies.error());
    if (ok) return ok;
    const std::lock_guard lock(mutex_);
    done_.insert(done_.end(), done.begin(), done.end());
    return ok;
}

// Who listens, and how the new ones describe themselves.
Result<void> Workers::look() {
    const auto reply = pool_.run({"PUBSUB", "CHANNELS", std::string(kWorkerChannel) + "*"});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    std::vector<std::string> due;
    {
        const std::lock_guard lock(mutex_);
        for (auto& [id, worker] : workers_) worker.subscribed = false;
        for (const Reply& channel : reply->items) {
            const std::string id = channel.text.substr(std::string_view(kWorkerChannel).size());
            if (id.empty() || id.size() > 1024 || !is_utf8(id)) continue;
            Worker& worker = workers_[id];
            worker.id = id;
            worker.subscribed = true;
            worker.alive = Clock::now();
            const bool cut_off = std::exchange(worker.cut_off, false);
            if (!std::exchange(worker.was_away, false) || cut_off) continue;
            for (auto& [attempt, held] : worker.held)
                held.doubted_from =
                    worker.alive + std::chrono::microseconds(std::max(options_.timeout, held.long_run).us);
        }
        for (auto& [id, worker] : workers_) worker.was_away = worker.was_away || !worker.subscribed;
        for (auto& [id, worker] : workers_)
            if (Clock::now() - worker.described > kDescribeEvery) due.push_back(id);
    }
    for (const std::string& id : due)
        if (auto ok = describe(id); !ok) return ok;
    return {};
}

Result<void> Workers::describe(const std::string& id) {
    const auto reply = pool_.run(
        {"HMGET", kWorkerHash + id, "capabilities", "maxConcurrency", "status", "hostname", "version", "tags"});
    if (!reply) return std::unexpected(reply.error());
    core::Labels labels;
    std::uint32_t slots = 1;
    std::vector<std::string> words(6);
    for (std::size_t i = 0; i < words.size() && i < reply->items.size(); ++i) words[i] = reply->items[i].text;
    const Json capabilities = Json::parse(words[0], nullptr, false), tags = Json::parse(words[5], nullptr, false);
    if (capabilities.is_array())
        for (const Json& each : capabilities)
            if (each.is_string()) labels.emplace_back(capability_label(each.get<std::string>()), "true");
    if (tags.is_object())
        for (const auto& [name, value] : tags.items())
            if (!name.empty() && value.is_string() && value.get<std::string>().size() <= 256)
                labels.emplace_back(plain_name(name), value.get<std::string>());
    std::ranges::stable_sort(labels, {}, &core::NameValue::first);
    const auto twice = std::ranges::unique(labels, {}, &core::NameValue::first);
    labels.erase(twice.begin(), twice.end());
    if (labels.size() > 64) labels.resize(64);
    std::from_chars(words[1].data(), words[1].data() + words[1].size(), slots);
    const std::lock_guard lock(mutex_);
    Worker& worker = workers_[id];
    if (worker.labels != labels && worker.session) {  // it joins anew with them, and keeps what it runs
        engine_.disconnected(std::exchange(worker.session, {}));
    }
    worker.labels = std::move(labels);
    if (worker.slots != std::clamp<std::uint32_t>(slots, 1, kSlotsMax)) worker.told_draining.reset();
    worker.slots = std::clamp<std::uint32_t>(slots, 1, kSlotsMax);
    worker.draining = words[2] == "draining" || words[2] == "offline";
    worker.hostname = is_utf8(words[3]) ? words[3].substr(0, 255) : std::string();
    worker.version = is_utf8(words[4]) ? words[4].substr(0, 128) : std::string();
    worker.described = Clock::now();
    return {};
}

// With the lock held.
engine::WorkerHello Workers::hello_of(Worker& worker) {
    worker.connecting = true;
    worker.number = ++numbers_;
    worker.told_draining = worker.draining || !worker.subscribed;
    engine::WorkerHello hello;
    hello.joined.name = plain_name(worker.id);
    hello.joined.labels = worker.labels;
    hello.joined.slots = worker.slots;
    hello.joined.offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1, .custom = {}};
    for (const auto& [attempt, held] : worker.held) {
        hello.joined.held.push_back({.task = held.task, .attempt = attempt});
        read_again_ = read_again_ || !held.entry.empty();
    }
    hello.draining = *worker.told_draining;
    hello.instance = hash_bytes(worker.id) | 1;
    hello.hostname = worker.hostname;
    hello.version = worker.version;
    return hello;
}

// Who is alive says so to the engine; who does not listen gets nothing; who is silent for too long is lost.
void Workers::judge() {
    std::vector<std::pair<SessionId, engine::WorkerReport>> reports;
    std::vector<std::string> lost;
    struct Joining {
        std::string id;
        std::uint64_t number;
        engine::WorkerHello hello;
    };
    std::vector<Joining> joining;
    {
        const std::lock_guard lock(mutex_);
        const auto now = Clock::now();
        const std::chrono::microseconds timeout(options_.timeout.us);
        for (auto& [id, worker] : workers_) {
            const bool silent = worker.heard && now - *worker.heard > timeout;
            if (silent || now - worker.alive > timeout) {
                lost.push_back(id);
                continue;
            }
            const bool is_there = worker.subscribed || worker.heard || !worker.held.empty();
            if (!worker.session && !worker.connecting && is_there && publishing_ != id) {
                engine::WorkerHello hello = hello_of(worker);
                joining.push_back({id, worker.number, std::move(hello)});
            }
            if (!worker.session) continue;
            if (give_up_doubted(worker) > 0) continue;  // it joins anew at the next look
            engine::WorkerReport report;
            report.load = worker.load.value_or(engine::WorkerReport::Load{});
            const bool draining = worker.draining || !worker.subscribed;
            if (draining != worker.told_draining) {
                worker.told_draining = draining;
                report.capacity = {.slots = worker.slots, .offered = {-1, -1, -1, {}}, .draining = draining};
            }
            reports.emplace_back(worker.session, std::move(report));
        }
    }
    for (auto& [session, report] : reports) engine_.report(session, std::move(report));
    for (Joining& each : joining)
        engine_.connect(who(), std::move(each.hello), std::make_shared<Link>(way_, each.id, each.number),
                        [way = way_, id = each.id, number = each.number](Result<SessionId> session) {
                            const std::lock_guard lock(way->mutex);
                            if (way->workers != nullptr) way->workers->joined(id, number, std::move(session));
                        });
    for (const std::string& id : lost) let_go(id);
}

// With the lock held. What a worker held before it was away, and has not ended since: its next session does not hold it.
std::size_t Workers::give_up_doubted(Worker& worker) {
    std::vector<AttemptId> gone;
    for (const auto& [attempt, held] : worker.held)
        if (held.doubted_from && held.entry.empty() && Clock::now() >= *held.doubted_from) gone.push_back(attempt);
    if (gone.empty() || publishing_ == worker.id) return 0;
    for (const AttemptId attempt : gone) {
        worker.held.erase(attempt);
        done_.emplace_back(std::string(), attempt);
    }
    counts_.forgotten += gone.size();
    engine_.disconnected(std::exchange(worker.session, {}));
    options_.log(
        LogLevel::warning, "redis_worker_forgot",
        fmt::format("worker {} was away from its channel and has not ended {} tasks that it had before; they go "
                    "elsewhere. Let each process have a name of its own",
                    worker.id, gone.size()));
    return gone.size();
}

void Workers::let_go(const std::string& id) {
    SessionId session;
    std::size_t held = 0;
    {
        const std::lock_guard lock(mutex_);
        const auto found = workers_.find(id);
        session = found->second.session;
        held = found->second.held.size();
        for (const auto& [attempt, each] : found->second.held) done_.emplace_back(each.entry, attempt);
        workers_.erase(found);
    }
    if (session) engine_.disconnected(session);
    if (session)
        options_.log(LogLevel::warning, "redis_worker_lost",
                     fmt::format("worker {} is lost: silent for {} s; {} tasks go elsewhere", id,
                                 options_.timeout.us / 1'000'000, held));
}

// An entry of nexus:tasks:completed. It is acknowledged when the engine has answered, or at once when it says nothing
// that anybody waits for.
Result<void> Workers::complete(const Entry& entry) {
    const std::string id(field(entry, "workerId")), old_id(field(entry, "taskId"));
    const std::string_view success = field(entry, "success");
    engine::WorkerReport report;
    SessionId session;
    bool waits = false;
    {
        const std::lock_guard lock(mutex_);
        ++counts_.completions;
        const auto worker = workers_.find(id);
        const bool good = success == "true" || success == "1";
        const bool malformed = old_id.empty() || (!good && success != "false" && success != "0");
        if (malformed) {
            ++counts_.malformed;
        } else if (worker != workers_.end()) {
            // Of one id that was sent twice the older one has ended.
            auto found = worker->second.held.end();
            for (auto at = worker->second.held.begin(); at != worker->second.held.end(); ++at)
                if (at->second.old_id == old_id && (at->second.entry.empty() || at->second.entry == entry.id) &&
                    (found == worker->second.held.end() || at->second.sent < found->second.sent))
                    found = at;
            if (found != worker->second.held.end()) {
                double run_ms = -1;
                const std::string_view told = field(entry, "durationMs");
                std::from_chars(told.data(), told.data() + told.size(), run_ms);
                found->second.entry = entry.id;
                session = worker->second.session;
                waits = true;
                report.finished.push_back(
                    {.task = found->second.task,
                     .attempt = found->first,
                     .outcome = good ? core::AttemptOutcome::succeeded : core::AttemptOutcome::failed,
                     .run = run_ms >= 0 && run_ms < 1e12 ? Duration{static_cast<std::int64_t>(run_ms * 1000)}
                                                         : Duration{-1},
                     .result = std::string(field(entry, "result").substr(0, 256 << 10)),
                     .error = std::string(field(entry, "error").substr(0, 4096))});
                if (!is_utf8(report.finished.back().error)) report.finished.back().error = "failed";
            }
        }
        if (!waits && !malformed) ++counts_.stale;
    }
    if (!waits) return group_.acknowledge({entry.id});
    // Without a session yet it is read again.
    if (!session) return fail(Fault::unavailable, "worker " + id + " is joining");
    engine_.report(session, std::move(report));
    return {};
}

}  // namespace nexus::intake
