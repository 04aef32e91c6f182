"""What metrics say of rooms over real Redis, while it is well and while it is not (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import realtime
from realtime import BrokerError
from realtime.core.rooms import Position
from realtime.metrics import Metrics

from ..patience import arrives, eventually
from .servers import BROKER_TIMEOUT, Server
from .test_failures import KEPT, Worker


class Shown:
    """A worker, and its metrics as they stand, by name and label."""

    def __init__(self, url: str) -> None:
        self.worker = Worker(url, timeout=BROKER_TIMEOUT)
        self.worker.service.configure_rooms("short/*", 2, 60, False)
        server = realtime.Server()
        server._service = self.worker.service
        self._metrics = Metrics(server)

    def of(self, name: str, label: str = "") -> float:
        return next(
            sample.value
            for family in self._metrics.collect()
            for sample in family.samples
            if sample.name == f"realtime_{name}" and label in ("", *sample.labels.values())
        )


@pytest.fixture
async def shown(own_redis: Server) -> AsyncIterator[Shown]:
    shown = Shown(own_redis.url)
    await shown.worker.rooms.start()
    yield shown
    await shown.worker.rooms.close()


async def test_what_is_counted_while_all_is_well(shown: Shown) -> None:
    worker = shown.worker
    ear = await worker.member("plain")
    await eventually(lambda: worker.rooms.health().ready)
    assert (shown.of("publishes_total", "published"), shown.of("rooms_followed")) == (0, 1)
    commands = shown.of("broker_commands_total", "answered")
    for number in range(3):
        await worker.send("plain", str(number))
    await eventually(lambda: len(ear.heard) == 3)
    assert shown.of("publishes_total", "published") == 3
    assert shown.of("broker_commands_total", "answered") >= commands + 3
    assert 0 < shown.of("broker_command_seconds_total") < 60
    worker.hub.put_out(ear, "plain")
    assert shown.of("rooms_followed") == 0
    for name in ("broker_deafnesses_total", "room_epochs_total"):
        assert shown.of(name) == 0
    for name, label in (("publishes_total", "failed"), ("room_gaps_total", "room"), ("room_gaps_total", "member")):
        assert shown.of(name, label) == 0


async def test_deafness_repairs_and_gaps_are_counted(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = shown.worker
    kept, plain = await worker.member(KEPT), await worker.member("plain")
    await worker.send("plain", "first")
    await eventually(lambda: plain.heard == ["first"])
    (node,) = worker.rooms._store._nodes._nodes.values()  # type: ignore[attr-defined] # it is Redis
    with monkeypatch.context() as deaf:
        deaf.setattr(node.ear, "_heard", lambda channel, data: None)
        for room in (KEPT, "plain"):
            await worker.send(room, "unheard")
        await eventually(lambda: shown.of("broker_deafnesses_total") == 1)
    await eventually(lambda: kept.heard == ["unheard"] and plain.heard == ["first", None])
    assert (shown.of("room_repairs_total"), shown.of("room_gaps_total", "room")) == (1, 1)
    cursors = [await worker.send("short/a", str(number)) for number in range(4)]
    await worker.member("short/a", after=Position.parse(cursors[0]))
    assert shown.of("room_gaps_total", "member") == 1


async def test_redis_away_and_without_memory_is_counted(shown: Shown, own_redis: Server) -> None:
    worker = shown.worker
    ear = await worker.member(KEPT)
    await worker.send(KEPT, "before")
    await eventually(lambda: ear.heard == ["before"] and worker.rooms.health().ready)
    own_redis.pause()
    worker.waits(0.5)
    with pytest.raises(BrokerError) as caught:
        await worker.send(KEPT, "perhaps")
    assert caught.value.maybe_sent
    await eventually(lambda: shown.of("broker_commands_total", "unanswered") >= 1)
    own_redis.kill()
    await eventually(lambda: worker.away)
    assert shown.of("ready") == 0
    with pytest.raises(BrokerError) as caught:
        await worker.send(KEPT, "no")
    assert not caught.value.maybe_sent
    assert (shown.of("publishes_total", "unknown"), shown.of("publishes_total", "failed")) == (1, 1)
    assert shown.of("broker_commands_total", "refused") >= 1
    own_redis.start()
    worker.waits(BROKER_TIMEOUT)
    await arrives(worker.sent(KEPT, "after"))
    await eventually(lambda: ear.heard == ["before", None, "after"])
    assert shown.of("room_gaps_total", "room") == 1
    await eventually(lambda: shown.of("ready") == 1)
