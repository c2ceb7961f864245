#pragma once
// Saving and loading by one description: a(x, y, z) writes the fields to bytes, or reads them back in the same order.
// A struct takes part by a function fields(a, value) beside it.

#include <deque>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/units.h"
#include "core/heap.h"

namespace nexus::core {

template <bool Reading>
class Archive {
public:
    static constexpr bool kReading = Reading;
    using Stream = std::conditional_t<Reading, Reader, Writer>;
    explicit Archive(Stream& stream) : stream_(stream) {}

    template <class... Ts>
    void operator()(Ts&... values) {
        (one(values), ...);
    }

private:
    template <class T>
    void one(T& v) {
        if constexpr (std::is_same_v<T, bool> || std::is_enum_v<T>) {
            if constexpr (Reading)
                v = static_cast<T>(stream_.u8());
            else
                stream_.u8(static_cast<std::uint8_t>(v));
        } else if constexpr (std::is_unsigned_v<T>) {
            if constexpr (Reading)
                v = static_cast<T>(stream_.varint());
            else
                stream_.varint(v);
        } else if constexpr (std::is_integral_v<T>) {
            if constexpr (Reading)
                v = static_cast<T>(stream_.svarint());
            else
                stream_.svarint(v);
        } else {
            fields(*this, v);
        }
    }
    friend void fields(Archive& a, std::string& v) {
        if constexpr (Reading)
            v = std::string(a.stream_.text());
        else
            a.stream_.text(v);
    }
    template <class T>
    friend void fields(Archive& a, std::vector<T>& v) {
        a.sequence(v);
    }
    template <class T>
    friend void fields(Archive& a, std::deque<T>& v) {
        a.sequence(v);
    }
    template <class A, class B>
    friend void fields(Archive& a, std::pair<A, B>& v) {
        a(v.first, v.second);
    }
    template <class T>
    friend void fields(Archive& a, Heap<T>& v) {
        a.sequence(v.raw());
    }
    template <class Tag>
    friend void fields(Archive& a, Id128<Tag>& v) {
        if constexpr (Reading) {
            v.hi = a.stream_.u64();
            v.lo = a.stream_.u64();
        } else {
            a.stream_.u64(v.hi);
            a.stream_.u64(v.lo);
        }
    }
    template <class Tag>
    friend void fields(Archive& a, Number<Tag>& v) {
        a(v.n);
    }
    friend void fields(Archive& a, WorkerNo& v) { a(v.n); }
    friend void fields(Archive& a, Duration& v) { a(v.us); }
    friend void fields(Archive& a, Instant& v) { a(v.us); }
    friend void fields(Archive& a, WallTime& v) { a(v.us); }

    template <class Sequence>
    void sequence(Sequence& v) {
        if constexpr (Reading) {
            v.clear();
            v.resize(stream_.count());
        } else {
            stream_.varint(v.size());
        }
        for (auto& item : v) one(item);
    }
    Stream& stream_;
};

}  // namespace nexus::core
