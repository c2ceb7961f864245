#include "http/old_nexus.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "api/error.h"
#include "base/name.h"
#include "engine/body.h"
#include "engine/read_model.h"
#include "identity/tokens.h"

namespace nexus::http {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kWindowsMax = 4096;  // keys that are counted one by one; all further ones share one count
constexpr double kSamplesOfTrust = 100;    // confidence = min(1, samples / this), as the old heuristics had it
constexpr double kLoadMax = 0.8;
constexpr Duration kRemovedAfter = minutes(5);
constexpr std::uint8_t kPriorityMost = 9;

std::string iso(WallTime at) {
    const std::time_t second = at.us / 1'000'000;
    std::tm parts{};
    gmtime_r(&second, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, at.us / 1000 % 1000);
}

double load_of(const engine::WorkerInfo& worker) {
    return 0.6 * worker.cpu_usage + 0.4 * worker.memory_usage;
}

enum class Health : std::uint8_t { healthy, degraded, unhealthy, removed };

Health health_of(const engine::WorkerInfo& worker, WallTime now, Duration timeout) {
    const Duration silent = now - worker.last_heard;
    if (!worker.connected && silent >= kRemovedAfter) return Health::removed;
    if (!worker.connected || silent >= timeout) return Health::unhealthy;
    const bool leaves = worker.draining || worker.cordoned || worker.suspect;
    return leaves || load_of(worker) > kLoadMax ? Health::degraded : Health::healthy;
}

const char* status_of(const engine::WorkerInfo& worker) {
    if (!worker.connected) return "offline";
    if (worker.draining || worker.cordoned) return "draining";
    return worker.running > 0 ? "busy" : "idle";
}

double confidence_of(const predict::TypeStat& type) {
    return std::min(1.0, static_cast<double>(type.samples) / kSamplesOfTrust);
}

Json worker_json(const engine::WorkerInfo& worker) {
    Json tags = Json::object();
    std::vector<std::string> capabilities = worker.types;
    for (const auto& [name, value] : worker.labels) {
        constexpr std::string_view kCapability = "capability.";
        if (name.starts_with(kCapability))
            capabilities.push_back(name.substr(kCapability.size()));
        else
            tags[name] = value;
    }
    return {{"id", worker.name},
            {"status", status_of(worker)},
            {"capabilities", std::move(capabilities)},
            {"currentLoad", load_of(worker)},
            {"lastHeartbeat", iso(worker.last_heard)},
            {"activeTasks", worker.running},
            {"maxConcurrency", worker.slots},
            {"metadata",
             {{"hostname", worker.hostname},
              {"version", worker.version},
              {"startedAt", iso(worker.connected_at)},
              {"tags", std::move(tags)}}}};
}

const char* name_of(unsigned status) {
    switch (status) {
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 409: return "Conflict";
        case 429: return "Too Many Requests";
        case 503: return "Service Unavailable";
        default: return "Internal Server Error";
    }
}

// A name of ours for a text of theirs, which may be anything.
std::string plain_name(const std::string& text) {
    std::string name;
    for (const char c : text.substr(0, kNameBytesMax)) name += is_name({&c, 1}) ? c : '_';
    return name;
}

using Headers = std::vector<std::pair<std::string, std::string>>;

Response response_of(unsigned status, const Json& body, Headers headers) {
    Response response;
    response.status = status;
    response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    response.headers = std::move(headers);
    return response;
}

Response refusal_of(unsigned status, const std::string& message, const std::string& correlation, Headers headers,
                    unsigned retry_s = 0) {
    Json body{{"error", name_of(status)}, {"message", message}, {"correlationId", correlation}};
    if (retry_s > 0) {
        headers.emplace_back("Retry-After", std::to_string(retry_s));
        body["retryAfter"] = retry_s;
    }
    return response_of(status, body, std::move(headers));
}

}  // namespace

struct OldNexus::Call {
    Request request;
    Route where;
    Caller caller;
    std::string correlation;
    Headers headers;
    Reply reply;

    void answer(unsigned status, const Json& body) { reply(response_of(status, body, std::move(headers))); }
    void refuse(unsigned status, const std::string& message, unsigned retry_s = 0) {
        reply(refusal_of(status, message, correlation, std::move(headers), retry_s));
    }
    void refuse(const Error& error) {
        const api::FaultRow& row = api::row_of(error.fault);
        refuse(row.http, error.what, row.retry_s);
    }
    // The body as an object; answers and gives nothing when it is none.
    std::optional<Json> object() {
        Json json = Json::parse(request.body, nullptr, false);
        if (json.is_object()) return json;
        refuse(400, "the body must be a JSON object");
        return std::nullopt;
    }
};

