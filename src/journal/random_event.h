#pragma once
// Events with random content, for the tests, fuzz corpus and benchmarks of the journal and the stores: half of the
// members at their defaults, the others small or extreme. The same seed gives the same event.

#include <utility>

#include "base/rng.h"
#include "core/event.h"
#include "core/shape.h"

namespace nexus::journal {

class RandomEvent {
public:
    explicit RandomEvent(Rng& rng) : rng_(rng) {}

    core::Event make(Instant at) {
        const std::uint64_t kind = rng_.below(std::variant_size_v<core::Fact>);
        core::Event event{.at = at, .what = {}};
        make_fact(kind, event.what, std::make_index_sequence<std::variant_size_v<core::Fact>>{});
        return event;
    }

private:
    template <std::size_t... I>
    void make_fact(std::uint64_t kind, core::Fact& fact, std::index_sequence<I...>) {
        ((kind == I ? fill(fact.emplace<I>()) : void()), ...);
    }

    std::uint64_t number() {
        switch (rng_.below(4)) {
            case 0: return rng_.below(3);
            case 1: return rng_.below(1'000'000);
            case 2: return UINT64_MAX - rng_.below(2);
            default: return rng_.next();
        }
    }

    template <class T>
    void fill(T& v) {
        if constexpr (Shaped<T>) {
            for_each_member<T>([&](const auto& m) {
                if (rng_.one_in(2)) fill(v.*m.at);
            });
            if constexpr (std::same_as<T, core::TaskSpec>) v.priority %= core::kPriorityMax + 1;
        } else if constexpr (std::is_enum_v<T>) {
            do v = static_cast<T>(rng_.below(16));
            while (!known(v));
        } else if constexpr (std::same_as<T, bool>) {
            v = rng_.one_in(2);
        } else if constexpr (std::is_integral_v<T>) {
            v = static_cast<T>(number());
        } else if constexpr (requires { v.us; }) {
            v.us = static_cast<std::int64_t>(number());
        } else if constexpr (requires { v.hi; }) {
            v = {number(), number()};
        } else if constexpr (requires { v.n; }) {
            v.n = static_cast<decltype(v.n)>(number());
        } else if constexpr (requires { v.first; }) {
            fill(v.first);
            fill(v.second);
        } else if constexpr (std::same_as<T, std::string>) {
            v.clear();
            for (std::uint64_t n = rng_.below(20); n > 0; --n) v.push_back(static_cast<char>(rng_.below(256)));
        } else {
            v.resize(rng_.below(4));
            for (auto& item : v) fill(item);
        }
    }

    Rng& rng_;
};

inline core::Event random_event(Rng& rng, Instant at) {
    return RandomEvent(rng).make(at);
}

}  // namespace nexus::journal
