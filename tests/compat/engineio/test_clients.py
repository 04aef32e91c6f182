"""The Engine.IO clients that people have: engine.io-client 6 (EIO=4) and 3 (EIO=3) in Node, python-engineio's.

`make test` installs the former (`.ci/clients`). Where there is no Node, or no installed packages, theirs are skipped.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import engineio
import pytest
from aiohttp import web

import realtime
from realtime.protocols.engineio.machine import EngineMachine
from realtime.protocols.engineio.upgrade import Event

from ...patience import steady
from ...web.place import Place, serving
from ..node import Node

HERE = Path(__file__).parent
LIMIT = 60.0  # seconds, for what takes one

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(),
    reason="needs Node 18 and the packages of this folder: sh .ci/clients",
)
VERSIONS = pytest.mark.parametrize("version", [4, 3])
TRANSPORTS = pytest.mark.parametrize(
    "transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=["polling", "websocket", "upgrade"]
)
MESSAGES: list[Any] = ["", "hello", "é€\U0001f600", {"b": ""}, {"b": "AQIDBA=="}, 'a"b\\c\nd\u2028', {"b": "/////w=="}]


NODE = Node(HERE)


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    NODE.stop()


async def eventually(condition: Callable[[], object]) -> None:
    """Waits for what tells nobody that it happened, and leaves the processor to the client."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 # what is waited for is in a library of others
            await asyncio.sleep(0.01)


@web.middleware
async def cutter(request: web.Request, handler: Any) -> web.StreamResponse:
    """Something between that accepts WebSockets and cuts them."""
    if request.query.get("transport") == "websocket":
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return ws
    response: web.StreamResponse = await handler(request)
    return response


@asynccontextmanager
async def engine(
    settings: dict[str, Any] | None = None, /, *, cut: bool = False, **options: Any
) -> AsyncIterator[tuple[Place, list[realtime.Session]]]:
    """A place with /echo, /burst, /closing and /late for Engine.IO clients, and the sessions it has seen."""
    rt = realtime.Server(shutdown_timeout=0.3, **(settings or {}))
    seen: list[realtime.Session] = []

    def at(path: str) -> realtime.EngineIO:
        return realtime.EngineIO(path=path, **options)

    @rt.endpoint("/engine/echo", engineio=at("/eio/echo"))
    async def echo(session: realtime.Session) -> None:
        seen.append(session)
        async for message in session:
            await session.send(message)

    @rt.endpoint("/engine/burst", engineio=at("/eio/burst"))
    async def burst(session: realtime.Session) -> None:
        seen.append(session)
        for number in range(1000):
            await session.send(str(number))
        await session.wait_closed()

    @rt.endpoint("/engine/closing", engineio=at("/eio/closing"))
    async def closing(session: realtime.Session) -> None:
        seen.append(session)
        async for message in session:
            await session.send(message)
            return

    @rt.endpoint("/engine/late", engineio=at("/eio/late"))
    async def late(session: realtime.Session) -> None:
        """Echoes only once the test lets it."""
        seen.append(session)
        await session.data.setdefault("go", asyncio.Event()).wait()
        async for message in session:
            await session.send(message)

    def prepare(place: Place) -> None:
        if cut:
            place.app.middlewares.append(cutter)

    async with serving(rt, prepare=prepare) as place:
        yield place, seen


async def node(place: Place, version: int, transports: list[str], path: str = "/eio/echo", **plan: Any) -> Any:
    """What a session of engine.io-client tells."""
    plan.setdefault("send", [])
    plan.setdefault("expect", len(plan["send"]))
    plan |= {"version": version, "url": place.base, "path": path, "transports": transports}
    try:
        async with asyncio.timeout(LIMIT):
            out = await asyncio.to_thread(NODE.ask, json.dumps(plan))
    except BaseException:
        NODE.stop()
        raise
    return json.loads(out)


