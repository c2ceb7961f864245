#include "store/redis/scripts.h"

#include <openssl/evp.h>

#include "base/must.h"

namespace nexus::store::redis_script {
namespace {

// ARGV: claim, first, end, chain before, chain after, history, batches, then per batch: first, bytes; then per hash:
// puts, (field, value)…, drops, field…. An empty `first`: nothing but bodies, the position does not matter.
constexpr std::string_view kAppend = R"(
local head = redis.call('HMGET', KEYS[1], 'claim', 'next', 'chain', 'epoch', 'owner', 'history')
if not head[1] then return {'gone'} end
if head[1] ~= ARGV[1] then return {'superseded', head[4], head[5]} end
if ARGV[2] ~= '' then
  if head[2] ~= ARGV[2] or head[3] ~= ARGV[4] then
    if head[2] == ARGV[3] and head[3] == ARGV[5] then return {'again'} end
    return {'elsewhere', head[2], head[3]}
  end
end
local at = 7
for _ = 1, tonumber(ARGV[7]) do
  redis.call('XADD', KEYS[2], ARGV[at + 1] .. '-0', 'b', ARGV[at + 2])
  at = at + 2
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'next', ARGV[3], 'chain', ARGV[5]) end
local old, new = head[6] or '', ARGV[6]
if #new > #old or (#new == #old and new > old) then redis.call('HSET', KEYS[1], 'history', new) end
local function each(command, key, words, slice)
  at = at + 1
  local last = at + words
  while at < last do
    local upto = math.min(at + slice, last)
    redis.call(command, key, unpack(ARGV, at + 1, upto))
    at = upto
  end
end
for k = 3, #KEYS do
  each('HSET', KEYS[k], tonumber(ARGV[at + 1]) * 2, 2000)
  each('HDEL', KEYS[k], tonumber(ARGV[at + 1]), 2000)
end
return {'ok'}
)";

constexpr std::string_view kPut = R"(
local head = redis.call('HMGET', KEYS[1], 'claim', 'epoch', 'owner')
if not head[1] then return {'gone'} end
if head[1] ~= ARGV[1] then return {'superseded', head[2], head[3]} end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return {'ok'}
)";

constexpr std::string_view kRenew = R"(
local head = redis.call('HMGET', KEYS[1], 'claim', 'epoch', 'owner')
if not head[1] then return {'gone'} end
if head[1] ~= ARGV[1] then return {'superseded', head[2], head[3]} end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], 'wish') else redis.call('HSET', KEYS[1], 'wish', ARGV[2]) end
local ends = redis.call('HMGET', KEYS[1], 'next', 'chain')
return {'ok', ends[1], ends[2]}
)";

// The server has forgotten a claim: of before there is an earlier one of the same owner, whose process is gone.
constexpr std::string_view kReclaim = R"(
local head = redis.call('HMGET', KEYS[1], 'epoch', 'claim', 'owner')
if not head[2] then return {'gone'} end
if head[2] == ARGV[1] then return {'ok'} end
if tonumber(head[1]) >= tonumber(ARGV[2]) or head[3] ~= ARGV[3] then return {'superseded', head[1], head[3]} end
redis.call('HSET', KEYS[1], 'claim', ARGV[1], 'epoch', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
)";

// A claim that is there already was made by us, and its answer was lost.
constexpr std::string_view kClaim = R"(
local head = redis.call('HMGET', KEYS[1], 'epoch', 'claim', 'next', 'beat', 'wish', 'owner')
if head[2] == ARGV[7] then return {'ok'} end
local closed = redis.call('HGET', KEYS[1], 'closed')
if closed then return {'closed', closed} end
local moved = (head[2] or '') ~= ARGV[2] or (head[3] or '1') ~= ARGV[3] or (head[4] or '0') ~= ARGV[4]
local wished = head[5] and (head[5] == ARGV[5] or head[5] == 'any')
if (head[1] or '0') ~= ARGV[1] or (moved and not wished) then return {'moved', head[6] or ''} end
redis.call('HSET', KEYS[1], 'claim', ARGV[7], 'epoch', ARGV[8], 'owner', ARGV[5], 'address', ARGV[6])
redis.call('HSETNX', KEYS[1], 'cluster', ARGV[9])
redis.call('HSETNX', KEYS[1], 'next', '1')
redis.call('HSETNX', KEYS[1], 'chain', '0000000000000000')
redis.call('HDEL', KEYS[1], 'wish')
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
)";

