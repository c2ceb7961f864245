#include "http/openapi.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/must.h"
#include "http/rest.h"
#include "http/schema.h"
#include "identity/roles.h"

namespace nexus::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

// What HTTP alone serves, which no message describes.
struct PageRow {
    std::string_view name, summary, type;
};
constexpr PageRow kPages[] = {
    {"http/watch", "The changes of tasks as they happen, by ids or by type and tenant.", "text/event-stream"},
    {"http/watch_task", "The changes of one task until it has ended.", "text/event-stream"},
    {"http/live", "Status, workers and tasks once a second, or the topics that are asked for.", "text/event-stream"},
    {"http/openapi", "This description.", "application/json"},
    {"http/scheduler_health", "Of the old Nexus: whether work is accepted.", "application/json"},
    {"http/scheduler_status", "Of the old Nexus: health in numbers.", "application/json"},
    {"http/scheduler_workers", "Of the old Nexus: its workers.", "application/json"},
    {"http/scheduler_predictions", "Of the old Nexus: what was learned of each type.", "application/json"},
    {"http/scheduler_reset", "Of the old Nexus: forgets what was learned of a type.", "application/json"},
    {"http/scheduler_config", "Of the old Nexus: weights, fallbackThreshold, heartbeatTimeoutMs.", "application/json"},
    {"http/scheduler_override", "Of the old Nexus: pins a task to a worker, or makes one there.", "application/json"},
    {"http/sign_in", "Exchanges a token for the cookie of the page.", "application/json"},
    {"http/sign_out", "Ends the session of the page.", ""},
    {"http/metrics", "Counters and gauges for Prometheus.", "text/plain"},
    {"http/livez", "The process lives.", "text/plain"},
    {"http/readyz", "Work is accepted; 503 when not. With ?verbose each check is listed.", "text/plain"},
    {"http/healthz", "The same as /readyz.", "text/plain"},
    {"http/page", "The page for people.", "text/html"},
    {"http/index.html", "The page for people.", "text/html"},
    {"http/asset", "A part of the page.", "text/javascript"},
    {"http/icon", "The icon of the page.", "image/svg+xml"},
    {"http/favicon", "A part of the page.", "image/svg+xml"},
};

constexpr std::string_view kIntroduction =
    "Every method of nexus.v1 as JSON over HTTP. The names are those of the protocol. Durations are microseconds "
    "(_us), "
    "times are microseconds since the Unix epoch (_unix_us, 0 = unset). 64-bit numbers are given as text, since JSON's "
    "numbers are exact up to 2^53 only; numbers are taken as well. Bytes are base64; beside a field x of bytes x_text "
    "is "
    "given when they are text, and may be sent instead. Refusals are problem documents (RFC 9457) with a stable code.";

const char* name_of(api::Verb verb) {
    switch (verb) {
        case api::Verb::get: return "get";
        case api::Verb::post: return "post";
        case api::Verb::put: return "put";
        case api::Verb::remove: return "delete";
        case api::Verb::none: break;
    }
    return "";
}

// "TaskService_Submit" of "/nexus.v1.TaskService/Submit", "http_live" of "http/live".
std::string operation_id(std::string_view name) {
    std::string id(name.substr(name.starts_with('/') ? name.rfind('.') + 1 : 0));
    for (char& c : id)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    return id;
}

std::vector<std::string> variables_of(std::string_view path) {
    std::vector<std::string> names;
    for (std::size_t at = path.find('{'); at != std::string_view::npos; at = path.find('{', at + 1))
        names.emplace_back(path.substr(at + 1, path.find('}', at) - at - 1));
    return names;
}

Json header_parameter(const char* name, const char* what, bool required = false) {
    return {{"name", name},
            {"in", "header"},
            {"required", required},
            {"description", what},
            {"schema", {{"type", "string"}}}};
}

Json query_parameter(const FieldDescriptor& field) {
    Json parameter{{"name", short_name_of(field.name())},
                   {"in", "query"},
                   {"required", false},
                   {"description", comment_of(field)},
                   {"schema", parameter_schema(field)}};
    if (field.is_repeated()) {
        parameter["style"] = "form";
        parameter["explode"] = false;
    }
    return parameter;
}

bool may_stand_in_query(const FieldDescriptor& field) {
    return field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE && field.type() != FieldDescriptor::TYPE_BYTES;
}

