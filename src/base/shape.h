#pragma once
// The shape of a struct: which members it has, and what each is part of. One list per struct serves writing, reading,
// describing, comparing and hashing, so that they cannot disagree: a struct that gains a field does not compile until the
// field is listed, and where it says what a field is part of, the list says it for all of them.
//
//     template <>
//     struct Shape<Point> {
//         using T = Point;
//         static constexpr auto members = std::tuple{NEXUS_MEMBER(x), NEXUS_MEMBER(y)};
//     };
//     static_assert(kListsAllMembers<Point>);
//
// The order of the list is the order of the bits and bytes that are stored (docs/journal.md): append, never insert,
// reorder or remove; what goes away is Retired. Everything here is compile time or plain loops over members.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "base/units.h"

namespace nexus {

// How the bytes of a member look when the default of its type (varint) would be wasteful: hashes and seeds use all 64
// bits.
enum class Form : std::uint8_t { natural, fixed64 };

// What a member is part of, beside being stored.
enum Part : unsigned {
    kNoPart = 0,
    kClass = 1,  // tasks that differ in it are of different classes: constraints can tell them apart
    kWork = 2,   // it makes a task another task: a repeated idempotency key must come with the same
};

template <class Struct, class Type, unsigned Parts>
struct Member {
    const char* name;
    Type Struct::* at;
    Form form;
    static constexpr unsigned parts = Parts;
};
template <unsigned Parts, class Struct, class Type>
constexpr Member<Struct, Type, Parts> member(const char* name, Type Struct::* at, Form form = Form::natural) {
    return {name, at, form};
}

// A member that went away: its bit stays taken. It is never written; what an older release wrote is read and dropped.
template <class Type>
struct Retired {
    const char* name;
    using Was = Type;
};
// The same, but its value lives on elsewhere: what an older release wrote is read to there.
template <class Struct, class Type>
struct Moved {
    const char* name;
    Type& (*to)(Struct&);
    using Was = Type;
};
template <class Member>
concept Living = requires(Member m) { m.at; };
template <class M, unsigned P>
inline constexpr bool kIn = (std::remove_cvref_t<M>::parts & P) != 0;

#define NEXUS_MEMBER(field) ::nexus::member<::nexus::kNoPart>(#field, &T::field)
#define NEXUS_FIXED64(field) ::nexus::member<::nexus::kNoPart>(#field, &T::field, ::nexus::Form::fixed64)
#define NEXUS_PART(field, parts) ::nexus::member<(parts)>(#field, &T::field)

template <class T>
struct Shape;  // has `members`
template <class T>
concept Shaped = requires { Shape<T>::members; };

// Counts the members of an aggregate by trying how many initialisers it takes; a base class counts as one.
struct Anything {
    template <class T>
    operator T() const;
};
template <class T, class... Args>
consteval std::size_t member_count() {
    if constexpr (requires { T{Args{}..., Anything{}}; })
        return member_count<T, Args..., Anything>();
    else
        return sizeof...(Args);
}
template <class Members>
inline constexpr std::size_t kLiving = 0;
template <class... Members>
inline constexpr std::size_t kLiving<const std::tuple<Members...>> = (std::size_t{0} + ... + (Living<Members> ? 1 : 0));
template <class T>
inline constexpr bool kListsAllMembers = kLiving<decltype(Shape<T>::members)> == member_count<T>();

// Calls f(member) for each member of T, in the order of the list, retired ones included.
template <class T, class F>
constexpr void for_each_bit(F&& f) {
    std::apply([&](const auto&... member) { (f(member), ...); }, Shape<T>::members);
}
// The same without those.
template <class T, class F>
constexpr void for_each_member(F&& f) {
    for_each_bit<T>([&](const auto& member) {
        if constexpr (Living<decltype(member)>) f(member);
    });
}
// Those that are part of P.
template <unsigned P, class T, class F>
constexpr void for_each_of(F&& f) {
    for_each_member<T>([&](const auto& member) {
        if constexpr (kIn<decltype(member), P>) f(member);
    });
}

// ---- what follows from a list

template <unsigned P, class T>
bool same_part(const T& a, const T& b) {
    return std::apply(
        [&](const auto&... m) {
            return ([&] {
                if constexpr (kIn<decltype(m), P>) return a.*m.at == b.*m.at;
                return true;
            }() && ...);
        },
        Shape<T>::members);
}

// `from` with everything at its default that is no part of P.
template <unsigned P, class T>
T part_of(const T& from) {
    T part{};
    for_each_of<P, T>([&](const auto& m) { part.*m.at = from.*m.at; });
    return part;
}

template <class T>
std::uint64_t hash_value(std::uint64_t h, const T& v) {
    if constexpr (Shaped<T>) {
        for_each_member<T>([&](const auto& m) { h = hash_value(h, v.*m.at); });
        return h;
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
        return mix(h, static_cast<std::uint64_t>(v));
    } else if constexpr (requires { v.us; }) {
        return mix(h, static_cast<std::uint64_t>(v.us));
    } else if constexpr (requires { v.hi; }) {
        return mix(mix(h, v.hi), v.lo);
    } else if constexpr (std::same_as<T, std::string>) {
        return mix(h, hash_bytes(v));
    } else if constexpr (requires { v.first; }) {
        return hash_value(hash_value(h, v.first), v.second);
    } else {
        for (const auto& item : v) h = hash_value(h, item);
        return mix(h, v.size());
    }
}

// For look-up tables only. What is at its default costs a comparison.
template <unsigned P, class T>
std::uint64_t hash_part(std::uint64_t h, const T& v) {
    static const T defaults{};
    std::uint64_t bit = 1;
    for_each_of<P, T>([&](const auto& m) {
        if (!(v.*m.at == defaults.*m.at)) h = hash_value(mix(h, bit), v.*m.at);
        bit <<= 1;
    });
    return h;
}

}  // namespace nexus
