#pragma once
// What the programs of this folder share: their arguments, their clock, and the one line of JSON they print.

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace peers {

struct Arguments {
    int port = 0;
    std::uint64_t tasks = 0;
    unsigned workers = 0, slots = 0;
    std::size_t payload = 100;
};

inline Arguments arguments(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s PORT TASKS WORKERS SLOTS\n", argv[0]);
        std::exit(2);
    }
    Arguments given;
    given.port = std::atoi(argv[1]);
    given.tasks = std::strtoull(argv[2], nullptr, 10);
    given.workers = static_cast<unsigned>(std::atoi(argv[3]));
    given.slots = static_cast<unsigned>(std::atoi(argv[4]));
    return given;
}

[[noreturn]] inline void die(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

inline double own_cpu_s() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

// Fills first, then measures from the start of the workers until all tasks are done and the peer was told so. `drain`
// is run by one thread for each worker and counts what is done.
template <class Fill, class Drain>
void measure(const Arguments& given, Fill fill, Drain drain) {
    using Clock = std::chrono::steady_clock;
    const auto seconds = [](Clock::time_point from) {
        return std::chrono::duration<double>(Clock::now() - from).count();
    };
    const auto filling = Clock::now();
    fill();
    const double fill_s = seconds(filling);
    std::printf("{\"filled\": true}\n");
    std::fflush(stdout);
    std::getchar();  // the measuring side has read the server's CPU
    const double cpu = own_cpu_s();
    const auto began = Clock::now();
    std::atomic<std::uint64_t> done = 0;
    std::vector<std::thread> workers;
    for (unsigned n = 0; n < given.workers; ++n) workers.emplace_back([&, n] { drain(n, done); });
    for (std::thread& worker : workers) worker.join();
    const double took_s = seconds(began);
    if (done != given.tasks) die("done: " + std::to_string(done) + " of " + std::to_string(given.tasks));
    std::printf("{\"completed_per_s\": %.1f, \"submit_per_s\": %.1f, \"worker_cpu_us_per_task\": %.2f}\n",
                static_cast<double>(given.tasks) / took_s, static_cast<double>(given.tasks) / fill_s,
                (own_cpu_s() - cpu) * 1e6 / static_cast<double>(given.tasks));
}

}  // namespace peers
