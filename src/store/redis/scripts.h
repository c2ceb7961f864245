#pragma once
// The steps that Redis takes as a whole, as Lua scripts. They are known by their content, so that releases never overwrite
// each other's. Everything is compared as text: Lua's numbers end at 2^53.
//
// Each answers a list whose first item is a word: ok, again, elsewhere, superseded, moved, closed, gone.

#include <string>
#include <string_view>

namespace nexus::store::redis_script {

struct Script {
    std::string text, sha1;
};

struct Scripts {
    // The same twice: as Redis runs them, and so that they also run when Redis is at maxmemory (from 7.0 on).
    Script append, append_beyond;  // KEYS head, journal, hashes…   ARGV: see RedisJournal::send
    Script put, put_beyond;        // KEYS head, hash               ARGV claim, (field, value)…
    Script renew;                  // KEYS head                     ARGV claim, wish; answers ok, next, chain
    Script reclaim;                // KEYS head                     ARGV claim, its epoch, owner
    Script claim;                  // KEYS head                     ARGV as observed: epoch, claim, next, beat;
                                   //                               name, address, claim, epoch, cluster
    Script keep;   // KEYS head, unfinished         ARGV newest as seen, newest, before, name, name to drop
    Script close;  // KEYS head                     ARGV claim, why
    Script begin;  // KEYS head, journal            ARGV name, address, claim, epoch, cluster, next, chain, history, why
    Script trim;   // KEYS head, journal            ARGV slice | rest
};
// For a server of 7.0 or later, or an older one.
Scripts make_scripts(bool knows_flags);

}  // namespace nexus::store::redis_script
