// The table of methods against what gRPC really serves, and who is said to call.
#include "api/methods.h"

#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/generic/generic_stub.h>

#include <set>
#include <string>
#include <vector>

#include "wire/live_server_test.h"

namespace nexus::wire {
namespace {

grpc::ByteBuffer buffer_of(const std::string& bytes) {
    const grpc::Slice slice(bytes);
    return {&slice, 1};
}

std::string text_of(const grpc::ByteBuffer& buffer) {
    std::vector<grpc::Slice> slices;
    REQUIRE(buffer.Dump(&slices).ok());
    std::string text;
    for (const grpc::Slice& slice : slices) text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    return text;
}

// One message to any method, stream or not; the first answer, if there is one, into `answer`.
grpc::Status call_raw(Live& live, const std::string& method, const std::string& bytes, std::string* answer = nullptr) {
    grpc::GenericStub stub(live.channel);
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    const auto call = stub.PrepareCall(&context, method, &queue);
    const auto next = [&] {
        void* tag = nullptr;
        bool ok = false;
        REQUIRE(queue.Next(&tag, &ok));
        return ok;
    };
    grpc::Status status;
    call->StartCall(nullptr);
    if (next()) {
        call->WriteLast(buffer_of(bytes), {}, nullptr);
        next();
        grpc::ByteBuffer read;
        call->Read(&read, nullptr);
        if (next() && answer != nullptr) *answer = text_of(read);
    }
    call->Finish(&status, nullptr);
    next();
    return status;
}

// The texts of field `number` in an encoded message.
std::vector<std::string> fields_of(const std::string& bytes, int number) {
    google::protobuf::Empty message;
    REQUIRE(message.ParseFromString(bytes));
    const google::protobuf::UnknownFieldSet& fields = message.GetReflection()->GetUnknownFields(message);
    std::vector<std::string> texts;
    for (int i = 0; i < fields.field_count(); ++i)
        if (fields.field(i).number() == number) texts.push_back(fields.field(i).length_delimited());
    return texts;
}

std::string service_of(std::string_view name) {
    return std::string(name.substr(1, name.find('/', 1) - 1));
}

TEST_CASE("every method of the API has a row, and every row is a method of the API") {
    std::set<std::string> described;
    const auto& pool = *google::protobuf::DescriptorPool::generated_pool();
    for (const char* service : {"nexus.v1.TaskService", "nexus.v1.WorkerService", "nexus.v1.AdminService"}) {
        const auto* descriptor = pool.FindServiceByName(service);
        REQUIRE(descriptor != nullptr);
        for (int i = 0; i < descriptor->method_count(); ++i) {
            const auto& method = *descriptor->method(i);
            const std::string name = "/" + descriptor->full_name() + "/" + method.name();
            CAPTURE(name);
            described.insert(name);
            const api::Method* row = api::find_method(name);
            REQUIRE(row != nullptr);
            const bool stream = method.client_streaming() || method.server_streaming();
            CHECK_EQ(row->kind == api::Kind::stream, stream);
            CHECK(row->role.has_value());
            if (stream) continue;
            CHECK_EQ(row->request().GetDescriptor(), method.input_type());
            CHECK_EQ(row->response().GetDescriptor(), method.output_type());
        }
    }
    std::set<std::string_view> names;
    for (const api::Method& row : api::methods()) {
        CHECK_MESSAGE(names.insert(row.name).second, row.name);
        if (std::string_view(row.name).starts_with("/nexus.v1.")) CHECK_MESSAGE(described.contains(row.name), row.name);
        if (row.audited) CHECK_MESSAGE(row.changes, row.name);
    }
}

TEST_CASE("the services that reflection lists are those of the table, and each row is served") {
    Live live;
    std::set<std::string> wanted;
    for (const api::Method& row : api::methods())
        if (row.kind != api::Kind::page) wanted.insert(service_of(row.name));
    // ServerReflectionRequest{list_services: ""}, ServerReflectionResponse{6: {1: {1: name}}}
    std::string answer;
    REQUIRE(call_raw(live, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::string("\x3a\0", 2),
                     &answer)
                .ok());
    std::set<std::string> listed;
    for (const std::string& list : fields_of(answer, 6))
        for (const std::string& service : fields_of(list, 1))
            for (const std::string& name : fields_of(service, 1)) listed.insert(name);
    CHECK_EQ(listed, wanted);
    for (const api::Method& row : api::methods()) {
        if (row.kind != api::Kind::unary && row.kind != api::Kind::stream) continue;
        CAPTURE(row.name);
        // No message of a unary method; as first message of a stream a refusable one: ids or names that are "x".
        const bool unary = row.kind == api::Kind::unary;
        const grpc::Status status = call_raw(live, row.name, unary ? "\xff" : "\x0a\x01x");
        CHECK_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
        if (unary) CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
        if (unary) CHECK_EQ(live.door->counts->get(row, grpc::StatusCode::INVALID_ARGUMENT), 1);
    }
}

// An engine that only looks at what it is asked.
struct Listener final : engine::Service {
    Caller caller;
    std::string author;
    void call(Caller who, engine::Call call) override {
        caller = std::move(who);
        if (auto* asked = std::get_if<engine::Asked<engine::ControlWorker>>(&call)) author = asked->request.author;
        engine::refuse(call, {Fault::not_found, "nobody here"});
    }
    engine::WatchId watch(Caller, std::vector<TaskId>, engine::TaskFilter, engine::TaskWatcher) override { return 1; }
    void unwatch(engine::WatchId) override {}
    void connect(Caller, engine::WorkerHello, std::shared_ptr<engine::WorkerLink>, engine::Done<SessionId>) override {}
    void report(SessionId, engine::WorkerReport) override {}
    void disconnected(SessionId) override {}
    std::vector<engine::Check> checks() const override { return {}; }
};

TEST_CASE("who calls is what the transport knows, whatever the request says of its author") {
    Listener engine;
    api::Door door(engine);
    auto server = Server::start({.address = "127.0.0.1:0"}, door);
    REQUIRE(server.has_value());
    const auto channel =
        grpc::CreateChannel("127.0.0.1:" + std::to_string((*server)->port()), grpc::InsecureChannelCredentials());
    grpc::ClientContext call;
    v1::ControlWorkerRequest request;
    request.set_name("w");
    request.set_action(v1::WORKER_ACTION_DRAIN);
    request.set_author("the chief");
    v1::Worker worker;
    const auto stub = v1::AdminService::NewStub(channel);
    CHECK_EQ(stub->ControlWorker(&call, request, &worker).error_code(), grpc::StatusCode::NOT_FOUND);
    CHECK_EQ(engine.author, "the chief");
    CHECK_EQ(engine.caller.name, "anonymous");
    CHECK_MESSAGE(engine.caller.from.starts_with("ipv4:127.0.0.1:"), engine.caller.from);
}

TEST_CASE("a flood on a submit stream whose answers are not read is bounded, then cut, and others are served") {
    Live live({.submit_stall_max = milliseconds(1)});
    // A client that takes 64 KiB unread and no more; gRPC's own would take megabytes.
    grpc::ChannelArguments narrow;
    narrow.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    narrow.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    narrow.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
    const auto flood = v1::TaskService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(live.server->port()), grpc::InsecureChannelCredentials(), narrow));
    grpc::ClientContext call;
    const auto stream = flood->SubmitStream(&call);
    v1::SubmitBatchRequest batch;
    for (int i = 0; i < 1000; ++i) batch.add_tasks()->set_type("t");
    while (stream->Write(batch)) {  // ends when the server cuts the call
    }
    CHECK_EQ(live.server->counts().submit_streams_cut, 1);
    CHECK(live.answers());
    grpc::ClientContext look;
    v1::Status status;
    REQUIRE(live.admin->GetStatus(&look, {}, &status).ok());
    // Taken are the eight batches whose answers wait, one that is being written, and what the client takes unread.
    CHECK_LE(status.submitted(), 12'000);
    CHECK_GE(status.submitted(), 1000);
}

}  // namespace
}  // namespace nexus::wire
