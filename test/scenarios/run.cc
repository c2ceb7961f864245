// Plays the stories of a folder against the scheduler: each line `TIME VERB words... key=value...` is an event, the
// lines after it that begin with `>` are the commands it must cause, `?` lines are questions with their answers. With
// UPDATE=1 in the environment the answers are rewritten instead of compared. The words are listed in README.md beside
// this file.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "core/scheduler.h"

using namespace nexus;
using namespace nexus::core;

namespace {

std::int64_t span_us(const std::string& text) {
    std::size_t end = 0;
    const double value = std::stod(text, &end);
    const std::string unit = text.substr(end);
    const double factor = unit == "us"   ? 1
                          : unit == "ms" ? 1e3
                          : unit == "s"  ? 1e6
                          : unit == "m"  ? 60e6
                          : unit == "h"  ? 3600e6
                          : unit == "d"  ? 86400e6
                                         : 0;
    if (factor == 0) throw std::invalid_argument("no such unit: " + text);
    return static_cast<std::int64_t>(value * factor);
}

std::string span_text(std::int64_t us) {
    if (us == INT64_MAX) return "never";
    const bool whole = us % 1'000'000 == 0;
    const bool millis = us % 1000 == 0;
    return whole    ? std::to_string(us / 1'000'000) + "s"
           : millis ? std::to_string(us / 1000) + "ms"
                    : std::to_string(us) + "us";
}

// One story: its scheduler and the names its lines use.
class Story {
public:
    std::vector<std::string> tell(const std::string& line) {
        std::istringstream words(line);
        std::string when, verb, word;
        words >> when >> verb;
        args_.clear();
        options_.clear();
        while (words >> word) {
            const std::size_t equals = word.find('=');
            if (equals == std::string::npos)
                args_.push_back(word);
            else
                options_[word.substr(0, equals)] = word.substr(equals + 1);
        }
        std::vector<Command> out;
        const Instant at{span_us(when)};
        if (verb == "repeat") throw std::invalid_argument("unknown verb: repeat");
        scheduler_.apply({at, fact(verb)}, out);
        scheduler_.check_invariants();
        std::vector<std::string> answers;
        for (const Command& command : out) {
            const std::string text = std::visit([this](const auto& c) { return say(c); }, command);
            if (!text.empty()) answers.push_back("> " + text);
        }
        return answers;
    }

