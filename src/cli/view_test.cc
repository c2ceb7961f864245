// What people are shown: tasks, workers, the live picture. Wording is free to change; these check what must be in it.
#include <doctest/doctest.h>

#include <algorithm>

#include "cli/fleet_view.h"
#include "cli/session.h"
#include "cli/task_output.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/top.h"

using namespace nexus::cli;

namespace {

constexpr std::int64_t kNow = 1'700'000'000'000'000;

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

pb::Task waiting_task() {
    pb::Task task;
    task.set_id("0190c1d2-0000-7000-8000-000000000001");
    task.set_type("thumb\x1b[31m");
    task.set_state(pb::TASK_STATE_WAITING);
    task.set_submitted_unix_us(kNow - 3'000'000);
    task.mutable_waiting()->set_reason(pb::WAIT_REASON_NO_ELIGIBLE_WORKER);
    task.mutable_waiting()->set_culprit("label zone=b");
    task.mutable_waiting()->set_remedy("start a worker with zone=b");
    task.mutable_estimate()->set_p50_us(2'000'000);
    task.mutable_estimate()->set_p90_us(5'000'000);
    task.mutable_eta()->set_start_p50_unix_us(kNow + 12'000'000);
    return task;
}

pb::Task running_task() {
    pb::Task task = waiting_task();
    task.set_type("thumb");
    task.set_state(pb::TASK_STATE_RUNNING);
    task.clear_waiting();
    task.mutable_eta()->set_finish_p50_unix_us(kNow + 4'000'000);
    pb::Attempt& attempt = *task.add_attempts();
    attempt.set_number(1);
    attempt.set_worker("w1");
    attempt.set_started_unix_us(kNow - 1'000'000);
    attempt.set_predicted_us(2'000'000);
    return task;
}

Picture picture(int workers, int tasks) {
    Picture made;
    made.status.set_now_unix_us(kNow);
    made.status.set_policy("predictive");
    for (int i = 0; i < workers; ++i) {
        pb::Worker& worker = *made.workers.add_workers();
        worker.set_name("w" + std::to_string(i));
        worker.set_state(pb::WORKER_STATE_READY);
        worker.set_slots(4);
        worker.set_running(1);
    }
    for (int i = 0; i < tasks; ++i) *made.running.add_tasks() = running_task();
    return made;
}

}  // namespace

TEST_CASE("names of states and reasons are the proto's in lower case, both ways") {
    for (int n = pb::TASK_STATE_WAITING; n < pb::TaskState_ARRAYSIZE; ++n) {
        const auto state = static_cast<pb::TaskState>(n);
        CHECK_EQ(state_from_text(state_text(state)), state);
        CHECK_EQ(is_terminal(state), n >= pb::TASK_STATE_SUCCEEDED && n != pb::TASK_STATE_PAUSED);
    }
    CHECK_EQ(state_text(pb::TASK_STATE_DEAD), "dead");
    CHECK_EQ(reason_text(pb::WAIT_REASON_NO_ELIGIBLE_WORKER), "no_eligible_worker");
    CHECK_EQ(state_from_text("DEAD"), pb::TASK_STATE_UNSPECIFIED);
}

TEST_CASE("a waiting task says why, whose fault it is, until when and what helps") {
    const pb::Task task = waiting_task();
    const std::string where = where_text(task, kNow);
    CHECK(has(where, "no_eligible_worker"));
    CHECK(has(where, "label zone=b"));
    CHECK(has(where, "in 12 s"));
    const std::string page = task_page(task, false, kNow);
    CHECK(has(page, "start a worker with zone=b"));
    CHECK(has(page, "2.0 s (p90 5.0 s)"));
    CHECK_FALSE(has(page, "\x1b"));
}

