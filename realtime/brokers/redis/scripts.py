"""What Redis does in one step: the keys of rooms, and the scripts over them (docs/scaling.md §9).

Every key has our schema's number, so that two versions of ours share one Redis without harm, and a hash tag, so that
all keys of a room are in one slot of a cluster.
"""

from __future__ import annotations

import hashlib
from binascii import crc32

from .directory_scripts import CLOCK, DIRECTORY_SCRIPTS, LOWER
from .queue_scripts import QUEUE_SCRIPTS
from .record_scripts import RECORD_SCRIPTS

__all__ = ["PARTITIONS", "SCRIPTS", "Keys", "ms", "sha"]

SCHEMA = 1
PARTITIONS = 128

# A Redis without room for more refuses the first write of a script, unless that needs none; and no write behind it.
_BORN = """
local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
local function head()
  local kept = redis.call('HMGET', KEYS[1], 'e', 't', 'i', 'b', 'c', 'z', 'l')
  if not kept[1] then
    kept = {whole(clock()), '0', '', '0', '', false}
    redis.call('HSET', KEYS[1], 'e', kept[1], 't', '0', 'i', '', 'b', '0', 'c', '')
    redis.call('DEL', KEYS[2])
  end
  return kept
end
"""

# A large payload of a history is there as long as its message: it lives half as long again as that, and anew when
# a third of that is over, all of a room together. And a while longer, for who is fetching it. `l` of the head says when
# they were given new life last, if there are any; they are listed by their offsets.
_LARGE = """
local function large(id) return string.sub(KEYS[5], 1, #KEYS[5] - #ARGV[1]) .. id end
local function keep_large(since, offset)
  local behind = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', whole(offset - ARGV[3]))
  for _, id in ipairs(behind) do
    redis.call('PEXPIRE', large(id), ARGV[11], 'LT')
    redis.call('ZREM', KEYS[6], id)
  end
  local now, life = clock(), whole(ARGV[4] * 1.5)
  if now - since > ARGV[4] / 2 then
    for _, id in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do redis.call('PEXPIRE', large(id), life) end
    redis.call('PEXPIRE', KEYS[6], life)
    redis.call('HSET', KEYS[1], 'l', whole(now))
  end
  if redis.call('EXISTS', KEYS[6]) == 0 then redis.call('HDEL', KEYS[1], 'l') end
end
"""

# KEYS: head, stream, repeat, channel, payload, the list of large ones.
# ARGV: id, payload, history, ttl, life of the head, ask, life of the repeat, by reference, command to publish, closes,
# for how long a large payload is there that no history has
_PUBLISH = (
    _BORN
    + _LARGE
    + """
local before = redis.call('GET', KEYS[3])
if before then return before end
if ARGV[6] == '1' then return '' end
local kept = head()
local offset = whole(kept[2] + 1)
redis.call('HSET', KEYS[1], 't', offset, 'i', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local text = ARGV[1] .. ' ' .. kept[3] .. ' '
if ARGV[8] == '1' then
  if ARGV[3] == '0' then
    redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[11])
  else
    local life = whole(ARGV[4] * 1.5)
    redis.call('SET', KEYS[5], ARGV[2], 'PX', life)
    redis.call('ZADD', KEYS[6], offset, ARGV[1])
    if not kept[7] then
      kept[7] = whole(clock())
      redis.call('HSET', KEYS[1], 'l', kept[7])
      redis.call('PEXPIRE', KEYS[6], life)
    end
  end
  text = text .. 'r\\n'
else
  text = text .. 'd\\n' .. ARGV[2]
end
if ARGV[3] ~= '0' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[3], offset .. '-0', 'd', text)
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  if kept[7] then keep_large(kept[7], offset) end
end
local position = kept[1] .. ' ' .. offset
if ARGV[10] == '1' then redis.call('HSET', KEYS[1], 'z', position) end
redis.call('SET', KEYS[3], position, 'PX', ARGV[7])
redis.call(ARGV[9], KEYS[4], position .. ' ' .. text)
return position
"""
)

