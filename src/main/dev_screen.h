#pragma once
// What `nexus dev` shows while it runs.

#include <cstdint>
#include <string>
#include <utility>

#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"

namespace nexus::dev {

// Notes scroll by; one line below them is written over. Off a terminal that line is printed every two seconds.
class Screen {
public:
    explicit Screen(cli::Terminal terminal) : terminal_(std::move(terminal)) {}
    void note(const std::string& text) {
        clear();
        cli::put(text + "\n");
    }
    void show(const std::string& line) {
        const std::int64_t now = cli::now_unix_us();
        if (!terminal_.out_is_tty) {
            if (now - shown_us_ < kPlainLineUs) return;
            cli::put(line + "\n");
        } else {
            cli::put("\r\x1b[K" + cli::safe_text(line, terminal_.columns - 1));
            dirty_ = true;
        }
        shown_us_ = now;
    }
    void clear() {
        if (dirty_) cli::put("\r\x1b[K");
        dirty_ = false;
    }
    const cli::Terminal& terminal() const { return terminal_; }

private:
    static constexpr std::int64_t kPlainLineUs = seconds(2).us;
    cli::Terminal terminal_;
    std::int64_t shown_us_ = 0;
    bool dirty_ = false;
};

}  // namespace nexus::dev
