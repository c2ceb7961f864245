// nexus_faults: worlds from seeds. Every failure prints the one line that repeats it.
//
//   nexus_faults --seeds A..B        runs each seed; exit 1 when a promise was broken
//   nexus_faults --seed N --verbose  one seed, with its plan and what happened
//   nexus_faults --file seeds.txt    the seeds of a file, one a line, # for comments
//   --story                       prints every durable event and physical run
//   --jobs N                      in N processes
//   --must-happen                 fails when something that should occur in that many seeds did not, or too rarely

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/hash.h"
#include "faults/world.h"

namespace {

using nexus::mix;
namespace faults = nexus::faults;

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
    std::size_t jobs = 1;
    bool verbose = false;
    bool must_happen = false;
    bool story = false;
};

bool parse(int argc, char** argv, Arguments& out) {
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i];
        if (flag == "--verbose") {
            out.verbose = true;
        } else if (flag == "--story") {
            out.story = true;
        } else if (flag == "--must-happen") {
            out.must_happen = true;
        } else if (flag == "--jobs" && i + 1 < argc) {
            out.jobs = std::clamp<std::size_t>(std::strtoull(argv[++i], nullptr, 10), 1, 64);
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

// What worlds must have met, and how often in a thousand of them at least: a simulation that does not meet it does not
// test it.
struct MustHappen {
    const char* what;
    std::uint64_t in_a_thousand;
};
constexpr MustHappen kMustHappen[] = {
    {"a limit is reached", 6000},
    {"another's report refused", 50},
    {"append found stored after a lost reply", 100},
    {"attempt after the first", 10000},
    {"attempt ended while paused", 5},
    {"attempt lost with its worker", 1000},
    {"attempt preempted", 10},
    {"attempt rejected", 7000},
    {"attempt timed out", 600},
    {"audit lost by the history", 100},
    {"breaker closed by probation", 1},
    {"breaker open", 1000},
    {"breaker probing", 40},
    {"calendar jumped back", 100},
    {"calendar jumped forward", 100},
    {"calendar stands still", 80},
    {"cancel acknowledged", 800},
    {"cancel during dispatch", 50},
    {"capacity lie", 400},
    {"changed type learned", 3},
    {"completion after cancel", 200},
    {"copy superseded", 10},
    {"crash between append and release", 80},
    {"crash in the middle of a release", 80},
    {"crash while appending", 80},
    {"dead by attempts", 600},
    {"dead by crashes", 100},
    {"disk full entered", 200},
    {"disk full left", 80},
    {"duplicate submit after a lost reply", 1000},
    {"duplicate submit answered with the first task", 2000},
    {"fallback decision", 300},
    {"given back though nobody asked", 20},
    {"handler hung", 80},
    {"held attempts abandoned", 500},
    {"held attempts kept", 1000},
    {"late or double report", 200},
    {"name in use", 150},
    {"no answer from the store", 200},
    {"not even the reserve left", 200},
    {"one direction stalled", 100},
    {"operators' word in force after a restart", 20},
    {"overload", 3},
    {"pause ordered", 50},
    {"pause refused by the worker", 2},
    {"poison task killed its worker", 100},
    {"prediction failed", 1000},
    {"preemption", 10},
    {"prefetched", 2000},
    {"prefetched attempt given back", 100},
    {"prefetched attempt lost", 50},
    {"progress of another's attempt", 300},
    {"re-driven", 60},
    {"recall ordered", 100},
    {"recovered at a batch", 4000},
    {"refused: conflict", 300},
    {"refused: exhausted", 7000},
    {"refused: invalid", 400},
    {"refused: not_found", 90},
    {"reply lost", 900},
    {"report of an unknown attempt", 300},
    {"report with a false attempt id", 300},
    {"run paused", 50},
    {"run resumed", 50},
    {"server crashed", 500},
    {"server paused", 60},
    {"server recovered", 600},
    {"server stopped in order", 60},
    {"snapshot", 1000},
    {"speculative copy", 20},
    {"stale report compared", 50},
    {"stale report refused", 1000},
    {"store failed for good", 20},
    {"stream half-open", 100},
    {"stream reset", 500},
    {"submit repeated", 10000},
    {"task cancelled", 2000},
    {"task dead", 700},
    {"task expired", 1000},
    {"task succeeded", 30000},
    {"torn tail cut", 10},
    {"two physical runs at once, the older fenced", 200},
    {"two sessions of one worker", 100},
    {"waited within the ageing bound", 3000},
    {"worker crashed", 500},
    {"worker forgotten", 800},
    {"worker forgotten by order", 1},
    {"worker frozen for ever", 70},
    {"worker lost", 200},
    {"worker paused", 200},
    {"worker returned with attempts", 2000},
    {"worker stopped in order", 300},
    {"worker suspected", 400},
    {"worker vanished without a sign", 100},
};

// What several worlds came to. Sums are independent of the order, so that processes may share the seeds.
struct Sum {
    std::uint64_t seeds = 0, events = 0, simulated_us = 0, failures = 0, digest = 0, drained_us = 0;
    faults::Seen seen;

    void add(const Sum& other) {
        seeds += other.seeds;
        events += other.events;
        simulated_us += other.simulated_us;
        failures += other.failures;
        digest += other.digest;
        drained_us = std::max(drained_us, other.drained_us);
        for (const auto& [what, count] : other.seen) seen[what] += count;
    }
    void write(std::ostream& out) const {
        out << seeds << ' ' << events << ' ' << simulated_us << ' ' << failures << ' ' << digest << ' ' << drained_us
            << '\n';
        for (const auto& [what, count] : seen) out << count << ' ' << what << '\n';
    }
    bool read(std::istream& in) {
        std::string line;
        if (!(in >> seeds >> events >> simulated_us >> failures >> digest >> drained_us) || !std::getline(in, line))
            return false;
        while (std::getline(in, line))
            seen[line.substr(line.find(' ') + 1)] += std::strtoull(line.c_str(), nullptr, 10);
        return true;
    }
};

faults::Verdict run(std::uint64_t seed, bool tell_plan, bool story) {
    std::snprintf(reproducer, sizeof reproducer, "repeat with: nexus_faults --seed %llu --verbose\n",
                  static_cast<unsigned long long>(seed));
    faults::Plan plan = faults::draw_plan(seed);
    plan.story = story;
    if (tell_plan) std::printf("%s\n", plan.text().c_str());
    faults::Verdict verdict = faults::World(plan).run();
    // The same seed must give the same world [S18], looked at closely or not.
    plan.story = plan.thorough = false;
    if (verdict.kept && (tell_plan || seed % 16 == 0)) {
        const faults::Verdict twin = faults::World(plan).run();
        if (twin.digest != verdict.digest || twin.steps != verdict.steps) {
            verdict.kept = false;
            verdict.promise = "S18";
            verdict.what = "the same seed gave two different worlds";
        }
    }
    return verdict;
}

// Every `jobs`-th seed from `first` on.
Sum run_all(const Arguments& arguments, std::size_t first) {
    Sum sum;
    for (std::size_t i = first; i < arguments.seeds.size(); i += arguments.jobs) {
        const std::uint64_t seed = arguments.seeds[i];
        const faults::Verdict verdict = run(seed, arguments.verbose && arguments.seeds.size() == 1, arguments.story);
        sum.add({.seeds = 1,
                 .events = verdict.events,
                 .simulated_us = static_cast<std::uint64_t>(verdict.simulated.us),
                 .failures = verdict.kept ? 0U : 1U,
                 .digest = mix(seed, verdict.digest),
                 .drained_us = static_cast<std::uint64_t>(verdict.drained.us),
                 .seen = verdict.seen});
        if (!verdict.kept)
            std::fprintf(stderr, "%s: %s\n  %s", verdict.promise.c_str(), verdict.what.c_str(), reproducer);
    }
    return sum;
}

struct Job {
    pid_t pid = 0;
    int output = -1;
};

Job start_job(const Arguments& arguments, std::size_t first) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    const pid_t pid = fork();
    if (pid < 0) std::abort();
    if (pid > 0) {
        close(ends[1]);
        return {.pid = pid, .output = ends[0]};
    }
    close(ends[0]);
    std::ostringstream text;
    run_all(arguments, first).write(text);
    const std::string bytes = text.str();
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t n = write(ends[1], bytes.data() + done, bytes.size() - done);
        if (n <= 0) std::abort();
        done += static_cast<std::size_t>(n);
    }
    std::fflush(stdout);
    _exit(0);
}

