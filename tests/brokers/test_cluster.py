"""A cluster of which a node fails: rooms of other nodes go on, and those of that node come back, repaired or told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..patience import arrives, bounded, eventually
from .servers import Cluster, Server, available, copied
from .test_failures import Ear, Worker, start

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
    with replica.client() as client:
        client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
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