@needs_node
@VERSIONS
@TRANSPORTS
async def test_every_kind_of_message_both_ways(version: int, transports: list[str]) -> None:
    async with engine() as (place, seen):
        upgraded = len(transports) > 1
        told = await node(place, version, transports, send=MESSAGES * 2, upgraded=upgraded)
        assert told["received"] == MESSAGES * 2
        assert (told["first"], told["transport"]) == (transports[0], transports[-1])
        assert (told["upgrades"], told["errors"]) == (int(upgraded), [])
        await eventually(lambda: seen[0].closed)
        assert seen[0].close_code == 1000


@needs_node
@VERSIONS
@TRANSPORTS
async def test_a_thousand_messages_in_one_burst_each_way(version: int, transports: list[str]) -> None:
    numbers = [str(number) for number in range(1000)]
    async with engine() as (place, _):
        told = await node(place, version, transports, path="/eio/burst", expect=1000)
        assert told["received"] == numbers
        told = await node(place, version, transports, send=numbers)
        assert told["received"] == numbers
        assert told["errors"] == []


@needs_node
@VERSIONS
async def test_messages_that_travel_while_it_upgrades(version: int) -> None:
    numbers = [str(number) for number in range(400)]
    async with engine() as (place, _):
        for _ in range(5):
            told = await node(place, version, ["polling", "websocket"], send=numbers, upgraded=True)
            assert told["received"] == numbers


@needs_node
@VERSIONS
@pytest.mark.parametrize("count", [1300, 3000])
async def test_more_than_there_is_room_for_is_sent_before_the_upgrade(version: int, count: int) -> None:
    """Its POST is answered although nothing is taken: else the client would not complete its upgrade."""
    numbers = [str(number) for number in range(count)]
    async with engine() as (place, _):
        told = await node(place, version, ["polling", "websocket"], send=numbers, upgrades=1)
        assert told["received"] == numbers
        assert (told["first"], told["transport"]) == ("polling", "websocket")
        assert (told["upgrades"], told["upgradeErrors"], told["errors"]) == (1, 0, [])


@needs_node
@VERSIONS
async def test_the_upgrade_does_not_wait_for_a_slow_handler(version: int) -> None:
    numbers = [str(number) for number in range(100)]
    async with engine({"max_queue": 16, "max_outbox": 16}) as (place, seen):
        going = asyncio.ensure_future(
            node(place, version, ["polling", "websocket"], "/eio/late", send=numbers, upgrades=1)
        )
        await eventually(lambda: seen and seen[0].transport == "websocket")
        assert seen[0]._machine.inbox.received == 16
        seen[0].data["go"].set()
        told = await going
        assert told["received"] == numbers
        assert (told["upgrades"], told["upgradeErrors"], told["errors"]) == (1, 0, [])