Sum finish_job(const Job& job) {
    std::string bytes;
    char piece[4096];
    for (ssize_t n = 0; (n = read(job.output, piece, sizeof piece)) > 0;)
        bytes.append(piece, static_cast<std::size_t>(n));
    close(job.output);
    int status = 0;
    waitpid(job.pid, &status, 0);
    Sum sum;
    std::istringstream in(bytes);
    if (status == 0 && sum.read(in)) return sum;
    std::fprintf(stderr, "a process of the simulator ended before its time (status %d)\n", status);
    return {.failures = 1, .seen = {}};
}

std::uint64_t check_must_happen(const Sum& sum) {
    std::uint64_t missing = 0;
    for (const MustHappen& must : kMustHappen) {
        const auto found = sum.seen.find(must.what);
        const std::uint64_t count = found == sum.seen.end() ? 0 : found->second;
        const std::uint64_t least = std::max<std::uint64_t>(1, must.in_a_thousand * sum.seeds / 1000);
        if (count >= least) continue;
        std::fprintf(stderr, "happened %llu times, must at least %llu: %s\n", static_cast<unsigned long long>(count),
                     static_cast<unsigned long long>(least), must.what);
        ++missing;
    }
    return missing;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    if (!parse(argc, argv, arguments) || arguments.seeds.empty()) {
        std::fprintf(stderr,
                     "usage: nexus_faults --seeds A..B | --seed N | --file F  [--jobs N] [--verbose] [--story] "
                     "[--must-happen]\n");
        return 2;
    }
    std::signal(SIGABRT, tell_seed);
    const auto begin = std::chrono::steady_clock::now();
    Sum sum;
    if (arguments.jobs == 1) {
        sum = run_all(arguments, 0);
    } else {
        std::vector<Job> jobs;
        jobs.reserve(arguments.jobs);
        for (std::size_t i = 0; i < arguments.jobs; ++i) jobs.push_back(start_job(arguments, i));
        for (const Job& job : jobs) sum.add(finish_job(job));
    }
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (arguments.verbose)
        for (const auto& [what, count] : sum.seen)
            std::printf("%8llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
    const double simulated = static_cast<double>(sum.simulated_us) / 1e6;
    std::printf(
        "%llu seeds, %llu events, %.0f simulated seconds in %.1f s (%.0f a second), all ended %.0f s after the faults "
        "at the latest\n",
        static_cast<unsigned long long>(sum.seeds), static_cast<unsigned long long>(sum.events), simulated, took,
        simulated / took, static_cast<double>(sum.drained_us) / 1e6);
    std::printf("%llu broken, digest %016llx\n", static_cast<unsigned long long>(sum.failures),
                static_cast<unsigned long long>(sum.digest));
    if (arguments.must_happen) sum.failures += check_must_happen(sum);
    return sum.failures == 0 ? 0 : 1;
}
