#pragma once
// How a call is tried again: pure rules, and the loop around them. Time and waiting come from outside.

#include <algorithm>
#include <chrono>
#include <optional>

#include "backoff.h"
#include "nexus/client.h"

namespace nexus::sdk {

// How long to wait before the same call is made again, or nothing when `failure` is final or no time is left.
// A full server is believed: its retry-after, and a jittered delay on top so that those it refused do not return at
// once.
inline std::optional<Micros> delay_before_retry(const Failure& failure, Micros time_left, Backoff& backoff) {
    if (!failure.retryable()) return std::nullopt;
    const Micros delay = backoff.next() + failure.retry_after.value_or(Micros(0));
    if (delay >= time_left) return std::nullopt;
    return delay;
}

// Calls `once(time_left)` until it answers, is refused for good, or the time is up. `wait(delay)` waits.
template <class Once, class TimeLeft, class Wait>
auto with_retries(Backoff& backoff, TimeLeft time_left, Wait wait, Once once) -> decltype(once(Micros{})) {
    while (true) {
        auto answer = once(time_left());
        if (answer) return answer;
        const std::optional<Micros> delay = delay_before_retry(answer.error(), time_left(), backoff);
        if (!delay) return answer;
        wait(*delay);
    }
}

}  // namespace nexus::sdk
