#include "cli/task_spec.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/name.h"
#include "base/quantity.h"
#include "base/utf8.h"
#include "cli/moment.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "nexus/client.h"

namespace nexus::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kNestingMax = 64;  // of a line; protobuf takes 100

struct Pair {
    std::string name, value;
};
Answer<Pair> split_pair(const std::string& text, std::string_view flag) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
        return failure(kExitUsage, fmt::format("{} \"{}\": expected name=value", flag, safe_text(text, 60)));
    return Pair{.name = text.substr(0, equals), .value = text.substr(equals + 1)};
}

Answer<void> put_pairs(const std::vector<std::string>& texts, std::string_view flag,
                       google::protobuf::Map<std::string, std::string>& out) {
    for (const std::string& text : texts) {
        auto pair = split_pair(text, flag);
        if (!pair) return std::unexpected(std::move(pair).error());
        if (!out.insert({pair->name, pair->value}).second)
            return failure(kExitUsage, fmt::format("{} {}: given twice", flag, safe_text(pair->name, 60)));
    }
    return {};
}

template <class Value>
Answer<void> put_numbers(const std::vector<std::string>& texts, std::string_view flag,
                         google::protobuf::Map<std::string, Value>& out) {
    for (const std::string& text : texts) {
        auto pair = split_pair(text, flag);
        if (!pair) return std::unexpected(std::move(pair).error());
        Value value{};
        if (!CLI::detail::lexical_cast(pair->value, value))
            return failure(kExitUsage, fmt::format("{} \"{}\": expected name=number", flag, safe_text(text, 60)));
        out[pair->name] = value;
    }
    return {};
}

// The program's name, with what a type may not have replaced: g++ is g__.
std::string type_of_program(const std::string& program) {
    std::string type = std::filesystem::path(program).filename().string().substr(0, kNameBytesMax);
    for (char& c : type)
        if (!is_name({&c, 1})) c = '_';
    return type.empty() ? "program" : type;
}

// A program becomes the payload. It runs where it is submitted, unless `request` says where.
Answer<void> put_program(Json request, pb::TaskSpec& spec) {
    if (!request.contains("cwd")) {
        std::error_code fault;
        const std::string folder = std::filesystem::current_path(fault).string();
        if (fault)
            return failure(kExitUsage,
                           "submit: the working directory cannot be told: it is deleted, or not to be entered",
                           "go to a directory that is there: the program runs in the one where it was submitted");
        if (!is_utf8(folder))
            return failure(
                kExitUsage,
                fmt::format("submit: the working directory \"{}\" is not UTF-8 text", safe_text(folder, 120)),
                "the request is JSON; submit from another directory");
        request["cwd"] = folder;
    }
    if (spec.type().empty()) spec.set_type(type_of_program(request["argv"][0].get<std::string>()));
    spec.set_payload(request.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!spec.metadata().contains("handler")) (*spec.mutable_metadata())["handler"] = "exec";
    return {};
}

// What a line says of a program beside the fields of its task.
Answer<Json> take_program(Json& object) {
    Json request;
    for (const char* const name : {"argv", "cwd", "env", "stdin_base64"}) {
        const auto at = object.find(name);
        if (at == object.end()) continue;
        request[name] = std::move(*at);
        object.erase(at);
    }
    if (request.is_null()) return request;
    const auto argv = request.find("argv");
    if (argv == request.end()) return failure(kExitUsage, "cwd, env and stdin_base64 belong to an argv");
    if (object.contains("payload") || object.contains("payload_text"))
        return failure(kExitUsage, "argv, payload and payload_text exclude each other");
    const auto is_word = [](const Json& word) {
        return word.is_string() && word.get_ref<const std::string&>().find('\0') == std::string::npos;
    };
    if (!argv->is_array() || argv->empty() || !std::ranges::all_of(*argv, is_word))
        return failure(kExitUsage, "argv: not a list of strings, the program first",
                       R"(e.g. {"argv": ["make", "-C", "/src"]})");
    return request;
}