OldNexus::OldNexus(api::Door& door, const std::vector<std::string>& keys, std::function<Instant()> now)
    : door_(door), now_(std::move(now)) {
    for (const std::string& key : keys) key_hashes_.push_back(identity::sha256_hex(key));
}

OldNexus::Window& OldNexus::window_of(const Request& request) {
    const Instant now = now_();
    std::string who =
        request.scheduler_key.empty() ? "from " + request.from : identity::sha256_hex(request.scheduler_key);
    if (windows_.size() >= kWindowsMax && !windows_.contains(who)) {
        std::erase_if(windows_, [&](const auto& each) { return now - each.second.begin >= kWindow; });
        if (windows_.size() >= kWindowsMax) who.clear();
    }
    Window& window = windows_[who];
    if (window.used == 0 || now - window.begin >= kWindow) window = {.begin = now, .used = 0};
    return window;
}

// The status and the sentence that it is refused with.
std::optional<std::pair<unsigned, std::string>> OldNexus::judge_key(Request& request, const api::Method* method) const {
    const auto no = [](unsigned status, std::string why) { return std::optional(std::pair(status, std::move(why))); };
    const std::string& key = request.scheduler_key;
    if (key_hashes_.empty())
        return no(401,
                  "no key is configured: start the server with --scheduler-keys-file FILE (one key a line), or set "
                  "server.scheduler_keys_file");
    if (key.empty()) return no(401, "the header X-Scheduler-Key is missing");
    const std::string hash = identity::sha256_hex(key);
    if (std::ranges::find(key_hashes_, hash) == key_hashes_.end())
        return no(403, "this X-Scheduler-Key is none of those that are configured");
    const auto bit = [](Role role) { return static_cast<Roles>(role); };
    const std::string name = "scheduler-key-" + hash.substr(0, 8);
    request.caller = Caller{.name = name,
                            .tenant = {},
                            .roles = with_implied(static_cast<Roles>(bit(Role::submitter) | bit(Role::operator_role))),
                            .credential = name,
                            .from = request.from};
    if (method != nullptr)
        if (auto may = api::allow(*method, *request.caller); !may) return no(403, may.error().what);
    return std::nullopt;
}

