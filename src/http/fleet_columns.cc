#include "http/fleet_columns.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/view.h"

namespace nexus::http {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kUsedStep = 5;
constexpr std::int64_t kSpeedMost = 10'000;  // per cent
constexpr std::uint64_t kSlowTurns = 10;

std::int64_t percent(double share) {
    return std::clamp<std::int64_t>(std::llround(share * 100), 0, kSpeedMost);
}

// Names of workers may be anything that a name may be; the rest is text of theirs.
std::string dumped(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

constexpr const char* kNames[] = {"state", "breaker",  "slots", "running", "used",
                                  "speed", "failures", "done",  "cpu",     "memory"};

}  // namespace

bool FleetColumns::is_news(std::size_t column, std::size_t row, std::int64_t now) const {
    const std::int64_t before = rows_[row].values[column];
    if (before == now) return false;
    if (column == used) return std::llabs(before - now) >= kUsedStep || now == 0 || now == 100;
    return column < done || (row + updates_) % kSlowTurns == 0;
}

FleetColumns::Row FleetColumns::row_of(const engine::WorkerInfo& worker) {
    Row row{.name = worker.name, .hostname = worker.hostname, .labels = worker.labels, .values = {}};
    row.values[state] = api::worker_state_of(worker);
    row.values[breaker] = worker.breaker == "open" ? 1 : worker.breaker == "probing" ? 2 : 0;
    row.values[slots] = worker.slots;
    row.values[running] = worker.running;
    row.values[used] = percent(worker.utilization);
    row.values[speed] = percent(worker.speed);
    row.values[failures] = worker.failures_recent;
    row.values[done] = static_cast<std::int64_t>(worker.succeeded);
    row.values[cpu] = percent(worker.cpu_usage);
    row.values[memory] = percent(worker.memory_usage);
    return row;
}

void FleetColumns::begin_anew(const std::vector<engine::WorkerInfo>& workers) {
    rows_.clear();
    at_.clear();
    changes_.clear();
    gone_ = 0;
    for (const engine::WorkerInfo& worker : workers) {
        at_[worker.name] = rows_.size();
        rows_.push_back(row_of(worker));
    }
    ++version_;
}

namespace {

template <class Row>
void put_row(const Row& row, Json& columns) {
    columns["name"].push_back(row.name);
    Json labels = Json::object();
    for (const auto& [name, value] : row.labels) labels[name] = value;
    columns["labels"].push_back(std::move(labels));
    columns["hostname"].push_back(row.hostname);
    for (std::size_t c = 0; c < row.values.size(); ++c) columns[kNames[c]].push_back(row.values[c]);
}

}  // namespace

bool FleetColumns::update(const std::vector<engine::WorkerInfo>& workers) {
    if (std::exchange(fresh_, false) || gone_ > 16 + rows_.size() / 4) {
        begin_anew(workers);
        return true;
    }
    ++updates_;
    Json changes = Json::object(), added = Json::object(), gone = Json::array();
    std::vector<bool> seen(rows_.size(), false);
    for (const engine::WorkerInfo& worker : workers) {
        Row row = row_of(worker);
        const auto known = at_.find(worker.name);
        // Another process under the name, as far as anybody can see, is another row.
        const bool same = known != at_.end() && rows_[known->second].labels == row.labels &&
                          (row.hostname.empty() || rows_[known->second].hostname == row.hostname);
        if (!same) {
            put_row(row, added);
            at_[worker.name] = rows_.size();
            rows_.push_back(std::move(row));
            continue;
        }
        seen[known->second] = true;
        Row& before = rows_[known->second];
        for (std::size_t c = 0; c < kColumns; ++c) {
            if (!is_news(c, known->second, row.values[c])) continue;
            before.values[c] = row.values[c];
            Json& change = changes[kNames[c]];
            if (change.is_null()) change = Json::array({Json::array(), Json::array()});
            change[0].push_back(known->second);
            change[1].push_back(row.values[c]);
        }
    }
    for (std::size_t at = 0; at < seen.size(); ++at) {
        if (seen[at] || rows_[at].name.empty()) continue;
        if (const auto own = at_.find(rows_[at].name); own != at_.end() && own->second == at) at_.erase(own);
        rows_[at] = {};
        ++gone_;
        gone.push_back(at);
    }
    if (changes.empty() && added.empty() && gone.empty()) return false;
    Json frame{{"version", version_ + 1}, {"since", version_}};
    if (!gone.empty()) frame["gone"] = std::move(gone);
    if (!added.empty()) frame["added"] = std::move(added);
    if (!changes.empty()) frame["changes"] = std::move(changes);
    changes_.push_back(dumped(frame));
    if (changes_.size() > kKept) changes_.pop_front();
    ++version_;
    return true;
}

std::string FleetColumns::full() const {
    Json columns = Json::object();
    for (const char* name : {"name", "labels", "hostname"}) columns[name] = Json::array();
    for (const char* name : kNames) columns[name] = Json::array();
    for (const Row& row : rows_) put_row(row, columns);
    return dumped(Json{{"version", version_}, {"full", true}, {"columns", std::move(columns)}});
}

std::vector<std::string> FleetColumns::since(std::uint64_t version) const {
    if (version > version_ || version_ - version > changes_.size()) return {};
    return {changes_.end() - static_cast<std::ptrdiff_t>(version_ - version), changes_.end()};
}

}  // namespace nexus::http
