// What a journal that can be moved promises beyond the port, for the adapters that last.
#include <doctest/doctest.h>

#include <map>

#include "conformance/journal_rig.h"
#include "store/movable_journal.h"

using namespace nexus;
using namespace nexus::test;
using store::BodyKind, store::JournalBatch, store::MovableJournal;

namespace {

void each_movable(const std::function<void(JournalRig&, const std::function<MovableJournal&()>&)>& run) {
    int movable = 0;
    for (const NamedRig& named : journal_rigs()) {
        CAPTURE(named.name);
        const auto rig = named.make();
        if (dynamic_cast<MovableJournal*>(&rig->store()) == nullptr) continue;  // those in memory
        ++movable;
        run(*rig, [&rig]() -> MovableJournal& { return dynamic_cast<MovableJournal&>(rig->store()); });
    }
    REQUIRE_EQ(movable, 4);
}

std::map<TaskId, std::pair<std::string, std::int64_t>> kept_in(MovableJournal& store, BodyKind kind) {
    std::map<TaskId, std::pair<std::string, std::int64_t>> kept;
    REQUIRE(store.each_kept(kind, [&](TaskId task, std::string_view bytes, WallTime at) -> Result<void> {
        kept[task] = {std::string(bytes), at.us};
        return {};
    }));
    return kept;
}

}  // namespace

TEST_SUITE_BEGIN("journal");

TEST_CASE("what ended tasks left and what was taken are told whole, with their times") {
    each_movable([](JournalRig& rig, const auto& store) {
        BatchMaker maker;
        JournalBatch batch = maker.next();
        batch.results = {{.task = task_of(1), .body = body_of(1)}, {.task = task_of(2), .body = body_of(2)}};
        batch.taken = {{.task = task_of(8), .body = "7-1"}, {.task = task_of(9), .body = "7-2"}};
        REQUIRE(append(store(), {batch}));
        const std::int64_t first = rig.now.us;
        rig.now = rig.now + hours(2);
        batch = maker.next();
        batch.results = {{.task = task_of(3), .body = body_of(3, 300)}};
        batch.untaken = {task_of(8)};
        REQUIRE(append(store(), {batch}));
        for (const bool again : {false, true}) {
            if (again) rig.reopen();
            const auto results = kept_in(store(), BodyKind::result);
            REQUIRE_EQ(results.size(), 3);
            CHECK(results.at(task_of(1)) == std::pair{body_of(1), first});
            CHECK(results.at(task_of(2)) == std::pair{body_of(2), first});
            CHECK(results.at(task_of(3)) == std::pair{body_of(3, 300), rig.now.us});
            const auto taken = kept_in(store(), BodyKind::taken);
            REQUIRE_EQ(taken.size(), 1);
            CHECK_EQ(taken.at(task_of(9)).first, "7-2");
        }
        const auto stopped = store().each_kept(BodyKind::result, [](TaskId, std::string_view, WallTime) {
            return Result<void>(fail(Fault::invalid, "enough"));
        });
        REQUIRE_FALSE(stopped);
        CHECK(stopped.error().fault == Fault::invalid);
    });
}

TEST_CASE("a copy begins where it is told, belongs to nobody until it is opened, and goes on with a larger epoch") {
    each_movable([](JournalRig& rig, const auto& store) {
        BatchMaker maker(1001);
        const JournalBatch first = maker.next();
        const store::Claimant mover{.name = "mover", .token_hi = 5, .token_lo = 6};
        const auto claim = store().begin_copy(
            {.last = {1000}, .chain = first.chain_before, .epoch = 7, .history = {900}}, mover, "a copy of elsewhere");
        REQUIRE(claim);
        CHECK_EQ(claim->epoch, 8);
        CHECK_EQ(store().head()->last, Sequence{1000});
        CHECK_EQ(store().head()->history, Sequence{900});
        REQUIRE(store::put_snapshot(store(), {1000}, "older"));
        JournalBatch bodies{.first = {}, .bytes = {}};
        bodies.puts = {{.task = task_of(1), .body = body_of(1)}};
        REQUIRE(store().append(*claim, std::vector{bodies}));
        REQUIRE(store().append(*claim, std::vector{first, maker.next()}));
        REQUIRE(store::put_snapshot(store(), maker.last(), "newest"));

        CHECK(store().begin_copy({}, mover, "twice").error().fault == Fault::conflict);
        for (const bool again : {false, true}) {
            if (again) rig.reopen();
            CHECK_EQ(*store().closed(), "a copy of elsewhere");
            const auto head = store().head();
            CHECK_EQ(head->claim.epoch, 8);
            CHECK_EQ(head->last, maker.last());
            const auto refused = store().claim(*head, {.name = "server", .token_hi = 9});
            REQUIRE_FALSE(refused);
            CHECK(refused.error().fault == Fault::failed_state);
            CHECK(refused.error().what.contains("a copy of elsewhere"));
        }
        REQUIRE(store().close(store().head()->claim, ""));
        CHECK_EQ(*store().closed(), "");
        const auto server = store::claim_now(store(), {.name = "server", .token_hi = 9});
        REQUIRE(server);
        CHECK_EQ(server->epoch, 9);
        CHECK_EQ(store().head()->history, Sequence{900});
        REQUIRE(store().append(*server, std::vector{maker.next()}));
        CHECK_EQ(read_all(store(), 1000).size(), 3);
        CHECK(found(body(store(), task_of(1))));
        CHECK_EQ((*store::get_snapshot(store(), store::Kept::older))->bytes, "older");
        CHECK_EQ((*store::get_snapshot(store()))->bytes, "newest");
    });
}

TEST_CASE("only its owner closes a journal, and a closed one is opened by whoever knows its claim") {
    each_movable([](JournalRig& rig, const auto& store) {
        const auto first = store::claim_now(store(), {.name = "one", .token_hi = 1});
        REQUIRE(first);
        const auto owner = store::claim_now(store(), {.name = "two", .token_hi = 2});
        REQUIRE(owner);
        BatchMaker maker;
        REQUIRE(store().append(*owner, std::vector{maker.next()}));
        CHECK(store().close(*first, "moved").error().fault == Fault::superseded);
        CHECK_EQ(*store().closed(), "");
        REQUIRE(store().close(*owner, "moved"));
        rig.reopen();
        CHECK_EQ(*store().closed(), "moved");
        CHECK(store().begin_copy({}, {.name = "mover", .token_hi = 3}, "copy").error().fault == Fault::conflict);
        REQUIRE(store().close(store().head()->claim, ""));
        CHECK(store::claim_now(store(), {.name = "three", .token_hi = 3}));
    });
}

TEST_SUITE_END();