std::optional<Response> OldNexus::find_caller(Request& request, const api::Method* method) {
    const std::string correlation =
        is_name(request.correlation_id) ? request.correlation_id : "nexus-" + request.manners.request_id;
    auto& headers = request.answer_headers;
    headers.emplace_back("X-Correlation-ID", correlation);
    request.correlation_id = correlation;
    if (method != nullptr && !method->role) return std::nullopt;
    Window& window = window_of(request);
    const Duration left = kWindow - (now_() - window.begin);
    const auto seconds_left = static_cast<unsigned>((left.us + 999'999) / 1'000'000);
    const bool over = window.used >= kRequestsMax;
    if (!over) ++window.used;
    headers.emplace_back("RateLimit-Policy", fmt::format("{};w={}", kRequestsMax, kWindow.us / 1'000'000));
    headers.emplace_back("RateLimit-Limit", std::to_string(kRequestsMax));
    headers.emplace_back("RateLimit-Remaining", std::to_string(kRequestsMax - window.used));
    headers.emplace_back("RateLimit-Reset", std::to_string(seconds_left));
    const auto refused = [&](unsigned status, const std::string& why, unsigned retry_s) {
        const Fault fault = status == 401 ? Fault::unauthenticated : status == 403 ? Fault::denied : Fault::exhausted;
        if (method != nullptr) door_.counts->add(*method, api::row_of(fault).grpc);
        return refusal_of(status, why, correlation, headers, retry_s);
    };
    if (over)
        return refused(429, fmt::format("more than {} requests in a minute with this key", kRequestsMax), seconds_left);
    if (const auto no = judge_key(request, method)) return refused(no->first, no->second, 0);
    return std::nullopt;
}

void OldNexus::answer(const Route& where, Request request, Reply reply) {
    auto call = std::make_unique<Call>();
    call->reply = std::move(reply);
    call->where = where;
    call->correlation = request.correlation_id;
    call->headers = std::move(request.answer_headers);
    call->caller = caller_of(request);
    call->request = std::move(request);
    if (where.method != nullptr) door_.counts->add(*where.method, 0);
    route(where.method == nullptr ? "" : where.method->name, std::move(call));
}

void OldNexus::route(const std::string& name, std::unique_ptr<Call> call) {
    if (name == "http/scheduler_health") {
        const bool good = std::ranges::all_of(door_.engine.checks(), &engine::Check::good);
        return call->answer(good ? 200 : 503, {{"status", good ? "healthy" : "unhealthy"}});
    }
    if (name == "http/scheduler_status") return status(std::move(call));
    if (name == "http/scheduler_workers") return workers(std::move(call));
    if (name == "http/scheduler_predictions") return predictions(std::move(call));
    if (name == "http/scheduler_reset") return reset(std::move(call));
    if (name == "http/scheduler_config") return configure(std::move(call));
    if (name == "http/scheduler_override") return pin(std::move(call));
    call->refuse(404, "nothing is served at " + call->request.path.substr(0, 200) + " with this method");
}

void OldNexus::status(std::unique_ptr<Call> call) {
    const Caller caller = call->caller;
    const Duration timeout = said_.heartbeat_timeout;
    const bool accepts = std::ranges::all_of(door_.engine.checks(), &engine::Check::good);
    door_.engine.ask(
        caller, engine::ListTypes{},
        [&door = door_, caller, timeout, accepts, call = std::move(call)](Result<engine::TypesInfo>&& types) mutable {
            if (!types) return call->refuse(types.error());
            double confidence = 0;
            for (const predict::TypeStat& type : types->types) confidence += confidence_of(type);
            const std::size_t count = types->types.size();
            if (count > 0) confidence /= static_cast<double>(count);
            using State = engine::ReadState::Answer;
            door.engine.ask(
                caller, engine::ReadState{},
                [timeout, accepts, confidence, count, call = std::move(call)](Result<State>&& state) mutable {
                    if (!state) return call->refuse(state.error());
                    const engine::StatusInfo& now = (*state)->status;
                    std::array<unsigned, 4> workers{};
                    for (const engine::WorkerInfo& worker : (*state)->workers)
                        ++workers[static_cast<std::size_t>(health_of(worker, now.now, timeout))];
                    const bool some = workers[0] + workers[1] > 0;
                    const bool all_good = workers[0] > 0 && workers[1] + workers[2] == 0 && !now.fallback;
                    const double decisions = static_cast<double>(now.counters.decisions);
                    call->answer(
                        200,
                        {{"status", !accepts || !some ? "unhealthy"
                                    : all_good        ? "healthy"
                                                      : "degraded"},
                         {"uptime", now.uptime.us / 1'000'000},
                         {"workers", {{"healthy", workers[0]}, {"degraded", workers[1]}, {"unhealthy", workers[2]}}},
                         {"predictions", {{"taskTypes", count}, {"avgConfidence", confidence}}},
                         {"decisions",
                          {{"total", now.counters.decisions},
                           {"fallbackRate",
                            decisions == 0 ? 0 : static_cast<double>(now.counters.fallback_decisions) / decisions}}},
                         {"latency", {{"p50", now.decision_p50_us / 1000}, {"p99", now.decision_p99_us / 1000}}}});
                });
        });
}

void OldNexus::workers(std::unique_ptr<Call> call) {
    const Caller caller = call->caller;
    using State = engine::ReadState::Answer;
    door_.engine.ask(caller, engine::ReadState{},
                     [timeout = said_.heartbeat_timeout, call = std::move(call)](Result<State>&& state) mutable {
                         if (!state) return call->refuse(state.error());
                         Json list = Json::array();
                         unsigned available = 0;
                         for (const engine::WorkerInfo& worker : (*state)->workers) {
                             const Health health = health_of(worker, (*state)->status.now, timeout);
                             if (health == Health::removed) continue;
                             list.push_back(worker_json(worker));
                             const bool takes = health != Health::unhealthy && !worker.draining && !worker.cordoned;
                             available += takes && worker.running < worker.slots ? 1 : 0;
                         }
                         const std::size_t total = list.size();
                         call->answer(200, {{"workers", std::move(list)}, {"total", total}, {"available", available}});
                     });
}

void OldNexus::predictions(std::unique_ptr<Call> call) {
    const Caller caller = call->caller;
    door_.engine.ask(caller, engine::ListTypes{}, [call = std::move(call)](Result<engine::TypesInfo>&& types) mutable {
        if (!types) return call->refuse(types.error());
        Json names = Json::array(), states = Json::object();
        for (const engine::TypeInfo& type : types->types) {
            names.push_back(type.type);
            states[type.type] = {{"avgConfidence", confidence_of(type)},
                                 {"totalPredictions", type.samples},
                                 {"lastUpdated", type.last_ended.us > 0 ? Json(iso(type.last_ended)) : Json()}};
        }
        call->answer(200, {{"taskTypes", std::move(names)}, {"states", std::move(states)}});
    });
}

void OldNexus::reset(std::unique_ptr<Call> call) {
    const std::string type = call->where.variables.front().second;
    const Caller caller = call->caller;
    door_.engine.ask(caller, engine::ResetType{.type = type, .author = "", .reason = "DELETE /scheduler/predictions"},
                     [type, call = std::move(call)](Result<predict::TypeStat>&& done) mutable {
                         if (!done && done.error().fault != Fault::not_found) return call->refuse(done.error());
                         const char* message = done ? "what was learned is forgotten" : "nothing was learned of it";
                         call->answer(200, {{"message", message}, {"taskType", type}, {"reset", done.has_value()}});
                     });
}

// ---- what changes something

void OldNexus::configure(std::unique_ptr<Call> call) {
    auto body = call->object();
    if (!body) return;
    Said said = said_;
    std::string toml;
    for (const auto& [name, value] : body->items()) {
        if (name == "weights") {
            if (!value.is_object()) return call->refuse(400, "weights: must be an object");
            for (const auto& [weight, number] : value.items()) {
                double* const place = weight == "wait"       ? &said.wait
                                      : weight == "load"     ? &said.load
                                      : weight == "priority" ? &said.priority
                                                             : nullptr;
                if (place == nullptr)
                    return call->refuse(400, "weights." + weight + ": is not one of wait, load, priority");
                if (!number.is_number() || number.get<double>() < 0)
                    return call->refuse(400, "weights." + weight + ": must be a number of 0 or more");
                *place = number.get<double>();
            }
        } else if (name == "fallbackThreshold") {
            if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 ||
                value.get<std::uint64_t>() > UINT32_MAX)
                return call->refuse(400, "fallbackThreshold: must be a whole number of 1 or more");
            toml = fmt::format("[scheduler]\nfallback_threshold = {}\n", value.get<std::uint64_t>());
        } else if (name == "heartbeatTimeoutMs") {
            constexpr std::uint64_t kDayMs = 86'400'000;
            if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1000 || value.get<std::uint64_t>() > kDayMs)
                return call->refuse(400, "heartbeatTimeoutMs: must be a whole number from 1000 to 86400000");
            said.heartbeat_timeout = milliseconds(value.get<std::int64_t>());
        } else {
            return call->refuse(400, name.substr(0, 128) + ": is no key of this configuration");
        }
    }
    said_ = said;
    const Caller caller = call->caller;
    auto finish = [said, call = std::move(call)](Result<core::Config>&& config) mutable {
        if (!config) return call->refuse(config.error());
        call->answer(200, {{"message", "configuration updated"},
                           {"config",
                            {{"fallbackThreshold", config->fallback_threshold},
                             {"heartbeatTimeoutMs", said.heartbeat_timeout.us / 1000},
                             {"weights", {{"wait", said.wait}, {"load", said.load}, {"priority", said.priority}}}}}});
    };
    if (toml.empty()) return door_.engine.ask(caller, engine::GetConfig{}, std::move(finish));
    door_.engine.ask(caller,
                     engine::Configure{.version = 0, .toml = toml, .author = "", .reason = "PUT /scheduler/config"},
                     [finish = std::move(finish)](Result<engine::Reconfigured>&& done) mutable {
                         if (!done) return finish(std::unexpected(std::move(done).error()));
                         finish(std::move(done->config));
                     });
}

