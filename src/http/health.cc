#include "http/health.h"

#include "base/quantity.h"

namespace nexus::http {

void livez(api::Door&, const Request&, Reply reply) {
    reply(plain_text("ok\n"));
}

void readyz(api::Door& door, const Request& request, Reply reply) {
    std::string why, list;
    for (const engine::Check& check : door.engine.checks()) {
        list += std::string(check.good ? "[+] " : "[-] ") + check.name + ": " + check.text + "\n";
        if (!check.good) why += (why.empty() ? "" : ", ") + check.text;
    }
    if (door.history) {  // best effort: work is taken without it
        const history::HistoryHealth health = door.history();
        list += health.good ? "[+] history: " + health.store
                            : "[!] history: not written to " + health.store + ": " + health.why;
        list += health.waiting > 0 ? "; " + counted(health.waiting, "row") + " in the spool\n" : std::string("\n");
    }
    if (door.store) {
        const api::StoreFacts store = door.store();
        const bool good = store.wrong.empty();
        list += std::string(good ? "[+]" : "[-]") + " level: " + store.where + " gives level " + store.level + ": " +
                (good ? store.meaning : store.wrong) + "\n";
        if (!good) why += (why.empty() ? "" : ", ") + store.wrong;
    }
    std::string text = why.empty() ? "ok\n" : "not ready: " + why + "\n";
    if (door.guard->insecure())
        list += "[!] insecure: reachable from outside without TLS or without asking who calls, by server.insecure\n";
    if (request.query.contains("verbose")) text = list + text;
    reply(plain_text(std::move(text), why.empty() ? 200 : 503));
}

}  // namespace nexus::http
