#pragma once
// For tests that try every field of a struct: another value for it, whatever its type.

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include "core/shape.h"

namespace nexus {

template <class T>
void change(T& v) {
    if constexpr (Shaped<T>) {
        bool changed = false;
        for_each_member<T>([&](const auto& m) {
            if (!std::exchange(changed, true)) change(v.*m.at);
        });
    } else if constexpr (std::is_enum_v<T>) {
        v = static_cast<T>(2);
    } else if constexpr (std::same_as<T, bool>) {
        v = !v;
    } else if constexpr (std::is_arithmetic_v<T>) {
        v = static_cast<T>(v + 1);
    } else if constexpr (requires { v.us; }) {
        v.us += 1'000'000;
    } else if constexpr (requires { v.hi; }) {
        v.lo += 1;
    } else if constexpr (std::same_as<T, std::string>) {
        v += 'x';
    } else if constexpr (requires { v.first; }) {
        change(v.first);
    } else {
        change(v.emplace_back());
    }
}

}  // namespace nexus
