"""A cluster of which a node fails: rooms of other nodes go on, and those of that node come back, repaired or told."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection

from realtime.brokers.publisher import _Deaf as Listening
from realtime.brokers.redis.nodes import Nodes
from realtime.brokers.redis.scripts import PARTITIONS, Keys
from realtime.brokers.redis.topology import topology_of

from ..patience import arrives, bounded, eventually
from .servers import Cluster, Server, available, copied
from .test_failures import Ear, Worker, heard_again, start

__all__ = ["start"]  # a fixture

COMES_BACK = 5.0  # seconds within which every worker hears again, once its node is back


@pytest.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster of the test's own: a node keeps what it acknowledged, and others serve without it."""
    if not available():
        pytest.skip("redis-server is not installed")
    keeping = ("--appendonly", "yes", "--appendfsync", "always", "--cluster-require-full-coverage", "no")
    cluster = await asyncio.to_thread(Cluster, tmp_path, *keeping)
    yield cluster
    cluster.stop()


def rooms_of(worker: Worker, server: Server) -> tuple[str, str]:
    """A room with history whose node this is, and one whose node it is not."""
    nodes = worker.rooms._store._nodes  # type: ignore[attr-defined] # it is Redis
    here = [name for name in (f"kept/{n}" for n in range(100)) if str(server.port) in nodes._node_of(name).name]
    there = [name for name in (f"kept/{n}" for n in range(100)) if str(server.port) not in nodes._node_of(name).name]
    return here[0], there[0]


class Scene:
    """Two workers, a member of two rooms at each: one room is at the node that will fail."""

    def __init__(self, one: Worker, two: Worker, failing: str, other: str, ears: dict[str, list[Ear]]) -> None:
        self.one, self.two, self.failing, self.other, self.ears = one, two, failing, other, ears

    @classmethod
    async def make(cls, cluster: Cluster, start: Any, node: Server) -> Scene:
        one, two = await start(cluster.url), await start(cluster.url)
        await one.member("plain")  # so that it is known where rooms are
        failing, other = rooms_of(one, node)
        ears = {room: [await worker.member(room) for worker in (one, two)] for room in (failing, other)}
        for room in ears:
            await one.send(room, "before")
        scene = cls(one, two, failing, other, ears)
        for room in ears:
            await scene.hear(room, ["before"])
        return scene

    async def hear(self, room: str, texts: list[str | None]) -> None:
        for ear in self.ears[room]:
            await eventually(lambda ear=ear: ear.heard == texts)  # type: ignore[misc]


@pytest.mark.timeout(120)
async def test_a_node_that_is_killed_and_restarted_loses_nothing_and_others_go_on(fragile: Cluster, start: Any) -> None:
    node = fragile.nodes[0]
    scene = await Scene.make(fragile, start, node)
    node.kill()
    await eventually(lambda: scene.one.away and scene.two.away)
    sending = [asyncio.create_task(scene.one.send(scene.failing, "meanwhile"))]
    for number in range(3):
        await arrives(scene.two.send(scene.other, str(number)), "rooms of other nodes go on")
    await scene.hear(scene.other, ["before", "0", "1", "2"])
    assert not sending[0].done()
    assert not scene.one.rooms.health().ready
    await asyncio.to_thread(node.start)
    async with bounded(COMES_BACK):
        await arrives(asyncio.gather(*sending))
        await arrives(scene.two.send(scene.failing, "after"))
        await scene.hear(scene.failing, ["before", "meanwhile", "after"])
    await eventually(lambda: scene.one.rooms.health().ready and scene.two.rooms.health().ready)
    await scene.hear(scene.other, ["before", "0", "1", "2"])


@pytest.mark.timeout(120)
async def test_a_replica_takes_the_place_of_a_node_and_what_it_lacks_is_told(fragile: Cluster, start: Any) -> None:
    node = fragile.nodes[0]
    replica = await asyncio.to_thread(fragile.replica, node)
    scene = await Scene.make(fragile, start, node)
    copied(node)
    replica.kill()  # it hears of nothing any more
    await arrives(scene.one.send(scene.failing, "lost with the node"))
    await scene.hear(scene.failing, ["before", "lost with the node"])
    node.kill()
    await eventually(lambda: scene.one.away and scene.two.away)
    await asyncio.to_thread(replica.start)
    fragile.take_over(replica)
    async with bounded(COMES_BACK):
        for ear in scene.ears[scene.failing]:  # found without a message that shows it
            await eventually(lambda ear=ear: ear.heard == ["before", "lost with the node", None])  # type: ignore[misc]
        await arrives(scene.two.send(scene.failing, "after"), "the replica is found")
        for ear in scene.ears[scene.failing]:
            await eventually(lambda ear=ear: ear.heard[-1:] == ["after"])  # type: ignore[misc]
            assert ear.heard == ["before", "lost with the node", None, "after"]
    await arrives(scene.two.send(scene.other, "goes on"))
    await scene.hear(scene.other, ["before", "goes on"])
    await eventually(lambda: scene.one.rooms.health().ready and scene.two.rooms.health().ready)


def check_told(ear: Ear, sent: list[str]) -> None:
    """It heard these in their order, and was told of losses wherever it lacks some."""
    expected, told = 0, False
    for text in ear.heard:
        if text is None:
            told = True
            continue
        assert isinstance(text, str)
        at = sent.index(text, expected)
        assert told or at == expected, f"{sent[expected:at]} are lost without a word"
        expected, told = at + 1, False
    assert told or expected == len(sent), f"{sent[expected:]} are lost without a word"