# KEYS: head, stream. ARGV: epoch and offset to read after, or ''; an offset to tell the id of, or '';
# how many of the last; most entries; most bytes; life of the head
_READ = (
    _BORN
    + """
local kept = head()
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[7]) then redis.call('PEXPIRE', KEYS[1], ARGV[7]) end
local top = tonumber(kept[2])
local function id_at(offset)
  if offset == '' then return false end
  local number = tonumber(offset)
  if number == top then return kept[3] end
  local found = redis.call('XRANGE', KEYS[2], offset .. '-0', offset .. '-0')
  if found[1] then return string.match(found[1][2][2], '^(%S*) ') end
  local next = whole(number + 1) .. '-0'
  found = redis.call('XRANGE', KEYS[2], next, next)
  if found[1] then return string.match(found[1][2][2], '^%S* (%S*) ') end
  return false
end
local start = top
if ARGV[1] ~= '' then
  start = tonumber(ARGV[1] == kept[1] and ARGV[2] or kept[4])
elseif ARGV[4] ~= '0' then
  start = math.max(top - ARGV[4], 0)
end
local entries, more = {}, 0
if start < top then
  local size = 0
  local found = redis.call('XRANGE', KEYS[2], whole(start + 1) .. '-0', '+', 'COUNT', ARGV[5] + 1)
  for index, entry in ipairs(found) do
    size = size + #entry[2][2]
    if index > 1 and (index > tonumber(ARGV[5]) or size > tonumber(ARGV[6])) then
      more = 1
      break
    end
    entries[#entries + 1] = string.match(entry[1], '^%d+')
    entries[#entries + 1] = entry[2][2]
  end
end
local asked = ''
if ARGV[1] == kept[1] then asked = ARGV[2] end
return {kept[1], kept[2], kept[3], kept[4], kept[5], clock(), more, id_at(asked), id_at(ARGV[3]), entries,
  kept[6] or '0 0'}
"""
)

# KEYS: head, stream, channel. ARGV: epoch seen, epoch to be above, life of the head, command to publish
_RAISE = (
    _BORN
    + """
local kept = head()
if kept[1] ~= ARGV[1] then return 0 end
local epoch = whole(math.max(kept[1] + 1, ARGV[2] + 1, clock()))
redis.call('HSET', KEYS[1], 'e', epoch, 'b', kept[2], 'c', kept[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
redis.call(ARGV[4], KEYS[3], '!')
return 1
"""
)

# KEYS: head, stream, the list of large payloads. ARGV: what their names begin with
_CLEAR = """
redis.call('DEL', KEYS[2])
for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('UNLINK', ARGV[1] .. id) end
redis.call('DEL', KEYS[3])
return redis.call('HDEL', KEYS[1], 'l')
"""

# KEYS: workers, own, members, channel. ARGV: worker, room, command to publish, how many to add, then member and info of
# each, then members to remove
_ATTEND = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local at = 5
for _ = 1, ARGV[4] do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[1] .. ' ' .. ARGV[at + 1])
  redis.call('SADD', KEYS[2], ARGV[at] .. ' ' .. ARGV[2])
  at = at + 2
end
for index = at, #ARGV do
  local value = redis.call('HGET', KEYS[3], ARGV[index])
  if value and string.match(value, '^%S+') == ARGV[1] then redis.call('HDEL', KEYS[3], ARGV[index]) end
  redis.call('SREM', KEYS[2], ARGV[index] .. ' ' .. ARGV[2])
end
redis.call(ARGV[3], KEYS[4], '?')
return 1
"""

# Where this worker's own lease has run out, the clock may have been set forward. Then others' have as well, and each
# gets one more: whoever renews first must not find the rest dead.
# KEYS: workers. ARGV: worker, lease
_REGISTER = (
    CLOCK
    + LOWER
    + """
local now = clock()
local own = redis.call('ZSCORE', KEYS[1], ARGV[1])
if own and tonumber(own) < now then
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. whole(now))) do
    redis.call('ZADD', KEYS[1], whole(now + ARGV[2]), worker)
  end
