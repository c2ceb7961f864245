#include "cli/session.h"

#include <fmt/format.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <charconv>
#include <chrono>
#include <vector>

#include "base/quantity.h"
#include "cli/text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "nexus/v1/nexus.grpc.pb.h"

namespace nexus::cli {
namespace {

// What a list of everything may weigh; a watcher's or a page's worst case is far below.
constexpr int kReceiveBytesMax = 256 << 20;

int exit_code_of(grpc::StatusCode code) {
    switch (code) {
        case grpc::StatusCode::INVALID_ARGUMENT:
        case grpc::StatusCode::OUT_OF_RANGE: return kExitUsage;
        case grpc::StatusCode::NOT_FOUND: return kExitNotFound;
        case grpc::StatusCode::ALREADY_EXISTS:
        case grpc::StatusCode::FAILED_PRECONDITION:
        case grpc::StatusCode::RESOURCE_EXHAUSTED:
        case grpc::StatusCode::PERMISSION_DENIED:
        case grpc::StatusCode::UNAUTHENTICATED:
        case grpc::StatusCode::ABORTED: return kExitRefused;
        case grpc::StatusCode::UNAVAILABLE: return kExitUnavailable;
        case grpc::StatusCode::DEADLINE_EXCEEDED: return kExitTimedOut;
        default: return kExitFailure;
    }
}

// gRPC's own words for a failed connection are long; these are what a person needs of them.
std::string plain_reason(const std::string& message) {
    const auto has = [&](std::string_view part) { return message.find(part) != std::string::npos; };
    if (has("Connection refused")) return "connection refused";
    if (has("http1.x")) return "it answers in HTTP/1, not gRPC";
    if (has("DNS resolution failed") || has("Domain name not found")) return "the host name is not known";
    if (has("Socket closed") || has("Connection reset") || has("Broken pipe") || has("Endpoint read failed"))
        return "the connection broke";
    if (has("No route to host") || has("Network is unreachable")) return "no route to the host";
    return safe_text(message, 300);
}

std::string next_step(const grpc::Status& status) {
    const std::string reason = plain_reason(status.error_message());
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
        if (reason.starts_with("it answers in HTTP/1"))
            return "is that the port of the page? gRPC listens on 7070 unless told otherwise";
        return "is `nexus serve` running? try `nexus dev`, or name another server with --server or NEXUS_SERVER";
    }
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
        return "give it longer with --timeout, or see `nexus doctor`";
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED)
        return "the server is of another version; see `nexus version`";
    google::rpc::Status details;
    if (!details.ParseFromString(status.error_details())) return {};
    for (const auto& detail : details.details()) {
        google::rpc::RetryInfo retry;
        if (!detail.UnpackTo(&retry)) continue;
        const std::int64_t us = retry.retry_delay().seconds() * 1'000'000 + retry.retry_delay().nanos() / 1'000;
        return "try again in " + span_text(us);
    }
    return {};
}

std::string why(const grpc::Status& status, const Connection& connection) {
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
        return "no answer within " + duration_text(connection.timeout);
    return plain_reason(status.error_message());
}

Failure failure_of(const grpc::Status& status, const std::string& doing, const Connection& connection,
                   bool interrupted) {
    if (status.error_code() == grpc::StatusCode::CANCELLED && interrupted)
        return {.exit_code = kExitInterrupted, .what = doing + ": interrupted", .next = {}};
    return {.exit_code = exit_code_of(status.error_code()),
            .what = fmt::format("{} on {}: {}", doing, connection.server, why(status, connection)),
            .next = next_step(status)};
}

// The first text field of `message`, or of one inside it, that is not UTF-8; protobuf would refuse it without a word
// that helps. Maps are repeated messages of key and value.
std::string field_not_text(const google::protobuf::Message& message) {
    const auto* reflection = message.GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const auto* field : fields) {
        const int items = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
        for (int i = 0; i < items; ++i) {
            if (field->type() == google::protobuf::FieldDescriptor::TYPE_STRING) {
                const std::string text = field->is_repeated() ? reflection->GetRepeatedString(message, field, i)
                                                              : reflection->GetString(message, field);
                if (!is_utf8(text)) return field->name();
            }
            if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
            const std::string inner =
                field_not_text(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                    : reflection->GetMessage(message, field));
            if (!inner.empty()) return field->name() + "." + inner;
        }
    }
    return {};
}

// Ctrl-C cancels the call of this context while the object lives.
class Cancellable {
public:
    Cancellable(Interrupt& interrupt, grpc::ClientContext& context) : interrupt_(interrupt) {
        interrupt_.on_raise([&context] { context.TryCancel(); });
    }
    ~Cancellable() { interrupt_.on_raise({}); }
    Cancellable(const Cancellable&) = delete;
    Cancellable& operator=(const Cancellable&) = delete;

private:
    Interrupt& interrupt_;
};

std::shared_ptr<grpc::Channel> open_channel(const std::string& server) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
    return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