async def epoch_of(worker: Worker, room: str) -> int:
    """The epoch that a room is in."""
    keep = worker.service._keep(room)
    assert keep is not None
    reading = await arrives(worker.rooms._store.read(room, keep, None, None))
    return reading.epoch


@pytest.mark.timeout(120)
async def test_a_slot_that_moves_takes_its_rooms_along(fragile: Cluster, start: Any) -> None:
    """While they are sent to: rooms with history lose nothing, others are told, and all are heard again."""
    one, two = await start(fragile.url), await start(fragile.url)
    ears = {room: [await worker.member(room) for worker in (one, two)] for room in ("kept/a", "plain")}
    epoch = await epoch_of(one, "plain")
    texts: dict[str, list[str]] = {room: [] for room in ears}
    moved = asyncio.Event()

    async def send(room: str) -> None:
        last = False
        while not last:
            if len(texts[room]) == 500:  # half of what is kept
                await moved.wait()
            last = moved.is_set()
            texts[room].append(str(len(texts[room])))
            await arrives(one.send(room, texts[room][-1]), "a message is taken")

    sending = [asyncio.create_task(send(room)) for room in ears]
    for room in ears:
        keys = one.rooms._store._keys
        name = one.rooms._store._nodes._node_of(room).name
        (source,) = [node for node in fragile.nodes if str(node.port) in name]
        target = next(node for node in fragile.nodes if node is not source)
        await asyncio.to_thread(fragile.move, keys.head(room), source, target)
    moved.set()
    await asyncio.gather(*sending)
    for ear in ears["kept/a"]:
        await eventually(lambda ear=ear: ear.heard[-1:] == texts["kept/a"][-1:])  # type: ignore[misc]
        assert ear.heard == texts["kept/a"]
    again = await heard_again([one, two], ears["plain"], "plain")
    for ear in ears["plain"]:
        check_told(ear, texts["plain"] + again)
    # How many is told, too, unless who publishes had to raise the epoch: then nobody knows (docs/scaling.md §3.7).
    if await epoch_of(one, "plain") == epoch:
        for ear in ears["plain"]:
            assert len(texts["plain"] + again) == len(ear.heard)
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)


@pytest.mark.timeout(120)
async def test_a_node_that_stands_still_is_replaced_all_the_same(fragile: Cluster, start: Any) -> None:
    """It takes connections and answers nothing, also not to whoever asks it where rooms are now."""
    node = fragile.nodes[0]
    replica = await asyncio.to_thread(fragile.replica, node)
    scene = await Scene.make(fragile, start, node)
    copied(node)
    node.pause()
    await eventually(lambda: scene.one.away and scene.two.away)
    fragile.take_over(replica)
    texts = await heard_again([scene.one, scene.two], scene.ears[scene.failing], scene.failing)
    await scene.hear(scene.failing, ["before", *texts])
    await arrives(scene.two.send(scene.other, "goes on"))
    await scene.hear(scene.other, ["before", "goes on"])
    for worker in (scene.one, scene.two):
        await arrives(worker.rooms._store._nodes._topology.nodes(["any"]), "somebody else is asked")  # type: ignore[attr-defined]


async def test_a_question_that_is_stopped_in_the_middle_leaves_no_connection(cluster: Cluster) -> None:
    for turns in range(1, 10):
        topology = topology_of(cluster.url, 2.0)
        await arrives(topology.nodes(["any"]))
        asking = asyncio.ensure_future(topology.nodes(["any"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await arrives(topology.close())
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            del topology, asking
            gc.collect()  # which says what was not closed
        assert [str(one.message) for one in told if "nclosed C" in str(one.message)] == []


class Nowhere:
    """A cluster of which no node can be reached."""

    sharded = True

    async def nodes(self, keys: Sequence[str]) -> list[str]:
        raise OSError("nobody is there")

    async def connect(self, node: str) -> AbstractConnection:
        raise OSError("nobody is there")

    async def close(self) -> None: ...


@pytest.fixture
async def elsewhere() -> AsyncIterator[Nodes]:
    """Nodes that the test places itself."""
    nodes = Nodes(Nowhere(), Keys("test:"), timeout=1.0, beat=60.0)
    nodes.start("worker", Listening(lambda run: None))
    yield nodes
    await nodes.close()


async def test_a_node_whose_first_slot_moves_beats_in_another_of_its_own(elsewhere: Nodes) -> None:
    """Or each of its subscriptions would be refused with the one to the beat, for ever."""
    keys = elsewhere._keys
    await elsewhere._arrange(["one"] * PARTITIONS)
    node = elsewhere._nodes["one"]
    elsewhere.subscribe("room")
    assert set(node.ear.channels) == {keys.beat(0, "worker"), keys.channel("room")}
    await elsewhere._arrange(["two"] + ["one"] * (PARTITIONS - 1))
    assert set(node.ear.channels) == {keys.beat(1, "worker"), keys.channel("room")}
    assert node.heard(keys.beat(1, "worker"), b"1")
    assert set(elsewhere._nodes["two"].ear.channels) == {keys.beat(0, "worker")}


async def test_who_waits_for_a_node_goes_on_with_the_one_that_takes_its_place(elsewhere: Nodes) -> None:
    waiting = asyncio.create_task(elsewhere.reached("room"))
    await elsewhere._arrange(["gone"] * PARTITIONS)
    await asyncio.sleep(0)
    await elsewhere._arrange(["new"] * PARTITIONS)
    link = elsewhere._nodes["new"].link
    link.connected.set()
    elsewhere._returned(link)
    await arrives(waiting)
