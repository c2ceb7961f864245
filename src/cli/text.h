#pragma once
// Numbers and times as a person reads them in a table or on a progress line. Pure functions; ASCII unless said.

#include <cstdint>
#include <string>
#include <string_view>

namespace nexus::cli {

// "0", "850 us", "12 ms", "3.4 s", "2m05s", "1h12m", "3d04h"; a negative span is "-".
std::string span_text(std::int64_t us);
// When something will be done: "in 12 s", "within a second"; 0 is "-". Never in the past: what is overdue is "soon".
std::string done_text(std::int64_t at_unix_us, std::int64_t now_unix_us);
// A point in time from now: "in 12 s", "3.4 s ago", "now" (within half a second); 0 is "-".
std::string moment_text(std::int64_t at_unix_us, std::int64_t now_unix_us);
// Calendar time in UTC: "2026-03-01 12:30:05"; 0 is "-".
std::string calendar_text(std::int64_t at_unix_us);
// "12,345".
std::string count_text(std::uint64_t count);
// "0 B", "812 B", "12.3 KiB", "4.0 MiB".
std::string bytes_text(std::uint64_t bytes);
// A share 0..1 as "93 %", "99.6 %" near the top; NaN and negative are "-".
std::string percent_text(double share);
// The same of a rolling rate, which starts at 0: "none yet" until something succeeded, so that a server that has seen
// nothing does not look as if everything failed.
std::string rate_text(double share);
// `width` cells, filled to `share` (clamped to 0..1). With `unicode` in eighths of a cell, else "####....".
std::string bar_text(double share, std::size_t width, bool unicode);
// The text cut to `columns` with ".." at its end; control, bidi, zero-width and tag characters and invalid UTF-8 become
// '?', so that what a task, a worker or a server says can never move the cursor, colour the terminal or hide a part.
std::string safe_text(std::string_view text, std::size_t columns = 200);
// The same of several lines, whole.
std::string safe_lines(std::string_view text);
// Columns the text takes on a terminal: code points, escape sequences not counted.
std::size_t columns_of(std::string_view text);

}  // namespace nexus::cli