class GrpcSubmitStream : public SubmitStream {
public:
    GrpcSubmitStream(pb::TaskService::Stub& stub, const Connection& connection, Interrupt& interrupt)
        : connection_(connection), interrupt_(interrupt), stream_(stub.SubmitStream(&context_)) {}
    bool send(const pb::SubmitBatchRequest& batch) override { return stream_->Write(batch); }
    void send_done() override { stream_->WritesDone(); }
    bool receive(pb::SubmitBatchResponse& answers) override { return stream_->Read(&answers); }
    Answer<void> finish() override {
        const grpc::Status status = stream_->Finish();
        if (status.ok()) return {};
        return std::unexpected(failure_of(status, "submit", connection_, interrupt_.raised()));
    }
    void cancel() override { context_.TryCancel(); }

private:
    const Connection& connection_;
    Interrupt& interrupt_;
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReaderWriter<pb::SubmitBatchRequest, pb::SubmitBatchResponse>> stream_;
};

}  // namespace

struct Session::Channel {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<pb::TaskService::Stub> tasks = pb::TaskService::NewStub(channel);
    std::unique_ptr<pb::AdminService::Stub> admin = pb::AdminService::NewStub(channel);
};

Session::Session(Connection connection, Interrupt& interrupt)
    : connection_(std::move(connection)),
      interrupt_(interrupt),
      channel_(std::make_unique<Channel>(Channel{.channel = open_channel(connection_.server)})) {}
Session::~Session() = default;

template <class Stub, class Request, class Response>
Answer<Response> Session::call(std::string doing, Stub& stub, auto method, const Request& request) {
    if (const std::string field = field_not_text(request); !field.empty())
        return failure(kExitUsage, doing + ": " + field + " is not UTF-8 text");
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(connection_.timeout.us));
    const Cancellable cancellable(interrupt_, context);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (status.ok()) return response;
    return std::unexpected(failure_of(status, doing, connection_, interrupt_.raised()));
}

Answer<pb::SubmitResponse> Session::submit(const pb::TaskSpec& task) {
    pb::SubmitRequest request;
    *request.mutable_task() = task;
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::SubmitRequest, pb::SubmitResponse>("submit", *channel_->tasks, &Stub::Submit, request);
}

Answer<pb::SubmitBatchResponse> Session::submit_batch(const pb::SubmitBatchRequest& batch) {
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::SubmitBatchRequest, pb::SubmitBatchResponse>("submit", *channel_->tasks, &Stub::SubmitBatch,
                                                                       batch);
}

std::unique_ptr<SubmitStream> Session::submit_stream() {
    return std::make_unique<GrpcSubmitStream>(*channel_->tasks, connection_, interrupt_);
}

Answer<pb::Task> Session::get_task(const std::string& id, bool with_result) {
    pb::GetTaskRequest request;
    request.set_id(id);
    request.set_include_result(with_result);
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::GetTaskRequest, pb::Task>("get task " + safe_text(id, 40), *channel_->tasks, &Stub::Get,
                                                    request);
}

Answer<pb::ListTasksResponse> Session::list_tasks(const pb::ListTasksRequest& request) {
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::ListTasksRequest, pb::ListTasksResponse>("list tasks", *channel_->tasks, &Stub::List,
                                                                   request);
}

Answer<void> Session::watch_tasks(const pb::WatchTasksRequest& request,
                                  const std::function<bool(const pb::TaskEvent&)>& on_event) {
    grpc::ClientContext context;
    const Cancellable cancellable(interrupt_, context);
    const auto stream = channel_->tasks->Watch(&context, request);
    pb::TaskEvent event;
    bool more = true;
    while (more && stream->Read(&event)) more = on_event(event);
    if (!more) context.TryCancel();
    const grpc::Status status = stream->Finish();
    if (!more || status.ok()) return {};
    return std::unexpected(failure_of(status, "watch", connection_, interrupt_.raised()));
}

Answer<pb::Task> Session::cancel_task(const std::string& id, const std::string& reason) {
    pb::CancelTaskRequest request;
    request.set_id(id);
    request.set_reason(reason);
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::CancelTaskRequest, pb::Task>("cancel task " + safe_text(id, 40), *channel_->tasks,
                                                       &Stub::Cancel, request);
}

Answer<pb::SubmitResponse> Session::retry_task(const std::string& id) {
    pb::RetryTaskRequest request;
    request.set_id(id);
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::RetryTaskRequest, pb::SubmitResponse>("retry task " + safe_text(id, 40), *channel_->tasks,
                                                                &Stub::Retry, request);
}

Answer<pb::Explanation> Session::explain_task(const std::string& id) {
    pb::ExplainTaskRequest request;
    request.set_id(id);
    using Stub = pb::TaskService::Stub;
    return call<Stub, pb::ExplainTaskRequest, pb::Explanation>("explain task " + safe_text(id, 40), *channel_->tasks,
                                                               &Stub::Explain, request);
}

Answer<pb::Status> Session::status() {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::StatusRequest, pb::Status>("status", *channel_->admin, &Stub::GetStatus, {});
}

