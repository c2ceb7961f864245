#pragma once
// The bytes of shaped structs (docs/journal.md): a presence bitmap, then the members that differ from their defaults. A
// member alone has the bytes of its type. Reading never trusts: what is out of range, unknown or cut off fails the
// Reader, and nothing is allocated that its bytes cannot hold.

#include <limits>
#include <type_traits>

#include "base/bytes.h"
#include "base/must.h"
#include "base/shape.h"

namespace nexus {

template <class T>
struct IsId : std::false_type {};
template <class Tag>
struct IsId<Id128<Tag>> : std::true_type {};
template <class T>
struct IsNumber : std::false_type {};
template <class Tag>
struct IsNumber<Number<Tag>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsPair : std::false_type {};
template <class A, class B>
struct IsPair<std::pair<A, B>> : std::true_type {};
template <class T>
concept Time = std::same_as<T, Duration> || std::same_as<T, Instant> || std::same_as<T, WallTime>;

// ---- writing

template <class T>
void put(Writer& w, const T& v, Form form = Form::natural);

template <class T>
void put_shaped(Writer& w, const T& v) {
    [[maybe_unused]] static const T defaults{};
    std::uint64_t present = 0;
    std::uint64_t bit = 1;
    for_each_bit<T>([&](const auto& m) {
        if constexpr (Living<decltype(m)>)
            if (!(v.*m.at == defaults.*m.at)) present |= bit;
        bit <<= 1;
    });
    if (bit > 1) w.varint(present);
    bit = 1;
    for_each_bit<T>([&](const auto& m) {
        if constexpr (Living<decltype(m)>)
            if constexpr (!std::same_as<std::remove_cvref_t<decltype(v.*m.at)>, bool>)
                if ((present & bit) != 0) put(w, v.*m.at, m.form);
        bit <<= 1;
    });
}

template <class T>
void put(Writer& w, const T& v, Form form) {
    if constexpr (Shaped<T>) {
        put_shaped(w, v);
    } else if constexpr (std::is_enum_v<T>) {
        MUST(known(v));  // else the journal could not be read again
        w.varint(static_cast<std::uint64_t>(v));
    } else if constexpr (std::is_unsigned_v<T>) {
        form == Form::fixed64 ? w.u64(v) : w.varint(v);
    } else if constexpr (std::is_floating_point_v<T>) {
        w.f64(v);
    } else if constexpr (std::is_signed_v<T>) {
        w.svarint(v);
    } else if constexpr (Time<T>) {
        w.svarint(v.us);
    } else if constexpr (IsId<T>::value) {
        w.u64(v.hi);
        w.u64(v.lo);
    } else if constexpr (IsNumber<T>::value || std::same_as<T, WorkerNo>) {
        w.varint(v.n);
    } else if constexpr (std::same_as<T, std::string>) {
        w.text(v);
    } else if constexpr (IsPair<T>::value) {
        put(w, v.first);
        put(w, v.second);
    } else {
        static_assert(IsVector<T>::value, "no byte form for this type");
        w.varint(v.size());
        for (const auto& item : v) put(w, item);
    }
}

// ---- reading

template <class T>
void get(Reader& r, T& v, Form form = Form::natural);

template <class T>
void get_shaped(Reader& r, T& v) {
    constexpr std::size_t kMembers = std::tuple_size_v<std::remove_cvref_t<decltype(Shape<T>::members)>>;
    static_assert(kMembers < 64);
    const std::uint64_t present = kMembers == 0 ? 0 : r.varint();
    if ((present >> kMembers) != 0) r.set_failed();
    std::uint64_t bit = 1;
    for_each_bit<T>([&](const auto& m) {
        if ((present & bit) != 0 && !r.failed()) {
            if constexpr (!Living<decltype(m)>) {
                typename std::remove_cvref_t<decltype(m)>::Was gone{};
                get(r, gone);
                if constexpr (requires { m.to(v); }) m.to(v) = std::move(gone);
            } else if constexpr (std::same_as<std::remove_cvref_t<decltype(v.*m.at)>, bool>) {
                v.*m.at = !(v.*m.at);
            } else {
                get(r, v.*m.at, m.form);
            }
        }
        bit <<= 1;
    });
}

template <class T>
T bounded(Reader& r) {
    const std::uint64_t n = r.varint();
    if (n > std::numeric_limits<T>::max()) r.set_failed();
    return static_cast<T>(n);
}

template <class T>
void get(Reader& r, T& v, Form form) {
    if constexpr (Shaped<T>) {
        get_shaped(r, v);
    } else if constexpr (std::is_enum_v<T>) {
        v = static_cast<T>(bounded<std::underlying_type_t<T>>(r));
        if (!known(v)) r.set_failed();
    } else if constexpr (std::is_unsigned_v<T>) {
        v = form == Form::fixed64 ? static_cast<T>(r.u64()) : bounded<T>(r);
    } else if constexpr (std::is_floating_point_v<T>) {
        v = r.f64();
    } else if constexpr (std::is_signed_v<T>) {
        static_assert(sizeof(T) == 8);
        v = r.svarint();
    } else if constexpr (Time<T>) {
        v.us = r.svarint();
    } else if constexpr (IsId<T>::value) {
        v.hi = r.u64();
        v.lo = r.u64();
    } else if constexpr (IsNumber<T>::value) {
        v.n = r.varint();
    } else if constexpr (std::same_as<T, WorkerNo>) {
        v.n = bounded<std::uint32_t>(r);
    } else if constexpr (std::same_as<T, std::string>) {
        v = r.text();
    } else if constexpr (IsPair<T>::value) {
        get(r, v.first);
        get(r, v.second);
    } else {
        static_assert(IsVector<T>::value, "no byte form for this type");
        v.resize(r.count());
        for (auto& item : v)
            if (!r.failed()) get(r, item);
    }
}

// The bytes that stand for what `v` is as far as P goes: two values give the same bytes when, and only when, they are
// equal in it. A member that is added later does not change the bytes of what leaves it at its default.
template <unsigned P, class T>
void put_part(Writer& w, const T& v) {
    static const T defaults{};
    std::uint64_t present = 0;
    std::uint64_t bit = 1;
    for_each_bit<T>([&](const auto& m) {
        if constexpr (Living<decltype(m)>)
            if constexpr (kIn<decltype(m), P>)
                if (!(v.*m.at == defaults.*m.at)) present |= bit;
        bit <<= 1;
    });
    w.varint(present);
    for_each_of<P, T>([&](const auto& m) {
        if (!(v.*m.at == defaults.*m.at)) put(w, v.*m.at, m.form);
    });
}

}  // namespace nexus