    std::string ask(const std::string& question) {
        std::istringstream words(question);
        std::string mark, verb, name;
        words >> mark >> verb >> name;
        if (verb == "why") {
            const WaitingWhy why = scheduler_.why_waiting(task(name));
            std::string told = "? why " + name + ": " + name_of(why.reason);
            if (why.cause != WaitCause::none) told += std::string(", ") + name_of(why.cause);
            if (!why.name.empty()) told += " " + why.name;
            if (why.count != 0) told += " " + std::to_string(why.count);
            for (const Unmet& one : why.unmet) told += "; " + say(one);
            return told;
        }
        if (verb == "eta") {
            const auto eta = scheduler_.eta(task(name));
            const auto at = [](Instant when) { return span_text(when.us); };
            return "? eta " + name + ": " +
                   (eta ? "starts " + at(eta->start_p50) + ", done " + at(eta->finish_p50) + " to " +
                              at(eta->finish_p90)
                        : "none");
        }
        if (verb == "ahead") {
            const ExplainView view = scheduler_.explain(task(name));
            return "? ahead " + name + ": " + std::to_string(view.tasks_ahead) + ", " + span_text(view.work_ahead.us);
        }
        if (verb == "backlog") {
            const Backlog left = scheduler_.backlog();
            return "? backlog " + name + ": " + span_text(left.left.us) + ", no worker " +
                   std::to_string(left.no_worker) + ", paused " + std::to_string(left.paused) + ", held " +
                   std::to_string(left.held);
        }
        if (verb == "known") {
            const WorkerNo worker = scheduler_.find_worker(name);
            return "? known " + name + ": " +
                   (worker ? "yes, speed " + std::to_string(scheduler_.worker(worker).speed_ppm / 10'000) + " %"
                           : "no");
        }
        if (verb == "used")
            return "? used " + name + ": " +
                   std::to_string(scheduler_.worker(scheduler_.find_worker(name)).utilization_ppm / 10'000) + " %";
        if (verb == "breaker") {
            const WorkerView view = scheduler_.worker(scheduler_.find_worker(name));
            static constexpr const char* states[] = {"closed", "open", "probing"};
            return "? breaker " + name + ": " + states[view.breaker] +
                   (view.breaker_reason.empty() ? "" : ", " + view.breaker_reason);
        }
        if (verb == "admit") {
            TaskSpec spec{.tenant = name};
            for (std::string word; words >> word;) {
                if (word.starts_with("key=")) spec.idempotency_lo = std::stoull(word.substr(4));
                if (word.starts_with("body=")) spec.body_hash = std::stoull(word.substr(5));
            }
            static constexpr const char* answers[] = {"accepted",   "duplicate",   "key_conflict",
                                                      "tasks_full", "tenant_full", "unknown_after"};
            const std::string asked = question.substr(0, question.find(':'));
            return asked + ": " + answers[static_cast<std::size_t>(scheduler_.admit(spec).admission)];
        }
        throw std::invalid_argument("unknown question: " + question);
    }

private:
    std::string option(const std::string& key, const std::string& otherwise = "") const {
        const auto found = options_.find(key);
        return found == options_.end() ? otherwise : found->second;
    }
    std::int64_t span(const std::string& key, const char* otherwise = "0s") const {
        return span_us(option(key, otherwise));
    }
    std::uint32_t number(const std::string& key, std::uint32_t otherwise) const {
        return static_cast<std::uint32_t>(std::stoul(option(key, std::to_string(otherwise))));
    }
    bool flag(const std::string& name) const { return std::find(args_.begin(), args_.end(), name) != args_.end(); }
    const std::string& arg(std::size_t at) const { return args_.at(at); }

    TaskId task(const std::string& name) {
        const auto [at, made] = task_names_.emplace(name, task_names_.size() + 1);
        names_[TaskId{0, at->second}] = name;
        return {0, at->second};
    }
    SessionId session(const std::string& worker) { return sessions_[worker]; }
    // An attempt by its name, task.number: t1.2 is the second attempt of t1.
    std::pair<TaskId, AttemptId> attempt(const std::string& name) {
        if (!attempts_.contains(name)) throw std::invalid_argument("nobody was given attempt " + name);
        return {task(name.substr(0, name.find('.'))), attempts_[name]};
    }
    std::string attempt_name(AttemptId attempt) const {
        const auto found = attempt_names_.find(attempt);
        return found == attempt_names_.end() ? "unknown" : found->second;
    }
    Labels labels(const std::string& key) const {
        Labels labels;
        std::istringstream list(option(key));
        for (std::string item; std::getline(list, item, ',');) {
            const std::size_t colon = item.find(':');
            labels.emplace_back(item.substr(0, colon), item.substr(colon + 1));
        }
        std::sort(labels.begin(), labels.end());
        return labels;
    }
    std::vector<std::string> list(const std::string& key) const {
        std::vector<std::string> items;
        std::istringstream text(option(key));
        for (std::string item; std::getline(text, item, ',');) items.push_back(item);
        std::sort(items.begin(), items.end());
        return items;
    }

    Estimate estimate() const {
        if (option("run") == "unknown") return {};
        const std::int64_t us = span("run", "1s");
        return {.p50 = {us}, .p90 = {us * 3 / 2}, .mean = {us}, .source = EstimateSource::type_mode};
    }

    Fact fact(const std::string& verb) {
        if (verb == "start") return EngineStarted{.seed = number("seed", 1), .wall_offset = {span("wall", "0s")}};
        if (verb == "tick") return TimePassed{};
        if (verb == "wall") return WallMoved{{span_us(arg(0))}};
        if (verb == "submit") return submission();
        if (verb == "revise") return EstimateRevised{task(arg(0)), estimate()};
        if (verb == "cancel") return CancelRequested{.task = task(arg(0))};
        if (verb == "config") return configuration();
        if (verb == "join") return joining();
        if (verb == "capacity")
            return WorkerCapacityChanged{
                .session = session(arg(0)), .slots = number("slots", 1), .draining = flag("draining")};
        if (verb == "suspect") return WorkerSuspected{session(arg(0))};
        if (verb == "recover") return WorkerRecovered{session(arg(0))};
        if (verb == "leave") return WorkerLeft{session(arg(0)), flag("planned")};
        if (verb == "lose") return WorkerLost{session(arg(0)), {span("contact")}};
        if (verb == "cordon") return WorkerControlled{.name = arg(0), .order = WorkerOrder::cordon};
        if (verb == "uncordon") return WorkerControlled{.name = arg(0), .order = WorkerOrder::uncordon};
        if (verb == "forget") return WorkerControlled{.name = arg(0), .order = WorkerOrder::forget};
        if (verb == "close-breaker") return WorkerControlled{.name = arg(0), .order = WorkerOrder::close_breaker};
        if (verb == "drain") return WorkerControlled{.name = arg(0), .order = WorkerOrder::drain};
        if (verb == "speed")
            return WorkerSpeedLearned{scheduler_.find_worker(arg(0)), number("percent", 100) * 10'000, 10'000};
        if (verb == "affinity") return AffinityLearned{arg(0), arg(1), number("percent", 100) * 10'000};
        if (verb == "trust") return TrustLearned{number("percent", 100) * 10'000};
        if (verb == "override") return overriding();
        if (verb == "clear") return OverrideCleared{.number = std::stoull(arg(0))};
        const auto [id, attempt_id] = attempt(arg(0));
        const SessionId from = session(option("from", worker_of_[arg(0)]));
        if (verb == "paused" || verb == "running")
            return AttemptPaused{id, attempt_id, from, number("turn", 1), verb == "paused", {span("run", "-1us")}};
        if (verb == "started") return AttemptStarted{id, attempt_id, from, {span("waited")}};
        AttemptFinished finished{.task = id,
                                 .attempt = attempt_id,
                                 .session = from,
                                 .retryable = !flag("final"),
                                 .run = {span("run", "1s")},
                                 .peak_memory_bytes = number("peak", 0)};
        for (unsigned n = 1; n <= 10; ++n)
            if (verb == name_of(static_cast<AttemptOutcome>(n))) finished.outcome = static_cast<AttemptOutcome>(n);
        if (verb != name_of(finished.outcome)) throw std::invalid_argument("unknown verb: " + verb);
        return finished;
    }

    Fact submission() {
        TaskSubmitted s{.task = task(arg(0)), .estimate = estimate(), .promise = true};
        TaskSpec& spec = s.spec;
        spec.type = option("type", "work");
        spec.tenant = option("tenant", "default");
        spec.queue = option("queue", "default");
        spec.priority = static_cast<std::uint8_t>(number("priority", 5));
        spec.idempotent = flag("idempotent");
        spec.exclusive = flag("exclusive");
        spec.preemptible = flag("preemptible");
        spec.run_at = {span("run_at")};
        spec.deadline = {span("deadline")};
        spec.timeout = {span("timeout")};
        spec.ttl = {span("ttl")};
        spec.retry = {.attempts_max = number("attempts", 0), .backoff_first = {span("backoff")}};
        spec.labels_required = labels("needs");
        spec.labels_forbidden = labels("not");
        spec.labels_preferred = labels("prefers");
        spec.pinned_worker = option("on");
        spec.resources.cpu_milli = number("cpu", 0);
        spec.resources.memory_bytes = number("memory", 0);
        spec.concurrency_key = option("concurrency");
        spec.concurrency_max = number("most", 1);
        spec.ordering_key = option("ordering");
        spec.rate_key = option("rate");
        spec.rate_per_1000s = number("per_1000s", 1000);
        spec.idempotency_lo = number("key", 0);
        spec.body_hash = number("body", 0);
        for (const std::string& name : list("after")) spec.after.push_back(task(name));
        return s;
    }

    Fact configuration() {
        Config config = scheduler_.config();
        ++config.version;
        if (options_.contains("policy") && !policy_from_name(option("policy"), config.policy))
            throw std::invalid_argument("unknown policy");
        config.attempts_max = number("attempts", config.attempts_max);
        config.crashes_max = number("crashes", config.crashes_max);
        config.breaker = option("breaker", "on") == "on";
        config.speculation = option("speculation", "on") == "on";
        config.speculation_slots_permille = number("copies_permille", config.speculation_slots_permille);
        config.preemption = option("preemption", config.preemption ? "on" : "off") == "on";
        config.preemptions_max = number("preemptions", config.preemptions_max);
        config.pause = option("pause", config.pause ? "on" : "off") == "on";
        config.pause_ratio_permille = number("pause_ratio", config.pause_ratio_permille / 1000) * 1000;
        config.idempotency_keys_max = number("keys", static_cast<std::uint32_t>(config.idempotency_keys_max));
        config.worker_retention = {span("retention", "24h")};
        config.prefetch = option("prefetch", config.prefetch ? "on" : "off") == "on";
        config.tasks_max = number("tasks", static_cast<std::uint32_t>(config.tasks_max));
        if (options_.contains("queue"))
            config.queues = {{.name = option("queue"), .paused = flag("paused"), .running_max = number("running", 0)}};
        if (options_.contains("tenant"))
            config.tenants = {{.name = option("tenant"),
                               .share = number("share", 1),
                               .running_max = number("running", 0),
                               .waiting_max = number("waiting", 0)}};
        if (options_.contains("type")) config.types = {{.name = option("type"), .running_max = number("running", 0)}};
        return ConfigChanged{.config = config};
    }

    Fact joining() {
        WorkerJoined joined{.name = arg(0),
                            .session = {++last_session_},
                            .labels = labels("labels"),
                            .slots = number("slots", 1),
                            .types = list("types"),
                            .can_pause = flag("can_pause"),
                            .prefetch_max = number("prefetch", 0)};
        joined.offered = {.cpu_milli = options_.contains("cpu") ? number("cpu", 0) : -1,
                          .memory_bytes = options_.contains("memory") ? number("memory", 0) : -1,
                          .gpu_milli = -1};
        for (const char* how : {"holds", "holds_paused", "holds_waiting"})
            for (const std::string& name : list(how)) {
                const auto [id, attempt_id] = attempt(name);
                joined.held.push_back({.task = id,
                                       .attempt = attempt_id,
                                       .paused = how == std::string("holds_paused"),
                                       .waiting = how == std::string("holds_waiting")});
            }
        sessions_[arg(0)] = joined.session;
        return joined;
    }

    Fact overriding() {
        OverrideSet set{
            .number = std::stoull(arg(0)), .type = option("type"), .worker = option("worker"), .boost = {span("by")}};
        static constexpr const char* kinds[] = {"pin", "hold", "boost", "exclude"};
        for (unsigned n = 0; n < 4; ++n)
            if (arg(1) == kinds[n]) set.kind = static_cast<OverrideKind>(n + 1);
        if (options_.contains("task")) set.task = task(option("task"));
        if (options_.contains("until")) set.expires = {span("until")};
        return set;
    }

    static std::string say(const Unmet& one) {
        static constexpr const char* names[] = {"",    "type",   "pin", "label",    "forbidden",
                                                "cpu", "memory", "gpu", "resource", "excluded"};
        std::string text = std::string(names[static_cast<std::size_t>(one.what)]) + " " + one.name;
        if (!one.wanted.empty()) text += "=" + one.wanted;
        if (one.asked > 0) text += " " + std::to_string(one.asked) + " of " + std::to_string(one.most);
        text += " not on " + std::to_string(one.workers);
        for (const auto& [value, count] : one.others) text += ", " + value + " on " + std::to_string(count);
        return text;
    }
    std::string say(const AssignAttempt& c) {
        const std::string name = names_[c.task] + "." + std::to_string(c.number);
        attempts_[name] = c.attempt;
        attempt_names_[c.attempt] = name;
        worker_of_[name] = std::string(scheduler_.worker(c.worker).name);
        return "assign " + name + " to " + worker_of_[name] + " (" + name_of(c.decision.reason) + ")";
    }
    std::string say(const RevokeAttempt& c) const {
        static constexpr const char* reasons[] = {"", "cancelled", "superseded", "timed_out", "preempted", "recalled"};
        return "revoke " + attempt_name(c.attempt) + " " + reasons[static_cast<unsigned>(c.reason)];
    }
    std::string say(const PauseAttempt& c) const {
        return (c.pause ? "pause " : "resume ") + attempt_name(c.attempt) + " turn " + std::to_string(c.turn);
    }
    std::string say(const WelcomeWorker& c) const {
        std::string text = "welcome " + std::string(scheduler_.worker(c.worker).name);
        for (const AttemptId kept : c.keep) text += " keep " + attempt_name(kept);
        for (const AttemptId dropped : c.abandon) text += " abandon " + attempt_name(dropped);
        return text + (c.replaced ? " replacing an older session" : "");
    }
    std::string say(const DrainWorker& c) const {
        return "drain " + std::string(scheduler_.worker(scheduler_.worker_of(c.session)).name);
    }
    std::string say(const AnswerReport& c) const {
        return (c.accepted ? "taken " : "stale ") + attempt_name(c.attempt);
    }
    std::string say(const AttemptEnded& c) const {
        return "over " + attempt_name(c.attempt) + " " + name_of(c.outcome);
    }
    std::string say(const TaskEnded& c) {
        std::string text = "end " + names_[c.task] + " " + name_of(c.state) + " attempts=" + std::to_string(c.attempts);
        if (c.failures > 0) text += " failures=" + std::to_string(c.failures);
        if (c.crashes > 0) text += " crashes=" + std::to_string(c.crashes);
        return text + (c.cause ? " because of " + names_[c.cause] : "");
    }
    std::string say(const TaskRequeued& c) {
        const std::int64_t memory = scheduler_.task(c.task) ? scheduler_.task(c.task)->spec->resources.memory_bytes : 0;
        return "requeue " + names_[c.task] +
               (c.reason == WaitReason::retry_backoff ? " not before " + span_text(c.not_before.us) : "") +
               (memory > 0 ? " memory=" + std::to_string(memory) : "");
    }
    std::string say(const WakeAt& c) const { return "wake at " + span_text(c.at.us); }

    Scheduler scheduler_;
    std::vector<std::string> args_;
    std::map<std::string, std::string> options_;
    std::map<std::string, std::uint64_t> task_names_;
    std::map<TaskId, std::string> names_;
    std::map<std::string, SessionId> sessions_;
    std::map<std::string, AttemptId> attempts_;
    std::map<AttemptId, std::string> attempt_names_;
    std::map<std::string, std::string> worker_of_;
    std::uint64_t last_session_ = 0;
};

std::vector<std::string> lines_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

// The story as it should read: its own lines, with the answers the scheduler gives.
std::vector<std::string> retold(const std::vector<std::string>& lines) {
    Story story;
    std::vector<std::string> told;
    for (const std::string& line : lines) try {
            if (line.starts_with(">")) continue;
            if (line.empty() || line.starts_with("#")) {
                told.push_back(line);
            } else if (line.starts_with("?")) {
                told.push_back(story.ask(line.substr(0, line.find(": "))));
            } else {
                told.push_back(line);
                for (std::string& answer : story.tell(line)) told.push_back(std::move(answer));
            }
        } catch (const std::exception& error) {
            throw std::runtime_error("at \"" + line + "\": " + error.what());
        }
    return told;
}

bool play(const std::filesystem::path& path, bool update) {
    const std::vector<std::string> wanted = lines_of(path);
    std::vector<std::string> told;
    try {
        told = retold(wanted);
    } catch (const std::exception& error) {
        std::printf("%s: %s\n", path.filename().c_str(), error.what());
        return false;
    }
    if (told == wanted) return true;
    if (update) {
        std::ofstream file(path);
        for (const std::string& line : told) file << line << '\n';
        return true;
    }
    std::size_t at = 0;
    while (at < told.size() && at < wanted.size() && told[at] == wanted[at]) ++at;
    std::printf("%s:%zu:\n  wanted  %s\n  got     %s\n", path.filename().c_str(), at + 1,
                at < wanted.size() ? wanted[at].c_str() : "(end)", at < told.size() ? told[at].c_str() : "(end)");
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::printf("usage: story_test FOLDER\n");
        return 2;
    }
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
        if (entry.path().extension() == ".txt" && entry.path().filename() != "CMakeLists.txt")
            paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    const bool update = std::getenv("UPDATE") != nullptr;
    const auto failed =
        std::count_if(paths.begin(), paths.end(), [&](const auto& path) { return !play(path, update); });
    std::printf("%zu stories, %td differ\n", paths.size(), failed);
    return failed == 0 && !paths.empty() ? 0 : 1;
}
