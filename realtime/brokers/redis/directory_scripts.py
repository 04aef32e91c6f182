"""What Redis does in one step for the directory of a cluster (docs/scaling.md §7). Each script stays in one slot."""

from __future__ import annotations

__all__ = ["CLOCK", "DIRECTORY_SCRIPTS", "LOWER"]

CLOCK = """
local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
"""

# A lease that has longer to run than any that is given is from before the clock of Redis was set back: whoever has it
# renews it, or is gone, and must not count as being there for as long as the clock was set back. So with all that is
# kept by times to come.
LOWER = """
local function lower(times, most)
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', times, '(' .. most, '+inf', 'LIMIT', 0, 100)) do
    redis.call('ZADD', times, most, one)
  end
end
"""

# Where this worker's own lease has run out others may have been kept from renewing theirs as well, or the clock was set
# forward: nobody is forgotten then. Workers' leases may differ.
# KEYS: leases, peers. ARGV: worker, incarnation, address, lease, for how long it is known behind that
_ENLIST = (
    CLOCK
    + LOWER
    + """
local now = clock()
local own = redis.call('ZSCORE', KEYS[1], ARGV[1])
if own and tonumber(own) > now then
  local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now - ARGV[5]), 'LIMIT', 0, 100)
  for _, worker in ipairs(gone) do
    redis.call('ZREM', KEYS[1], worker)
    redis.call('HDEL', KEYS[2], worker)
  end
end
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before and string.match(before, '^%S+') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('ZADD', KEYS[1], whole(now + ARGV[4]), ARGV[1])
lower(KEYS[1], whole(now + 10 * ARGV[4]))
return 1
"""
)

# KEYS: leases, peers. ARGV: worker, incarnation
_STRIKE = """
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before and string.match(before, '^%S+') == ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
"""

# KEYS: leases, peers. ARGV: worker
_FIND = (
    CLOCK
    + """
local peer = redis.call('HGET', KEYS[2], ARGV[1])
if not peer then return {} end
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
return {peer, until_ and whole(math.max(tonumber(until_) - clock(), 0)) or 0}
"""
)

# KEYS: leases, peers.
_LIVING = (
    CLOCK
    + """
local workers = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(clock()), '+inf')
local found = {}
for _, worker in ipairs(workers) do
  local peer = redis.call('HGET', KEYS[2], worker)
  if peer then
    found[#found + 1] = worker
    found[#found + 1] = peer
  end
end
return found
"""
)

# A time that is to come is from before the clock was set back.
# KEYS: when each run was met first. ARGV: run, for how long it has been there at least, how long that is known
_MET = (
    CLOCK
    + """
local now = clock()
local since = redis.call('HGET', KEYS[1], ARGV[1])
if not since or tonumber(since) > now then
  since = whole(now - ARGV[2])
  if redis.call('HLEN', KEYS[1]) > 100 then redis.call('DEL', KEYS[1]) end
  redis.call('HSET', KEYS[1], ARGV[1], since)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return whole(math.max(now - since, 0))
"""
)

# KEYS: a claim. ARGV: sid, digest, life, whether the name may be given
_CLAIM = """
local before = redis.call('GET', KEYS[1])
if before and string.match(before, '^[^.]*') ~= string.match(ARGV[1], '^[^.]*') then return before end
if not before and ARGV[4] == '0' then return '' end
local claim = ARGV[1] .. ' ' .. ARGV[2]
redis.call('SET', KEYS[1], claim, 'PX', ARGV[3])
return claim
"""

# KEYS: a claim. ARGV: sid
_RELEASE = """
local before = redis.call('GET', KEYS[1])
if before and string.match(before, '^%S+') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

# KEYS: how many each worker has. ARGV: worker, how many it has, for how long that is kept
_HOLD = """
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local found = {}
for _, part in ipairs(redis.call('HGETALL', KEYS[1])) do found[#found + 1] = part end
return found
"""

# KEYS: how sessions have ended. ARGV: for each how, and for how long that is kept
_BURY = """
for index, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[index * 2 - 1], 'PX', ARGV[index * 2])
end
return 1
"""

DIRECTORY_SCRIPTS = {
    "enlist": _ENLIST,
    "strike": _STRIKE,
    "find": _FIND,
    "living": _LIVING,
    "met": _MET,
    "claim": _CLAIM,
    "release": _RELEASE,
    "hold": _HOLD,
    "bury": _BURY,
}