// grpc.health.v1 without its stubs: the request is the empty message, the answer {status = 1} is two bytes.
Answer<bool> Session::ready() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(connection_.timeout.us));
    const Cancellable cancellable(interrupt_, context);
    grpc::GenericStub stub(channel_->channel);
    grpc::CompletionQueue queue;
    const grpc::ByteBuffer empty(nullptr, 0);
    const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", empty, &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool fine = false;
    queue.Next(&tag, &fine);
    if (!status.ok()) return std::unexpected(failure_of(status, "health", connection_, interrupt_.raised()));
    grpc::Slice bytes;
    return answer.DumpToSingleSlice(&bytes).ok() && bytes.size() == 2 && bytes.begin()[0] == 0x08 &&
           bytes.begin()[1] == 0x01;
}

Answer<pb::ListWorkersResponse> Session::list_workers() {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ListWorkersRequest, pb::ListWorkersResponse>("list workers", *channel_->admin,
                                                                       &Stub::ListWorkers, {});
}

Answer<pb::Worker> Session::control_worker(const pb::ControlWorkerRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ControlWorkerRequest, pb::Worker>("worker " + safe_text(request.name(), 128),
                                                            *channel_->admin, &Stub::ControlWorker, request);
}

Answer<pb::ListTypesResponse> Session::list_types() {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ListTypesRequest, pb::ListTypesResponse>("list types", *channel_->admin, &Stub::ListTypes,
                                                                   {});
}

Answer<pb::TypeStat> Session::get_type(const std::string& type) {
    pb::GetTypeRequest request;
    request.set_type(type);
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::GetTypeRequest, pb::TypeStat>("type " + safe_text(type, 128), *channel_->admin,
                                                        &Stub::GetType, request);
}

Answer<pb::TypeStat> Session::reset_type(const pb::ResetTypeRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ResetTypeRequest, pb::TypeStat>("reset type " + safe_text(request.type(), 128),
                                                          *channel_->admin, &Stub::ResetType, request);
}

Answer<pb::TypeStat> Session::override_estimate(const pb::OverrideEstimateRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::OverrideEstimateRequest, pb::TypeStat>("force type " + safe_text(request.type(), 128),
                                                                 *channel_->admin, &Stub::OverrideEstimate, request);
}

Answer<pb::SchedulerConfig> Session::get_config() {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::GetConfigRequest, pb::SchedulerConfig>("get the configuration", *channel_->admin,
                                                                 &Stub::GetConfig, {});
}

Answer<pb::SchedulerConfig> Session::set_config(const pb::SetConfigRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::SetConfigRequest, pb::SchedulerConfig>("set the configuration", *channel_->admin,
                                                                 &Stub::SetConfig, request);
}

Answer<pb::SchedulerConfig> Session::set_policy(const pb::SetPolicyRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::SetPolicyRequest, pb::SchedulerConfig>("set the policy", *channel_->admin, &Stub::SetPolicy,
                                                                 request);
}

Answer<pb::Status> Session::control_queue(const pb::ControlQueueRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ControlQueueRequest, pb::Status>("queue " + safe_text(request.queue(), 128), *channel_->admin,
                                                           &Stub::ControlQueue, request);
}

Answer<pb::Override> Session::set_override(const pb::Override& override) {
    pb::SetOverrideRequest request;
    *request.mutable_override() = override;
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::SetOverrideRequest, pb::Override>("set the override", *channel_->admin, &Stub::SetOverride,
                                                            request);
}

Answer<pb::Override> Session::clear_override(const pb::ClearOverrideRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ClearOverrideRequest, pb::Override>(fmt::format("clear override {}", request.number()),
                                                              *channel_->admin, &Stub::ClearOverride, request);
}

Answer<pb::ListOverridesResponse> Session::list_overrides() {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ListOverridesRequest, pb::ListOverridesResponse>("list overrides", *channel_->admin,
                                                                           &Stub::ListOverrides, {});
}

Answer<pb::ListDecisionsResponse> Session::list_decisions(const pb::ListDecisionsRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ListDecisionsRequest, pb::ListDecisionsResponse>("list decisions", *channel_->admin,
                                                                           &Stub::ListDecisions, request);
}

Answer<pb::ListAuditResponse> Session::list_audit(const pb::ListAuditRequest& request) {
    using Stub = pb::AdminService::Stub;
    return call<Stub, pb::ListAuditRequest, pb::ListAuditResponse>("list the audit log", *channel_->admin,
                                                                   &Stub::ListAudit, request);
}

Answer<void> check_address(std::string_view server) {
    const std::string shown = safe_text(server, 80);
    const std::size_t colon = server.rfind(':');
    std::uint32_t port = 0;
    if (colon != std::string_view::npos && colon > 0) {
        const std::string_view digits = server.substr(colon + 1);
        const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (fault == std::errc{} && end == digits.data() + digits.size() && port >= 1 && port <= 65'535) return {};
    }
    return failure(kExitUsage,
                   "\"" + shown + "\" is not a server address: expected host:port with a port of 1 to 65535",
                   "e.g. --server " + std::string(kServerDefault));
}

}  // namespace nexus::cli
