#include "api/submit.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/shape.h"
#include "engine/body.h"

namespace nexus::api {
namespace {

constexpr const char* kId = "0192f0c1-7b1a-7c3d-8e4f-0123456789ab";

TEST_CASE("to_submission refuses what cannot be, and names the field") {
    const double nan = std::nan("");
    const double inf = std::numeric_limits<double>::infinity();
    const struct {
        const char* name;
        std::function<void(v1::TaskSpec&)> change;
        const char* field;
    } rows[] = {
        {"payload over the limit", [](auto& s) { s.set_payload(std::string(kPayloadBytesMax + 1, 'x')); },
         "task.payload"},
        {"priority 10", [](auto& s) { s.set_priority(10); }, "task.priority"},
        {"priority 2^32-1", [](auto& s) { s.set_priority(4'294'967'295); }, "task.priority"},
        {"negative run_at", [](auto& s) { s.set_run_at_unix_us(-1); }, "task.run_at_unix_us"},
        {"negative deadline", [](auto& s) { s.set_deadline_unix_us(-1); }, "task.deadline_unix_us"},
        {"negative timeout", [](auto& s) { s.set_timeout_us(-1); }, "task.timeout_us"},
        {"negative hint", [](auto& s) { s.set_duration_hint_us(-5); }, "task.duration_hint_us"},
        {"negative ttl", [](auto& s) { s.set_ttl_us(INT64_MIN); }, "task.ttl_us"},
        {"negative backoff", [](auto& s) { s.mutable_retry()->set_backoff_max_us(-1); }, "task.retry.backoff_max_us"},
        {"negative cpu", [](auto& s) { s.mutable_resources()->set_cpu_milli(-1); }, "task.resources.cpu_milli"},
        {"negative custom", [](auto& s) { (*s.mutable_resources()->mutable_custom())["x"] = -1; },
         "task.resources.custom"},
        {"rate NaN", [=](auto& s) { s.set_rate_per_s(nan); }, "task.rate_per_s"},
        {"rate inf", [=](auto& s) { s.set_rate_per_s(inf); }, "task.rate_per_s"},
        {"rate negative", [](auto& s) { s.set_rate_per_s(-0.5); }, "task.rate_per_s"},
        {"rate below resolution", [](auto& s) { s.set_rate_per_s(1e-9); }, "task.rate_per_s"},
        {"rate absurd", [](auto& s) { s.set_rate_per_s(1e300); }, "task.rate_per_s"},
        {"feature NaN", [=](auto& s) { (*s.mutable_features())["rows"] = nan; }, "task.features"},
        {"feature -inf", [=](auto& s) { (*s.mutable_features())["rows"] = -inf; }, "task.features"},
        {"after garbage", [](auto& s) { s.add_after(kId), s.add_after("x"); }, "task.after[1]"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        v1::TaskSpec spec;
        spec.set_type("t");
        row.change(spec);
        const auto result = to_submission(spec, "task");
        REQUIRE_FALSE(result);
        CHECK_EQ(result.error().fault, Fault::invalid);
        CHECK_MESSAGE(result.error().what.starts_with(std::string(row.field) + ": "), result.error().what);
    }
}

TEST_CASE("to_submission carries every field") {
    v1::TaskSpec from;
    from.set_type("resize");
    from.set_payload(std::string(kPayloadBytesMax, 'p'));
    from.set_tenant("acme");
    from.set_queue("images");
    from.set_priority(0);
    from.set_run_at_unix_us(1);
    from.set_deadline_unix_us(2);
    from.set_timeout_us(3);
    from.set_ttl_us(4);
    from.set_duration_hint_us(5);
    from.mutable_retry()->set_attempts_max(6);
    from.mutable_retry()->set_backoff_first_us(7);
    (*from.mutable_labels_required())["zone"] = "b";
    (*from.mutable_labels_required())["arch"] = "arm";
    (*from.mutable_labels_preferred())["ssd"] = "yes";
    (*from.mutable_labels_forbidden())["spot"] = "yes";
    from.set_worker("w1");
    from.mutable_resources()->set_memory_bytes(8);
    from.add_after(kId);
    from.set_concurrency_key("c");
    from.set_concurrency_max(9);
    from.set_ordering_key("o");
    from.set_rate_key("r");
    from.set_rate_per_s(0.5);
    from.set_idempotency_key("k");
    (*from.mutable_features())["rows"] = 10.5;
    from.set_idempotent(true);
    from.set_exclusive(true);
    from.set_preemptible(true);
    from.set_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    from.set_tracestate("ts");
    (*from.mutable_metadata())["m"] = "v";
    const auto result = to_submission(from, "task");
    REQUIRE(result);
    const core::TaskSpec want{
        .type = "resize",
        .tenant = "acme",
        .queue = "images",
        .priority = 0,
        .idempotent = true,
        .exclusive = true,
        .preemptible = true,
        .run_at = {1},
        .deadline = {2},
        .timeout = {3},
        .ttl = {4},
        .retry = {.attempts_max = 6, .backoff_first = {7}, .backoff_max = {0}},
        .labels_required = {{"arch", "arm"}, {"zone", "b"}},
        .labels_preferred = {{"ssd", "yes"}},
        .labels_forbidden = {{"spot", "yes"}},
        .pinned_worker = "w1",
        .resources = {.memory_bytes = 8},
        .after = {*parse_id<TaskId>(kId)},
        .concurrency_key = "c",
        .concurrency_max = 9,
        .ordering_key = "o",
        .rate_key = "r",
        .rate_per_1000s = 500,
    };
    CHECK(result->spec == want);
    CHECK_EQ(result->idempotency_key, "k");
    CHECK_EQ(result->body.payload.size(), kPayloadBytesMax);
    CHECK_EQ(result->body.hint.us, 5);
    CHECK_EQ(result->body.features, std::vector<std::pair<std::string, double>>{{"rows", 10.5}});
    CHECK_EQ(result->body.metadata, core::Labels{{"m", "v"}});
    CHECK_EQ(result->body.traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    CHECK_EQ(result->body.tracestate, "ts");
    // A field of the work that no message fills in would be at its default, whatever the list above says.
    for_each_of<kWork, core::TaskSpec>([&](const auto& m) {
        CAPTURE(m.name);
        CHECK_NE(result->spec.*m.at == core::TaskSpec{}.*m.at, true);
    });
    for_each_member<engine::TaskBody>([&](const auto& m) {
        CAPTURE(m.name);
        const bool by_engine = m.name == std::string_view("spec");
        CHECK_EQ(result->body.*m.at == engine::TaskBody{}.*m.at, by_engine);
    });
}

TEST_CASE("to_submission leaves the defaults of what is not said") {
    v1::TaskSpec from;
    from.set_type("t");
    const auto result = to_submission(from, "task");
    REQUIRE(result);
    CHECK(result->spec == core::TaskSpec{.type = "t"});
}

TEST_CASE("to_submissions bounds the batch and names the item") {
    v1::SubmitBatchRequest none;
    CHECK_EQ(to_submissions(none).error().what, "tasks: empty");
    v1::SubmitBatchRequest many;
    for (std::size_t i = 0; i <= kTasksMax; ++i) many.add_tasks()->set_type("t");
    CHECK_EQ(to_submissions(many).error().what, "tasks: more than 1000");
    v1::SubmitBatchRequest bad;
    bad.add_tasks()->set_type("t");
    bad.add_tasks()->set_timeout_us(-1);
    CHECK_EQ(to_submissions(bad).error().what, "tasks[1].timeout_us: negative");
    v1::SubmitBatchRequest good;
    good.add_tasks()->set_type("a");
    good.add_tasks()->set_type("b");
    const auto items = to_submissions(good);
    REQUIRE(items);
    REQUIRE_EQ(items->size(), 2);
    CHECK_EQ((*items)[1].spec.type, "b");
}

TEST_CASE("an offer leaves unset dimensions unlimited") {
    v1::Resources resources;
    resources.set_cpu_milli(4000);
    const auto some = to_offer(resources, true, "hello");
    REQUIRE(some);
    CHECK(*some == core::Resources{.cpu_milli = 4000, .memory_bytes = -1, .gpu_milli = -1});
    const auto none = to_offer({}, false, "hello");
    REQUIRE(none);
    CHECK(*none == core::Resources{.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1});
}

TEST_CASE("filters and pages") {
    v1::ListTasksRequest request;
    request.add_states(v1::TASK_STATE_RUNNING);
    request.set_tenant("acme");
    const auto filter = to_filter(request);
    REQUIRE(filter);
    CHECK_EQ(filter->states, std::vector{core::TaskState::running});
    CHECK_EQ(filter->tenant, "acme");
    for (const int state : {0, 9, -1, 1'000'000}) {
        CAPTURE(state);
        v1::ListTasksRequest bad;
        bad.add_states(static_cast<v1::TaskState>(state));
        CHECK_EQ(to_filter(bad).error().what, "states: no such state");
    }
    request.set_promise("missed");
    CHECK_EQ(to_filter(request)->promise, history::PromiseKept::missed);
    request.set_promise("kept");
    CHECK_EQ(to_filter(request)->promise, history::PromiseKept::kept);
    request.set_promise("broken");
    CHECK_EQ(to_filter(request).error().what, "promise: kept or missed");
    CHECK_EQ(*to_page_size(0), 100);
    CHECK_EQ(*to_page_size(1000), 1000);
    CHECK_FALSE(to_page_size(1001));
    CHECK_FALSE(to_task_id("", "id"));
    CHECK_FALSE(to_task_id("00000000-0000-0000-0000-000000000000", "id"));
    CHECK(to_task_id(kId, "id"));
}

TEST_CASE("field L: a traceparent is one, or it is refused: it reaches the environment of programs") {
    const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const auto taken = [](const std::string& parent, const std::string& state = {}) {
        v1::TaskSpec spec;
        spec.set_type("t");
        spec.set_traceparent(parent);
        spec.set_tracestate(state);
        return to_submission(spec, "task");
    };
    CHECK(taken("").has_value());
    CHECK(taken(good, "a=1,b@c=2").has_value());
    CHECK(taken("cc" + good.substr(2) + "-what-will-be").has_value());
    for (const std::string& bad : std::vector<std::string>{
             good + "\nPATH=/tmp", good + "-x", good.substr(1), "ff" + good.substr(2), "00-x",
             "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
             "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
             "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "cc" + good.substr(2) + "-a\nb"}) {
        CAPTURE(bad);
        const auto refused = taken(bad);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().what.starts_with("task.traceparent: "));
    }
    CHECK(taken(good, "a=\n").error().what.starts_with("task.tracestate: "));
    CHECK(taken(good, std::string(513, 'a')).error().what.starts_with("task.tracestate: "));
}

TEST_CASE("field N: a field has one name, wherever it is found to be wrong") {
    CHECK_EQ(in_batch({Fault::invalid, "type: must"}, 1).what, "tasks[0].type: must");
    CHECK_EQ(in_batch({Fault::invalid, "tasks[0].type: must"}, 1).what, "tasks[0].type: must");
    CHECK_EQ(in_batch({Fault::invalid, "tasks[3].type: must"}, 5).what, "tasks[3].type: must");
    CHECK_EQ(in_batch({Fault::exhausted, "the store is slow"}, 1).what, "the store is slow");
    CHECK_EQ(in_batch({Fault::conflict, "idempotency_key: taken"}, 1).what, "tasks[0].idempotency_key: taken");
}

}  // namespace
}  // namespace nexus::api
