"""What Redis does in one step for a queue: a stream with one group, whose consumers are the workers.

What was given to a worker is in the group's list of pending entries, under the worker's name. A worker says now and
then that it is there (keep), so what has been idle for longer is a dead worker's: by the clock of Redis, which may be
set, and so only where somebody has looked all the while. What is to be given again, in its old place, is in a sorted
set beside the stream, whose scores follow the ids.
"""

from __future__ import annotations

from .directory_scripts import CLOCK

__all__ = ["QUEUE_SCRIPTS"]

# KEYS: stream, id of the put. ARGV: payload, most messages, life of the id. 1 when it is there, 0 when there is no room
_PUT = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'd', ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
return 1
"""

# Whether what has been idle for `lease` ms proves that its worker is gone. KEYS[3] has when it was asked last, and from
# when it does. Where nobody has asked for half a lease, or the clock was set forward, all who are there have as long to
# say so. Where it was set back, what is given was given now, or it would stay a dead worker's for as long as that.
_JUDGE = """
local function judge(lease)
  local now, kept = clock(), redis.call('GET', KEYS[3])
  local last, from = string.match(kept or '', '^(%d+) (%d+)$')
  last, from = tonumber(last), tonumber(from)
  if last and now < last then
    local at = '-'
    repeat
      local page = redis.call('XPENDING', KEYS[1], 'q', at, '+', 100)
      for _, one in ipairs(page) do
        redis.call('XCLAIM', KEYS[1], 'q', one[2], 0, one[1], 'JUSTID')
        at = '(' .. one[1]
      end
    until #page < 100
  end
  if not last or now < last or now - last >= lease / 2 then from = now + lease / 2 end
  redis.call('DEL', KEYS[3])  -- the first write, for which a Redis without room for more has some
  redis.call('SET', KEYS[3], whole(now) .. ' ' .. whole(from))
  return now >= from
end
"""

# KEYS: stream, those to be given again, who looks. ARGV: worker, most messages, most bytes, ms after which what a
# worker has is nobody's ('' where that is not asked). Id, payload, and how often it was given, of each: of a dead
# worker's as QueueStore.take() says. A worker that has nothing and has said nothing for long is forgotten: a queue that
# is never empty outlives many
_TAKE = (
    CLOCK
    + _JUDGE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
redis.pcall('XGROUP', 'CREATE', KEYS[1], 'q', '0')
local found, seen, size, most = {}, {}, 0, tonumber(ARGV[2])
local function add(entries)
  for _, entry in ipairs(entries) do
    if entry and entry[2] and not seen[entry[1]] then
      seen[entry[1]] = true
      local pending = redis.call('XPENDING', KEYS[1], 'q', entry[1], entry[1], 1)
      local times = pending[1] and pending[1][4] or 1
      found[#found + 1] = {entry[1], entry[2][2], times}
      size = size + #entry[2][2]
    end
  end
end
local function room() return #found < most and (size < tonumber(ARGV[3]) or #found == 0) end
while room() do
  local back = redis.call('ZPOPMIN', KEYS[2])
  if not back[1] then break end
  add(redis.call('XCLAIM', KEYS[1], 'q', ARGV[1], 0, back[1]))
end
local from, gone = '-', {}
local judges = ARGV[4] ~= '' and judge(tonumber(ARGV[4]))
while judges and room() do
  local left = redis.call('XPENDING', KEYS[1], 'q', 'IDLE', ARGV[4], from, '+', 1)[1]
  if not left then break end
  local id, worker, times = left[1], left[2], left[4] + 1
  if gone[worker] then times = math.max(2, left[4]) end
  if not seen[id] then
    gone[worker] = true
    add(redis.call('XCLAIM', KEYS[1], 'q', ARGV[1], 0, id, 'RETRYCOUNT', times))
  end
  from = '(' .. id
end
if judges then
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], 'q')) do
    local said = {}
    for index = 1, #info, 2 do said[info[index]] = info[index + 1] end
    if said.pending == 0 and said.idle >= 10 * tonumber(ARGV[4]) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], 'q', said.name)
    end
  end
end
while room() do
  local read = redis.call('XREADGROUP', 'GROUP', 'q', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  if not read or not read[1] then break end
  add(read[1][2])
end
return found
"""
)

# Whether a message is the worker's still: neither settled, nor another's, nor lost with all the store had.
_OWN = """
local function own(id)
  local pending = redis.pcall('XPENDING', KEYS[1], 'q', id, id, 1)
  return not pending.err and pending[1] and pending[1][2] == ARGV[1]
end
"""

# KEYS: stream. ARGV: worker, ids. Says of those that are the worker's still that it is there
_KEEP = (
    _OWN
    + """
for index = 2, #ARGV do
  if own(ARGV[index]) then
    redis.call('XCLAIM', KEYS[1], 'q', ARGV[1], 0, ARGV[index], 'JUSTID')
  end
end
return 1
"""
)

# KEYS: the same as for _TAKE. ARGV: ids. They are done
_SETTLE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, id in ipairs(ARGV) do
  redis.pcall('XACK', KEYS[1], 'q', id)
  redis.call('XDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
return 1
"""

# KEYS: stream, those to be given again. ARGV: worker, ids, behind each how often it was given. Those that are its own
# still are to be given again
_GIVE_BACK = (
    _OWN
    + """
for index = 2, #ARGV, 2 do
  if own(ARGV[index]) then
    redis.call('XCLAIM', KEYS[1], 'q', ARGV[1], 0, ARGV[index], 'RETRYCOUNT', ARGV[index + 1], 'JUSTID')
    local ms, number = string.match(ARGV[index], '^(%d+)-(%d+)$')
    redis.call('ZADD', KEYS[2], string.format('%.0f', ms * 1000 + math.min(number, 999)), ARGV[index])
  end
end
return 1
"""
)

QUEUE_SCRIPTS = {
    "queue_put": _PUT,
    "queue_take": _TAKE,
    "queue_keep": _KEEP,
    "queue_settle": _SETTLE,
    "queue_give_back": _GIVE_BACK,
}
