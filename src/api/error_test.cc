#include "api/error.h"

#include <doctest/doctest.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

namespace nexus::api {
namespace {

TEST_CASE("each fault has one name at each face") {
    static constexpr struct {
        Fault fault;
        const char* code;
        int http;
        int exit;
        bool retry;
    } rows[] = {
        {Fault::invalid, "INVALID_ARGUMENT", 400, 2, false},
        {Fault::not_found, "NOT_FOUND", 404, 3, false},
        {Fault::conflict, "ALREADY_EXISTS", 409, 4, false},
        {Fault::failed_state, "FAILED_PRECONDITION", 409, 4, false},
        {Fault::exhausted, "RESOURCE_EXHAUSTED", 429, 4, true},
        {Fault::unavailable, "UNAVAILABLE", 503, 5, true},
        {Fault::unreachable, "UNAVAILABLE", 503, 5, true},
        {Fault::failed, "INTERNAL", 500, 1, false},
        {Fault::superseded, "UNAVAILABLE", 503, 5, true},
        {Fault::denied, "PERMISSION_DENIED", 403, 4, false},
        {Fault::corrupt, "DATA_LOSS", 500, 1, false},
        {Fault::no_space, "RESOURCE_EXHAUSTED", 507, 4, true},
        {Fault::unsupported, "UNIMPLEMENTED", 501, 1, false},
        {Fault::unauthenticated, "UNAUTHENTICATED", 401, 4, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.code);
        const FaultRow& got = row_of(row.fault);
        CHECK_EQ(name_of_grpc(got.grpc), row.code);
        CHECK_EQ(got.http, row.http);
        CHECK_EQ(got.exit, row.exit);
        CHECK_EQ(exit_of_grpc(got.grpc), row.exit);
        const google::rpc::Status status = to_status({.fault = row.fault, .what = "x"});
        bool retry = false;
        for (const auto& detail : status.details()) retry |= detail.Is<google::rpc::RetryInfo>();
        CHECK_EQ(retry, row.retry);
    }
}

TEST_CASE("codes without a fault have faces too") {
    CHECK_EQ(exit_of_grpc(0), 0);
    CHECK_EQ(exit_of_grpc(4), 124);
    CHECK_EQ(http_of_grpc(16), 401);
    CHECK_EQ(http_of_grpc(99), 500);
    CHECK_EQ(name_of_grpc(-1), "UNKNOWN");
}

TEST_CASE("field_of finds the blamed field") {
    static constexpr struct {
        Fault fault;
        const char* what;
        const char* field;
    } rows[] = {
        {Fault::invalid, "tasks[3].payload: too long", "tasks[3].payload"},
        {Fault::invalid, "type: empty", "type"},
        {Fault::invalid, "the task: has no type", ""},
        {Fault::invalid, "no colon", ""},
        {Fault::invalid, "type:empty", ""},
        {Fault::invalid, ": x", ""},
        {Fault::invalid, "", ""},
        {Fault::not_found, "after: no such task", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        CHECK_EQ(field_of({.fault = row.fault, .what = row.what}), row.field);
    }
}

TEST_CASE("to_status names reason, domain and field") {
    const google::rpc::Status status = to_status({.fault = Fault::invalid, .what = "tasks[1].type: empty"});
    REQUIRE_EQ(status.details_size(), 2);
    google::rpc::ErrorInfo info;
    REQUIRE(status.details(0).UnpackTo(&info));
    CHECK_EQ(info.reason(), "INVALID");
    CHECK_EQ(info.domain(), "nexus");
    google::rpc::BadRequest bad;
    REQUIRE(status.details(1).UnpackTo(&bad));
    REQUIRE_EQ(bad.field_violations_size(), 1);
    CHECK_EQ(bad.field_violations(0).field(), "tasks[1].type");
    CHECK_EQ(bad.field_violations(0).description(), "empty");
}

}  // namespace
}  // namespace nexus::api
