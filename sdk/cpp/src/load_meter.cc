#include "load_meter.h"

#include <fstream>
#include <limits>
#include <string>

namespace nexus::sdk {

double LoadMeter::cpu_usage() {
    std::ifstream stat("/proc/stat");
    std::string name;
    std::uint64_t total = 0;
    std::uint64_t idle = 0;
    stat >> name;
    // user nice system idle iowait irq softirq steal; the guest columns are part of user.
    for (int column = 0; column < 8; ++column) {
        std::uint64_t ticks = 0;
        if (!(stat >> ticks)) return 0;
        total += ticks;
        if (column == 3 || column == 4) idle += ticks;
    }
    const std::uint64_t busy = total - idle;
    const bool first = total_ == 0;
    const std::uint64_t busy_since = busy - busy_;
    const std::uint64_t total_since = total - total_;
    busy_ = busy;
    total_ = total;
    if (first || total_since == 0 || busy_since > total_since) return 0;
    return static_cast<double>(busy_since) / static_cast<double>(total_since);
}

double LoadMeter::memory_usage() const {
    std::ifstream meminfo("/proc/meminfo");
    double total = 0;
    double available = 0;
    std::string key;
    for (double kib = 0; meminfo >> key >> kib; meminfo.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
        if (key == "MemTotal:") total = kib;
        if (key == "MemAvailable:") available = kib;
    }
    return total > 0 && available <= total ? 1 - available / total : 0;
}

}  // namespace nexus::sdk