namespace {

struct Wish {  // of an override
    std::string task, worker, type, reason, payload;
};

// The task that an override makes when it knows none: of the highest priority, tried once, on that worker alone.
engine::SubmitTasks task_of(const Wish& wish) {
    constexpr std::size_t kKeyMax = 200;
    engine::Submission item;
    item.spec.type = plain_name(wish.type);
    item.spec.priority = kPriorityMost;
    item.spec.retry.attempts_max = 1;
    item.spec.pinned_worker = wish.worker;
    item.body.payload = wish.payload;
    item.body.metadata = {{"nexus.task_id", wish.task}};
    if (item.spec.type != wish.type) item.body.metadata.emplace_back("nexus.task_type", wish.type);
    if (!wish.reason.empty()) item.body.metadata.emplace_back("nexus.reason", wish.reason);
    item.idempotency_key =
        "scheduler-override:" + (wish.task.size() <= kKeyMax ? wish.task : identity::sha256_hex(wish.task));
    engine::SubmitTasks submit;
    submit.items.push_back(std::move(item));
    return submit;
}

}  // namespace

void OldNexus::pin(std::unique_ptr<Call> call) {
    auto body = call->object();
    if (!body) return;
    Wish wish;
    for (const auto& [name, place] : {std::pair{"taskId", &wish.task}, std::pair{"workerId", &wish.worker},
                                      std::pair{"taskType", &wish.type}, std::pair{"reason", &wish.reason}}) {
        if (!body->contains(name)) continue;
        if (!(*body)[name].is_string()) return call->refuse(400, std::string(name) + ": must be text");
        *place = (*body)[name].get<std::string>();
    }
    if (wish.task.empty()) return call->refuse(400, "taskId: missing");
    if (wish.worker.empty()) return call->refuse(400, "workerId: missing");
    wish.payload = body->contains("payload") ? (*body)["payload"].dump() : "{}";
    const Caller caller = call->caller;
    using State = engine::ReadState::Answer;
    auto done = [wish](Call& to, const std::string& message) {
        to.answer(200, {{"success", true}, {"taskId", wish.task}, {"workerId", wish.worker}, {"message", message}});
    };
    auto make = [&door = door_, caller, wish, done](std::unique_ptr<Call> asked) {
        if (wish.type.empty())
            return asked->refuse(400, "taskType: missing, and task " + wish.task.substr(0, 200) + " is not known");
        door.engine.ask(caller, task_of(wish),
                        [done, asked = std::move(asked)](Result<std::vector<engine::Submitted>>&& made) mutable {
                            if (!made) return asked->refuse(made.error());
                            done(*asked, "a new task was made, " + to_text(made->front().task));
                        });
    };
    auto set = [&door = door_, caller, wish, done](TaskId task, std::unique_ptr<Call> asked) {
        engine::SetOverride pin{.set = {.task = task, .type = {}, .worker = wish.worker},
                                .expires = {},
                                .author = "",
                                .reason = wish.reason.empty() ? "POST /scheduler/override" : wish.reason};
        pin.set.kind = core::OverrideKind::pin;
        door.engine.ask(caller, std::move(pin),
                        [done, asked = std::move(asked)](Result<engine::OverrideInfo>&& info) mutable {
                            if (!info) return asked->refuse(info.error());
                            done(*asked, "the task is pinned, override " + std::to_string(info->set.number));
                        });
    };
    door_.engine.ask(
        caller, engine::ReadState{},
        [&door = door_, caller, wish, make, set, call = std::move(call)](Result<State>&& state) mutable {
            if (!state) return call->refuse(state.error());
            const auto& all = (*state)->workers;
            const auto worker = std::ranges::find(all, wish.worker, &engine::WorkerInfo::name);
            if (worker == all.end()) return call->refuse(404, "no worker '" + wish.worker.substr(0, 128) + "'");
            if (const std::string is = status_of(*worker); is == "draining" || is == "offline")
                return call->refuse(400, "workerId: worker " + wish.worker + " is " + is);
            const auto task = parse_id<TaskId>(wish.task);
            if (!task) return make(std::move(call));
            door.engine.ask(caller, engine::GetTask{.task = *task},
                            [task = *task, make, set, call = std::move(call)](Result<engine::TaskInfo>&& info) mutable {
                                if (!info && info.error().fault == Fault::not_found) return make(std::move(call));
                                if (!info) return call->refuse(info.error());
                                if (core::is_terminal(info->state))
                                    return call->refuse(
                                        400, "taskId: the task has ended: " + std::string(core::name_of(info->state)));
                                set(task, std::move(call));
                            });
        });
}

}  // namespace nexus::http
