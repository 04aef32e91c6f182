"""What a Redis keeps of rooms, under which names and for how long; and how much of what waits for one that is away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.exceptions import AuthenticationError

import realtime
from realtime import BrokerError
from realtime.brokers.base import Keep, Refused
from realtime.brokers.redis import link as links
from realtime.brokers.redis.node import Node
from realtime.brokers.redis.scripts import SCRIPTS
from realtime.core.rooms import Position

from ..patience import arrives, eventually
from .servers import BROKER_TIMEOUT, PASSWORD, Server
from .test_directory import Listener
from .test_failures import KEPT, Worker, start
from .test_lossy import Chaos, LossyStore

__all__ = ["start"]  # a fixture

DAY = 86_400
LARGE = "x" * 70_000  # is stored, and referenced


class Kept:
    """A worker, and what its Redis has."""

    def __init__(self, server: Server, worker: Worker) -> None:
        self.server, self.worker = server, worker

    @property
    def node(self) -> Node:
        """The one node of its Redis."""
        (node,) = self.worker.rooms._store._nodes._nodes.values()  # type: ignore[attr-defined] # it is Redis
        return node  # type: ignore[no-any-return]

    def lives(self, kind: str) -> list[int]:
        """For how many milliseconds more keys of this kind are there, the youngest last."""
        with self.server.client() as client:
            keys = [key for key in client.keys(f"*}}:{kind}:*") if "identity/" not in key and "\0" not in key]
            return sorted(client.pttl(key) for key in keys)


@pytest.fixture
async def make(own_redis: Server, start: Any) -> Callable[..., Any]:
    """Starts a worker, in which rooms are configured as told."""

    async def make(*rules: tuple[str, int, float], **options: Any) -> Kept:
        def configure(service: Any) -> None:
            for pattern, history, ttl in rules:
                service.configure_rooms(pattern, history, ttl, False)

        worker = await start(own_redis.url, timeout=BROKER_TIMEOUT, quick=False, configure=configure, **options)
        await eventually(lambda: worker.rooms.health().ready)
        return Kept(own_redis, worker)

    return make


# -- names -------------------------------------------------------------------------------------------------------------


async def test_every_key_and_channel_has_the_prefix_and_the_number_of_the_schema(own_redis: Server, start: Any) -> None:
    """So that several applications, and two versions of ours, share one Redis."""
    one = await start(own_redis.url, timeout=BROKER_TIMEOUT, quick=False)
    await one.member(KEPT)
    await one.member("plain {x} ä")
    for text in ("small", LARGE):
        await one.send(KEPT, text)
        await one.send("plain {x} ä", text)
    await eventually(lambda: one.rooms.health().ready)
    with own_redis.client() as client:
        names = client.keys("*") + client.pubsub_channels("*")
    kinds = {re.fullmatch(r"realtime:1:\{\d+\}:([a-z]+):.*", name, re.DOTALL)[1] for name in names}  # type: ignore[index]
    assert kinds >= {"head", "stream", "id", "payload", "larges", "members", "own", "workers", "room", "beat"}


async def test_of_two_prefixes_neither_hears_the_other(own_redis: Server, start: Any) -> None:
    broker = realtime.RedisBroker(own_redis.url, prefix="other:")
    one, other = (
        await start(own_redis.url, timeout=BROKER_TIMEOUT),
        await start(own_redis.url, timeout=BROKER_TIMEOUT, of=broker),
    )
    ears = [await worker.member(KEPT) for worker in (one, other)]
    await one.send(KEPT, "one")
    await other.send(KEPT, "other")
    for ear, text in zip(ears, ("one", "other"), strict=True):
        await eventually(lambda ear=ear, text=text: ear.heard == [text])  # type: ignore[misc]
    for worker in (one, other):
        await worker.until_present(KEPT, 1)


# -- for how long ------------------------------------------------------------------------------------------------------


async def test_a_position_outlives_the_history_whoever_asks(make: Any) -> None:
    """Else a room would forget its history before its time, with where it stands."""
    kept = await make(("long", 10, 30 * DAY))
    await kept.worker.send("long", "1")
    (head,), (stream,) = kept.lives("head"), kept.lives("stream")
    assert head > stream > 29 * DAY * 1000
    store = kept.worker.rooms._store
    await store.read("long", Keep(), None, Position(0, 0, ""))  # as a publisher that compares what it knows
    assert not await store.raise_epoch("long", Keep(), 0, 0)
    assert kept.lives("head")[0] > 30 * DAY * 1000
    await kept.worker.send("plain", "1")
    assert 6 * DAY * 1000 < kept.lives("head")[0] <= 7 * DAY * 1000


async def test_a_large_message_stays_as_long_as_its_room_keeps_it(make: Any) -> None:
    """It does not end before the others, `ttl` seconds after itself."""
    kept = await make(("long", 10, 1000.0))
    await kept.worker.send("long", LARGE)
    room = kept.worker.hub.room("long")
    for _ in range(3):
        with kept.server.client() as client:  # six hundred seconds pass
            (head,) = client.keys("*:head:long")
            for key in [*client.keys("*:payload:*"), *client.keys("*:larges:long")]:
                client.pexpire(key, client.pttl(key) - 600_000)
            client.hincrby(head, "l", -600_000)
        await kept.worker.send("long", "small")
        assert kept.lives("payload")[0] >= 1_000_000
        assert kept.lives("larges")[0] >= 1_000_000
    assert [text for _, text in (await room.history()).messages] == [LARGE, "small", "small", "small"]


async def test_what_a_history_has_no_more_takes_no_room(make: Any) -> None:
    """But for a minute, in which whoever has heard of it may fetch it."""
    kept = await make(("short", 2, 30 * DAY))
    for _ in range(4):
        await kept.worker.send("short", LARGE)
    lives = kept.lives("payload")
    assert len(lives) == 4
    assert lives[1] <= 60_000 < lives[2]
    await kept.worker.send("short", "small")
    assert kept.lives("payload")[2] <= 60_000 < kept.lives("payload")[3]
    await kept.worker.send("short", "small")
    assert kept.lives("payload")[3] <= 60_000
    assert kept.lives("larges") == []
    with kept.server.client() as client:
        (head,) = client.keys("*:head:short")
        assert not client.hexists(head, "l")


async def test_a_room_that_is_cleared_has_forgotten_what_was_large(make: Any) -> None:
    kept = await make(("short", 5, 30 * DAY))
    for text in (LARGE, "small", LARGE):
        await kept.worker.send("short", text)
    await kept.worker.hub.room("short").clear()
    assert kept.lives("payload") == kept.lives("larges") == kept.lives("stream") == []
    await kept.worker.send("short", LARGE)
    assert [text for _, text in (await kept.worker.hub.room("short").history()).messages] == [LARGE]
    assert kept.lives("payload")[0] > 60_000


# -- how much waits ----------------------------------------------------------------------------------------------------


async def test_what_is_published_in_one_turn_is_one_write(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await make()
    connection: Any = kept.node.link._connection
    pack, sizes = connection.pack_commands, []

    def packed(commands: list[Any]) -> Any:
        sizes.append(len(commands))
        return pack(commands)

    monkeypatch.setattr(connection, "pack_commands", packed)
    await arrives(asyncio.gather(*(kept.worker.send(f"room {number}", "x") for number in range(200))))
    assert max(sizes) >= 200


async def test_a_redis_is_asked_in_two_goes_when_it_is_met(own_redis: Server, start: Any) -> None:
    """One question after the other, a Redis that is far away would not have answered all of them within `timeout`."""
    worker = await start(own_redis.url)
    await eventually(lambda: worker.rooms._store._nodes._nodes)
    link = Kept(own_redis, worker).node.link
    connection: Any = await link._connect()
    said: list[str] = []
    send, read = connection.send_packed_command, connection.read_response

    async def sends(*what: Any, **how: Any) -> None:
        said.append("sent")
        await send(*what, **how)

    async def reads(*what: Any, **how: Any) -> Any:
        said.append("read")
        return await read(*what, **how)

    connection.send_packed_command, connection.read_response = sends, reads
    await link._greet(connection)
    await connection.disconnect()
    assert said == ["sent", *["read"] * len(links.SECTIONS), "sent", *["read"] * len(SCRIPTS)]


async def test_a_redis_that_wants_a_password_says_so_however_far_it_is(own_redis: Server, start: Any) -> None:
    """It allows 1 KiB of answers to who has given none; they count once the buffer of a connection has shrunk, which it
    does where nothing is asked for some 100 ms: at the other end of the world, between connecting and the greeting."""
    worker = await start(own_redis.url)
    await eventually(lambda: worker.rooms._store._nodes._nodes)
    link = Kept(own_redis, worker).node.link
    with own_redis.client() as client:
        client.config_set("requirepass", PASSWORD)
        async with AsyncExitStack() as stack:
            with pytest.raises(AuthenticationError, match="Authentication required"):
                connection: Any = await link._connect()  # where newer ones say so already
                stack.push_async_callback(connection.disconnect)
                _, port = connection._writer.get_extra_info("sockname")[:2]

                def buffer() -> int:
                    (size,) = [int(one["rbs"]) for one in client.client_list() if one["addr"].endswith(f":{port}")]
                    return size

                await eventually(lambda: buffer() <= 1024)
                await link._greet(connection)


@pytest.mark.parametrize("limit", [("MAX_WAITING", 5), ("MAX_WAITING_SIZE", 5_000)])
async def test_publishes_that_wait_are_bounded(
    own_redis: Server, make: Any, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes more while the broker is away is told at once."""
    kept = await make()
    monkeypatch.setattr(f"realtime.brokers.publishing.{limit[0]}", limit[1])
    own_redis.kill()
    await eventually(lambda: kept.worker.away)
    waiting = [asyncio.ensure_future(kept.worker.send("plain", "x" * 990)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(BrokerError, match="wait for the broker: it is too slow") as caught:
        await kept.worker.send("plain", "x" * 990)
    assert not caught.value.maybe_sent
    own_redis.start()
    await arrives(asyncio.gather(*waiting))
    await arrives(kept.worker.send("plain", "x" * 990))


@pytest.mark.parametrize("limit", [("MAX_WAITING", 5), ("MAX_WAITING_SIZE", 5_000)])
async def test_commands_that_wait_are_bounded(
    make: Any, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await make()
    monkeypatch.setattr(links, *limit)
    asked = [kept.node.link.call("ECHO", "x" * 990) for _ in range(20)]  # in one turn: nothing is answered meanwhile
    refused = [one for one in asked if one.done()]
    assert 15 <= len(refused) < 20  # a beat may wait, too
    for one in refused:
        assert isinstance(one.exception(), Refused)
    answered = [one for one in asked if one not in refused]
    assert await arrives(asyncio.gather(*answered)) == [b"x" * 990] * len(answered)


async def test_joins_that_fail_while_redis_is_away_leave_nothing(own_redis: Server, make: Any) -> None:
    kept = await make()
    ear = await kept.worker.member("there")
    own_redis.kill()
    await eventually(lambda: kept.worker.away and not kept.node.ear.standing)
    channels = set(kept.node.ear.channels)
    kept.worker.waits(0.001)
    for number in range(50):
        with pytest.raises(BrokerError):
            await kept.worker.member(f"room {number}")
    assert set(kept.node.ear.channels) == channels
    assert not kept.node.ear._changes
    assert list(kept.worker.rooms._local) == ["there"]
    own_redis.start()
    kept.worker.waits(BROKER_TIMEOUT)
    again = await kept.worker.member("room 0")
    await kept.worker.send("room 0", "heard")
    await eventually(lambda: again.heard == ["heard"])
    await eventually(lambda: kept.worker.rooms._local["there"].follower.live)
    await kept.worker.send("there", "heard")
    await eventually(lambda: ear.heard[-1:] == ["heard"])


# -- publishers that serve nothing -------------------------------------------------------------------------------------


class Stores:
    """A broker that goes back when it is told to."""

    timeout = 0.0

    def __init__(self) -> None:
        self.chaos = Chaos(0)
        self.chaos.adverse = False

    def store(self) -> Any:
        return LossyStore(self.chaos)


async def test_a_publisher_tells_of_what_another_run_has_taken_back() -> None:
    """Nobody else may have heard of it. Before it ends, and whether or not it says any more."""
    stores = Stores()
    async with realtime.Publisher(stores) as publisher:
        await publisher.send("room", "kept")
        stores.chaos.save()
        await publisher.send("room", "lost")
        room = stores.chaos.broker._rooms["room"]
        epoch = room.epoch
        stores.chaos.fail_over()
        await eventually(lambda: stores.chaos.broker._rooms["room"].epoch > epoch)
        assert stores.chaos.broker._rooms["room"].top == 1


async def test_a_publisher_forgets_what_it_has_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.brokers.publisher.SWEEP", 0.01)
    async with realtime.Publisher(realtime.MemoryBroker()) as publisher:
        for number in range(50):
            await publisher.send(f"room {number}", "x")
        assert publisher._publishing is not None
        known = publisher._publishing.known
        await eventually(lambda: not len(known))


@pytest.mark.parametrize("made", [realtime.Server, realtime.Publisher, realtime.BlockingPublisher])
def test_nobody_waits_for_longer_than_a_store_remembers_what_it_was_told(made: Any) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=r"broker_timeout=51: takes .* above 0 and at most 50"):
        made(broker="redis://localhost", broker_timeout=51)
    with pytest.raises(TypeError, match="broker_timeout='soon'"):
        made(broker="redis://localhost", broker_timeout="soon")
    made(broker="redis://localhost", broker_timeout=50)


def test_a_history_that_nobody_can_count_is_refused() -> None:
    rt = realtime.Server(broker="redis://localhost")
    with pytest.raises(realtime.LocalProtocolError, match=r"ttl=1e\+17: takes .* at most 100,000,000"):
        rt.configure_rooms("a", history=1, ttl=1e17)
    rt.configure_rooms("a", history=1, ttl=1e8)


async def test_a_redis_without_room_for_more_keeps_no_more_rooms(own_redis: Server) -> None:
    """Not even where they stand, however many names clients think of."""
    store = realtime.RedisBroker(own_redis.url).store()
    await store.start("worker", Listener())
    try:
        await arrives(store.reached("a"))
        with own_redis.client() as client:
            client.config_set("maxmemory", "100kb")
            for attempt in (
                store.publish("new", Keep(10, 60.0), "x-1", b"text", False),
                store.publish("large", Keep(10, 60.0), "x-1", b"x" * 70_000, False),
                store.read("other", Keep(10, 60.0), None, None),
            ):
                with pytest.raises(BrokerError, match="maxmemory"):
                    await attempt
            assert client.keys("*") == []
    finally:
        await store.close()
