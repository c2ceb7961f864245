// nexus_sim: worlds from seeds. Every failure prints the one line that repeats it.
//
//   nexus_sim --seeds A..B        runs each seed; exit 1 when a promise was broken
//   nexus_sim --seed N --verbose  one seed, with its plan and what happened
//   nexus_sim --file seeds.txt    the seeds of a file, one a line, # for comments
//   --must-happen                 fails when something that should occur in many seeds never did

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

#include "sim/world.h"

namespace {

using namespace nexus;

char reproducer[64];

// A MUST of the production code ends the process; the seed must be known then too.
void tell_seed(int) {
    const ssize_t ignored = write(STDERR_FILENO, reproducer, std::strlen(reproducer));
    (void)ignored;
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
}

struct Arguments {
    std::vector<std::uint64_t> seeds;
    bool verbose = false;
    bool must_happen = false;
};

bool parse(int argc, char** argv, Arguments& out) {
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i];
        if (flag == "--verbose") {
            out.verbose = true;
        } else if (flag == "--must-happen") {
            out.must_happen = true;
        } else if (flag == "--seed" && i + 1 < argc) {
            out.seeds.push_back(std::strtoull(argv[++i], nullptr, 10));
        } else if (flag == "--seeds" && i + 1 < argc) {
            const std::string range = argv[++i];
            const std::size_t dots = range.find("..");
            if (dots == std::string::npos) return false;
            const std::uint64_t last = std::strtoull(range.c_str() + dots + 2, nullptr, 10);
            for (std::uint64_t s = std::strtoull(range.c_str(), nullptr, 10); s <= last; ++s) out.seeds.push_back(s);
        } else if (flag == "--file" && i + 1 < argc) {
            std::ifstream file(argv[++i]);
            if (!file) return false;
            for (std::string line; std::getline(file, line);)
                if (!line.empty() && line[0] != '#') out.seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
        } else {
            return false;
        }
    }
    return true;
}

// What a thousand seeds must have met: a simulation that does not is not testing it.
const char* const kMustHappen[] = {
    "stale report refused", "cancel acknowledged", "duplicate submit answered with the first task", "refused: conflict",
    "refused: exhausted", "worker returned with attempts", "held attempts kept", "held attempts abandoned",
    "two sessions of one worker", "dead by crashes", "dead by attempts", "task expired", "task cancelled", "task succeeded",
    "attempt timed out", "attempt rejected", "attempt lost with its worker", "disk full entered", "disk full left",
    "prediction failed", "fallback decision", "calendar jumped forward", "calendar jumped back", "server crashed",
    "server recovered", "crash while appending", "crash between append and release", "crash in the middle of a release",
    "store failed for good", "snapshot", "worker suspected", "worker lost", "stream reset", "stream half-open", "reply lost",
    "two physical runs at once, the older fenced", "speculative copy", "re-driven", "poison task killed its worker"};

sim::Verdict run(std::uint64_t seed, bool verbose) {
    std::snprintf(reproducer, sizeof reproducer, "repeat with: nexus_sim --seed %llu --verbose\n", static_cast<unsigned long long>(seed));
    const sim::Plan plan = sim::draw_plan(seed);
    if (verbose) std::printf("%s\n", plan.text().c_str());
    sim::Verdict verdict = sim::World(plan).run();
    // The same seed must give the same world [S18].
    if (verdict.kept && (verbose || seed % 16 == 0)) {
        const sim::Verdict twin = sim::World(plan).run();
        if (twin.digest != verdict.digest || twin.steps != verdict.steps) {
            verdict.kept = false;
            verdict.promise = "S18";
            verdict.what = "the same seed gave two different worlds";
        }
    }
    return verdict;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    if (!parse(argc, argv, arguments) || arguments.seeds.empty()) {
        std::fprintf(stderr, "usage: nexus_sim --seeds A..B | --seed N | --file F  [--verbose] [--must-happen]\n");
        return 2;
    }
    std::signal(SIGABRT, tell_seed);
    std::map<std::string, std::uint64_t> seen;
    std::uint64_t events = 0, failures = 0;
    std::uint64_t digest = 0;
    std::int64_t simulated_us = 0;
    for (const std::uint64_t seed : arguments.seeds) {
        const sim::Verdict verdict = run(seed, arguments.verbose);
        for (const auto& [what, count] : verdict.seen) seen[what] += count;
        events += verdict.events;
        simulated_us += verdict.simulated.us;
        digest = (digest ^ verdict.digest) * 0x100000001B3ULL;
        if (verdict.kept) continue;
        ++failures;
        std::fprintf(stderr, "%s: %s\n  %s", verdict.promise.c_str(), verdict.what.c_str(), reproducer);
    }
    if (arguments.verbose)
        for (const auto& [what, count] : seen) std::printf("%8llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
    std::printf("%zu seeds, %llu events, %lld simulated seconds, %llu broken, digest %016llx\n", arguments.seeds.size(),
                static_cast<unsigned long long>(events), static_cast<long long>(simulated_us / 1'000'000),
                static_cast<unsigned long long>(failures), static_cast<unsigned long long>(digest));
    if (arguments.must_happen)
        for (const char* what : kMustHappen)
            if (seen[what] == 0) {
                std::fprintf(stderr, "never happened: %s\n", what);
                ++failures;
            }
    return failures == 0 ? 0 : 1;
}
