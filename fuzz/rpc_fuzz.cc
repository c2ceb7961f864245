// F3: the messages of the calls, from bytes to what the engine takes. Whatever the bytes: no crash, a typed refusal
// that names a field, or values within the limits of the contract; and a task's body survives its encoding.
#include <cmath>
#include <cstdlib>
#include <string>

#include "api/submit.h"
#include "api/worker.h"
#include "base/name.h"
#include "engine/body.h"

using namespace nexus;

namespace {

constexpr WallTime kNow{1'800'000'000'000'000};

void insist(bool condition) {
    if (!condition) std::abort();
}

void insist_refusal(const Error& error) {
    insist(error.fault == Fault::invalid || error.fault == Fault::exhausted || error.fault == Fault::unsupported);
    insist(!error.what.empty() && error.what.size() < 2000);
}

void check(engine::Submission& submission) {
    if (auto ok = engine::check_submission(submission, kNow); !ok) return insist_refusal(ok.error());
    insist(is_name(submission.spec.type));
    insist(submission.spec.priority <= core::kPriorityMax);
    insist(submission.body.payload.size() <= api::kPayloadBytesMax);
    engine::seal(submission);
    const std::string bytes = engine::encode_body(submission.body);
    const auto back = engine::decode_body(bytes);
    insist(back.has_value() && engine::encode_body(*back) == bytes);
}

template <class Message>
bool parsed(Message& message, std::string_view bytes) {
    return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void try_tasks(std::string_view bytes) {
    v1::SubmitRequest one;
    if (parsed(one, bytes)) {
        auto submission = api::to_submission(*one.mutable_task(), "task");
        if (submission) {
            check(*submission);
        } else {
            insist_refusal(submission.error());
        }
    }
    v1::SubmitBatchRequest batch;
    if (parsed(batch, bytes)) {
        auto submissions = api::to_submissions(batch);
        if (!submissions) return insist_refusal(submissions.error());
        insist(submissions->size() <= api::kTasksMax);
        for (engine::Submission& submission : *submissions) check(submission);
    }
}

void try_questions(std::string_view bytes) {
    v1::ListTasksRequest list;
    if (parsed(list, bytes)) {
        if (auto filter = api::to_filter(list); !filter) insist_refusal(filter.error());
        const auto size = api::to_page_size(list.page_size());
        insist(!size || (*size >= 1 && *size <= 1000));
    }
    v1::GetTaskRequest get;
    if (parsed(get, bytes))
        if (auto id = api::to_task_id(get.id(), "id"); id) insist(to_text(*id).size() == 36);
    if (const auto body = engine::decode_body(bytes))
        insist(engine::decode_body(engine::encode_body(*body)).has_value());
}

void try_worker(std::string_view bytes) {
    v1::WorkerMessage message;
    if (!parsed(message, bytes)) return;
    if (message.has_hello()) {
        auto hello = api::to_hello(*message.mutable_hello());
        if (!hello) return insist_refusal(hello.error());
        if (auto ok = engine::check_hello(*hello); !ok) return insist_refusal(ok.error());
        insist(is_name(hello->joined.name));
        insist(hello->joined.slots >= 1 && hello->joined.slots <= 4096);
        return;
    }
    auto report = api::to_report(message);
    if (!report) return insist_refusal(report.error());
    for (const auto& progress : report->progress) insist(std::isfinite(progress.fraction));
    if (report->load) insist(std::isfinite(report->load->cpu_usage) && std::isfinite(report->load->memory_usage));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    try_tasks(bytes);
    try_questions(bytes);
    try_worker(bytes);
    return 0;
}
