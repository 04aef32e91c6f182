"""What Redis does in one step for durable sessions (docs/protocol.md §13.2). Each script stays in one slot."""

from __future__ import annotations

from .directory_scripts import CLOCK, LOWER

__all__ = ["RECORD_SCRIPTS"]

# KEYS: record, index, notices of a worker.
# ARGV: expected id, id, text, sid, life, whether it is indexed, a notice or '', for how long that is kept
_PUT = (
    CLOCK
    + """
local before = redis.call('HGET', KEYS[1], 'i') or ''
if before ~= ARGV[1] then return before end
local now = clock()
redis.call('HSET', KEYS[1], 'i', ARGV[2], 'r', ARGV[3], 't', whole(now))
if ARGV[6] == '1' then
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[2], whole(now + ARGV[5]), ARGV[4])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('ZREM', KEYS[2], ARGV[4])
end
if ARGV[7] ~= '' then
  redis.call('RPUSH', KEYS[3], ARGV[7])
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
return ARGV[2]
"""
)

# A time that is to come is from before the clock was set back: it counts from now on.
# KEYS: record.
_LOAD = (
    CLOCK
    + """
local kept, now = redis.call('HMGET', KEYS[1], 'r', 't'), clock()
if not kept[1] then return {} end
if tonumber(kept[2]) > now then
  kept[2] = whole(now)
  redis.call('HSET', KEYS[1], 't', kept[2])
end
return {kept[1], whole(now - kept[2])}
"""
)

# What is due later than anything is put there is from before the clock was set back, and would wait for as long.
# KEYS: index. ARGV: how many, when the last is due, or ''
_DUE = (
    CLOCK
    + LOWER
    + """
local now = clock()
if ARGV[2] ~= '' then lower(KEYS[1], whole(now + ARGV[2])) end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, ARGV[1])
"""
)

# KEYS: index, record. ARGV: sid, for how long. A Redis that had no more room may have dropped one and kept the other
_POSTPONE = (
    CLOCK
    + """
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZADD', KEYS[1], 'XX', whole(clock() + ARGV[2]), ARGV[1])
return 1
"""
)

# KEYS: notices of a worker. ARGV: those that are done with
_NOTICED = """
for _, notice in ipairs(ARGV) do redis.call('LREM', KEYS[1], 0, notice) end
return 1
"""

RECORD_SCRIPTS = {
    "record_put": _PUT,
    "record_load": _LOAD,
    "record_postpone": _POSTPONE,
    "records_due": _DUE,
    "records_noticed": _NOTICED,
}