void add_parameters(const api::Method& method, const Descriptor& request, Json& operation) {
    Json parameters = Json::array();
    const std::vector<std::string> variables = variables_of(method.rest.path);
    for (const std::string& name : variables) {
        const auto* field = request.FindFieldByName(name);
        MUST(field != nullptr);
        parameters.push_back({{"name", name},
                              {"in", "path"},
                              {"required", true},
                              {"description", comment_of(*field)},
                              {"schema", parameter_schema(*field)}});
    }
    if (*method.rest.body == '\0')
        for (int i = 0; i < request.field_count(); ++i) {
            const FieldDescriptor& field = *request.field(i);
            if (std::ranges::find(variables, field.name()) == variables.end() && may_stand_in_query(field))
                parameters.push_back(query_parameter(field));
        }
    if (method.rest.body == std::string_view("task"))
        parameters.push_back(header_parameter("Idempotency-Key", "Stands for idempotency_key of the task."));
    if (request.FindFieldByName("etag") != nullptr)
        parameters.push_back(
            header_parameter("If-Match", "The ETag of what is to be changed; 412 when it is another by now."));
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
}

// The body is the message without what the path says, or one field of it.
void add_body(const api::Method& method, const Descriptor& request, Schemas& schemas, Json& operation) {
    const std::string_view body = method.rest.body;
    if (body.empty()) return;
    Json schema;
    if (body != "*") {
        schema = schemas.reference(*request.FindFieldByName(std::string(body))->message_type());
    } else if (const auto variables = variables_of(method.rest.path); variables.empty()) {
        schema = schemas.reference(request);
    } else {
        schema = schemas.object(request);
        for (const std::string& name : variables) schema["properties"].erase(name);
    }
    operation["requestBody"] = {{"required", body != "*"}, {"content", {{"application/json", {{"schema", schema}}}}}};
}

Json good_answer(const api::Method& method, Json content) {
    Json answer{{"description", "It is done."}};
    if (!content.empty()) answer["content"] = std::move(content);
    if (method.rest.status == 202) answer["description"] = "It is accepted, and durable as the answer says.";
    if (*method.rest.location != '\0')
        answer["headers"] = {
            {"Location", {{"description", "Where the new task is."}, {"schema", {{"type", "string"}}}}}};
    return answer;
}

bool is_old(const api::Method& method) {
    return std::string_view(method.name).starts_with("http/scheduler");
}

void add_page(const api::Method& method, Json& operation, Json& content) {
    const Json text{{"type", "string"}};
    const auto page = std::ranges::find(kPages, std::string_view(method.name), &PageRow::name);
    MUST(page != std::end(kPages));
    operation["summary"] = page->summary;
    operation["tags"] = {is_old(method) ? "scheduler" : "http"};
    Json parameters = Json::array();
    for (const std::string& name : variables_of(method.rest.path))
        parameters.push_back({{"name", name}, {"in", "path"}, {"required", true}, {"schema", text}});
    if (page->name.starts_with("http/watch") || page->name == "http/live")
        parameters.push_back(
            header_parameter("Last-Event-ID", "Goes on behind this event: what changed since is told again."));
    if (page->name == "http/live")
        parameters.push_back({{"name", "topics"},
                              {"in", "query"},
                              {"required", false},
                              {"description",
                               "Only these, with commas, and when they changed: status, attention, fleet, queues, "
                               "types, tenants, series, tasks(state=waiting|running,type=T), task:ID, worker:NAME, "
                               "type:NAME"},
                              {"schema", text}});
    if (page->name == "http/watch")
        for (const char* name : {"id", "type", "tenant"})
            parameters.push_back({{"name", name}, {"in", "query"}, {"required", false}, {"schema", text}});
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    const Json any{{"type", "object"}};
    if (*method.rest.body != '\0')
        operation["requestBody"] = {
            {"required", true},
            {"content",
             {{"application/json",
               {{"schema", page->name == "http/sign_in"
                               ? Json{{"type", "object"}, {"required", {"token"}}, {"properties", {{"token", text}}}}
                               : any}}}}}};
    if (!page->type.empty())
        content[std::string(page->type)] = {{"schema", page->type == "application/json" ? any : text}};
}

