#pragma once
// The words that people read about a task: why it waits, what would help, why a worker was chosen. Core, engine and
// history keep codes; every door shows these sentences, so that there is one wording of each. No threads, no clock.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/task.h"
#include "engine/messages.h"

namespace nexus::api {

// What a policy does, in one sentence.
const char* meaning_of(core::PolicyKind policy);

// A time as a person says it: "2.0 s", "12 ms", "3.5 min".
std::string span_words(Duration span);

struct WaitWords {
    std::string culprit;  // what it waits for: "queue mail is paused"
    std::string remedy;   // what would help: "resume the queue"
};
// `name` and `count` are what the cause is about (core/task.h). Empty for `none`.
WaitWords wait_words(core::WaitCause cause, std::string_view name, std::uint64_t count);
// The same of a task, with the demands that nobody meets: "zone=b: none of 4 workers has it (zone=a on 4)".
WaitWords wait_words(const engine::TaskInfo& task);
// Of so many connected workers.
std::string unmet_words(const core::Unmet& unmet, std::uint64_t workers);
// Of what most of those wait for that wait for this reason.
WaitWords waiting_words(const core::WaitingBy& by);
// What happened to a worker or a type, as a sentence.
std::string happened_words(const engine::Happened& event);
std::string first_upper(std::string text);
std::string size_words(std::uint64_t bytes);  // "1.4 GiB"
// What keeps a worker from a task, as a key of Explanation.workers_excluded: "cordoned or draining".
std::string_view exclusion_words(core::WaitCause cause);
// A decision's reason as a sentence, from its code ("slot_freed"); an unknown code is returned as it is.
std::string_view decision_words(std::string_view code);

bool is_decision_code(std::string_view code);

// Why the task is where it is, in one or two sentences.
std::string summary_of(const engine::Explanation& explanation);

}  // namespace nexus::api
