#include "engine/task_lines.h"

#include <doctest/doctest.h>

#include <map>

#include "base/rng.h"
#include "engine/page_token.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

// The lines beside what they must tell: a map of all tasks.
struct Model {
    TaskLines lines;
    std::vector<TaskId> ids;  // by slot
    std::vector<std::uint32_t> free;
    std::map<TaskId, std::pair<std::uint32_t, LineKey>> live;

    auto id_of() const {
        return [this](std::uint32_t slot) { return ids[slot]; };
    }
    void add(TaskId id, LineKey key) {
        if (free.empty()) {
            free.push_back(static_cast<std::uint32_t>(ids.size()));
            ids.emplace_back();
        }
        const std::uint32_t slot = free.back();
        free.pop_back();
        ids[slot] = id;
        live[id] = {slot, key};
        lines.insert(slot, key, id_of());
    }
    void remove(std::map<TaskId, std::pair<std::uint32_t, LineKey>>::iterator task) {
        lines.erase(task->second.first);
        ids[task->second.first] = {};
        free.push_back(task->second.first);
        live.erase(task);
    }
    std::vector<TaskId> page(const LineFilter& filter, TaskId before, std::size_t limit) const {
        std::vector<TaskId> got;
        lines.newest(filter, before, id_of(), [&](std::uint32_t slot) {
            got.push_back(ids[slot]);
            return got.size() < limit;
        });
        return got;
    }
    std::vector<TaskId> wanted(const LineFilter& filter, TaskId before, std::size_t limit) const {
        std::vector<TaskId> want;
        for (auto at = live.rbegin(); at != live.rend() && want.size() < limit; ++at)
            if ((!before || at->first < before) && filter.wants(at->second.second)) want.push_back(at->first);
        return want;
    }
};

}  // namespace

TEST_CASE("the lines tell what a walk through all tasks tells, however tasks come and go") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        Rng rng(seed);
        Model model;
        std::uint64_t clock = 1'000;
        const std::uint64_t growth = seed % 3;  // shrinking, level, growing
        for (int step = 0; step < 12'000; ++step) {
            clock += rng.below(3);
            const bool add = model.live.size() < 10 || rng.below(4) < 1 + growth;
            if (add) {
                // Some ids are out of order: several of one millisecond, and a clock that was set back.
                const std::uint64_t at =
                    rng.one_in(200) ? clock - std::min<std::uint64_t>(clock, rng.below(900)) : clock;
                model.add({.hi = at, .lo = rng.next() | 1},
                          {.type = static_cast<std::uint32_t>(rng.below(rng.one_in(5) ? 5 : 1)),
                           .tenant = static_cast<std::uint32_t>(rng.below(2)),
                           .queue = static_cast<std::uint32_t>(rng.below(2))});
            } else {
                auto task = model.live.lower_bound({.hi = rng.below(clock + 1), .lo = 0});
                model.remove(task == model.live.end() ? model.live.begin() : task);
            }
            if (step % 97 != 0) continue;
            LineFilter filter;
            if (rng.one_in(2)) filter.type = static_cast<std::uint32_t>(rng.below(6));
            if (rng.one_in(3)) filter.tenant = static_cast<std::uint32_t>(rng.below(3));
            if (rng.one_in(3)) filter.queue = static_cast<std::uint32_t>(rng.below(3));
            const TaskId before = rng.one_in(3) ? TaskId{} : TaskId{.hi = rng.below(clock + 10), .lo = rng.next()};
            const std::size_t limit = 1 + rng.below(rng.one_in(4) ? 2'000 : 20);
            REQUIRE(model.page(filter, before, limit) == model.wanted(filter, before, limit));
        }
        REQUIRE(model.page({}, {}, SIZE_MAX) == model.wanted({}, {}, SIZE_MAX));
        std::vector<TaskId> oldest_first;
        model.lines.each_line([&](std::uint32_t line, const LineKey&, std::uint32_t tasks) {
            const std::size_t begin = oldest_first.size();
            model.lines.oldest(line, [&](std::uint32_t slot) {
                oldest_first.push_back(model.ids[slot]);
                return true;
            });
            CHECK(oldest_first.size() - begin == tasks);
            CHECK(std::is_sorted(oldest_first.begin() + static_cast<std::ptrdiff_t>(begin), oldest_first.end()));
        });
        CHECK(oldest_first.size() == model.live.size());
        while (!model.live.empty()) model.remove(model.live.begin());
        CHECK(model.lines.lines() == 0);
        CHECK(model.page({}, {}, SIZE_MAX).empty());
    }
}

TEST_CASE("a page token comes back as it was; any other text is refused") {
    const TaskId task{0x0190'0000'0000'7000, 5};
    for (const TaskPlace& place : {TaskPlace{history::TaskOrder::submitted, task, {}},
                                   TaskPlace{history::TaskOrder::finished, task, {1'800'000'000'000'001}}}) {
        const std::string token = page_token(place);
        const auto back = task_place_of(token, place.order);
        REQUIRE(back.has_value());
        CHECK(back->task == place.task);
        CHECK(back->finished == place.finished);
        for (std::size_t cut = 1; cut < token.size(); ++cut)
            CHECK_FALSE(task_place_of(token.substr(0, cut), place.order).has_value());
        CHECK_FALSE(task_place_of(token + "0", place.order).has_value());
    }
    const history::EventPlace place{.at = {7}, .shard = 3, .number = 9, .part = 1};
    CHECK(event_place_of(page_token(place)).value() == place);
    CHECK(event_place_of("").value() == history::EventPlace{});
    for (const char* other :
         {"x", "e", "e1", "e1.2.3", "e1.2.3.4.", "e-1.2.3.4", "e1.2.3.99999999999999999999",
          "L01900000-0000-7000-8000-000000000005", "1024", "s00000000-0000-0000-0000-000000000000"}) {
        CHECK(event_place_of(other).error().what == "page_token: invalid page token");
        CHECK(task_place_of(other, history::TaskOrder::submitted).error().what == "page_token: invalid page token");
        CHECK(task_place_of(other, history::TaskOrder::finished).error().fault == Fault::invalid);
    }
}