Answer<Json> make_program(const SpecFlags& flags) {
    Json request;
    if (flags.argv.front().empty()) return failure(kExitUsage, "submit: the name of the program is empty");
    const auto not_text = [](std::string_view what, const std::string& bytes) {
        return failure(kExitUsage, fmt::format("submit: the {} \"{}\" is not UTF-8 text", what, safe_text(bytes, 60)),
                       "the request is JSON; rename the file, or pass the name inside a script");
    };
    for (const std::string& word : flags.argv)
        if (!is_utf8(word)) return not_text("argument", word);
    request["argv"] = flags.argv;
    for (const std::string& text : flags.environment) {
        auto pair = split_pair(text, "--env");
        if (!pair) return std::unexpected(std::move(pair).error());
        if (!is_utf8(text)) return not_text("variable", text);
        request["env"][pair->name] = pair->value;
    }
    if (!flags.directory.empty()) {
        if (!is_utf8(flags.directory)) return not_text("directory", flags.directory);
        std::error_code fault;
        request["cwd"] = std::filesystem::absolute(flags.directory, fault).string();
    }
    if (!flags.input_file.empty()) {
        auto bytes = read_whole(flags.input_file, kPayloadBytesMax);
        if (!bytes) return std::unexpected(std::move(bytes).error());
        request["stdin_base64"] = absl::Base64Escape(*bytes);
    }
    return request;
}

Answer<void> put_payload(const SpecFlags& flags, pb::TaskSpec& spec) {
    const int given =
        (flags.payload.empty() ? 0 : 1) + (flags.payload_file.empty() ? 0 : 1) + (flags.argv.empty() ? 0 : 1);
    if (given > 1) return failure(kExitUsage, "submit: --payload, --payload-file and a program exclude each other");
    spec.set_payload(flags.payload);
    if (!flags.payload_file.empty()) {
        auto bytes = read_whole(flags.payload_file, kPayloadBytesMax);
        if (!bytes) return std::unexpected(std::move(bytes).error());
        spec.set_payload(std::move(*bytes));
    }
    if (!flags.argv.empty()) {
        auto request = make_program(flags);
        if (!request) return std::unexpected(std::move(request).error());
        if (auto done = put_program(*std::move(request), spec); !done) return done;
    } else if (!flags.environment.empty() || !flags.directory.empty() || !flags.input_file.empty()) {
        return failure(kExitUsage, "submit: --env, --cwd and --stdin are for a program", "give it after --");
    }
    if (spec.payload().size() > kPayloadBytesMax)
        return failure(kExitUsage,
                       fmt::format("submit: the payload has {} bytes; at most {} are taken", spec.payload().size(),
                                   kPayloadBytesMax),
                       "store it elsewhere and submit its address");
    return {};
}

Answer<void> put_amounts(const SpecFlags& flags, pb::TaskSpec& spec) {
    if (flags.attempts_max != 0) spec.mutable_retry()->set_attempts_max(flags.attempts_max);
    if (flags.backoff_first_us != 0) spec.mutable_retry()->set_backoff_first_us(flags.backoff_first_us);
    if (flags.backoff_max_us != 0) spec.mutable_retry()->set_backoff_max_us(flags.backoff_max_us);
    if (flags.cpu_milli != 0) spec.mutable_resources()->set_cpu_milli(flags.cpu_milli);
    if (flags.cpus > 0) spec.mutable_resources()->set_cpu_milli(std::llround(flags.cpus * 1000));
    if (flags.gpu_milli != 0) spec.mutable_resources()->set_gpu_milli(flags.gpu_milli);
    if (!flags.memory.empty()) {
        const auto size = parse_size(flags.memory);
        if (!size) return failure(kExitUsage, "--memory: " + size.error().what);
        spec.mutable_resources()->set_memory_bytes(static_cast<std::int64_t>(*size));
    }
    if (!flags.custom.empty()) {
        auto done = put_numbers(flags.custom, "--resource", *spec.mutable_resources()->mutable_custom());
        if (!done) return done;
    }
    return put_numbers(flags.features, "--feature", *spec.mutable_features());
}

