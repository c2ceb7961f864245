#pragma once
// The fleet as columns, and what changed in them: a thousand workers in a few kilobytes a second.
//
// A worker has a row, which it keeps. Data of the event `fleet`:
//
//   {"version": 7, "full": true, "columns": {"name": ["w1", ...], "labels": [{...}, ...], "hostname": [...],
//    "state": [1, ...], "breaker": [0, ...], "slots": [...], "running": [...], "used": [...], "speed": [...],
//    "failures": [...], "done": [...], "cpu": [...], "memory": [...]}}
//   {"version": 8, "since": 7, "gone": [3], "added": {columns, of rows at the end}, "changes": {"running": [[0, 4], [2, 1]]}}
//
// `changes`: of each column the rows that changed, and their values. state is a number of WorkerState, breaker 0 closed,
// 1 open, 2 probing, used, speed, cpu and memory are per cent. `used` is told when it moved by five points, or came to
// nothing or all; done, cpu and memory change all the time and are told of each row at every tenth update. A row that is
// gone stays empty until the next full one. Not thread-safe.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "engine/messages.h"

namespace nexus::http {

class FleetColumns {
public:
    static constexpr std::size_t kKept = 16;  // changes that somebody who was away may still be told

    // Versions begin behind `start`, so that no two of a server have one.
    explicit FleetColumns(std::uint64_t start = 0) : version_(start) {}
    // What the fleet is now. False: nothing of it changed, and the version stays.
    bool update(const std::vector<engine::WorkerInfo>& workers);
    std::uint64_t version() const { return version_; }
    std::string full() const;
    // All changes since then, one document a version; nothing when they are not kept: it takes a full one.
    std::vector<std::string> since(std::uint64_t version) const;

private:
    enum Column : std::uint8_t {
        state = 0,
        breaker,
        slots,
        running,
        used,
        speed,
        failures,
        done,
        cpu,
        memory,
        kColumns
    };
    struct Row {
        std::string name, hostname;  // empty name: it is gone
        core::Labels labels;
        std::array<std::int64_t, kColumns> values{};
    };
    static Row row_of(const engine::WorkerInfo& worker);
    bool is_news(std::size_t column, std::size_t row, std::int64_t now) const;
    void begin_anew(const std::vector<engine::WorkerInfo>& workers);

    std::uint64_t version_;
    bool fresh_ = true;  // nothing was told yet
    std::uint64_t updates_ = 0;
    std::vector<Row> rows_;
    std::map<std::string, std::size_t, std::less<>> at_;
    std::size_t gone_ = 0;
    std::deque<std::string> changes_;  // the last of them leads to version_
};

}  // namespace nexus::http
