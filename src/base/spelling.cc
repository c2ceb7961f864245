#include "base/spelling.h"

#include <algorithm>
#include <vector>

namespace nexus {
namespace {

constexpr std::size_t kWordLettersMax = 64;  // longer words are not typing errors of ours

// Optimal string alignment distance: three rows of the usual table are enough.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
    if (word.empty() || word.size() > kWordLettersMax) return {};
    std::string_view nearest;
    std::size_t least = word.size() / 3 + 2;  // one slip is forgiven even in the shortest words
    for (const std::string_view candidate : known) {
        if (candidate.size() > kWordLettersMax) continue;
        const std::size_t d = distance(word, candidate);
        if (d < least && d < candidate.size()) {
            least = d;
            nearest = candidate;
        }
    }
    return nearest;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
    const std::string_view nearest = nearest_word(word, known);
    if (nearest.empty()) return {};
    return std::string(" (did you mean \"").append(nearest).append("\"?)");
}

}  // namespace nexus
