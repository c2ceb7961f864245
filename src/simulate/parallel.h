#pragma once
// Independent pieces of work on several threads.

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace nexus::simulate {

// Calls work(0) .. work(count - 1), each once, on up to `threads` threads of which the caller's is one. After a failure
// no further piece is begun; the failure is returned, of several any one.
template <class Work>
Result<void> in_parallel(std::size_t count, unsigned threads, Work work) {
    std::atomic<std::size_t> next{0};
    std::mutex failing;  // guards `failure`
    Result<void> failure;
    const auto pull = [&] {
        for (std::size_t at = next++; at < count; at = next++) {
            Result<void> done = work(at);
            if (done) continue;
            const std::lock_guard lock(failing);
            failure = std::move(done);
            next = count;
        }
    };
    std::vector<std::jthread> others;
    for (unsigned n = 1; n < threads && n < count; ++n) others.emplace_back(pull);
    pull();
    others.clear();
    return failure;
}

}  // namespace nexus::simulate
