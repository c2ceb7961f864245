// One event: kind, time, and the members that differ from their defaults.
#include <array>
#include <type_traits>

#include "base/shape_bytes.h"
#include "core/priority.h"
#include "core/shape.h"
#include "journal/event_codec.h"

namespace nexus::journal {
namespace {

template <class T>
bool get_fact(Reader& r, core::Fact& fact) {
    T value;
    get_shaped(r, value);
    if constexpr (std::same_as<T, core::TaskSubmitted>)
        if (value.spec.priority > core::kPriorityTop) r.set_failed();
    fact = std::move(value);
    return !r.failed();
}

using GetFact = bool (*)(Reader&, core::Fact&);

template <class... Facts>
constexpr std::array<GetFact, kKindLast + 1> readers_by_kind(std::type_identity<std::variant<Facts...>>) {
    std::array<GetFact, kKindLast + 1> readers{};
    ((readers[Shape<Facts>::kind] = &get_fact<Facts>), ...);
    return readers;
}
constexpr auto kReaders = readers_by_kind(std::type_identity<core::Fact>{});

std::string at_byte(std::size_t position) {
    return " at byte " + std::to_string(position);
}

}  // namespace

void encode_after(const core::Event& event, Instant before, std::string& out) {
    Writer w(out);
    std::visit(
        [&](const auto& fact) {
            using T = std::remove_cvref_t<decltype(fact)>;
            if constexpr (std::same_as<T, core::TaskSubmitted>) MUST(fact.spec.priority <= core::kPriorityTop);
            w.varint(Shape<T>::kind);
            // Unsigned arithmetic wraps, so that every pair of instants has a difference.
            w.svarint(static_cast<std::int64_t>(static_cast<std::uint64_t>(event.at.us) -
                                                static_cast<std::uint64_t>(before.us)));
            put_shaped(w, fact);
        },
        event.what);
}

Result<core::Event> decode_after(std::string_view bytes, Instant before) {
    Reader r(bytes);
    core::Event event;
    const std::uint64_t kind = r.varint();
    const std::uint64_t since = static_cast<std::uint64_t>(r.svarint());
    event.at.us = static_cast<std::int64_t>(static_cast<std::uint64_t>(before.us) + since);
    if (r.failed() || kind == 0) return fail(Fault::corrupt, "event without kind or time" + at_byte(r.position()));
    if (kind > kKindLast)
        return fail(Fault::unsupported, "event kind " + std::to_string(kind) + " is of a newer release");
    if (!kReaders[kind](r, event.what))
        return fail(Fault::corrupt, "event of kind " + std::to_string(kind) + " is malformed" + at_byte(r.position()));
    if (!r.at_end())
        return fail(Fault::corrupt,
                    "event of kind " + std::to_string(kind) + " is followed by other bytes" + at_byte(r.position()));
    return event;
}

void encode(const core::Event& event, std::string& out) {
    encode_after(event, Instant{}, out);
}

Result<core::Event> decode(std::string_view bytes) {
    return decode_after(bytes, Instant{});
}

const char* kind_name(const core::Event& event) {
    return std::visit([](const auto& fact) { return Shape<std::remove_cvref_t<decltype(fact)>>::name; }, event.what);
}

}  // namespace nexus::journal
