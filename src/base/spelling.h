#pragma once
// Finds what a person probably meant: the nearest of the words that would have been right.

#include <span>
#include <string>
#include <string_view>

namespace nexus {

// The word of `known` nearest to `word` by edit distance (insert, drop, replace, swap of neighbours), or empty when
// none is near: more than a third of the letters differ. Ties go to the earlier word. O(words x letters^2).
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

// " (did you mean \"x\"?)", or empty when nothing is near.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

}  // namespace nexus
