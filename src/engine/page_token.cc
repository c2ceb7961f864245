#include "engine/page_token.h"

#include <charconv>
#include <concepts>

namespace nexus::engine {
namespace {

std::unexpected<Error> not_ours() {
    return fail(Fault::invalid, "page_token: invalid page token");
}

// Reads `<kind><number>[.<number>…]` from the front.
class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}
    bool take(char c) {
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    template <std::integral T>
    bool number(T& out) {
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
        if (error != std::errc{} || out < T{}) return false;
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
        return true;
    }
    std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
};

}  // namespace

std::string page_token(const TaskPlace& place) {
    if (place.order == history::TaskOrder::submitted) return "s" + to_text(place.task);
    return "f" + std::to_string(place.finished.us) + "." + to_text(place.task);
}

std::string page_token(const history::EventPlace& place) {
    return "e" + std::to_string(place.at.us) + "." + std::to_string(place.shard) + "." + std::to_string(place.number) +
           "." + std::to_string(place.part);
}

Result<TaskPlace> task_place_of(std::string_view token, history::TaskOrder order) {
    TaskPlace place{.order = order, .task = {}, .finished = {}};
    if (token.empty()) return place;
    Reader reader(token);
    const bool begins = order == history::TaskOrder::submitted
                            ? reader.take('s')
                            : reader.take('f') && reader.number(place.finished.us) && reader.take('.');
    const auto task = begins ? parse_id<TaskId>(reader.rest()) : std::nullopt;
    if (!task || !*task) return not_ours();
    place.task = *task;
    return place;
}

Result<history::EventPlace> event_place_of(std::string_view token) {
    history::EventPlace place;
    if (token.empty()) return place;
    Reader reader(token);
    const bool whole = reader.take('e') && reader.number(place.at.us) && reader.take('.') &&
                       reader.number(place.shard) && reader.take('.') && reader.number(place.number) &&
                       reader.take('.') && reader.number(place.part) && reader.rest().empty();
    if (!whole || place.at.us == 0) return not_ours();
    return place;
}

}  // namespace nexus::engine
