#include "engine/body.h"

#include <doctest/doctest.h>

#include "core/change_test.h"
#include "core/shape.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

std::uint64_t hash_of(Submission item) {
    item.idempotency_key = "k";
    seal(item);
    return item.spec.body_hash;
}

// Checks for each member of Struct that changing it changes the hash exactly when it is part of the work.
template <class Struct>
void judge(const Submission& item, Struct& (*within)(Submission&)) {
    for_each_member<Struct>([&](const auto& m) {
        CAPTURE(m.name);
        Submission other = item;
        change(within(other).*m.at);
        CHECK_EQ(hash_of(other) != hash_of(item), kIn<decltype(m), kWork>);
    });
}

Submission a_full_task() {
    Submission item;
    item.spec.type = "resize";
    item.spec.labels_required = {{"zone", "a"}};
    item.spec.after = {{1, 2}};
    item.spec.resources.custom = {{"licence", 1}};
    item.body.payload = "pixels";
    item.body.metadata = {{"user", "ann"}};
    item.body.features = {{"pages", 7}};
    return item;
}

}  // namespace

TEST_SUITE_BEGIN("body");

TEST_CASE("C3: a key stands for the work: each field is part of it or is not, as its shape says") {
    for (const Submission& item : {Submission{}, a_full_task()}) {
        judge<core::TaskSpec>(item, [](Submission& s) -> core::TaskSpec& { return s.spec; });
        judge<TaskBody>(item, [](Submission& s) -> TaskBody& { return s.body; });
    }
}

TEST_CASE("what the work is: not how it is traced or predicted, but where, when and how often it may run") {
    const Submission item = a_full_task();
    const auto same = [&](auto&& edit) {
        Submission other = item;
        edit(other);
        return hash_of(other) == hash_of(item);
    };
    CHECK(same([](Submission& s) { s.body.traceparent = "00-aa-bb-01"; }));
    CHECK(same([](Submission& s) { s.body.hint = seconds(9); }));
    CHECK(same([](Submission& s) { s.body.features.clear(); }));
    CHECK_FALSE(same([](Submission& s) { s.spec.labels_required = {{"zone", "b"}}; }));
    CHECK_FALSE(same([](Submission& s) { s.spec.labels_required.clear(); }));
    CHECK_FALSE(same([](Submission& s) { s.spec.timeout = seconds(1); }));
    CHECK_FALSE(same([](Submission& s) { s.spec.run_at.us = 1; }));
    CHECK_FALSE(same([](Submission& s) { s.spec.pinned_worker = "w1"; }));
    CHECK_FALSE(same([](Submission& s) { s.spec.retry.attempts_max = 1; }));
    CHECK_FALSE(same([](Submission& s) { std::swap(s.spec.labels_required, s.spec.labels_forbidden); }));
    CHECK_FALSE(same([](Submission& s) { std::swap(s.spec.type, s.body.payload); }));
}

TEST_CASE("a body is read as it was written, and damage is refused") {
    TaskBody body{.payload = std::string("a\0b", 3), .metadata = {{"user", "ann"}}, .traceparent = "t"};
    body.tracestate = "s";
    body.features = {{"pages", 7.5}};
    body.hint = seconds(3);
    body.spec = "spec";
    const std::string bytes = encode_body(body);
    const auto again = decode_body(bytes);
    REQUIRE(again);
    for_each_member<TaskBody>([&](const auto& m) {
        CAPTURE(m.name);
        CHECK((*again).*m.at == body.*m.at);
    });
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_body(std::string_view(bytes).substr(0, n)));
    CHECK_FALSE(decode_body(bytes + "x"));
}

TEST_SUITE_END();
