#include "evaluate/foreign_trace.h"

#include <doctest/doctest.h>

using namespace nexus;
using evaluate::parse_joblog;
using evaluate::parse_sacct;

TEST_CASE("field F: a dump of sacct is read as it is: jobs, not steps, and those that completed") {
    const auto rows = parse_sacct(
        "JobID|JobName|User|Submit|ElapsedRaw|State|NodeList|ReqCPUS|ReqMem|Timelimit\n"
        "12|train|ann|2026-03-01T12:00:10|3600|COMPLETED|n1|4|16G|1-00:00:00\n"
        "12.batch|batch|ann|2026-03-01T12:00:10|3599|COMPLETED|n1|4||\n"
        "13|train|bob|2026-03-01T12:00:00|0|COMPLETED|n2|1|4000Mn|UNLIMITED\n"
        "14|train|bob|2026-03-01T12:01:00|20|CANCELLED by 100|n2|1|4000Mn|01:00:00\n",
        "dump");
    REQUIRE_MESSAGE(rows.has_value(), (rows ? "" : rows.error().what));
    REQUIRE_EQ(rows->size(), 2);
    CHECK_EQ(rows->at(0).group, "bob");
    CHECK_EQ(rows->at(0).submit.us, 0);
    CHECK_EQ(rows->at(0).run.us, 1);
    CHECK_EQ(rows->at(0).memory, 4000LL << 20);
    CHECK_EQ(rows->at(0).user_estimate.us, 0);
    CHECK_EQ(rows->at(1).submit.us, seconds(10).us);
    CHECK_EQ(rows->at(1).run.us, hours(1).us);
    CHECK_EQ(rows->at(1).type, "train");
    CHECK_EQ(rows->at(1).worker, "n1");
    CHECK_EQ(rows->at(1).cpu_milli, 4000);
    CHECK_EQ(rows->at(1).memory, 16LL << 30);
    CHECK_EQ(rows->at(1).user_estimate.us, hours(24).us);
    const auto elapsed = parse_sacct("Start|Elapsed\n2026-03-01T12:00:00|1-01:02:03\n", "dump");
    REQUIRE(elapsed.has_value());
    CHECK_EQ(elapsed->at(0).run.us, (hours(25) + minutes(2) + seconds(3)).us);
}

TEST_CASE("field F: a joblog of GNU parallel is read as it is") {
    const auto rows = parse_joblog(
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
        "2\tn7\t1772366401.500\t     2.250\t0\t0\t0\t0\t/usr/bin/convert a b\r\n"
        "1\t:\t1772366400.000\t     0.002\t0\t0\t0\t0\tgzip c\n"
        "3\t:\t1772366402.000\t     9.000\t0\t0\t1\t0\tgzip d\n"
        "4\t:\t1772366402.000\t     9.000\t0\t0\t0\t9\tgzip d\n",
        "log");
    REQUIRE_MESSAGE(rows.has_value(), (rows ? "" : rows.error().what));
    REQUIRE_EQ(rows->size(), 2);
    CHECK_EQ(rows->at(0).type, "gzip");
    CHECK(rows->at(0).worker.empty());
    CHECK_EQ(rows->at(0).run.us, 2'000);
    CHECK_EQ(rows->at(1).type, "convert");
    CHECK_EQ(rows->at(1).worker, "n7");
    CHECK_EQ(rows->at(1).submit.us, 1'500'000);
    CHECK_EQ(rows->at(1).run.us, 2'250'000);
}

TEST_CASE("field F: what is no dump is refused with its line and column") {
    const struct {
        Result<std::vector<evaluate::TraceRow>> (*parse)(std::string_view, std::string_view);
        const char* text;
        const char* says;
    } rows[] = {
        {parse_sacct, "", "F: line 1: no column Submit"},
        {parse_sacct, "JobID|Submit\n", "no column ElapsedRaw"},
        {parse_sacct, "Submit|ElapsedRaw\n2026-02-30T00:00:00|5\n", "F: line 2: column Submit"},
        {parse_sacct, "Submit|ElapsedRaw\n2026-02-20T00:00:00|x\n", "column ElapsedRaw: 'x'"},
        {parse_sacct, "Submit|ElapsedRaw\nUnknown|5\n", "column Submit: 'Unknown'"},
        {parse_sacct, "Submit|ElapsedRaw\n", "no finished job"},
        {parse_joblog, "submit_time_s,duration_s,type\n", "no column Starttime"},
        {parse_joblog, "Starttime\tJobRuntime\tCommand\n1\t\tx\n", "column JobRuntime"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto parsed = row.parse(row.text, "F");
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().fault == Fault::invalid);
        CHECK_MESSAGE(parsed.error().what.find(row.says) != std::string::npos, parsed.error().what);
    }
}
