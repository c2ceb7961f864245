#pragma once
// Families of task types by their names: "mag:BUSCO" and "mag:PROKKA" are likely more alike than any two types.

#include <string_view>

namespace nexus::predict {

// The name without its trailing digits and without its last part (parts are divided by any of / : . _ - #); empty when
// nothing is left, so the name has no family.
constexpr std::string_view family_of(std::string_view name) {
    std::string_view rest = name;
    while (!rest.empty() && rest.back() >= '0' && rest.back() <= '9') rest.remove_suffix(1);
    const bool numbered = rest.size() < name.size();
    const std::size_t cut = rest.find_last_of("/:._-#");
    if (cut != std::string_view::npos && (cut + 1 < rest.size() || numbered)) return rest.substr(0, cut);
    return numbered ? rest : std::string_view();
}

}  // namespace nexus::predict
