// The exec handler with real child processes.

#include <absl/strings/escaping.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "process/household.h"
#include "process/run.h"
#include "worker/exec_handler.h"

using namespace nexus;
using namespace nexus::worker;
using Json = nlohmann::json;

namespace {

const ExecRules kAnything({}, {"PATH", "KEPT_*"});

// A directory that goes away, with a named pipe in it. Its reader learns of the death of every process that held it.
struct Scratch {
    Scratch() {
        std::string pattern = std::filesystem::temp_directory_path() / "exec-test-XXXXXX";
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
        fifo = path + "/fifo";
        REQUIRE_EQ(mkfifo(fifo.c_str(), 0600), 0);
    }
    ~Scratch() { std::filesystem::remove_all(path); }
    std::string path, fifo;
};

std::string request(const std::vector<std::string>& argv, const Json& more = Json::object()) {
    Json json = more;
    json["argv"] = argv;
    return json.dump();
}
std::string shell(const std::string& script) {
    return request({"/bin/sh", "-c", script});
}

Outcome run(const std::string& payload, const ExecRules& rules = kAnything, std::string_view handler = "exec",
            ExecOptions options = {.oom_kills = [] { return std::nullopt; }}) {
    ChildStop stop;
    ChildOutput output(options.output_bytes_max);
    return run_exec({.payload = payload, .handler = handler, .variables = {"NEXUS_ATTEMPT=2"}}, rules, options, output,
                    stop, nullptr);
}

// The same with a stop in the caller's hands.
Outcome run_stoppable(const std::string& payload, ChildStop& stop, const ExecOptions& options = {},
                      Household* household = nullptr) {
    ChildOutput output(options.output_bytes_max);
    return run_exec({.payload = payload,
                     .handler = "exec",
                     .variables = {"NEXUS_ATTEMPT_ID=" + payload.substr(0, 10)},
                     .mark = "NEXUS_ATTEMPT_ID=" + payload.substr(0, 10)},
                    kAnything, options, output, stop, household);
}

// A process group that tells through the pipe when it runs, and by its end when it is gone.
struct Held {
    explicit Held(const std::string& fifo) : fd(open(fifo.c_str(), O_RDONLY)) {}  // waits for a writer
    ~Held() { close(fd); }
    std::string line() {
        std::string text;
        for (char c = 0; read(fd, &c, 1) == 1 && c != '\n';) text.push_back(c);
        return text;
    }
    bool all_gone() {
        char c = 0;
        return read(fd, &c, 1) == 0;
    }
    int fd;
};

}  // namespace

TEST_CASE("output, exit code and usage come back as JSON") {
    const Outcome outcome = run(shell("echo out; echo err >&2"));
    CHECK_EQ(outcome.kind(), Outcome::Kind::succeeded);
    const Json json = Json::parse(outcome.result());
    CHECK_EQ(json["exit_code"], 0);
    CHECK_EQ(json["signal"], 0);
    CHECK_EQ(json["stdout"], "out\n");
    CHECK_EQ(json["stderr"], "err\n");
    CHECK_EQ(json["truncated"], false);
    CHECK_GE(json["user_us"].get<std::int64_t>() + json["sys_us"].get<std::int64_t>(), 0);
    const Outcome greedy = run(shell("x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo ${#x}"));
    CHECK_EQ(Json::parse(greedy.result())["stdout"], "60000000\n");
    CHECK_GT(greedy.peak_memory_bytes(), 60'000'000);
    CHECK_EQ(Json::parse(greedy.result())["max_rss_bytes"], greedy.peak_memory_bytes());
}