@needs_node
@VERSIONS
@TRANSPORTS
@steady
async def test_a_client_that_is_not_read_stays(
    version: int, transports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves when nothing came in time: a ping in version 4, anything in version 3."""
    signs: list[str] = []
    say = EngineMachine._say

    def said(machine: EngineMachine, kind: str, data: str = "") -> None:
        signs.append(kind)
        say(machine, kind, data)

    monkeypatch.setattr(EngineMachine, "_say", said)
    numbers = [str(number) for number in range(100)]
    # In version 3 the client gives up a ping_timeout after its first ping, and a third of that is between two signs.
    beats: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 30.0 if version == 4 else 3.0}
    wanted = "2" if version == 4 else "6"
    async with engine({"max_queue": 16, "max_outbox": 16}, **beats) as (place, seen):
        upgrades = len(transports) - 1
        going = asyncio.ensure_future(node(place, version, transports, "/eio/late", send=numbers, upgrades=upgrades))
        await eventually(lambda: signs.count(wanted) >= 4)
        seen[0].data["go"].set()
        told = await going
        assert told["received"] == numbers
        assert (told["upgrades"], told["errors"]) == (upgrades, [])


@needs_node
@VERSIONS
async def test_sub_second_heartbeats(version: int) -> None:
    async with engine(ping_interval=0.15, ping_timeout=30.0) as (place, seen):
        going = asyncio.ensure_future(node(place, version, ["polling"], path="/eio/burst", expect=1001))
        await eventually(lambda: seen)
        machine: Any = seen[0]._machine
        beats: set[float] = set()

        def beaten() -> bool:
            beats.add(machine.contact)
            return len(beats) > 20

        await eventually(beaten)
        assert not seen[0].closed
        await seen[0].send("enough")
        assert (await going)["received"][-1] == "enough"


@needs_node
@VERSIONS
@TRANSPORTS
async def test_the_server_closes(version: int, transports: list[str]) -> None:
    async with engine() as (place, seen):
        told = await node(place, version, transports, path="/eio/closing", send=["last"], serverCloses=True)
        assert told["received"] == ["last"]
        assert told["closed"] == "transport close"
        assert seen[0].close_code == 1000


@needs_node
@VERSIONS
async def test_where_websockets_are_cut_polling_goes_on(version: int) -> None:
    async with engine(cut=True) as (place, _):
        told = await node(place, version, ["polling", "websocket"], send=MESSAGES)
        assert told["received"] == MESSAGES
        assert (told["transport"], told["upgrades"], told["errors"]) == ("polling", 0, [])


@needs_node
@VERSIONS
async def test_an_upgrade_that_dies_after_the_probe(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has paused its polls and does not take them up again: its heartbeat ends the session, at both ends."""
    step = EngineMachine._tried
    cut: list[EngineMachine] = []

    def tried(machine: EngineMachine, event: Event, now: float) -> None:
        step(machine, event, now)
        if event is Event.PROBE and machine.trial is not None:
            cut.append(machine)
            machine.trial.link.abort()

    monkeypatch.setattr(EngineMachine, "_tried", tried)
    numbers = [str(number) for number in range(50)]
    async with engine(ping_interval=0.5, ping_timeout=1.0) as (place, seen):
        told = await node(place, version, ["polling", "websocket"], send=numbers, upgraded=True)
        assert cut
        assert told["closed"]
        assert told["received"] == numbers[: len(told["received"])]
        await eventually(lambda: seen[0].closed)


# -- python-engineio -------------------------------------------------------------------------------------------------


def plain(message: Any) -> Any:
    """A message of MESSAGES, as Python has it."""
    return message if isinstance(message, str) else base64.b64decode(message["b"])


@TRANSPORTS
async def test_the_python_client(transports: list[str]) -> None:
    messages = [plain(message) for message in MESSAGES if message != ""]  # it takes empty text for a missing packet
    got: list[str | bytes] = []
    over = asyncio.Event()
    async with engine() as (place, seen), aiohttp.ClientSession() as http:
        client = engineio.AsyncClient(http_session=http, handle_sigint=False)
        client.on("message", got.append)
        client.on("disconnect", lambda *_: over.set())
        await client.connect(place.base, transports=transports, engineio_path="/eio/echo")
        for message in messages:
            await client.send(message)
        await eventually(lambda: len(got) >= len(messages))
        assert got == messages
        assert client.transport() == transports[-1]
        assert seen[0].transport == transports[-1]
        await client.disconnect()
        await client.wait()
        await eventually(lambda: seen[0].closed)
        assert over.is_set()


@TRANSPORTS
async def test_a_burst_at_the_python_client(transports: list[str]) -> None:
    got: list[str | bytes] = []
    async with engine() as (place, _), aiohttp.ClientSession() as http:
        client = engineio.AsyncClient(http_session=http, handle_sigint=False)
        client.on("message", got.append)
        await client.connect(place.base, transports=transports, engineio_path="/eio/burst")
        await eventually(lambda: len(got) >= 1000)
        assert got == [str(number) for number in range(1000)]
        await client.disconnect()
        await client.wait()