Json operation_of(const api::Method& method, Schemas& schemas) {
    Json operation{{"operationId", operation_id(method.name)}};
    Json content;
    if (method.kind == api::Kind::page) {
        add_page(method, operation, content);
    } else {
        const Descriptor& request = described(*method.request().GetDescriptor());
        const Descriptor& response = described(*method.response().GetDescriptor());
        const std::string name = method.name;
        operation["summary"] = summary_of(name, request);
        operation["tags"] = {name.substr(name.rfind('.') + 1, name.rfind('/') - name.rfind('.') - 1)};
        add_parameters(method, request, operation);
        add_body(method, request, schemas, operation);
        content["application/json"] = {{"schema", schemas.reference(response)}};
    }
    operation["responses"][std::to_string(method.rest.status)] = good_answer(method, std::move(content));
    operation["responses"]["default"] = {
        {"$ref", is_old(method) ? "#/components/responses/OldError" : "#/components/responses/Problem"}};
    if (is_old(method) && std::string_view(method.name) != "http/scheduler_health") {
        operation["security"] = Json::array({{{"schedulerKey", Json::array()}}});
    } else if (method.role) {
        operation["x-nexus-role"] = identity::name_of(*method.role);
        if (method.reads_payloads) operation["x-nexus-payload"] = true;
    } else {
        operation["security"] = Json::array();
    }
    return operation;
}

Json problem_schema() {
    const Json text{{"type", "string"}};
    return {
        {"type", "object"},
        {"required", {"type", "title", "status", "detail", "code", "errors"}},
        {"properties",
         {{"type", text},
          {"title", text},
          {"status", {{"type", "integer"}}},
          {"detail", {{"type", "string"}, {"description", "What is wrong, and what to do."}}},
          {"code", {{"type", "string"}, {"description", "Stable, e.g. INVALID, NOT_FOUND, CONFLICT, EXHAUSTED."}}},
          {"field", text},
          {"errors",
           {{"type", "array"}, {"items", {{"type", "object"}, {"properties", {{"field", text}, {"detail", text}}}}}}},
          {"retry_after", {{"type", "integer"}, {"description", "Seconds until it is worth trying again."}}},
          {"request_id", text},
          {"trace_id", text}}}};
}

std::string make_document() {
    Schemas schemas;
    Json paths = Json::object();
    for (const api::Method& method : api::methods())
        if (method.rest.verb != api::Verb::none)
            paths[method.rest.path][name_of(method.rest.verb)] = operation_of(method, schemas);
    Json document{{"openapi", "3.1.0"},
                  {"info",
                   {{"title", "Nexus Scheduler"},
                    {"version", "1"},
                    {"summary", "Tasks in, predicted, placed, followed to their end."},
                    {"description", kIntroduction}}},
                  {"servers", Json::array({{{"url", "/"}}})},
                  {"security", Json::array({{{"bearer", Json::array()}}, {{"session", Json::array()}}})},
                  {"paths", std::move(paths)}};
    Json& components = document["components"];
    components["schemas"] = schemas.take();
    components["schemas"]["Problem"] = problem_schema();
    components["responses"]["Problem"] = {
        {"description", "A refusal."},
        {"content", {{"application/problem+json", {{"schema", {{"$ref", "#/components/schemas/Problem"}}}}}}}};
    const Json text{{"type", "string"}};
    components["responses"]["OldError"] = {{"description", "A refusal as the old Nexus had it."},
                                           {"content",
                                            {{"application/json",
                                              {{"schema",
                                                {{"type", "object"},
                                                 {"required", {"error", "message", "correlationId"}},
                                                 {"properties",
                                                  {{"error", text},
                                                   {"message", text},
                                                   {"correlationId", text},
                                                   {"retryAfter", {{"type", "integer"}}}}}}}}}}}};
    components["securitySchemes"] = {
        {"schedulerKey", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-Scheduler-Key"}}},
        {"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
        {"session", {{"type", "apiKey"}, {"in", "cookie"}, {"name", "nexus_session"}}},
    };
    return document.dump();
}

}  // namespace

std::string_view openapi_document() {
    static const std::string document = make_document();
    return document;
}

void openapi(api::Door&, const Request&, Reply reply) {
    Response response;
    response.fixed = openapi_document();
    reply(std::move(response));
}

}  // namespace nexus::http
