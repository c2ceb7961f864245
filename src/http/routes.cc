#include "http/routes.h"

#include <google/protobuf/util/json_util.h>
#include <nexus/v1/nexus.pb.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/error.h"
#include "api/submit.h"
#include "api/view.h"
#include "http/assets.h"

namespace nexus::http {
namespace {

using engine::Service;

// Nothing is proved about a caller yet: all are "anonymous" and may do all.
Caller caller_of() {
    return {.name = "anonymous", .tenant = {}, .roles = kAllRoles, .from = "http"};
}

constexpr std::size_t kLiveTasksMax = 60;

std::string json_of(const google::protobuf::Message& message) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string text;
    const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
    return status.ok() ? text : "{}";
}

std::string_view title_of(unsigned status) {
    switch (status) {
        case 400: return "Bad request";
        case 403: return "Forbidden";
        case 404: return "Not found";
        case 409: return "Conflict";
        case 412: return "Precondition failed";
        case 429: return "Too many requests";
        case 503: return "Service unavailable";
        case 507: return "Insufficient storage";
        default: return "Error";
    }
}

Response problem_of(const Error& error) {
    const api::FaultRow& row = api::row_of(error.fault);
    Response response = problem(row.http, row.reason, title_of(row.http), error.what);
    if (row.retry_s > 0) response.headers.emplace_back("Retry-After", std::to_string(row.retry_s));
    return response;
}

Response message_response(const google::protobuf::Message& message, unsigned status = 200) {
    Response response;
    response.status = status;
    response.body = json_of(message);
    return response;
}

// Turns an engine answer into a reply: `fill` makes the message of the value.
template <class T, class Message, class Fill>
engine::Done<T> answer(Reply reply, Fill fill, unsigned status = 200) {
    return [reply = std::move(reply), fill, status](Result<T> result) mutable {
        if (!result) return reply(problem_of(result.error()));
        Message message;
        fill(*result, message);
        reply(message_response(message, status));
    };
}

engine::Done<engine::TaskInfo> task_answer(Reply reply) {
    return answer<engine::TaskInfo, v1::Task>(
        std::move(reply), [](const engine::TaskInfo& task, v1::Task& out) { api::to_message(task, out); });
}

std::string_view query_of(const Request& request, const char* name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? std::string_view() : std::string_view(found->second);
}

// A number within [low, high]; `unset` when the parameter is absent.
Result<std::uint64_t> number_of(const Request& request, const char* name, std::uint64_t unset, std::uint64_t low,
                                std::uint64_t high) {
    const std::string_view text = query_of(request, name);
    if (text.empty()) return unset;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
        return fail(Fault::invalid, std::string(name) + ": must be a number from " + std::to_string(low) + " to " +
                                        std::to_string(high));
    return value;
}

Result<void> only_known(const Request& request, std::initializer_list<std::string_view> known) {
    for (const auto& [name, value] : request.query)
        if (std::find(known.begin(), known.end(), name) == known.end())
            return fail(Fault::invalid, name + ": no such parameter here");
    return {};
}

void list_tasks(Service& service, const Request& request, Reply reply) {
    if (auto known = only_known(request, {"state", "type", "tenant", "queue", "worker", "limit", "cursor"}); !known)
        return reply(problem_of(known.error()));
    v1::ListTasksRequest list;
    const std::string_view state = query_of(request, "state");
    if (!state.empty()) {
        std::string name = "TASK_STATE_";
        for (const char c : state) name += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        v1::TaskState value{};
        if (!v1::TaskState_Parse(name, &value) || value == v1::TASK_STATE_UNSPECIFIED)
            return reply(problem_of(
                Error{Fault::invalid,
                      "state: not one of waiting, assigned, running, paused, succeeded, dead, cancelled, expired"}));
        list.add_states(value);
    }
    list.set_type(std::string(query_of(request, "type")));
    list.set_tenant(std::string(query_of(request, "tenant")));
    list.set_queue(std::string(query_of(request, "queue")));
    list.set_worker(std::string(query_of(request, "worker")));
    auto filter = api::to_filter(list);
    if (!filter) return reply(problem_of(filter.error()));
    const auto limit = number_of(request, "limit", 100, 1, 1000);
    if (!limit) return reply(problem_of(limit.error()));
    service.ask(caller_of(), engine::ListTasks{std::move(*filter), *limit, std::string(query_of(request, "cursor"))},
                answer<engine::TaskPage, v1::ListTasksResponse>(
                    std::move(reply),
                    [](const engine::TaskPage& page, v1::ListTasksResponse& out) { api::to_message(page, out); }));
}

void submit_task(Service& service, Request request, Reply reply) {
    v1::TaskSpec spec;
    const auto parsed = google::protobuf::util::JsonStringToMessage(request.body, &spec);
    if (!parsed.ok())
        return reply(
            problem_of(Error{Fault::invalid, "body: not a nexus.v1.TaskSpec in JSON: " +
                                                 std::string(parsed.message().data(), parsed.message().size())}));
    if (!request.idempotency_key.empty()) spec.set_idempotency_key(request.idempotency_key);
    auto submission = api::to_submission(spec, "task");
    if (!submission) return reply(problem_of(submission.error()));
    std::vector<engine::Submission> items;
    items.push_back(std::move(*submission));
    service.ask(caller_of(), engine::SubmitTasks{std::move(items)},
                [reply = std::move(reply)](Result<std::vector<engine::Submitted>> result) mutable {
                    if (!result) return reply(problem_of(result.error()));
                    v1::SubmitResponse message;
                    api::to_message(result->front(), "", message);
                    Response response = message_response(message, 202);
                    response.headers.emplace_back("Location", "/v1/tasks/" + message.id());
                    reply(std::move(response));
                });
}

void on_task(Service& service, const Request& request, std::string_view rest, Reply reply) {
    const bool post = request.method == "POST";
    std::string_view verb;
    if (const std::size_t mark = rest.find_first_of("/:"); mark != std::string_view::npos) {
        verb = rest.substr(mark);
        rest = rest.substr(0, mark);
    }
    const auto task = parse_id<TaskId>(rest);
    if (!task) return reply(problem(404, "NOT_FOUND", "Not found", "no task has that id"));
    if (!post && verb.empty())
        return service.ask(caller_of(), engine::GetTask{*task, query_of(request, "result") == "true"},
                           task_answer(std::move(reply)));
    if (!post && verb == "/explain")
        return service.ask(caller_of(), engine::ExplainTask{*task},
                           answer<engine::Explanation, v1::Explanation>(
                               std::move(reply), [](const engine::Explanation& explanation, v1::Explanation& out) {
                                   api::to_message(explanation, out);
                               }));
    if (post && verb == ":cancel")
        return service.ask(caller_of(), engine::CancelTask{*task, "cancelled over HTTP"},
                           task_answer(std::move(reply)));
    if (post && verb == ":retry")
        return service.ask(caller_of(), engine::RetryTask{*task},
                           answer<engine::Submitted, v1::SubmitResponse>(
                               std::move(reply),
                               [](const engine::Submitted& submitted, v1::SubmitResponse& out) {
                                   api::to_message(submitted, "", out);
                               },
                               202));
    reply(problem(404, "NOT_FOUND", "Not found", "nothing is served at this path with this method"));
}

void on_worker(Service& service, std::string_view rest, Reply reply) {
    const std::size_t colon = rest.rfind(':');
    const std::string_view verb = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
    core::WorkerOrder order{};
    if (verb == "cordon")
        order = core::WorkerOrder::cordon;
    else if (verb == "uncordon")
        order = core::WorkerOrder::uncordon;
    else if (verb == "drain")
        order = core::WorkerOrder::drain;
    else
        return reply(problem(404, "NOT_FOUND", "Not found", "POST /v1/workers/{name}:cordon, :uncordon or :drain"));
    service.ask(
        caller_of(), engine::ControlWorker{std::string(rest.substr(0, colon)), order, "", "over HTTP"},
        answer<engine::WorkerInfo, v1::Worker>(
            std::move(reply), [](const engine::WorkerInfo& worker, v1::Worker& out) { api::to_message(worker, out); }));
}

void fill_workers(const std::vector<engine::WorkerInfo>& workers, v1::ListWorkersResponse& out) {
    for (const auto& worker : workers) api::to_message(worker, *out.add_workers());
}

void fill_status(const engine::StatusInfo& status, v1::Status& out) {
    api::to_message(status, out);
}

void list_decisions(Service& service, const Request& request, Reply reply) {
    history::DecisionQuery query;
    if (const std::string_view text = query_of(request, "task"); !text.empty()) {
        const auto task = parse_id<TaskId>(text);
        if (!task) return reply(problem_of(Error{Fault::invalid, "task: not an id"}));
        query.task = *task;
    }
    query.worker = query_of(request, "worker");
    const auto limit = number_of(request, "limit", 100, 1, 1000);
    if (!limit) return reply(problem_of(limit.error()));
    query.limit = *limit;
    const auto number = number_of(request, "number", 0, 0, INT64_MAX);
    if (!number) return reply(problem_of(number.error()));
    query.number = *number;
    service.ask(caller_of(), engine::ListDecisions{std::move(query), std::string(query_of(request, "cursor"))},
                answer<engine::DecisionPage, v1::ListDecisionsResponse>(
                    std::move(reply), [](const engine::DecisionPage& page, v1::ListDecisionsResponse& out) {
                        api::to_message(page, out);
                    }));
}

void health(Service& service, Reply reply) {
    service.ask(caller_of(), engine::GetStatus{},
                [reply = std::move(reply)](Result<engine::StatusInfo> status) mutable {
                    Response response;
                    response.content_type = "text/plain; charset=utf-8";
                    response.status = status ? 200 : 503;
                    response.body = status ? "ok\n" : "not ready: " + status.error().what + "\n";
                    reply(std::move(response));
                });
}

void metrics(Service& service, Reply reply) {
    service.ask(caller_of(), engine::GetMetrics{}, [reply = std::move(reply)](Result<std::string> text) mutable {
        if (!text) return reply(problem_of(text.error()));
        Response response;
        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
        response.body = std::move(*text);
        reply(std::move(response));
    });
}

void list_types(Service& service, Reply reply) {
    service.ask(caller_of(), engine::ListTypes{},
                answer<engine::TypesInfo, v1::ListTypesResponse>(
                    std::move(reply), [](const engine::TypesInfo& types, v1::ListTypesResponse& out) {
                        api::to_message(types.types, types.accuracy, out);
                    }));
}

void get(Service& service, Request& request, Reply& reply) {
    const std::string_view path = request.path;
    if (const auto file = asset(path)) {
        Response response;
        response.content_type = file->content_type;
        response.fixed = file->bytes;
        return reply(std::move(response));
    }
    if (path == "/livez" || path == "/readyz" || path == "/healthz") return health(service, std::move(reply));
    if (path == "/metrics") return metrics(service, std::move(reply));
    if (path == "/v1/status")
        return service.ask(caller_of(), engine::GetStatus{},
                           answer<engine::StatusInfo, v1::Status>(std::move(reply), fill_status));
    if (path == "/v1/workers")
        return service.ask(
            caller_of(), engine::ListWorkers{},
            answer<std::vector<engine::WorkerInfo>, v1::ListWorkersResponse>(std::move(reply), fill_workers));
    if (path == "/v1/tasks") return list_tasks(service, request, std::move(reply));
    if (path.starts_with("/v1/tasks/")) return on_task(service, request, path.substr(10), std::move(reply));
    if (path == "/v1/types") return list_types(service, std::move(reply));
    if (path.starts_with("/v1/types/"))
        return service.ask(caller_of(), engine::GetType{std::string(path.substr(10))},
                           answer<predict::TypeStat, v1::TypeStat>(
                               std::move(reply),
                               [](const predict::TypeStat& type, v1::TypeStat& out) { api::to_message(type, out); }));
    if (path == "/v1/decisions") return list_decisions(service, request, std::move(reply));
    reply(problem(404, "NOT_FOUND", "Not found", "nothing is served at this path"));
}

void post(Service& service, Request& request, Reply& reply) {
    const std::string_view path = request.path;
    if (path == "/v1/tasks") {
        if (!request.content_type.starts_with("application/json"))
            return reply(problem(415, "CONTENT_TYPE", "Unsupported media type", "send application/json"));
        return submit_task(service, std::move(request), std::move(reply));
    }
    // A form or a plain-text post of another site can carry no such header without asking first.
    if (!request.content_type.empty() && !request.content_type.starts_with("application/json"))
        return reply(problem(415, "CONTENT_TYPE", "Unsupported media type", "send application/json or no body"));
    if (path.starts_with("/v1/tasks/")) return on_task(service, request, path.substr(10), std::move(reply));
    if (path.starts_with("/v1/workers/")) return on_worker(service, path.substr(12), std::move(reply));
    reply(problem(404, "NOT_FOUND", "Not found", "nothing is served at this path"));
}

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool unescape(std::string_view text, bool plus_is_space, std::string& out) {
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            if (i + 2 >= text.size()) return false;
            const int high = hex(text[i + 1]);
            const int low = hex(text[i + 2]);
            if (high < 0 || low < 0) return false;
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (c == '\0') return false;
        out += c;
    }
    return true;
}

}  // namespace