Answer<void> put_times(const SpecFlags& flags, std::int64_t now, pb::TaskSpec& spec) {
    if (!flags.run_at.empty()) {
        const auto at = parse_moment(flags.run_at, now);
        if (!at) return failure(kExitUsage, "--run-at: " + at.error().what, at.error().next);
        spec.set_run_at_unix_us(*at);
    }
    if (!flags.deadline.empty()) {
        const auto at = parse_moment(flags.deadline, now);
        if (!at) return failure(kExitUsage, "--deadline: " + at.error().what, at.error().next);
        spec.set_deadline_unix_us(*at);
    }
    spec.set_timeout_us(flags.timeout_us);
    spec.set_ttl_us(flags.ttl_us);
    spec.set_duration_hint_us(flags.hint_us);
    return {};
}

// One value each time it is given: what follows is the next flag, and brackets are text.
void add_list(CLI::App& verb, const char* name, std::vector<std::string>& values, const char* help) {
    verb.add_option(name, values, help)->allow_extra_args(false)->take_all();
}

// How deep brackets nest; those in strings do not count.
std::size_t depth_of(std::string_view json) {
    std::size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (c == '\\' && in_string)
            ++i;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{'))
            deepest = std::max(deepest, ++depth);
        else if (!in_string && depth > 0 && (c == ']' || c == '}'))
            --depth;
    }
    return deepest;
}

// What a line that is no object may be meant as, and how it becomes one.
std::string hint_for(std::string_view line) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    line.remove_prefix(first);
    if (line.starts_with("\x1f\x8b")) return "this is gzip: gzip -dc FILE | nexus task submit --file -";
    if (line.starts_with('[')) return "this looks like a JSON array: jq -c '.[]' FILE | nexus task submit --file -";
    if (line.starts_with('{')) return "one whole object a line is expected: jq -c . FILE | nexus task submit --file -";
    return "if each line is a command: jq -cR '{argv: [\"sh\", \"-c\", .]}' FILE | nexus task submit --file -";
}

}  // namespace

