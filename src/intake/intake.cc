#include "intake/intake.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

namespace nexus::intake {
namespace {

using engine::LogLevel;
using redis::Commands, redis::Reply;

constexpr Duration kWait = milliseconds(500);  // for new entries; as long as a stop may have to wait, too
constexpr Duration kPauseShort = milliseconds(100), kPauseLong = seconds(2);
constexpr std::size_t kOriginalBytesMax = 64 << 10;  // of a field in the dead-letter stream

Caller who() {
    return {.name = kPendingStream,
            .tenant = {},
            .roles = with_implied(static_cast<Roles>(Role::submitter)),
            .credential = {},
            .from = "redis"};
}

// What the engine says of a task that it will never take.
bool is_final(Fault fault) {
    return fault == Fault::invalid || fault == Fault::not_found || fault == Fault::conflict ||
           fault == Fault::failed_state || fault == Fault::denied;
}

}  // namespace

Intake::Intake(Options options, redis::Pool& pool, engine::Service& engine, store::JournalStore& journal)
    : options_(std::move(options)),
      pool_(pool),
      engine_(engine),
      journal_(journal),
      group_(pool, {.stream = kPendingStream,
                    .consumer = "nexus-0",
                    .place_key = options_.keys + "places",
                    .place_field = kPendingStream,
                    .claim_after = options_.claim_after}) {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "nexus-intake");
}

Intake::~Intake() {
    {
        const std::lock_guard lock(stop_mutex_);
        stopping_ = true;
    }
    stopped_.notify_all();
    thread_.join();
}

IntakeCounts Intake::counts() const {
    const std::lock_guard lock(counts_mutex_);
    return counts_;
}

void Intake::pause(Duration time) {
    std::unique_lock lock(stop_mutex_);
    stopped_.wait_for(lock, std::chrono::microseconds(time.us), [this] { return stopping_; });
}

// Says each trouble once.
void Intake::trouble(const Error& error) {
    bool fresh = false;
    count([&](IntakeCounts& counts) {
        fresh = counts.trouble != error.what;
        counts.trouble = error.what;
    });
    if (fresh)
        options_.log(LogLevel::warning, "intake", "tasks wait in " + std::string(kPendingStream) + ": " + error.what);
}

void Intake::run() {
    for (;;) {
        {
            const std::lock_guard lock(stop_mutex_);
            if (stopping_) return;
        }
        const auto done = turn();
        if (done) {
            bool was_bad = false;
            count([&](IntakeCounts& counts) {
                was_bad = !std::exchange(counts.trouble, {}).empty();
                counts.claimed = group_.claimed;
                counts.deleted = group_.deleted;
                counts.foreign = group_.foreign;
            });
            if (was_bad) options_.log(LogLevel::info, "intake", "entries are read again");
            continue;
        }
        group_.start_over();
        trouble(done.error());
        pause(is_final(done.error().fault) ? kPauseLong : kPauseShort);
    }
}

Result<void> Intake::turn() {
    if (!engine_.sure()) return fail(Fault::unavailable, "the server is cut off from its store");
    if (!swept_)
        if (auto ok = sweep(); !ok) return ok;
    auto entries = group_.next(kWait);
    if (!entries) return std::unexpected(std::move(entries).error());
    if (entries->empty()) return {};
    return take(std::move(*entries));
}

// Marks of before whose entries are acknowledged: they are dropped, like all, a minute after that.
Result<void> Intake::sweep() {
    if (!options_.marks) {
        swept_ = true;
        return {};
    }
    const auto marks = options_.marks();
    if (!marks) return std::unexpected(marks.error());
    const std::vector<store::Body> entries = journal_.bodies(store::BodyKind::taken, *marks);
    Commands commands;
    std::vector<TaskId> asked;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (entries[i].state == store::Body::State::unreachable) return fail(Fault::unreachable, entries[i].why);
        if (entries[i].state != store::Body::State::found) continue;
        asked.push_back((*marks)[i]);
        commands.add({"XPENDING", kPendingStream, "scheduler-group", entries[i].bytes, entries[i].bytes, "1"});
    }
    if (!asked.empty()) {
        const auto replies = pool_.run(commands);
        if (!replies) return std::unexpected(replies.error());
        const auto due = Clock::now() + std::chrono::microseconds(options_.mark_kept.us);
        for (std::size_t i = 0; i < asked.size(); ++i)  // no such group: nothing is pending
            if ((*replies)[i].is_error() || (*replies)[i].items.empty()) marked_.push_back({asked[i], due});
    }
    swept_ = true;
    return {};
}

std::vector<TaskId> Intake::marks_due() {
    std::vector<TaskId> due;
    while (!marked_.empty() && marked_.front().due <= Clock::now()) {
        due.push_back(marked_.front().task);
        marked_.pop_front();
    }
    return due;
}

