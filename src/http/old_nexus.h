#pragma once
// The REST face of the old Nexus, /scheduler/*: its paths, fields, statuses and errors over the engine's own requests, for
// the programs that speak it. docs/rest.md says what differs.
//
// Who may: a key in X-Scheduler-Key (401 without, 403 with a wrong one). A key acts as "scheduler-key-<the first 8 hex
// digits of its SHA-256>", which is what the audit shows, and may see, submit and operate, but not change settings other
// than the ones here. At most kRequestsMax requests a minute for each key, counted before the key is looked at; requests
// without one count by address.
//
// One thread calls it, the server's; answers come on any.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/rest.h"

namespace nexus::http {

class OldNexus : public std::enable_shared_from_this<OldNexus> {
public:
    static constexpr unsigned kRequestsMax = 100;  // of one key, in kWindow
    static constexpr Duration kWindow = minutes(1);

    // `now` is a monotonic clock.
    OldNexus(api::Door& door, const std::vector<std::string>& keys, std::function<Instant()> now);
    static bool serves(const std::string& path) { return path == "/scheduler" || path.starts_with("/scheduler/"); }
    // Who sends it, as Request::caller; before its body is read. Else what it is refused with.
    std::optional<Response> find_caller(Request& request, const api::Method* method);
    // Of a caller that was found.
    void answer(const Route& where, Request request, Reply reply);

private:
    struct Window {
        Instant begin;
        unsigned used = 0;
    };
    struct Call;  // one request and where its answer goes
    Window& window_of(const Request& request);
    std::optional<std::pair<unsigned, std::string>> judge_key(Request& request, const api::Method* method) const;
    void route(const std::string& name, std::unique_ptr<Call> call);
    void status(std::unique_ptr<Call> call);
    void workers(std::unique_ptr<Call> call);
    void predictions(std::unique_ptr<Call> call);
    void reset(std::unique_ptr<Call> call);
    void configure(std::unique_ptr<Call> call);
    void pin(std::unique_ptr<Call> call);

    // Said by PUT /scheduler/config, and kept until the server stops: what the old heuristics would have used.
    struct Said {
        double wait = 0.4, load = 0.4, priority = 0.2;
        Duration heartbeat_timeout = seconds(30);
    };
    api::Door& door_;
    std::vector<std::string> key_hashes_;  // SHA-256: comparing these tells nothing of a key by its time
    std::function<Instant()> now_;
    std::unordered_map<std::string, Window> windows_;
    Said said_;
};

}  // namespace nexus::http
