#include "cli/message_text.h"

#include <doctest/doctest.h>

#include "nexus/v1/nexus.pb.h"

using namespace nexus;

TEST_CASE("field N: whatever field of an answer a text stands in, it is safe for a terminal") {
    const std::string evil = "a\x1b]0;x\x07\u202e\nb";
    const std::string safe = "a?]0;x???b";
    v1::ListTasksResponse list;
    v1::Task& task = *list.add_tasks();
    task.set_error(evil);
    (*task.mutable_metadata())[evil] = evil;
    task.add_attempts()->set_worker(evil);
    task.set_result(evil);
    cli::make_safe(list);
    CHECK_EQ(task.error(), safe);
    CHECK_EQ(task.metadata().at(safe), safe);
    CHECK_EQ(task.attempts(0).worker(), safe);
    CHECK_EQ(task.result(), evil);  // bytes are the task's own
    v1::SchedulerConfig config;
    config.set_toml("[[queues]]\nname = \"\u202e\x1b\"\n");
    cli::make_safe(config);
    CHECK_EQ(config.toml(), "[[queues]]\nname = \"??\"\n");
    v1::Worker worker;
    worker.add_types(evil);
    cli::make_safe(worker);
    CHECK_EQ(worker.types(0), safe);
}
