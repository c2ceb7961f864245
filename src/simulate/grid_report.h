#pragma once
// How a grid is shown: verdict and parts as text, everything as JSON, the factors by load as a picture.

#include <string>
#include <vector>

#include "simulate/grid.h"

namespace nexus::simulate {

// Of the policy at index `of`: the verdict, by seed when there are several, and one line per part of the grid in
// Markdown, as docs/simulate.md shows them.
std::string grid_text(const GridSpec& spec, const std::vector<Cell>& cells, std::size_t of);
// One object with the verdicts of all judged policies, by seed of the first, and the results of each cell.
std::string grid_json(const GridSpec& spec, const std::vector<Cell>& cells, const std::vector<std::size_t>& judged);
// How many times better the judged policy is than others, by load: an SVG.
std::string grid_plot(const GridSpec& spec, const std::vector<Cell>& cells);

}  // namespace nexus::simulate