void add_spec_flags(CLI::App& verb, SpecFlags& flags) {
    verb.add_option("-t,--type", flags.type,
                    "Kind of work: run times are learned per type (default: the program's name)");
    verb.add_option("--payload", flags.payload, "Payload as text");
    verb.add_option("--payload-file", flags.payload_file, "Payload from a file; - is standard input");
    add_list(verb, "--env", flags.environment,
             "Variable NAME=value for the program; the worker's --allow-env decides; repeatable");
    verb.add_option("--cwd", flags.directory, "Directory the program runs in (default: the present one)");
    verb.add_option("--stdin", flags.input_file, "What the program reads from its standard input; - is ours");
    verb.add_option("--priority", flags.priority, "0 (lowest) to 9; default 5")->check(CLI::Range(0, 9));
    verb.add_option("--tenant", flags.tenant, "Tenant whose share it uses (default: default)");
    verb.add_option("--queue", flags.queue, "Queue it waits in (default: default)");
    verb.add_option("--key", flags.key, "Idempotency key: the same key and body is the same task (default: random)");
    verb.add_option("--worker", flags.worker, "Run only on the worker of this name");
    add_list(verb, "--require", flags.labels_required, "Label name=value that the worker must have; repeatable");
    add_list(verb, "--prefer", flags.labels_preferred, "Label name=value that the worker should have; repeatable");
    add_list(verb, "--avoid", flags.labels_forbidden, "Label name=value that the worker must not have; repeatable");
    auto* cores = verb.add_option("--cpus", flags.cpus, "Cores it needs, e.g. 2 or 0.5; it gets no more")
                      ->check(CLI::Range(0.001, 1e6));
    verb.add_option("--cpu", flags.cpu_milli, "The same in thousandths of a core")->excludes(cores);
    verb.add_option("--memory", flags.memory,
                    "Memory it needs, e.g. 512MiB; a program that uses more is killed, and tried again with more");
    verb.add_option("--gpu", flags.gpu_milli, "GPU it needs, in thousandths of a device");
    add_list(verb, "--resource", flags.custom, "Other resource it needs, name=amount; repeatable");
    add_list(verb, "--after", flags.after, "Id of a task that must succeed first; repeatable");
    verb.add_option("--run-at", flags.run_at, "Do not start before: 2026-03-01T12:00:00Z or +10m");
    verb.add_option("--deadline", flags.deadline, "Do not start after: 2026-03-01T12:00:00Z or +10m");
    add_duration(verb, "--run-timeout", flags.timeout_us, "Longest run time of one attempt");
    add_duration(verb, "--ttl", flags.ttl_us,
                 "The task expires if it has not ended so long after its submission, or after --run-at");
    add_duration(verb, "--hint", flags.hint_us, "Your own guess of its run time");
    add_list(verb, "--feature", flags.features, "A number the run time may depend on, name=number");
    verb.add_option("--attempts", flags.attempts_max, "Failed attempts before it is dead (default 3)");
    add_duration(verb, "--backoff", flags.backoff_first_us,
                 "Backoff before the second attempt; it doubles (default 1s)");
    add_duration(verb, "--backoff-max", flags.backoff_max_us, "Longest backoff (default 5m)");
    verb.add_option("--concurrency-key", flags.concurrency_key, "At most --concurrency tasks of one key run at once");
    verb.add_option("--concurrency", flags.concurrency_max, "Limit of --concurrency-key (default 1)");
    verb.add_option("--ordering-key", flags.ordering_key, "Tasks of one key run one at a time, in order of submission");
    verb.add_option("--rate-key", flags.rate_key, "At most --rate tasks of one key start per second");
    verb.add_option("--rate", flags.rate_per_s, "Limit of --rate-key");
    add_list(verb, "--metadata", flags.metadata, "name=value, passed to the worker");
    verb.add_option("--traceparent", flags.traceparent, "W3C trace context, passed to the worker");
    verb.add_flag("--idempotent", flags.idempotent, "Safe to run twice: a slow attempt may get a second copy");
    verb.add_flag("--exclusive", flags.exclusive, "Two attempts must never overlap");
    verb.add_flag("--preemptible", flags.preemptible, "May be stopped for more urgent work");
}

Answer<pb::TaskSpec> make_defaults(const SpecFlags& flags, std::int64_t now_unix_us) {
    pb::TaskSpec spec;
    spec.set_type(flags.type);
    spec.set_tenant(flags.tenant);
    spec.set_queue(flags.queue);
    if (flags.priority >= 0) spec.set_priority(static_cast<std::uint32_t>(flags.priority));
    spec.set_worker(flags.worker);
    spec.set_concurrency_key(flags.concurrency_key);
    spec.set_concurrency_max(flags.concurrency_max);
    spec.set_ordering_key(flags.ordering_key);
    spec.set_rate_key(flags.rate_key);
    spec.set_rate_per_s(flags.rate_per_s);
    spec.set_idempotent(flags.idempotent);
    spec.set_exclusive(flags.exclusive);
    spec.set_preemptible(flags.preemptible);
    spec.set_traceparent(flags.traceparent);
    for (const std::string& id : flags.after) spec.add_after(id);
    Answer<void> done = put_pairs(flags.labels_required, "--require", *spec.mutable_labels_required());
    if (done) done = put_pairs(flags.labels_preferred, "--prefer", *spec.mutable_labels_preferred());
    if (done) done = put_pairs(flags.labels_forbidden, "--avoid", *spec.mutable_labels_forbidden());
    if (done) done = put_pairs(flags.metadata, "--metadata", *spec.mutable_metadata());
    if (done) done = put_amounts(flags, spec);
    if (done) done = put_times(flags, now_unix_us, spec);
    if (!done) return std::unexpected(std::move(done).error());
    return spec;
}