Result<std::vector<engine::Submitted>> Intake::submit(std::vector<engine::Submission> items) {
    using Answer = Result<std::vector<engine::Submitted>>;
    std::vector<TaskId> due = marks_due();
    const auto promise = std::make_shared<std::promise<Answer>>();
    std::future<Answer> answer = promise->get_future();
    engine_.ask(who(), engine::SubmitTasks{.items = std::move(items), .untaken = due},
                [promise](Answer done) { promise->set_value(std::move(done)); });
    Answer done = answer.get();  // it comes, at the latest as "unknown" after 2 s
    if (!done)                   // whether the marks were dropped is not known; dropping them again is harmless
        for (const TaskId task : due) marked_.push_front({task, Clock::now()});
    return done;
}

// One by one, so that each hears for itself what is wrong with it. False: the rest has to wait.
Result<bool> Intake::submit_each(std::vector<std::pair<Entry, engine::Submission>>& items) {
    for (auto& [entry, item] : items) {
        std::vector<engine::Submission> one;
        one.push_back(std::move(item));
        const auto answer = submit(std::move(one));
        if (answer) {
            if (auto ok = group_.acknowledge({entry.id}); !ok) return std::unexpected(std::move(ok).error());
            marked_.push_back({answer->front().task, Clock::now() + std::chrono::microseconds(options_.mark_kept.us)});
            count([](IntakeCounts& counts) { ++counts.submitted; });
        } else if (is_final(answer.error().fault)) {
            if (auto ok = bury(entry, answer.error().what); !ok) return std::unexpected(std::move(ok).error());
        } else {
            return std::unexpected(answer.error());
        }
    }
    return true;
}

Result<void> Intake::take(std::vector<Entry> entries) {
    std::vector<std::pair<Entry, engine::Submission>> items;
    std::vector<TaskId> tasks;
    for (Entry& entry : entries) {
        auto read = to_submission(entry);
        if (!read) {
            if (auto ok = bury(entry, read.error().what); !ok) return ok;
            continue;
        }
        for (const std::string& warning : read->warnings)
            options_.log(LogLevel::warning, "intake_entry", "entry " + entry.id + ": " + warning);
        count([&](IntakeCounts& counts) {
            ++counts.read;
            counts.warnings += read->warnings.size();
        });
        tasks.push_back(read->submission.task);
        items.emplace_back(std::move(entry), std::move(read->submission));
    }
    // Those that have become tasks already are only acknowledged.
    const std::vector<store::Body> marks = journal_.bodies(store::BodyKind::taken, tasks);
    std::vector<std::string> done;
    std::vector<engine::Submission> fresh;
    std::vector<std::pair<Entry, engine::Submission>> open;
    const auto due = Clock::now() + std::chrono::microseconds(options_.mark_kept.us);
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (marks[i].state == store::Body::State::unreachable) return fail(Fault::unreachable, marks[i].why);
        if (marks[i].state == store::Body::State::missing) {
            open.push_back(std::move(items[i]));
            continue;
        }
        done.push_back(items[i].first.id);
        marked_.push_back({tasks[i], due});
        count([](IntakeCounts& counts) { ++counts.duplicates; });
    }
    if (auto ok = group_.acknowledge(done); !ok) return ok;
    if (open.empty()) return {};
    std::vector<std::string> ids;
    for (const auto& [entry, item] : open) {
        fresh.push_back(item);
        ids.push_back(entry.id);
    }
    const auto answer = submit(std::move(fresh));
    if (!answer && is_final(answer.error().fault)) {
        const auto each = submit_each(open);
        return each ? Result<void>() : std::unexpected(each.error());
    }
    if (!answer) return std::unexpected(answer.error());
    if (auto ok = group_.acknowledge(ids); !ok) return ok;
    const auto kept = Clock::now() + std::chrono::microseconds(options_.mark_kept.us);
    for (const engine::Submitted& submitted : *answer) marked_.push_back({submitted.task, kept});
    count([&](IntakeCounts& counts) { counts.submitted += answer->size(); });
    return {};
}

// After a crash it may stand there twice, with the same `id`.
Result<void> Intake::bury(const Entry& entry, const std::string& reason) {
    Commands commands;
    commands.begin(7 + 2 * entry.fields.size());
    commands.word("XADD").word(kDeadStream).word("*").word("id").word(entry.id).word("reason").word(reason);
    for (const auto& [name, value] : entry.fields)
        commands.word("original:" + name.substr(0, kOriginalBytesMax)).word(value.substr(0, kOriginalBytesMax));
    const auto replies = pool_.run(commands);
    if (!replies) return std::unexpected(replies.error());
    if (replies->front().is_error()) return std::unexpected(redis::error_of(replies->front()));
    if (auto ok = group_.acknowledge({entry.id}); !ok) return ok;
    const std::string said = "entry " + entry.id + ": " + reason;
    options_.log(LogLevel::warning, "intake_dead", said + "; it stands in " + kDeadStream);
    count([&](IntakeCounts& counts) {
        ++counts.read;
        ++counts.dead;
        counts.last_dead = said;
    });
    return {};
}

}  // namespace nexus::intake