end
local added = redis.call('ZADD', KEYS[1], whole(now + ARGV[2]), ARGV[1])
lower(KEYS[1], whole(now + 10 * ARGV[2]))
return added
"""
)

# KEYS: workers. ARGV: the worker that asks. While its own lease has run out, too, others' prove nothing.
_EXPIRED = """
local now = redis.call('TIME')
local ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local own = redis.call('ZSCORE', KEYS[1], ARGV[1])
if own and tonumber(own) < tonumber(ms) then return {} end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ms, 'WITHSCORES')
"""

# Its only key is that of the workers.
_WORKERS = """
local now = redis.call('TIME')
local ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
return redis.call('ZRANGEBYSCORE', KEYS[1], ms, '+inf')
"""

# KEYS: answers. ARGV: worker, text, life
_ANSWER = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""

# KEYS: workers, own. ARGV: worker, until when its lease was ('' for any), command to publish, what the keys of members
# and the channels of rooms begin with. These are in the slot of the tag that all have.
_REAP = """
if ARGV[2] ~= '' and redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local rooms = {}
for _, one in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local member, room = string.match(one, '^(%S+) (.*)$')
  local key = ARGV[4] .. room
  local value = redis.call('HGET', key, member)
  if value and string.match(value, '^%S+') == ARGV[1] then redis.call('HDEL', key, member) end
  rooms[room] = true
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
for room in pairs(rooms) do redis.call(ARGV[3], ARGV[5] .. room, '?') end
return 1
"""

SCRIPTS = {
    "publish": _PUBLISH,
    "read": _READ,
    "raise": _RAISE,
    "clear": _CLEAR,
    "attend": _ATTEND,
    "register": _REGISTER,
    "expired": _EXPIRED,
    "workers": _WORKERS,
    "answer": _ANSWER,
    "reap": _REAP,
    **DIRECTORY_SCRIPTS,
    **QUEUE_SCRIPTS,
    **RECORD_SCRIPTS,
}


def sha(name: str) -> str:
    """By what Redis knows a script."""
    return _SHAS[name]


def ms(seconds: float) -> int:
    """For how long something is kept, in whole milliseconds: at least one, or Redis does not keep it, but fails."""
    return max(1, int(seconds * 1000))


_SHAS = {name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in SCRIPTS.items()}


class Keys:
    """The names of everything in a database of Redis, below a prefix. Channels are those of all databases together, so
    that their names say which one they are of."""

    def __init__(self, prefix: str, database: int = 0) -> None:
        self._prefix = f"{prefix}{SCHEMA}:"
        self._of_channels = f"{prefix}{SCHEMA}/{database}:" if database else self._prefix

    @staticmethod
    def part(room: str) -> int:
        """In which of the partitions a room is."""
        return crc32(room.encode()) % PARTITIONS

    def _of(self, part: int, kind: str, name: str = "") -> str:
        return f"{self._prefix}{{{part}}}:{kind}:{name}"

    def _channel_of(self, part: int, kind: str, name: str = "") -> str:
        return f"{self._of_channels}{{{part}}}:{kind}:{name}"

    def head(self, room: str) -> str:
        """A room's epoch, top and base."""
        return self._of(self.part(room), "head", room)

    def stream(self, room: str) -> str:
        """A room's history."""
        return self._of(self.part(room), "stream", room)

    def channel(self, room: str) -> str:
        """A room's channel."""
        return self._channel_of(self.part(room), "room", room)

    def channels(self, part: int) -> str:
        """What the names of a partition's channels begin with."""
        return self._channel_of(part, "room")

    def repeat(self, room: str, id: str) -> str:
        """Where a publish stands that was made under this id."""
        return self._of(self.part(room), "id", id)

    def payload(self, room: str, id: str) -> str:
        """A payload too large for pub/sub."""
        return self._of(self.part(room), "payload", id)

    def larges(self, room: str) -> str:
        """The ids of the large payloads that a room's history has."""
        return self._of(self.part(room), "larges", room)

    def workers(self, part: int) -> str:
        """The leases of the workers that have members in a partition."""
        return self._of(part, "workers")

    def answers(self, part: int, question: str) -> str:
        """What workers have answered to a question."""
        return self._of(part, "answers", question)

    def own(self, part: int, worker: str) -> str:
        """The members that a worker has in a partition."""
        return self._of(part, "own", worker)

    def members(self, room: str) -> str:
        """Who is present in a room."""
        return self._of(self.part(room), "members", room)

    def all_members(self, part: int) -> str:
        """What the names of a partition's lists of members begin with."""
        return self._of(part, "members")

    def queue(self, name: str) -> str:
        """The stream of a queue."""
        return self._of(self.part(name), "queue", name)

    def back(self, name: str) -> str:
        """The ids of a queue's messages that are to be given again."""
        return self._of(self.part(name), "queue-back", name)

    def looked(self, name: str) -> str:
        """When somebody looked last for what dead workers had of a queue."""
        return self._of(self.part(name), "queue-looked", name)

    def put(self, name: str, id: str) -> str:
        """That this was put into a queue."""
        return self._of(self.part(name), "queue-id", id)

    def leases(self, part: int) -> str:
        """The leases of the workers of a cluster."""
        return self._of(part, "leases")

    def peers(self, part: int) -> str:
        """How the workers of a cluster are reached."""
        return self._of(part, "peers")

    def met(self, part: int) -> str:
        """When each run of the store was met first."""
        return self._of(part, "met")

    def claim(self, name: str) -> str:
        """Who has a name, which is hashed."""
        return self._of(self.part(name), "claim", name)

    def held(self, key: str) -> str:
        """How many each worker has of what is limited, which is hashed."""
        return self._of(self.part(key), "held", key)

    def ended(self, worker: str, sid: str) -> str:
        """How a session of a worker has ended."""
        return self._of(self.part(worker), "ended", sid)

    def record(self, sid: str) -> str:
        """A durable session."""
        return self._of(self.part(sid), "record", sid)

    def due(self, part: int) -> str:
        """When each durable session of a partition is to be looked at."""
        return self._of(part, "due")

    def notices(self, part: int, worker: str) -> str:
        """What was left for a worker."""
        return self._of(part, "notices", worker)

    def beat(self, part: int, worker: str) -> str:
        """The channel on which a worker hears itself."""
        return self._channel_of(part, "beat", worker)

    def room_of(self, channel: str) -> str | None:
        """The room that a channel is of; None if it is of none."""
        kind, _, name = channel.removeprefix(self._of_channels).partition("}:")[2].partition(":")
        return name if kind == "room" else None