constexpr std::string_view kClose = R"(
local head = redis.call('HMGET', KEYS[1], 'claim', 'epoch', 'owner')
if not head[1] then return {'gone'} end
if head[1] ~= ARGV[1] then return {'superseded', head[2], head[3]} end
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], 'closed') else redis.call('HSET', KEYS[1], 'closed', ARGV[2]) end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
)";

// As in kClaim, a claim that is there was made by us.
constexpr std::string_view kBegin = R"(
local claim = redis.call('HGET', KEYS[1], 'claim')
if claim == ARGV[3] then return {'ok'} end
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'moved', redis.call('HGET', KEYS[1], 'owner') or ''} end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'address', ARGV[2], 'claim', ARGV[3], 'epoch', ARGV[4], 'cluster', ARGV[5],
  'next', ARGV[6], 'chain', ARGV[7], 'history', ARGV[8], 'closed', ARGV[9], 'beat', 1)
return {'ok'}
)";

// What is not named by the head is listed as unfinished, to be deleted by whoever comes next.
constexpr std::string_view kKeep = R"(
if (redis.call('HGET', KEYS[1], 'snapshot') or '') ~= ARGV[1] then return {'moved'} end
redis.call('HSET', KEYS[1], 'snapshot', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'snapshot_before', ARGV[3]) end
redis.call('HDEL', KEYS[2], ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], ARGV[5], '1') end
return {'ok'}
)";

// It takes no position: nobody can trim too much. A snapshot's second word is the sequence after it.
constexpr std::string_view kTrim = R"(
local before = redis.call('HGET', KEYS[1], 'snapshot_before')
if not before then return {'ok', 0} end
local first = string.match(before, '^%S+ (%S+)')
if redis.call('HGET', KEYS[1], 'next') ~= first then
  local holds_it = redis.call('XREVRANGE', KEYS[2], first .. '-0', '-', 'COUNT', 1)
  if not holds_it[1] then return {'ok', 0} end
  first = string.match(holds_it[1][1], '^(%d+)')
end
if ARGV[1] == 'slice' then return {'ok', redis.call('XTRIM', KEYS[2], 'MINID', '~', first, 'LIMIT', 200)} end
return {'ok', redis.call('XTRIM', KEYS[2], 'MINID', '=', first)}
)";

Script make(std::string_view text, bool beyond) {
    Script script;
    if (beyond) script.text = "#!lua flags=allow-oom";
    script.text += text;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    MUST(EVP_Digest(script.text.data(), script.text.size(), digest, &size, EVP_sha1(), nullptr) == 1);
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (unsigned i = 0; i < size; ++i) {
        script.sha1 += kDigits[digest[i] >> 4];
        script.sha1 += kDigits[digest[i] & 15];
    }
    return script;
}

}  // namespace

Scripts make_scripts(bool knows_flags) {
    return {.append = make(kAppend, false),
            .append_beyond = make(kAppend, knows_flags),
            .put = make(kPut, false),
            .put_beyond = make(kPut, knows_flags),
            .renew = make(kRenew, knows_flags),
            .reclaim = make(kReclaim, knows_flags),
            .claim = make(kClaim, knows_flags),
            .keep = make(kKeep, knows_flags),
            .close = make(kClose, knows_flags),
            .begin = make(kBegin, false),
            .trim = make(kTrim, knows_flags)};
}

}  // namespace nexus::store::redis_script