Answer<pb::TaskSpec> make_spec(const SpecFlags& flags, std::int64_t now_unix_us) {
    auto spec = make_defaults(flags, now_unix_us);
    if (!spec) return spec;
    spec->set_idempotency_key(flags.key.empty() ? random_key() : flags.key);
    if (auto done = put_payload(flags, *spec); !done) return std::unexpected(std::move(done).error());
    if (spec->type().empty())
        return failure(kExitUsage, "submit: no type", "say --type NAME, or give a program after --");
    return spec;
}

Answer<pb::TaskSpec> spec_from_json(std::string_view line, const pb::TaskSpec& defaults) {
    if (depth_of(line) > kNestingMax)
        return failure(kExitUsage, fmt::format("nested deeper than {} levels", kNestingMax));
    Json object = Json::parse(line, nullptr, false);
    if (object.is_discarded() || !object.is_object()) return failure(kExitUsage, "not a JSON object", hint_for(line));
    auto program = take_program(object);
    if (!program) return std::unexpected(std::move(program).error());
    std::string payload;
    const auto text = object.find("payload_text");
    const bool has_text = text != object.end();
    if (has_text) {
        if (!text->is_string()) return failure(kExitUsage, "payload_text: not a string");
        if (object.contains("payload")) return failure(kExitUsage, "payload and payload_text exclude each other");
        payload = text->get<std::string>();
        object.erase(text);
    }
    pb::TaskSpec spec;
    const auto parsed = google::protobuf::util::JsonStringToMessage(object.dump(), &spec);
    if (!parsed.ok()) {
        std::string why(parsed.message());
        constexpr std::string_view kUnknown = ": Cannot find field.";
        if (!why.ends_with(kUnknown)) return failure(kExitUsage, safe_text(why, 200));
        why.resize(why.size() - kUnknown.size());
        return failure(kExitUsage, fmt::format("a task has no field \"{}\"", safe_text(why, 60)),
                       "the fields are those of TaskSpec (docs/cli.md), and argv, cwd, env for a program");
    }
    if (has_text) spec.set_payload(std::move(payload));
    if (!program->is_null())
        if (auto done = put_program(std::move(*program), spec); !done) return std::unexpected(std::move(done).error());
    if (spec.payload().size() > kPayloadBytesMax)
        return failure(kExitUsage, fmt::format("the payload has {} bytes; at most {} are taken", spec.payload().size(),
                                               kPayloadBytesMax));
    // What the line says goes before the flags; of what it comes after it says all or nothing.
    pb::TaskSpec whole = defaults;
    if (spec.after_size() > 0) whole.clear_after();
    whole.MergeFrom(spec);
    if (whole.type().empty()) return failure(kExitUsage, "type: missing", "give it in the line, or --type for all");
    return whole;
}

Answer<std::string> read_whole(const std::string& path, std::size_t bytes_max) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(
        nullptr, [](std::FILE* file) { return file == stdin ? 0 : std::fclose(file); });
    opened.reset(path == "-" ? stdin : std::fopen(path.c_str(), "rbe"));
    const auto refuse = [&](const std::string& why) {
        return failure(kExitUsage, fmt::format("cannot read {}: {}", safe_text(path, 120), why));
    };
    if (!opened) return refuse(std::strerror(errno));
    struct stat about{};
    if (fstat(fileno(opened.get()), &about) == 0 && S_ISDIR(about.st_mode)) return refuse("it is a directory");
    std::string bytes(bytes_max + 1, '\0');
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), opened.get()));
    if (std::ferror(opened.get()) != 0) return refuse(std::strerror(errno));
    if (bytes.size() > bytes_max) return refuse(fmt::format("it has more than {}", size_text(bytes_max)));
    return bytes;
}

}  // namespace nexus::cli
