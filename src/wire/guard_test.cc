// A1, A2, A7, A9, B1 to B5 over gRPC: every method of the table against every role, streams that outlive their token,
// and what one tenant sees of another.
#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <future>
#include <map>
#include <set>
#include <string>

#include "identity/roles.h"
#include "wire/live_server_test.h"

namespace nexus::wire {
namespace {

using grpc::StatusCode;

constexpr Roles bits(Role role) {
    return static_cast<Roles>(role);
}
constexpr Role kRoles[] = {Role::viewer, Role::payload,       Role::submitter,
                           Role::worker, Role::operator_role, Role::admin};

// A server that asks, and tokens for it.
struct Asked {
    std::shared_ptr<identity::Guard> guard =
        std::make_shared<identity::Guard>(identity::GuardOptions{.asks = true, .subjects = {}, .limits = {}});
    Live live{{}, "127.0.0.1:0", guard};

    struct Given {
        std::string secret, id;
    };
    Given token(const std::string& name, Roles roles, const std::string& tenant = {}) {
        identity::Secret secret = identity::make_secret();
        std::promise<Result<identity::Token>> promise;
        auto issued = promise.get_future();
        live.engine->ask(server_itself(),
                         engine::IssueToken{.token = {.id = secret.id,
                                                      .hash = secret.hash,
                                                      .name = name,
                                                      .roles = roles,
                                                      .tenant = tenant,
                                                      .created = {},
                                                      .expires = {},
                                                      .created_by = {}},
                                            .author = "",
                                            .reason = ""},
                         [&](auto done) { promise.set_value(std::move(done)); });
        const auto made = issued.get();
        REQUIRE_MESSAGE(made.has_value(), (made ? "" : made.error().what));
        return {secret.text, secret.id};
    }
    void revoke(const std::string& id) {
        std::promise<bool> promise;
        live.engine->ask(server_itself(), engine::RevokeToken{.id = id, .author = "", .reason = ""},
                         [&](auto done) { promise.set_value(done.has_value()); });
        REQUIRE(promise.get_future().get());
    }
    // A stub's call with a token.
    template <class Stub, class Request, class Response>
    grpc::Status call(const std::string& token, Stub& stub,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Request request,
                      Response& response) {
        grpc::ClientContext context;
        if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
        return (stub.*method)(&context, request, &response);
    }
    // Any method, with bytes that no parser takes: whoever gets past the check hears of them.
    grpc::Status raw(const std::string& method, const std::string& token) {
        grpc::GenericStub stub(live.channel);
        grpc::CompletionQueue queue;
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
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
            const grpc::Slice bytes("\xff");
            call->WriteLast(grpc::ByteBuffer(&bytes, 1), {}, nullptr);
            next();
        }
        call->Finish(&status, nullptr);
        next();
        return status;
    }
    std::string submit(const std::string& token, const std::string& tenant = {}) {
        v1::SubmitRequest request = submit_of("t");
        request.mutable_task()->set_tenant(tenant);
        v1::SubmitResponse made;
        const auto status = call(token, *live.tasks, &v1::TaskService::Stub::Submit, request, made);
        REQUIRE_MESSAGE(status.ok(), status.error_message());
        return made.id();
    }
};

TEST_CASE("A1: no method and no stream without a credential, whatever it is sent") {
    Asked asked;
    for (const api::Method& row : api::methods()) {
        if (row.kind != api::Kind::unary && row.kind != api::Kind::stream) continue;
        CAPTURE(row.name);
        CHECK_EQ(asked.raw(row.name, "").error_code(), StatusCode::UNAUTHENTICATED);
        CHECK_EQ(asked.live.door->counts->get(row, StatusCode::UNAUTHENTICATED), 1);
        CHECK_EQ(asked.live.door->counts->get(row, StatusCode::INVALID_ARGUMENT), 0);  // its body was not looked at
    }
    CHECK_EQ(asked.live.server->counts().requests_malformed, 0);
}

TEST_CASE("A2: no row lacks a role but what is open to everyone on purpose") {
    const std::set<std::string_view> open{"http/openapi",
                                          "http/scheduler_health",
                                          "http/sign_in",
                                          "http/livez",
                                          "http/readyz",
                                          "http/healthz",
                                          "http/page",
                                          "http/index.html",
                                          "http/asset",
                                          "http/icon",
                                          "http/favicon",
                                          "/grpc.health.v1.Health/Check",
                                          "/grpc.health.v1.Health/Watch"};
    std::size_t found = 0;
    for (const api::Method& row : api::methods()) {
        CAPTURE(row.name);
        CHECK_EQ(row.role.has_value(), !open.contains(row.name));
        found += open.contains(row.name) ? 1 : 0;
    }
    CHECK_EQ(found, open.size());
}

TEST_CASE("A2: each role against each method, as the table says") {
    Asked asked;
    for (const Role role : kRoles) {
        const std::string token = asked.token("one", bits(role)).secret;
        for (const api::Method& row : api::methods()) {
            if (row.kind != api::Kind::unary && row.kind != api::Kind::stream) continue;
            CAPTURE(row.name);
            CAPTURE(identity::name_of(role));
            REQUIRE(row.role.has_value());
            const bool may = has_role(with_implied(bits(role)), *row.role);
            const StatusCode code = asked.raw(row.name, token).error_code();
            if (!may) CHECK_EQ(code, StatusCode::PERMISSION_DENIED);
            if (may) CHECK_NE(code, StatusCode::PERMISSION_DENIED);
            CHECK_NE(code, StatusCode::UNAUTHENTICATED);
        }
    }
    CHECK_EQ(asked.raw("/nexus.v1.AdminService/NoSuch", "").error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_CASE("B: whoever is bound to a tenant reaches nothing of the fleet") {
    Asked asked;
    const std::string token =
        asked.token("bound", bits(Role::submitter) | bits(Role::viewer) | bits(Role::payload), "acme").secret;
    for (const api::Method& row : api::methods()) {
        if (row.kind != api::Kind::unary && row.kind != api::Kind::stream) continue;
        CAPTURE(row.name);
        const StatusCode code = asked.raw(row.name, token).error_code();
        if (row.fleet) CHECK_EQ(code, StatusCode::PERMISSION_DENIED);
        if (!row.fleet) CHECK_NE(code, StatusCode::PERMISSION_DENIED);
    }
}

TEST_CASE("B1, B2, B3: another tenant's tasks are answered as what never was") {
    Asked asked;
    const std::string ours = asked.token("ours", bits(Role::submitter), "acme").secret;
    const std::string theirs = asked.token("theirs", bits(Role::submitter), "zeta").secret;
    auto& tasks = *asked.live.tasks;
    using Tasks = v1::TaskService::Stub;
    const std::string mine = asked.submit(ours), foreign = asked.submit(theirs);
    v1::Task task;
    {
        v1::GetTaskRequest request;
        request.set_id(mine);
        REQUIRE(asked.call(ours, tasks, &Tasks::Get, request, task).ok());
        CHECK_EQ(task.tenant(), "acme");  // filled in
    }
    // Word for word what a task that never was is answered with.
    const auto same_as_nothing = [&](auto method, auto request, auto response) {
        request.set_id(foreign);
        const grpc::Status of_theirs = asked.call(ours, tasks, method, request, response);
        request.set_id(kNoTask);
        const grpc::Status of_none = asked.call(ours, tasks, method, request, response);
        CHECK_EQ(of_theirs.error_code(), StatusCode::NOT_FOUND);
        CHECK_EQ(of_none.error_code(), StatusCode::NOT_FOUND);
        std::string told = of_theirs.error_message();
        told.replace(told.find(foreign), foreign.size(), kNoTask);
        CHECK_EQ(told, of_none.error_message());
    };
    same_as_nothing(&Tasks::Get, v1::GetTaskRequest{}, v1::Task{});
    same_as_nothing(&Tasks::Cancel, v1::CancelTaskRequest{}, v1::Task{});
    same_as_nothing(&Tasks::Retry, v1::RetryTaskRequest{}, v1::SubmitResponse{});
    same_as_nothing(&Tasks::Explain, v1::ExplainTaskRequest{}, v1::Explanation{});
    same_as_nothing(&Tasks::ReadOutput, v1::ReadOutputRequest{}, v1::ReadOutputResponse{});

    v1::ListTasksRequest list;
    v1::ListTasksResponse page;
    REQUIRE(asked.call(ours, tasks, &Tasks::List, list, page).ok());
    REQUIRE_EQ(page.tasks_size(), 1);
    CHECK_EQ(page.tasks(0).id(), mine);
    list.set_tenant("zeta");
    CHECK_EQ(asked.call(ours, tasks, &Tasks::List, list, page).error_code(), StatusCode::PERMISSION_DENIED);

    v1::SubmitBatchRequest batch;
    batch.add_tasks()->set_type("t");
    batch.add_tasks()->set_type("t");
    batch.mutable_tasks(1)->set_tenant("zeta");
    v1::SubmitBatchResponse made;
    CHECK_EQ(asked.call(ours, tasks, &Tasks::SubmitBatch, batch, made).error_code(), StatusCode::PERMISSION_DENIED);
    v1::SubmitRequest after = submit_of("t");
    after.mutable_task()->add_after(foreign);
    v1::SubmitResponse one;
    CHECK_EQ(asked.call(ours, tasks, &Tasks::Submit, after, one).error_code(), StatusCode::NOT_FOUND);
    // The same key of two tenants is two keys.
    for (const std::string& token : {ours, theirs}) {
        v1::SubmitRequest keyed = submit_of("t");
        keyed.mutable_task()->set_idempotency_key("key");
        keyed.mutable_task()->set_priority(token == ours ? 1 : 2);
        REQUIRE(asked.call(token, tasks, &Tasks::Submit, keyed, one).ok());
        CHECK_FALSE(one.duplicate());
    }
    // A watch of both hears of its own, and then of nothing that is theirs.
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + ours);
    v1::WatchTasksRequest watch;
    watch.add_ids(foreign);
    const auto stream = tasks.Watch(&context, watch);
    v1::TaskEvent event;
    CHECK_FALSE(stream->Read(&event));
    CHECK_EQ(stream->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST_CASE("B2: acts on many tasks reach those of the own tenant alone") {
    Asked asked;
    const std::string ours = asked.token("ours", bits(Role::submitter), "acme").secret;
    const std::string theirs = asked.token("theirs", bits(Role::submitter), "zeta").secret;
    auto& tasks = *asked.live.tasks;
    using Tasks = v1::TaskService::Stub;
    const std::string mine = asked.submit(ours), foreign = asked.submit(theirs);
    const auto state_of = [&](const std::string& token, const std::string& id) {
        v1::GetTaskRequest request;
        request.set_id(id);
        v1::Task task;
        REQUIRE(asked.call(token, tasks, &Tasks::Get, request, task).ok());
        return task.state();
    };
    // Each task named, live or ended, has its own answer: theirs that of one that never was.
    const auto by_ids = [&](auto method) {
        v1::ChangeTasksRequest request;
        for (const std::string& id : {mine, foreign, std::string(kNoTask)}) request.add_ids(id);
        v1::ChangeTasksResponse response;
        const grpc::Status status = asked.call(ours, tasks, method, request, response);
        REQUIRE_MESSAGE(status.ok(), status.error_message());
        std::map<std::string, std::string> why;
        for (const v1::ChangedTask& one : response.tasks()) why[one.id()] = one.code() + " " + one.error();
        REQUIRE_EQ(why.size(), 3);
        std::string told = why[foreign];
        REQUIRE_NE(told.find(foreign), std::string::npos);
        told.replace(told.find(foreign), foreign.size(), kNoTask);
        CHECK_EQ(told, why[kNoTask]);
        CHECK_NE(why[mine], why[kNoTask]);
    };
    by_ids(&Tasks::RetryMany);  // both live
    by_ids(&Tasks::CancelMany);
    CHECK_EQ(state_of(ours, mine), v1::TASK_STATE_CANCELLED);
    CHECK_EQ(state_of(theirs, foreign), v1::TASK_STATE_WAITING);

    // By a filter: without a tenant it is for the own one, with another it is denied.
    const std::string second = asked.submit(ours);
    v1::ChangeTasksRequest all;
    all.mutable_filter()->set_type("t");
    v1::ChangeTasksResponse changed;
    REQUIRE(asked.call(ours, tasks, &Tasks::CancelMany, all, changed).ok());
    REQUIRE_EQ(changed.tasks_size(), 1);
    CHECK_EQ(changed.tasks(0).id(), second);
    CHECK_EQ(state_of(theirs, foreign), v1::TASK_STATE_WAITING);
    all.mutable_filter()->set_tenant("zeta");
    CHECK_EQ(asked.call(ours, tasks, &Tasks::CancelMany, all, changed).error_code(), StatusCode::PERMISSION_DENIED);
    CHECK_EQ(asked.call(ours, tasks, &Tasks::RetryMany, all, changed).error_code(), StatusCode::PERMISSION_DENIED);
    v1::ChangeTasksRequest one;
    one.add_ids(foreign);
    REQUIRE(asked.call(theirs, tasks, &Tasks::CancelMany, one, changed).ok());
    by_ids(&Tasks::RetryMany);  // both ended
    CHECK_EQ(state_of(theirs, foreign), v1::TASK_STATE_CANCELLED);
}

TEST_CASE("A7: streams end within seconds of the revocation of the token that opened them") {
    Asked asked;
    const Asked::Given given = asked.token("w", bits(Role::worker) | bits(Role::submitter));
    const std::string task = asked.submit(given.secret);
    const auto sign = [&](grpc::ClientContext& context) {
        context.AddMetadata("authorization", "Bearer " + given.secret);
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    };
    grpc::ClientContext worker_call, watch_call, submit_call;
    for (grpc::ClientContext* context : {&worker_call, &watch_call, &submit_call}) sign(*context);
    const auto worker = asked.live.workers->Connect(&worker_call);
    v1::WorkerMessage hello = hello_of("w1");
    hello.mutable_hello()->add_types("other");
    REQUIRE(worker->Write(hello));
    v1::ServerMessage welcome;
    REQUIRE(worker->Read(&welcome));
    v1::WatchTasksRequest request;
    request.add_ids(task);
    const auto watch = asked.live.tasks->Watch(&watch_call, request);
    v1::TaskEvent event;
    REQUIRE(watch->Read(&event));
    const auto bulk = asked.live.tasks->SubmitStream(&submit_call);
    v1::SubmitBatchRequest batch;
    batch.add_tasks()->set_type("t");
    REQUIRE(bulk->Write(batch));
    v1::SubmitBatchResponse answer;
    REQUIRE(bulk->Read(&answer));
    const auto began = std::chrono::steady_clock::now();
    asked.revoke(given.id);
    while (worker->Read(&welcome)) {
    }
    CHECK_EQ(worker->Finish().error_code(), StatusCode::UNAUTHENTICATED);
    while (watch->Read(&event)) {
    }
    CHECK_EQ(watch->Finish().error_code(), StatusCode::UNAUTHENTICATED);
    while (bulk->Read(&answer)) {
    }
    CHECK_EQ(bulk->Finish().error_code(), StatusCode::UNAUTHENTICATED);
    CHECK_LE(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
}

TEST_CASE("A9, P3: a worker's name is its owner's while its session lives") {
    Asked asked;
    const std::string one = asked.token("one", bits(Role::worker)).secret;
    const std::string two = asked.token("two", bits(Role::worker)).secret;
    const auto connect = [&](grpc::ClientContext& context, const std::string& token) {
        context.AddMetadata("authorization", "Bearer " + token);
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        auto stream = asked.live.workers->Connect(&context);
        REQUIRE(stream->Write(hello_of("w1")));
        return stream;
    };
    grpc::ClientContext first_call, second_call;
    v1::ServerMessage message;
    const auto first = connect(first_call, one);
    REQUIRE(first->Read(&message));
    const auto second = connect(second_call, two);
    CHECK_FALSE(second->Read(&message));
    const grpc::Status refused = second->Finish();
    CHECK_EQ(refused.error_code(), StatusCode::PERMISSION_DENIED);
    CHECK_NE(refused.error_message().find("signed in as one"), std::string::npos);
    first_call.TryCancel();
    while (first->Read(&message)) {
    }
    (void)first->Finish();
}

TEST_CASE("who one is, and that a secret is told once") {
    Asked asked;
    const std::string admin = asked.token("chief", bits(Role::admin)).secret;
    v1::CreateTokenRequest create;
    create.set_name("ci");
    create.add_roles(v1::ROLE_NAME_SUBMITTER);
    create.set_tenant("acme");
    v1::CreateTokenResponse made;
    using Admin = v1::AdminService::Stub;
    REQUIRE(asked.call(admin, *asked.live.admin, &Admin::CreateToken, create, made).ok());
    v1::Identity me;
    REQUIRE(asked.call(made.secret(), *asked.live.admin, &Admin::WhoAmI, v1::WhoAmIRequest{}, me).ok());
    CHECK_EQ(me.name(), "ci");
    CHECK_EQ(me.tenant(), "acme");
    CHECK_EQ(me.how(), "token");
    CHECK_EQ(me.token_id(), made.token().id());
    CHECK_FALSE(me.open());
    v1::ListTokensResponse all;
    REQUIRE(asked.call(admin, *asked.live.admin, &Admin::ListTokens, v1::ListTokensRequest{}, all).ok());
    CHECK_EQ(all.tokens_size(), 2);
    CHECK_EQ(all.SerializeAsString().find(made.secret()), std::string::npos);
    v1::ListAuditResponse audit;
    REQUIRE(asked.call(admin, *asked.live.admin, &Admin::ListAudit, v1::ListAuditRequest{}, audit).ok());
    REQUIRE_GE(audit.entries_size(), 1);
    CHECK_EQ(audit.entries(0).action(), "issue token " + made.token().id() + " to ci");
    CHECK_EQ(audit.SerializeAsString().find(made.secret()), std::string::npos);
    create.add_roles(v1::ROLE_NAME_WORKER);  // with a tenant
    CHECK_EQ(asked.call(admin, *asked.live.admin, &Admin::CreateToken, create, made).error_code(),
             StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("a caller beyond its limit is refused with when to come back, and counted") {
    auto guard = std::make_shared<identity::Guard>(
        identity::GuardOptions{.asks = false, .subjects = {}, .limits = {.tasks_per_s = 1, .streams = 1}});
    Live live({}, "127.0.0.1:0", guard);
    v1::SubmitBatchRequest batch;
    for (int i = 0; i < 20; ++i) batch.add_tasks()->set_type("t");
    v1::SubmitBatchResponse made;
    grpc::ClientContext first, second;
    REQUIRE(live.tasks->SubmitBatch(&first, batch, &made).ok());  // a bucket that is not empty gives any number
    const grpc::Status refused = live.tasks->SubmitBatch(&second, batch, &made);
    CHECK_EQ(refused.error_code(), StatusCode::RESOURCE_EXHAUSTED);
    CHECK_EQ(guard->limits.refused(identity::Limit::tasks), 1);
}

}  // namespace
}  // namespace nexus::wire