Response problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail) {
    Response response;
    response.status = status;
    response.content_type = "application/problem+json";
    const nlohmann::json body = {
        {"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}, {"code", code}};
    response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return response;
}

bool parse_target(std::string_view target, std::string& path, std::map<std::string, std::string>& query) {
    if (target.empty() || target.front() != '/' || target.size() > 8192) return false;
    const std::size_t mark = target.find('?');
    if (!unescape(target.substr(0, mark), false, path)) return false;
    if (path.find("//") != std::string::npos || path.find("..") != std::string::npos) return false;
    if (mark == std::string_view::npos) return true;
    std::string_view rest = target.substr(mark + 1);
    while (!rest.empty()) {
        const std::size_t amp = rest.find('&');
        const std::string_view pair = rest.substr(0, amp);
        rest = amp == std::string_view::npos ? std::string_view() : rest.substr(amp + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        std::string name, value;
        if (!unescape(pair.substr(0, equals), true, name)) return false;
        if (equals != std::string_view::npos && !unescape(pair.substr(equals + 1), true, value)) return false;
        if (query.size() >= 32 || !query.emplace(std::move(name), std::move(value)).second) return false;
    }
    return true;
}

void route(Service& service, Request request, Reply reply) {
    if (request.method == "GET") return get(service, request, reply);
    post(service, request, reply);
}

void live_frame(Service& service, std::move_only_function<void(std::string)> done) {
    struct Frame {
        std::string text;
        std::move_only_function<void(std::string)> done;
        void add(const char* name, const google::protobuf::Message& message) {
            text += std::string("event: ") + name + "\ndata: " + json_of(message) + "\n\n";
        }
    };
    auto frame = std::make_shared<Frame>();  // handed from answer to answer; the last one sends it
    frame->done = std::move(done);
    service.ask(caller_of(), engine::GetStatus{}, [&service, frame](Result<engine::StatusInfo> status) {
        if (!status) return frame->done(": not ready\n\n");
        v1::Status status_message;
        fill_status(*status, status_message);
        frame->add("status", status_message);
        service.ask(
            caller_of(), engine::ListWorkers{}, [&service, frame](Result<std::vector<engine::WorkerInfo>> workers) {
                if (!workers) return frame->done(std::move(frame->text));
                v1::ListWorkersResponse list;
                fill_workers(*workers, list);
                frame->add("workers", list);
                // What runs first, then what waits.
                engine::TaskFilter running;
                running.states = {core::TaskState::running, core::TaskState::assigned, core::TaskState::paused};
                service.ask(caller_of(), engine::ListTasks{running, kLiveTasksMax, ""},
                            [&service, frame](Result<engine::TaskPage> page) {
                                auto tasks =
                                    std::make_shared<engine::TaskPage>(page ? std::move(*page) : engine::TaskPage{});
                                engine::TaskFilter waiting;
                                waiting.states = {core::TaskState::waiting};
                                service.ask(caller_of(), engine::ListTasks{waiting, kLiveTasksMax, ""},
                                            [frame, tasks](Result<engine::TaskPage> more) {
                                                if (more)
                                                    for (engine::TaskInfo& task : more->tasks)
                                                        if (tasks->tasks.size() < kLiveTasksMax)
                                                            tasks->tasks.push_back(std::move(task));
                                                v1::ListTasksResponse listed;
                                                api::to_message(*tasks, listed);
                                                frame->add("tasks", listed);
                                                frame->done(std::move(frame->text));
                                            });
                            });
            });
    });
}

}  // namespace nexus::http