TEST_CASE("field J: what nobody measured is no 0") {
    pb::Task task;
    task.set_state(pb::TASK_STATE_DEAD);
    task.set_submitted_unix_us(kNow - 60'000'000);
    task.set_finished_unix_us(kNow);
    CHECK(has(task_page(task, false, kNow), "ran          never"));
    pb::Attempt& lost = *task.add_attempts();
    lost.set_outcome("worker_lost");
    lost.set_assigned_unix_us(kNow - 9'000'000);
    lost.set_ended_unix_us(kNow - 1'000'000);
    CHECK(has(task_page(task, false, kNow), "worker_lost before it started"));
    lost.set_started_unix_us(kNow - 8'000'000);
    const std::string page = task_page(task, false, kNow);
    CHECK(has(page, "worker_lost 7.0 s after its start"));
    CHECK_FALSE(has(page, "after 0"));
    CHECK_FALSE(has(page, "ran"));
    const Look look{.now = kNow};
    std::vector<std::string> cells;
    for (const auto& column : task_kind().columns)
        if (!column.wide) cells.push_back(column.value(task, look));
    CHECK_EQ(cells[3], "1m00s");
    CHECK_EQ(cells[4], "-");
    CHECK_EQ(cells[5], "-");
}

TEST_CASE("field E, J: a task that was given back says by whom, while it waits and when it is dead") {
    const std::string why = "rejected by w2: not allowed: /bin/a";
    pb::Task task = waiting_task();
    pb::Attempt& attempt = *task.add_attempts();
    attempt.set_number(1);
    attempt.set_worker("w2");
    attempt.set_outcome("rejected");
    attempt.set_error(why);
    attempt.set_ended_unix_us(kNow);
    CHECK(has(where_text(task, kNow), "; " + why));
    CHECK(has(task_page(task, false, kNow), "  1. on w2: " + why + "\n"));
    task.set_state(pb::TASK_STATE_DEAD);
    task.set_error(why + "; no worker that may run it takes it");
    CHECK(has(where_text(task, kNow), why));
    CHECK(has(task_page(task, false, kNow), why + "; no worker that may run it takes it"));
}

TEST_CASE("a running task says where and when it will be done") {
    CHECK(has(where_text(running_task(), kNow), "w1"));
    CHECK(has(where_text(running_task(), kNow), "in 4.0 s"));
    pb::Task task = running_task();
    task.mutable_attempts(0)->set_progress(0.4);
    task.mutable_attempts(0)->set_progress_note("page 4");
    CHECK(has(where_text(task, kNow), "40 % page 4"));
}

TEST_CASE("results of programs are told from other results") {
    const ProgramResult program =
        program_result(R"({"exit_code": 3, "signal": 0, "stdout": "out\n", "stderr": "err", "truncated": false})");
    CHECK(program.is_program);
    CHECK_EQ(program.exit_code, 3);
    CHECK_EQ(program.out.bytes, "out\n");
    CHECK_EQ(program.err.bytes, "err");
    CHECK(program.out.text);
    const ProgramResult bytes = program_result(
        R"({"exit_code": null, "signal": 9, "stopped": true, "stdout": null, "stdout_base64": "Yf9i", "stdout_bytes": 5,
            "stdout_left_out": 2})");
    CHECK_EQ(bytes.out.bytes,
             "a\xff"
             "b");
    CHECK_FALSE(bytes.out.text);
    CHECK_EQ(bytes.out.written, 5);
    CHECK_EQ(bytes.out.left_out, 2);
    CHECK(bytes.stopped);
    for (const char* other : {"", "{}", "plain", "[1]", R"({"stdout": "x"})", R"({"exit_code": 1})"})
        CHECK_FALSE(program_result(other).is_program);
}

TEST_CASE("the parts of a long output stand where they stood in the stream") {
    const auto parts = [](const std::string& bytes, std::uint64_t written, std::uint64_t left_out) {
        std::string text;
        const ProgramStream stream{.bytes = bytes, .text = true, .written = written, .left_out = left_out};
        for (const Piece& piece : pieces_of(stream))
            text += std::to_string(piece.from) + ":" + std::string(piece.bytes) + ";";
        return text;
    };
    CHECK_EQ(parts("whole", 5, 0), "0:whole;");
    CHECK_EQ(parts("", 0, 0), "0:;");
    CHECK_EQ(parts("a\n[nexus: 6 bytes left out]\nbc\n", 11, 6), "0:a\n;8:bc\n;");
    // The end of line before the mark is not the program's.
    CHECK_EQ(parts("a\n[nexus: 6 bytes left out]\nbc\n", 10, 6), "0:a;7:bc\n;");
    CHECK_EQ(parts("[nexus: 6 bytes left out]\nbc", 8, 6), "0:;6:bc;");
    // What a program writes of this kind is its own.
    CHECK_EQ(parts("[nexus: 6 bytes left out]\n", 26, 0), "0:[nexus: 6 bytes left out]\n;");
}

