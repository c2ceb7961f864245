// nexus_load: clients and workers for the fault tests. Each writes its own journal, one line per thing it did or was
// told, by write(2) at once, so that a kill -9 of the process loses nothing. test/e2e/checker.py reads these journals
// and nothing else.
//
//   nexus_load submit  --server A --journal F --prefix P --count N [--rate R] [--threads T] [--batch B] [--run-us U] …
//   nexus_load work    --server A --journal F --name W --slots S
//   nexus_load collect --server A --journal F --type T
//
// Lines, fields separated by tabs, times in seconds of the machine's monotonic clock:
//   submit  t key                    about to be sent
//   ack     t key id duplicate       accepted
//   refused t key kind seconds       a definite refusal: not stored
//   unknown t key kind seconds       given up without knowing
//   start   t id attempt number fence worker
//   end     t id attempt worker      the handler came to its end
//   cut     t id attempt worker      the handler was asked to stop
//   outcome t id state attempts      as the server tells it

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "nexus/client.h"
#include "nexus/worker.h"

namespace {

double now_s() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class Journal {
public:
    explicit Journal(const std::string& path)
        : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
        if (file_ < 0) {
            std::perror(path.c_str());
            std::exit(2);
        }
    }
    // One write, so that lines of several threads and processes never mix.
    template <class... Fields>
    void line(const char* what, const Fields&... fields) {
        char time[32];
        std::snprintf(time, sizeof time, "%.6f", now_s());
        std::string text = std::string(what) + '\t' + time;
        ((text += '\t', text += fields), ...);
        text += '\n';
        if (write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    }

private:
    int file_;
};

struct Flags {
    std::string server, journal, prefix = "load", name, type = "load";
    std::uint64_t count = 1000;
    double rate = 0;  // per second; 0 = as fast as it goes
    unsigned threads = 8, batch = 1, slots = 4, copies = 1;
    long run_us = 1000;
    std::size_t payload = 0;  // bytes at least
    double call_timeout_s = 120;
    std::string worker;
};

nexus::Task task_of(const Flags& flags, std::uint64_t number) {
    nexus::Task task{.type = flags.type, .worker = flags.worker};
    task.idempotency_key = flags.prefix + "-" + std::to_string(number);
    task.payload = std::to_string(flags.run_us) + " " + task.idempotency_key + " ";
    if (task.payload.size() < flags.payload) task.payload.resize(flags.payload, 'x');
    return task;
}

void note(Journal& journal, const std::string& key, const nexus::Answer<nexus::Submitted>& answer, double began) {
    if (answer) return journal.line("ack", key, answer->id, std::string(answer->duplicate ? "1" : "0"));
    const bool unknown = answer.error().kind == nexus::FailureKind::unknown;
    journal.line(unknown ? "unknown" : "refused", key, std::string(nexus::name_of(answer.error().kind)),
                 std::to_string(now_s() - began));
}

int submit(const Flags& flags) {
    Journal journal(flags.journal);
    nexus::ClientOptions options;
    options.call_timeout = std::chrono::microseconds(static_cast<std::int64_t>(flags.call_timeout_s * 1e6));
    options.retry_max = std::chrono::milliseconds(200);
    nexus::Client client(flags.server, options);
    std::atomic<std::uint64_t> next = 0;
    const double start = now_s();
    const auto caller = [&] {
        while (true) {
            const std::uint64_t first = next.fetch_add(flags.batch);
            if (first >= flags.count) return;
            const std::uint64_t end = std::min<std::uint64_t>(first + flags.batch, flags.count);
            if (flags.rate > 0) {
                const double wait = start + static_cast<double>(first) / flags.rate - now_s();
                if (wait > 0) std::this_thread::sleep_for(std::chrono::duration<double>(wait));
            }
            std::vector<nexus::Task> tasks;
            for (std::uint64_t n = first; n < end; ++n) {
                tasks.push_back(task_of(flags, n));
                journal.line("submit", tasks.back().idempotency_key);
            }
            const double began = now_s();
            if (tasks.size() == 1) {
                note(journal, tasks[0].idempotency_key, client.submit(tasks[0]), began);
                continue;
            }
            const auto answers = client.submit_many(tasks, {.batch = flags.batch, .timeout = options.call_timeout});
            for (std::size_t i = 0; i < answers.size(); ++i) note(journal, tasks[i].idempotency_key, answers[i], began);
        }
    };
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < flags.threads; ++t) threads.emplace_back(caller);
    for (std::thread& thread : threads) thread.join();
    return 0;
}