TEST_CASE("a kill is for memory when the kernel counted one, and when it does not count") {
    using Count = std::optional<std::uint64_t>;
    struct Row {
        const char* name;
        std::string payload;
        Count before, after;
        Outcome::Kind kind;
        const char* error;
    };
    using Kind = Outcome::Kind;
    const Row rows[] = {
        {"counted", shell("kill -KILL $$"), 3, 4, Kind::out_of_memory,
         "/bin/sh was ended by signal 9 (Killed) for lack of memory"},
        {"not counted", shell("kill -KILL $$"), 3, 3, Kind::failed, "/bin/sh was ended by signal 9 (Killed)"},
        {"no count",
         shell("kill -KILL $$"),
         {},
         {},
         Kind::out_of_memory,
         "/bin/sh was ended by signal 9 (Killed), most likely for lack of memory"},
        {"another signal while one was counted", shell("kill -SEGV $$"), 3, 4, Kind::failed,
         "/bin/sh was ended by signal 11 (Segmentation fault)"},
        {"a command of the shell", shell("exit 137"), 3, 4, Kind::out_of_memory,
         "/bin/sh ended with exit code 137 while the kernel killed for lack of memory"},
        {"the same, not counted", shell("exit 137"), 3, 3, Kind::failed, "/bin/sh ended with exit code 137"},
        {"the same, no count", shell("exit 137"), {}, {}, Kind::failed, "/bin/sh ended with exit code 137"},
        {"a success while another was killed", shell("exit 0"), 3, 4, Kind::succeeded, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        int asked = 0;
        const Outcome outcome =
            run(row.payload, kAnything, "exec", {.oom_kills = [&] { return asked++ == 0 ? row.before : row.after; }});
        CHECK_EQ(outcome.kind(), row.kind);
        CHECK_EQ(outcome.error(), row.error);
        CHECK_EQ(asked, 2);
    }
}

TEST_CASE("the kernel's count of kills is read from either kind of control group") {
    const Scratch scratch;
    const auto write = [&](const std::string& name, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(scratch.path + name).parent_path());
        std::ofstream(scratch.path + name) << text;
    };
    const auto kills = [&] { return oom_kills_below(scratch.path + "/groups", scratch.path + "/fs"); };
    CHECK_EQ(kills(), std::nullopt);
    write("/groups", "0::/jobs/one\n");
    CHECK_EQ(kills(), std::nullopt);
    write("/fs/jobs/one/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n");
    CHECK_EQ(kills(), 2);
    write("/groups", "4:cpu:/x\n3:memory:/jobs/two\n0::/\n");
    write("/fs/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
    CHECK_EQ(kills(), 5);
    write("/fs/memory/jobs/two/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    CHECK_EQ(kills(), 7);
}

TEST_CASE("how an end is judged") {
    struct Row {
        const char* name;
        std::string payload;
        Outcome::Kind kind;
        bool retryable;
        const char* error;
    };
    using Kind = Outcome::Kind;
    const Row rows[] = {
        {"exit 1", shell("echo first >&2; echo last words >&2; exit 1"), Kind::failed, true,
         "/bin/sh ended with exit code 1: last words"},
        {"exit 63", shell("exit 63"), Kind::failed, true, "/bin/sh ended with exit code 63"},
        {"exit 64", shell("exit 64"), Kind::failed, false, "/bin/sh ended with exit code 64"},
        {"exit 75, a temporary failure", shell("exit 75"), Kind::failed, true, "/bin/sh ended with exit code 75"},
        {"exit 78", shell("exit 78"), Kind::failed, false, "/bin/sh ended with exit code 78"},
        {"exit 79", shell("exit 79"), Kind::failed, true, "/bin/sh ended with exit code 79"},
        {"a signal", shell("kill -SEGV $$"), Kind::failed, true, "/bin/sh was ended by signal 11 (Segmentation fault)"},
        {"killed from outside", shell("kill -KILL $$"), Kind::out_of_memory, true,
         "/bin/sh was ended by signal 9 (Killed), most likely for lack of memory"},
        {"no such program", request({"/no/such/program"}), Kind::failed, false,
         "/no/such/program: not found on this worker"},
        {"no such name", request({"no-such-program-anywhere"}), Kind::failed, false,
         "no-such-program-anywhere: no program of this name in the worker's PATH"},
        {"not executable", request({"/etc/passwd"}), Kind::failed, false,
         "/etc/passwd: is not executable: chmod +x it, or name the program that reads it (sh, python3) first"},
        {"a directory", request({"/tmp"}), Kind::failed, false, "/tmp: is a directory"},
        {"no such directory", request({"/bin/true"}, {{"cwd", "/no/such/dir"}}), Kind::failed, false,
         "directory /no/such/dir: not found on this worker"},
        {"arguments too long", request({"/bin/true", std::string(3'000'000, 'x')}), Kind::failed, false,
         "/bin/true: the arguments and environment are too long"},
        {"no JSON", "convert a b", Kind::failed, false,
         "the payload is not a JSON object like {\"argv\": [\"program\", \"argument\"]}"},
        {"no argv", "{}", Kind::failed, false, "argv: is missing"},
        {"an empty argv", R"({"argv":[]})", Kind::failed, false, "argv: must be a list that names a program"},
        {"a number as argument", R"({"argv":["a",1]})", Kind::failed, false, "argv[1]: must be text"},
        {"a zero byte", R"({"argv":["a\u0000b"]})", Kind::failed, false, "argv[0]: has a zero byte"},
        {"an empty program", R"({"argv":[""]})", Kind::failed, false, "argv[0]: is empty"},
        {"an unknown field", R"({"argv":["a"],"shell":true})", Kind::failed, false,
         "shell: unknown field; there are argv, env, cwd and stdin_base64"},
        {"bad base64", R"({"argv":["a"],"stdin_base64":"a"})", Kind::failed, false, "stdin_base64: is not base64"},
        {"a variable that is not allowed", R"({"argv":["/bin/true"],"env":{"OTHER":"x"}})", Kind::failed, false,
         "env.OTHER: this worker does not take it from tasks; its --allow-env decides"},
        {"field N: the worker's own PATH", R"({"argv":["/bin/true"],"env":{"PATH":"/tmp"}})", Kind::failed, false,
         "env.PATH: is the worker's own and is not taken from tasks"},
        {"field N: and the like", R"({"argv":["/bin/true"],"env":{"KEPT_ONE":"1","LD_PRELOAD":"x"}})", Kind::failed,
         false, "env.LD_PRELOAD: is the worker's own and is not taken from tasks"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Outcome outcome = run(row.payload);
        CHECK_EQ(outcome.kind(), row.kind);
        CHECK_EQ(outcome.retryable(), row.retryable);
        CHECK_EQ(outcome.error(), row.error);
    }
    CHECK_EQ(run(shell("true"), kAnything, "resize").kind(), Kind::rejected);
    CHECK_EQ(run("meant for someone else", kAnything, "").kind(), Kind::rejected);
    // field N: a task that names no handler is not executed, whatever its payload holds
    CHECK_EQ(run(shell("true"), kAnything, "").kind(), Kind::rejected);
}

TEST_CASE("only what --allow names is run") {
    struct Row {
        std::vector<std::string> allow;
        const char* program;
        bool allowed;
    };
    const Row rows[] = {
        {{"/bin/true"}, "/bin/true", true},
        {{"/bin/true"}, "/bin/false", false},
        {{"/bin/*"}, "/bin/true", true},
        {{"/bin/*"}, "/bin/../tmp/true", false},
        {{"/usr/*"}, "/usr/bin/true", false},  // * does not match a slash
        {{"true"}, "true", true},
        {{"true"}, "/tmp/true", false},  // a bare pattern is for bare names
        {{"true"}, "false", false},
        {{"fal*", "/bin/true"}, "false", true},
        {{"/usr/bin/*", "/bin/*"}, "true", true},  // found in PATH, then judged by its path
        {{"/opt/*"}, "true", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.allow[0]);
        CAPTURE(row.program);
        const ExecRules rules(row.allow, {"PATH"});
        const auto path = rules.resolve({.argv = {row.program}});
        CHECK_EQ(path.has_value(), row.allowed);
        if (!path) CHECK_EQ(path.error().fault, Fault::denied);
    }
    std::vector<std::string> programs;
    bool any = false;
    CHECK(ExecRules::parse_allow("exec=/a/*,b", programs, any).has_value());
    CHECK_EQ(programs, std::vector<std::string>{"/a/*", "b"});
    CHECK_FALSE(any);
    CHECK(ExecRules::parse_allow("exec", programs, any).has_value());
    CHECK(any);
    CHECK_FALSE(ExecRules::parse_allow("exec=", programs, any).has_value());
    CHECK_FALSE(ExecRules::parse_allow("shell", programs, any).has_value());
}

TEST_CASE("the environment holds what is allowed, what the task sets, and the attempt") {
    setenv("KEPT_ONE", "1", 1);
    setenv("KEPT_TWO", "2", 1);
    setenv("SECRET", "s", 1);
    const Outcome outcome = run(request({"/usr/bin/env"}, {{"env", {{"KEPT_TWO", "two"}, {"KEPT_NEW", "n"}}}}));
    const std::string out = Json::parse(outcome.result())["stdout"];
    CHECK_NE(out.find("KEPT_ONE=1\n"), std::string::npos);
    CHECK_NE(out.find("KEPT_TWO=two\n"), std::string::npos);
    CHECK_NE(out.find("KEPT_NEW=n\n"), std::string::npos);
    CHECK_NE(out.find("NEXUS_ATTEMPT=2\n"), std::string::npos);
    CHECK_EQ(out.find("SECRET"), std::string::npos);
}

TEST_CASE("standard input, directory and arguments arrive as they are") {
    const Outcome fed = run(request({"/usr/bin/wc", "-c"}, {{"stdin_base64", "aGVsbG8gd29ybGQ="}}));
    CHECK_EQ(Json::parse(fed.result())["stdout"], "11\n");
    const Outcome unfed = run(request({"/usr/bin/wc", "-c"}));
    CHECK_EQ(Json::parse(unfed.result())["stdout"], "0\n");
    const Outcome there = run(request({"/bin/pwd"}, {{"cwd", "/usr"}}));
    CHECK_EQ(Json::parse(there.result())["stdout"], "/usr\n");
    const Outcome quoted = run(request({"/usr/bin/printf", "%s|", "a b", "$HOME", "`id`", "'\"\\"}));
    CHECK_EQ(Json::parse(quoted.result())["stdout"], "a b|$HOME|`id`|'\"\\|");
    // A program that does not read what it is given must not hang, nor end us with SIGPIPE.
    signal(SIGPIPE, SIG_IGN);
    const std::string much(8 * 30'000, 'A');
    CHECK_EQ(run(request({"/bin/true"}, {{"stdin_base64", much}})).kind(), Outcome::Kind::succeeded);
}

TEST_CASE("output is kept up to its bound, counted beyond, and always read") {
    const Outcome outcome =
        run(shell("head -c 300000 /dev/zero | tr '\\0' x; head -c 70000 /dev/zero | tr '\\0' y >&2"));
    const Json json = Json::parse(outcome.result());
    CHECK_EQ(json["stdout"],
             std::string(32'768, 'x') + "\n[nexus: 234464 bytes left out]\n" + std::string(32'768, 'x'));
    CHECK_EQ(json["stderr"], std::string(32'768, 'y') + "\n[nexus: 4464 bytes left out]\n" + std::string(32'768, 'y'));
    CHECK_EQ(json["stdout_bytes"], 300'000);
    CHECK_EQ(json["stderr_bytes"], 70'000);
    CHECK_EQ(json["truncated"], true);
    CHECK_EQ(Json::parse(run(shell("head -c 65536 /dev/zero | tr '\\0' x")).result())["truncated"], false);
}

TEST_CASE("field B: the end of a long output is kept, and its last line is quoted") {
    const Outcome outcome =
        run(shell("i=0; while [ $i -lt 4000 ]; do echo \"line $i of a long log of somebody\"; i=$((i+1)); done >&2; "
                  "echo 'FATAL: database is gone' >&2; echo >&2; exit 5"));
    CHECK_EQ(outcome.error(), "/bin/sh ended with exit code 5: FATAL: database is gone");
    const std::string err = Json::parse(outcome.result())["stderr"];
    CHECK(err.starts_with("line 0 of a long log of somebody\nline 1 of"));
    CHECK(err.ends_with("line 3999 of a long log of somebody\nFATAL: database is gone\n\n"));
    // The cut is between lines and says how much is missing.
    const std::size_t mark = err.find("\n[nexus: ");
    REQUIRE_NE(mark, std::string::npos);
    const std::size_t after = err.find("bytes left out]\nline ", mark);
    CHECK_NE(after, std::string::npos);
    const std::size_t left_out = std::stoul(err.substr(mark + 9));
    const std::size_t mark_bytes = err.find('\n', mark + 1) - mark;
    CHECK_EQ(Json::parse(outcome.result())["stderr_bytes"], err.size() - mark_bytes + left_out);
}

TEST_CASE("field B: bytes that are no text are kept as they were written") {
    for (const char* script :
         {"printf 'a\\377b'", "printf 'a\\0b'", "printf 'a\\355\\240\\275b'", "printf '\\300\\200'"}) {
        CAPTURE(script);
        const Json json = Json::parse(run(shell(script)).result());
        CHECK(json["stdout"].is_null());
        std::string bytes;
        CHECK(absl::Base64Unescape(json["stdout_base64"].get<std::string>(), &bytes));
        CHECK_EQ(bytes.size(), json["stdout_bytes"].get<std::size_t>());
        CHECK_EQ(json["stderr"], "");
    }
    // However much of the text is escapes, the result can be stored.
    for (const char* script : {"head -c 65536 /dev/zero; head -c 65536 /dev/zero >&2",
                               "head -c 65536 /dev/zero | tr '\\0' '\\33'; head -c 65536 /dev/urandom >&2",
                               "head -c 65536 /dev/zero | tr '\\0' '\"' | tee /dev/stderr"}) {
        const Outcome outcome = run(shell(script));
        CHECK_LE(outcome.result().size(), 250 * 1024);
        CHECK_EQ(Json::parse(outcome.result())["truncated"], false);
    }
    // A character is never cut in two.
    const Json json = Json::parse(run(shell("i=0; while [ $i -lt 6000 ]; do printf 'x\\303\\274\\342\\202\\254%s' "
                                            "'\360\237\230\200\360\237\230\200\360\237\230\200'; i=$((i+1)); done"))
                                      .result());
    CHECK_EQ(json["truncated"], true);
    CHECK(json["stdout"].is_string());
}

TEST_CASE("field A: how a program ends that we told to stop says nothing; one that ended before is judged by itself") {
    struct Row {
        const char* name;
        const char* script;
    };
    const Row rows[] = {
        {"exit 0", "trap 'exit 0' TERM; echo started >&3; sleep 1000 & wait"},
        {"exit 3", "trap 'exit 3' TERM; echo started >&3; sleep 1000 & wait"},
        {"exit 64, which no retry can help", "trap 'exit 64' TERM; echo started >&3; sleep 1000 & wait"},
        {"killed by itself", "trap 'kill -KILL $$' TERM; echo started >&3; sleep 1000 & wait"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Scratch scratch;
        ChildStop stop;
        Outcome outcome = Outcome::success();
        std::thread running(
            [&] { outcome = run_stoppable(shell("exec 3>" + scratch.fifo + "; echo words; " + row.script), stop); });
        Held held(scratch.fifo);
        CHECK_EQ(held.line(), "started");
        stop.ask();
        running.join();
        CHECK_EQ(outcome.kind(), Outcome::Kind::cancelled);
        CHECK_EQ(Json::parse(outcome.result())["stopped"], true);
        CHECK_EQ(Json::parse(outcome.result())["stdout"], "words\n");
    }
    const Outcome itself = run(shell("exit 0"));
    CHECK_EQ(itself.kind(), Outcome::Kind::succeeded);
    CHECK_EQ(Json::parse(itself.result())["stopped"], false);
}

TEST_CASE("field E: a script whose interpreter is missing says so") {
    const Scratch scratch;
    const auto script = [&](const std::string& text) {
        std::ofstream(scratch.path + "/script") << text;
        std::filesystem::permissions(scratch.path + "/script", std::filesystem::perms::owner_all);
        return run(request({scratch.path + "/script"})).error();
    };
    CHECK_EQ(script("#!/bin/sh\r\necho hello\r\n"),
             scratch.path +
                 "/script: its first line names the interpreter /bin/sh and ends with CR LF, as on Windows; "
                 "write it with LF (sed -i 's/\\r$//')");
    CHECK_EQ(script("#! /no/such/shell -e\necho hello\n"),
             scratch.path + "/script: its first line names the interpreter /no/such/shell, which is not there");
}

TEST_CASE("what a shell would say of a program that could not be started is in the result") {
    CHECK_EQ(Json::parse(run(request({"/no/such/program"})).result())["exit_code"], 127);
    CHECK_EQ(Json::parse(run(request({"no-such-program-anywhere"})).result())["exit_code"], 127);
    CHECK_EQ(Json::parse(run(request({"/etc/passwd"})).result())["exit_code"], 126);
}

TEST_CASE("a stop takes the whole process group, grandchildren included") {
    Scratch scratch;
    ChildStop stop;
    Outcome outcome = Outcome::success();
    std::thread running([&] {
        const std::string payload =
            shell("exec 3>" + scratch.fifo + "; sh -c 'sleep 1000 & echo started >&3; wait' & wait");
        outcome = run_stoppable(payload, stop);
    });
    Held held(scratch.fifo);
    CHECK_EQ(held.line(), "started");
    stop.ask();
    running.join();
    CHECK(held.all_gone());
    CHECK_EQ(outcome.kind(), Outcome::Kind::cancelled);
    CHECK_EQ(Json::parse(outcome.result())["signal"], SIGTERM);
}

TEST_CASE("a paused group stands still, goes on, and can be stopped while it does not") {
    const auto state_of = [](const std::string& pid) {
        std::ifstream in("/proc/" + pid + "/stat");
        const std::string text(std::istreambuf_iterator<char>(in), {});
        const std::size_t at = text.rfind(") ");
        return at == std::string::npos ? '?' : text[at + 2];
    };
    const auto becomes = [&](const std::string& pid, bool still) {
        for (int n = 0; n < 1000 && (state_of(pid) == 'T') != still; ++n)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return (state_of(pid) == 'T') == still;
    };
    Scratch scratch;
    ChildStop stop;
    CHECK(stop.pause(true));  // before there is a child
    Outcome outcome = Outcome::success();
    std::thread runner([&] {
        const std::string script = "exec 3>" + scratch.fifo + "; sleep 100 & echo $$ >&3; echo $! >&3; wait";
        outcome = run_stoppable(shell(script), stop);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(stop.pause(false));
    Held held(scratch.fifo);
    const std::string leader = held.line();
    const std::string other = held.line();
    for (int n = 0; n < 3; ++n) {
        CHECK(stop.pause(true));
        CHECK(becomes(leader, true));
        CHECK(becomes(other, true));
        CHECK(stop.pause(n == 2));
        CHECK(becomes(other, n == 2));
    }
    stop.ask();
    runner.join();
    CHECK_EQ(outcome.kind(), Outcome::Kind::cancelled);
    CHECK_FALSE(stop.pause(true));
}

TEST_CASE("who ignores SIGTERM is killed after the grace; who uses it to clean up is heard") {
    for (const bool deaf : {true, false}) {
        CAPTURE(deaf);
        Scratch scratch;
        ChildStop stop;
        Outcome outcome = Outcome::success();
        std::thread running([&] {
            const std::string trap = deaf ? "trap '' TERM" : "trap 'echo cleaned; exit 3' TERM";
            const std::string payload =
                shell(trap + "; exec 3>" + scratch.fifo + "; echo started >&3; while :; do sleep 1000 & wait; done");
            outcome = run_stoppable(payload, stop, {.stop_grace = std::chrono::milliseconds(20)});
        });
        Held held(scratch.fifo);
        CHECK_EQ(held.line(), "started");
        stop.ask();
        stop.ask();
        running.join();
        CHECK(held.all_gone());
        const Json json = Json::parse(outcome.result());
        CHECK_EQ(json["signal"], deaf ? SIGKILL : 0);
        CHECK_EQ(json["stdout"], deaf ? "" : "cleaned\n");
    }
}

TEST_CASE("a stop that comes before the start, and a kill") {
    for (const bool kill : {true, false}) {
        ChildStop stop;
        if (kill)
            stop.kill();
        else
            stop.ask();
        const std::string payload = request({"/bin/sleep", "1000"});
        const Outcome outcome = run_stoppable(payload, stop);
        CHECK_EQ(Json::parse(outcome.result())["signal"], kill ? SIGKILL : SIGTERM);
    }
}

TEST_CASE("what a program leaves in the background ends with it") {
    Scratch scratch;
    Outcome outcome = Outcome::success();
    std::thread running(
        [&] { outcome = run(shell("exec 3>" + scratch.fifo + "; echo started >&3; sleep 1000 & exit 0")); });
    Held held(scratch.fifo);
    CHECK_EQ(held.line(), "started");
    running.join();
    CHECK(held.all_gone());
    CHECK_EQ(outcome.kind(), Outcome::Kind::succeeded);
}

TEST_CASE("no descriptor and no blocked signal reaches the child") {
    const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as some library might
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    signal(SIGUSR2, SIG_IGN);
    const Outcome outcome =
        run(shell("ls /proc/self/fd | wc -w; grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -s '\\t\\n' ' '"));
    // Signals 32 and 33 are the C library's own: it neither shows nor changes how they are set.
    std::string seen = Json::parse(outcome.result())["stdout"];
    const size_t ignored = seen.find("SigIgn: ") + 8;
    const uint64_t mask = std::stoull(seen.substr(ignored, 16), nullptr, 16);
    CHECK_EQ(seen.substr(0, ignored), "4\nSigBlk: 0000000000000000 SigIgn: ");
    CHECK_EQ(mask & ~(uint64_t{3} << 31), 0);
    pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
    signal(SIGUSR2, SIG_DFL);
    close(leaked);
}

TEST_CASE("field E: a worker killed with SIGKILL takes all that came of its programs along, and its files") {
    for (const bool with_groups : {true, false}) {
        for (const char* way : {"sh", "setsid sh", "timeout 1000 sh"}) {
            CAPTURE(with_groups);
            CAPTURE(way);
            Scratch scratch;
            const pid_t worker = fork();
            if (worker == 0) {
                Household household({}, with_groups);
                ChildStop stop;
                const std::string payload =
                    shell("exec 3>" + scratch.fifo + "; " + way + " -c 'sleep 1000 & echo $TMPDIR >&3; wait' & wait");
                run_stoppable(payload, stop, {}, &household);
                _exit(0);
            }
            Held held(scratch.fifo);
            const std::filesystem::path files = std::filesystem::path(held.line()).parent_path();
            CHECK(std::filesystem::exists(files));
            kill(worker, SIGKILL);
            CHECK_EQ(waitpid(worker, nullptr, 0), worker);
            CHECK(held.all_gone());
            for (int look = 0; look < 5000 && std::filesystem::exists(files); ++look)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            CHECK_FALSE(std::filesystem::exists(files));
        }
    }
}

TEST_CASE("field N: what leaves its process group ends with its attempt") {
    for (const bool with_groups : {true, false}) {
        for (const char* escape :
             {"timeout 1000 sleep 1000", "setsid sleep 1000", "setsid sh -c 'setsid sleep 1000 & sleep 1000'",
              "env -i setsid sleep 1000", "sh -c 'sleep 1000 & exec sleep 1000'"}) {
            for (const bool stopped : {true, false}) {
                CAPTURE(with_groups);
                CAPTURE(escape);
                CAPTURE(stopped);
                Household household({}, with_groups);
                Scratch scratch;
                ChildStop stop;
                Outcome outcome = Outcome::success();
                std::thread running([&] {
                    const std::string script = "exec 3>" + scratch.fifo + "; " + escape + " & echo started >&3; " +
                                               (stopped ? "sleep 1000" : "sleep 0.1");
                    outcome = run_stoppable(shell(script), stop, {}, &household);
                });
                Held held(scratch.fifo);
                CHECK_EQ(held.line(), "started");
                if (stopped) stop.ask();
                running.join();
                CHECK(held.all_gone());
                CHECK_EQ(outcome.kind(), stopped ? Outcome::Kind::cancelled : Outcome::Kind::succeeded);
            }
        }
    }
    CHECK_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // and nothing is left to be reaped
}

TEST_CASE("field N: an attempt that ends takes nothing of another along") {
    for (const bool with_groups : {true, false}) {
        CAPTURE(with_groups);
        Household household({}, with_groups);
        Scratch scratch;
        ChildStop stop;
        Outcome outcome = Outcome::success();
        const auto run_marked = [&](const std::string& mark, const std::string& script, ChildStop& its_stop) {
            ChildOutput output(1024);
            const std::string payload = shell(script);
            return run_exec({.payload = payload,
                             .handler = "exec",
                             .variables = {"NEXUS_ATTEMPT_ID=" + mark},
                             .mark = "NEXUS_ATTEMPT_ID=" + mark},
                            kAnything, {}, output, its_stop, &household);
        };
        std::thread running([&] {
            outcome = run_marked(
                "one", "setsid sh -c 'exec 3>" + scratch.fifo + "; echo started >&3; exec sleep 1000' & sleep 1000",
                stop);
        });
        Held held(scratch.fifo);
        CHECK_EQ(held.line(), "started");
        for (int n = 0; n < 5; ++n) {
            ChildStop other;
            CHECK_EQ(run_marked("two", "setsid sleep 1000 & exit 0", other).kind(), Outcome::Kind::succeeded);
        }
        pollfd hung_up{held.fd, POLLIN, 0};
        CHECK_EQ(poll(&hung_up, 1, 0), 0);  // its session lives
        stop.ask();
        running.join();
        CHECK(held.all_gone());
    }
}

TEST_CASE("a program has a directory for its temporary files, which goes with it") {
    Household household;
    ChildStop stop;
    const Outcome outcome =
        run_stoppable(shell("echo x > $TMPDIR/file; mkdir $TMPDIR/dir; echo $TMPDIR"), stop, {}, &household);
    std::string path = Json::parse(outcome.result())["stdout"];
    path.pop_back();
    CHECK_NE(path.find("/nexus-worker-"), std::string::npos);
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK(std::filesystem::exists(std::filesystem::path(path).parent_path()));
}

TEST_CASE("limits hold: open files, and memory though no control group does it") {
    Household household({}, false);
    ChildStop stop, other;
    ChildOutput output(1024);
    const std::string files = shell("ulimit -n");
    CHECK_EQ(Json::parse(run_exec({.payload = files, .handler = "exec"}, kAnything, {.descriptors_max = 20}, output,
                                  stop, &household)
                             .result())["stdout"],
             "20\n");
    const std::string greedy = shell("x=$(head -c 90000000 /dev/zero | tr '\\0' x); sleep 1000");
    const Outcome outcome = run_exec({.payload = greedy, .handler = "exec", .memory_bytes = 30'000'000}, kAnything, {},
                                     output, other, &household);
    CHECK_EQ(outcome.kind(), Outcome::Kind::out_of_memory);
    CHECK_GT(outcome.peak_memory_bytes(), 30'000'000);
    CHECK_EQ(outcome.error(), "/bin/sh was killed: it used more than the 30MB of memory that it asked for");
}

TEST_CASE("what a running program writes can be read meanwhile, from any place on") {
    process::Output output(8);
    output.add("abc");
    CHECK_EQ(output.part(0, 100).bytes, "abc");
    CHECK_EQ(output.part(1, 1).bytes, "b");
    CHECK_EQ(output.part(3, 100).bytes, "");
    CHECK_EQ(output.part(7, 100).offset, 3);  // more than there is
    output.add("defgh");
    CHECK_EQ(output.part(2, 100).bytes, "cdefgh");
    CHECK_EQ(output.part(2, 3).bytes, "cde");
    output.add("ijklmnop");
    const process::Part after_gap = output.part(5, 100);
    CHECK_EQ(after_gap.bytes, "mnop");
    CHECK_EQ(after_gap.offset, 12);
    CHECK_EQ(after_gap.written, 16);
    CHECK_EQ(output.part(1, 100).bytes, "bcd");  // up to the gap
    CHECK_EQ(output.kept().left_out, 8);
}

TEST_CASE("no zombie is left behind") {
    for (int i = 0; i < 20; ++i) run(shell("true & exit 0"));
    CHECK_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
}
