#include "engine/ownership.h"

#include <doctest/doctest.h>

using namespace nexus;
using namespace nexus::engine;
using Stance = Ownership::Stance;

namespace {

constexpr Instant kStart{1'000'000};

store::Head seen(std::uint64_t beat, std::uint64_t last = 5, std::uint32_t epoch = 3) {
    store::Head head;
    head.claim = {.token_hi = 1, .token_lo = 2, .epoch = epoch};
    head.beat = beat;
    head.last = {last};
    return head;
}

}  // namespace

TEST_CASE("an owner is sure for 1.5 s from the sending of what was confirmed last") {
    Ownership owner;
    CHECK(owner.stance(kStart) == Stance::following);
    owner.claimed(kStart, true);
    CHECK(owner.stance(kStart + milliseconds(1499)) == Stance::owning);
    CHECK(owner.stance(kStart + milliseconds(1500)) == Stance::unsure);
    CHECK_FALSE(owner.renewal_due(kStart + milliseconds(499)));
    CHECK(owner.renewal_due(kStart + milliseconds(500)));
    // The answer came at 1.4 s, what it confirms was sent at 0.6 s: that counts.
    owner.confirmed(kStart + milliseconds(600));
    CHECK(owner.sure_until() == kStart + milliseconds(2100));
    owner.confirmed(kStart + milliseconds(300));  // a late answer takes nothing back
    CHECK(owner.sure_until() == kStart + milliseconds(2100));
    CHECK(owner.stance(kStart + milliseconds(2100)) == Stance::unsure);
    owner.confirmed(kStart + seconds(9));
    CHECK(owner.stance(kStart + seconds(10)) == Stance::owning);
    owner.superseded();
    CHECK(owner.stance(kStart + seconds(10)) == Stance::superseded);
    CHECK_FALSE(owner.renewal_due(kStart + seconds(20)));
}

TEST_CASE("a claim that needs no renewal is never unsure, however slow the disk is") {
    Ownership owner;
    owner.claimed(kStart, false);
    CHECK(owner.stance(kStart + hours(24)) == Stance::owning);
    CHECK(owner.sure_until() == kNever);
    CHECK_FALSE(owner.renewal_due(kStart + hours(24)));
}

TEST_CASE("a follower claims after 2 s in which nothing moved, without a gap") {
    const auto watch = [](Ownership& follower, Instant from, Duration length, const store::Head& head) {
        for (Duration at; at <= length; at = at + milliseconds(100)) follower.observed(head, from + at);
    };
    static constexpr struct {
        const char* name;
        Duration first;   // so long it sees one thing…
        Duration gap;     // …then nothing for so long…
        Duration second;  // …then the other for so long
        bool moved;
        bool claims;
    } rows[] = {
        {"2 s of rest", seconds(2), milliseconds(100), {}, false, true},
        {"a little less", milliseconds(1700), milliseconds(100), milliseconds(100), false, false},
        {"a renewal in between", milliseconds(1500), milliseconds(100), milliseconds(1900), true, false},
        {"2 s after a renewal", milliseconds(1500), milliseconds(100), seconds(2), true, true},
        {"the store was away", milliseconds(1500), milliseconds(600), milliseconds(1900), false, false},
        {"2 s after it was back", milliseconds(1500), milliseconds(600), seconds(2), false, true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Ownership follower;
        watch(follower, kStart, row.first, seen(7));
        const Instant again = kStart + row.first + row.gap;
        watch(follower, again, row.second, seen(row.moved ? 8 : 7));
        CHECK_EQ(follower.may_claim(again + row.second) != nullptr, row.claims);
        CHECK(follower.may_claim(again + row.second + seconds(1)) == nullptr);  // what it saw is too old by then
    }
    Ownership follower;
    watch(follower, kStart, seconds(5), seen(7));
    follower.lost_sight();
    CHECK(follower.may_claim(kStart + seconds(5)) == nullptr);
    watch(follower, kStart, seconds(3), seen(7, 6));
    REQUIRE(follower.may_claim(kStart + seconds(3)) != nullptr);
    CHECK_EQ(follower.may_claim(kStart + seconds(3))->last.n, 6);
}

TEST_CASE("an owner stops being sure before others may claim") {
    const OwnershipTimes times;
    CHECK(times.unsure_after < times.claim_after);
    CHECK(times.renew_every + times.renew_every < times.unsure_after);
}