TEST_CASE("the live picture fits the screen and shows both workers and tasks") {
    const Terminal small{.out_is_tty = true, .columns = 80, .rows = 24};
    const std::string page = top_picture(picture(100, 100), "host:7070", small);
    CHECK_LE(std::ranges::count(page, '\n'), 24);
    std::size_t begin = 0;
    for (std::size_t end = page.find('\n'); end != std::string::npos; begin = end + 1, end = page.find('\n', begin))
        if (begin > page.find("\n\n")) CHECK_LE(columns_of(page.substr(begin, end - begin)), 80);
    CHECK(has(page, "w0"));
    CHECK(has(page, "0190c1d2"));
    CHECK(has(page, "host:7070"));
    const std::string piped = top_picture(picture(100, 100), "host:7070", Terminal{});
    CHECK(has(piped, "w99"));
    CHECK_FALSE(has(piped, "\x1b"));
    CHECK(has(piped, "##########.........."));  // ran 1 s of the predicted 2 s
}

TEST_CASE("a task that runs beyond its p90 is told") {
    Picture late = picture(1, 1);
    late.running.mutable_tasks(0)->mutable_attempts(0)->set_started_unix_us(kNow - 6'000'000);
    CHECK(has(top_picture(late, "s:1", Terminal{}), "longer than its p90"));
    CHECK_FALSE(has(top_picture(picture(1, 1), "s:1", Terminal{}), "longer than its p90"));
}

TEST_CASE("an empty server is shown without surprises") {
    CHECK(has(top_picture(Picture{}, "s:1", Terminal{}), "0 waiting"));
    CHECK_FALSE(status_page(pb::Status{}, "s:1", kNow).empty());
    CHECK_FALSE(worker_page(pb::Worker{}, kNow).empty());
    CHECK_FALSE(type_page(pb::TypeStat{}, Terminal{}).empty());
    pb::TypeStat told;
    told.mutable_promises()->set_told(1200);
    told.mutable_promises()->set_by_p90(0.91);
    told.mutable_promises()->set_from_p10(0.9);
    told.mutable_promises()->set_within_25(0.64);
    CHECK(type_page(told, Terminal{}).find("1,200 told: 91 % by the p90, 90 % not before the p10, 64 % within 25 %") !=
          std::string::npos);
    pb::Status status;
    *status.mutable_promises_backlog() = told.promises();
    const std::string page = status_page(status, "here", 0);
    CHECK(page.find("  backlog    1,200 told: 91 % by the p90") != std::string::npos);
    CHECK(page.find("short queue") == std::string::npos);
    pb::Task task;
    task.set_state(pb::TASK_STATE_SUCCEEDED);
    task.mutable_promise()->set_finish_p50_unix_us(90'000'000);
    task.mutable_promise()->set_finish_p90_unix_us(100'000'000);
    task.set_finished_unix_us(88'000'000);
    CHECK(task_page(task, false, 200'000'000).find(", kept (12 s early)") != std::string::npos);
    task.set_finished_unix_us(103'000'000);
    CHECK(task_page(task, false, 200'000'000).find(", missed (3.0 s late)") != std::string::npos);
    CHECK_FALSE(task_page(pb::Task{}, false, kNow).empty());
    CHECK_FALSE(explanation_page(pb::Explanation{}, false, kNow).empty());
}

TEST_CASE("server addresses") {
    for (const char* fine : {"127.0.0.1:7070", "localhost:1", "[::1]:65535", "host.example:80"})
        CHECK(check_address(fine).has_value());
    for (const char* bad :
         {"", "host", "host:", ":7070", "host:0", "host:70000", "host:7070x", "host:-1", "host: 7070"}) {
        CAPTURE(bad);
        REQUIRE_FALSE(check_address(bad).has_value());
        CHECK_EQ(check_address(bad).error().exit_code, kExitUsage);
    }
}