int work_as(const std::string& name, const Flags& flags, Journal& journal, bool alone) {
    nexus::Worker worker(
        {.name = name, .target = flags.server, .slots = flags.slots, .log = [&name](std::string_view line) {
             std::fprintf(stderr, "%.3f %s %.*s\n", now_s(), name.c_str(), static_cast<int>(line.size()), line.data());
         }});
    worker.handle_any([&](nexus::Context& task) {
        journal.line("start", task.task_id(), task.attempt_id(), std::to_string(task.attempt()),
                     std::to_string(task.fence()), name);
        const bool cut =
            task.wait_cancelled(std::chrono::microseconds(std::strtol(task.payload().c_str(), nullptr, 10)));
        journal.line(cut ? "cut" : "end", task.task_id(), task.attempt_id(), name);
        return cut ? nexus::Outcome::cancelled() : nexus::Outcome::success(task.task_id());
    });
    if (alone) worker.stop_on_signals();
    return worker.run();
}

// One worker, or many in one process (then a signal ends them without a drain).
int work(const Flags& flags) {
    Journal journal(flags.journal);
    if (flags.copies == 1) return work_as(flags.name, flags, journal, true);
    std::vector<std::jthread> workers;
    for (unsigned n = 0; n < flags.copies; ++n)
        workers.emplace_back([&, n] { work_as(flags.name + "-" + std::to_string(n), flags, journal, false); });
    return 0;
}

int collect(const Flags& flags) {
    Journal journal(flags.journal);
    nexus::Client client(flags.server);
    nexus::TaskQuery query{.type = flags.type, .page_size = 1000};
    do {
        const auto page = client.list(query);
        if (!page) {
            std::fprintf(stderr, "nexus_load: %s\n", page.error().text().c_str());
            return 1;
        }
        for (const nexus::TaskView& task : page->tasks)
            journal.line("outcome", task.id, std::string(nexus::name_of(task.state)),
                         std::to_string(task.attempts.size()));
        query.page_token = page->next_page_token;
    } while (!query.page_token.empty());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Clients and workers for the fault tests");
    app.require_subcommand(1);
    Flags flags;
    int code = 0;
    const auto verb = [&](const char* name, const char* about, int (*run)(const Flags&)) {
        CLI::App* sub = app.add_subcommand(name, about);
        sub->add_option("--server", flags.server)->required();
        sub->add_option("--journal", flags.journal)->required();
        sub->add_option("--type", flags.type);
        sub->callback([&flags, &code, run] { code = run(flags); });
        return sub;
    };
    CLI::App* submits = verb("submit", "Submit tasks, each under a key of its own", submit);
    submits->add_option("--prefix", flags.prefix);
    submits->add_option("--count", flags.count);
    submits->add_option("--rate", flags.rate);
    submits->add_option("--threads", flags.threads);
    submits->add_option("--batch", flags.batch);
    submits->add_option("--run-us", flags.run_us);
    submits->add_option("--payload", flags.payload);
    submits->add_option("--call-timeout", flags.call_timeout_s);
    submits->add_option("--worker", flags.worker);
    CLI::App* works = verb("work", "Run tasks: each sleeps as long as its payload says", work);
    works->add_option("--name", flags.name)->required();
    works->add_option("--slots", flags.slots);
    works->add_option("--copies", flags.copies);
    verb("collect", "Write down the outcome of every task", collect);
    CLI11_PARSE(app, argc, argv);
    return code;
}
