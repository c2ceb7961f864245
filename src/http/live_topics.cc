#include "http/live_topics.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/read_model.h"
#include "http/routes.h"
#include "http/target.h"

namespace nexus::http {
namespace {

constexpr std::size_t kTextMax = 2048;
constexpr const char* kTasksLimit = "100";

// Topics that are the answer of a path.
constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
    {"status", "/v1/status"}, {"attention", "/v1/attention"}, {"queues", "/v1/queues"},
    {"types", "/v1/types"},   {"tenants", "/v1/tenants"},     {"series", "/v1/series"}};
constexpr std::pair<std::string_view, std::string_view> kOfOne[] = {
    {"task:", "/v1/tasks/"}, {"worker:", "/v1/workers/"}, {"type:", "/v1/types/"}};

constexpr const char* kAll =
    "status, attention, queues, types, tenants, series, fleet, tasks, tasks(FILTER), task:ID, worker:NAME and "
    "type:NAME";

std::unexpected<Error> invalid(const std::string& what) {
    return fail(Fault::invalid, "topics: " + what);
}

// Split at commas outside of brackets.
std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts(1);
    int depth = 0;
    for (const char c : text) {
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (c == ',' && depth == 0)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

std::string event(std::string_view name, const std::string& id, std::string_view data) {
    return "id: " + id + "\nevent: " + std::string(name) + "\ndata: " + std::string(data) + "\n\n";
}

}  // namespace

Result<std::shared_ptr<LiveTopics::Topic>> LiveTopics::topic_of(const std::string& text, const Request& request) {
    const Caller caller = caller_of(request);
    const std::string key = text + '\n' + std::to_string(caller.roles) + '\n' + caller.tenant;
    if (const auto found = topics_.find(key); found != topics_.end())
        if (auto known = found->second.lock()) return known;
    auto topic = std::make_shared<Topic>();
    topic->name = topic->event = text;
    topic->request = request;
    topic->request.query.clear();
    topic->request.path.clear();
    for (const auto& [name, path] : kPlain)
        if (text == name) topic->request.path = path;
    for (const auto& [name, path] : kOfOne)
        if (text.starts_with(name)) topic->request.path = std::string(path) + text.substr(name.size());
    if (text == "series") topic->period = 10;
    if (text == "fleet") {
        topic->fleet = std::make_unique<FleetColumns>(++fleets_ << 40U);
        topic->request.path = "/v1/workers";
        topic->whole = false;
    }
    if (text == "tasks" || text.starts_with("tasks(")) {
        topic->request.path = "/v1/tasks";
        topic->request.query["limit"] = kTasksLimit;
        if (text != "tasks") {
            if (!text.ends_with(')')) return invalid("'" + text + "' has no closing bracket");
            const std::string inside = text.substr(6, text.size() - 7);
            for (const std::string& part : inside.empty() ? std::vector<std::string>{} : split(inside)) {
                const std::size_t equals = part.find('=');
                if (equals == std::string::npos) return invalid("'" + part + "' is not name=value");
                std::string value = part.substr(equals + 1);
                std::ranges::replace(value, '|', ',');  // several states: state=waiting|running
                topic->request.query[part.substr(0, equals)] = std::move(value);
            }
        }
    }
    const api::Method* method =
        topic->request.path.empty() ? nullptr : find_route(api::Verb::get, topic->request.path).method;
    if (method == nullptr || method->kind != api::Kind::unary)
        return invalid("there is no '" + text + "'; there are " + kAll);
    if (auto may = api::allow(*method, caller); !may) return std::unexpected(std::move(may).error());
    std::erase_if(topics_, [](const auto& one) { return one.second.expired(); });
    if (topics_.size() >= kTopicsInAll) return fail(Fault::exhausted, "too many different topics are watched");
    topics_[key] = topic;
    return topic;
}

Result<LiveTopics::View> LiveTopics::watch(const Request& request) {
    View view;
    view.all_ = shared_from_this();
    const auto asked = request.query.find("topics");
    for (const auto& [name, value] : request.query)
        if (name != "topics") return fail(Fault::invalid, name + ": no such parameter here");
    if (asked == request.query.end() || asked->second.size() > kTextMax)
        return invalid("one to " + std::to_string(kTopicsOfOne) + " of them, with commas");
    const std::vector<std::string> texts = split(asked->second);
    if (texts.size() > kTopicsOfOne) return invalid("at most " + std::to_string(kTopicsOfOne));
    // An id is what was told of the fleet, the only topic whose frames build on each other: "BOOT-VERSION".
    std::uint64_t seen = 0;
    if (const std::string& last = request.last_event_id; !last.empty()) {
        const std::size_t dash = last.rfind('-');
        const bool ours = dash != std::string::npos && last.substr(0, dash) == boot_;
        const char* const end = last.data() + last.size();
        view.gap_ = !ours || std::from_chars(last.data() + dash + 1, end, seen).ptr != end;
        if (view.gap_) seen = 0;
    }
    for (const std::string& text : texts) {
        auto topic = topic_of(text, request);
        if (!topic) return std::unexpected(std::move(topic).error());
        View::Watched watched{.topic = *std::move(topic)};
        if (watched.topic->fleet && seen > 0) {
            if (seen == watched.topic->version || !watched.topic->fleet->since(seen).empty())
                watched.told = seen;
            else
                view.gap_ = true;
        }
        view.watched_.push_back(std::move(watched));
    }
    return view;
}

std::string LiveTopics::View::take() {
    std::string text;
    std::uint64_t fleet = 0;
    for (const Watched& one : watched_)
        if (one.topic->fleet) fleet = one.topic->version;
    const std::string id = all_->boot_ + "-" + std::to_string(fleet);
    if (std::exchange(gap_, false)) text += event("gap", id, "{}");
    for (Watched& one : watched_) {
        Topic& topic = *one.topic;
        if (one.told == topic.version) continue;
        if (topic.fleet && topic.event != "error") {
            const std::vector<std::string> changes =
                one.told == 0 ? std::vector<std::string>() : topic.fleet->since(one.told);
            for (const std::string& change : changes) text += event(topic.event, id, change);
            if (changes.empty()) text += event(topic.event, id, topic.fleet->full());
        } else {
            text += event(topic.event, id, topic.body);
        }
        one.told = topic.version;
    }
    return text;
}

void LiveTopics::take_answer(Topic& topic, Response response) {
    const bool good = response.status == 200;
    if (!good) add_member(response, "topic", nlohmann::json(topic.name).dump());
    if (topic.version > 0 && response.body == topic.body) return;
    topic.event = good ? topic.name : "error";
    topic.body = std::move(response.body);
    ++topic.version;
}

void LiveTopics::ask_fleet(const std::shared_ptr<Topic>& topic, const std::shared_ptr<void>& open) {
    using State = engine::ReadState::Answer;
    door_.engine.ask(caller_of(topic->request), engine::ReadState{},
                     [self = shared_from_this(), topic, open](Result<State>&& state) {
                         if (!state) return;  // told when the engine answers again
                         self->post_([topic, open, state = *std::move(state)] {
                             topic->fleet->update(state->workers);
                             topic->version = topic->fleet->version();
                         });
                     });
}

void LiveTopics::tick(std::function<void()> done) {
    ++seconds_;
    // Whoever lets go of it last says that all have answered.
    const std::shared_ptr<void> open(nullptr, [post = post_, done = std::move(done)](void*) { post(done); });
    for (const auto& [key, weak] : topics_) {
        const auto topic = weak.lock();
        if (!topic || (topic->version > 0 && seconds_ % topic->period != 0)) continue;
        if (topic->fleet) {
            ask_fleet(topic, open);
            continue;
        }
        Request request = topic->request;
        const Route where = find_route(api::Verb::get, request.path);
        route(door_, where, std::move(request), [self = shared_from_this(), topic, open](Response response) {
            self->post_([self, topic, open, response = std::move(response)]() mutable {
                self->take_answer(*topic, std::move(response));
            });
        });
    }
}

}  // namespace nexus::http
