"""What is no packet, at a server that runs, whatever carries it, and at our client.

An answer or an end, and nobody else is touched. The vectors are the decoder's own (tests/vectors/events.json).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import realtime
from realtime.core.errors import RemoteProtocolError
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.protocols.layers.socketio.decoder import Decoder
from realtime.testing import Clients, VirtualClock

from ..patience import within
from ..protocols.layers.socketio.vectors import VECTORS, messages
from ..web.place import Place, errors, eventually
from .place import chatting
from .talk import WAYS, Talk, talk

EVERY_WAY = pytest.mark.parametrize("way", WAYS)
BAD = [one for one in VECTORS if "error" in one and one["version"] == 5 and one["from"] != "server"]
GOOD = [one for one in VECTORS if "means" in one and one["version"] == 5 and one["from"] != "server"]
SECRET = "what-only-the-bystander-knows"
PROBE, ANSWER = '2777["echo","still here"]', '3777["still here"]'


class Watched:
    """Events, and a bystander among their clients whom nobody else's packets reach."""

    def __init__(self, place: Place, events: Events) -> None:
        self.place = place
        self.events = events
        self.bystander: Talk

    def machine(self) -> Any:
        """That of the only other client."""
        members: list[Any] = list(self.events.room("room"))
        (machine,) = (member.session._machine for member in members if member.data["secret"] is None)
        return machine

    async def check(self) -> None:
        """It is still there, and nothing was said to it."""
        before = len(self.bystander.heard)
        await self.bystander.say([f'21["echo",{before}]'])
        await self.bystander.until(f"31[{before}]")
        assert self.bystander.over is None
        assert self.bystander.heard[before:] == [f"31[{before}]"]


def make() -> Events:
    """Handlers of many kinds."""
    events = Events(max_waiting_size=65_536)
    admin = events.namespace("/admin")

    async def connect(session: EventSession, auth: dict[str, Any]) -> None:
        session.data["secret"] = auth.get("secret")
        await session.join("room")

    def admits(session: EventSession, auth: dict[str, Any]) -> None:
        if auth.get("token") != "right":
            raise realtime.Unauthorized("not you", data={"login": "/login"})

    async def echo(session: EventSession, *args: Any) -> Any:
        await asyncio.sleep(0)
        return args

    def typed(session: EventSession, number: int, text: str = "") -> str:
        return text * min(number, 3)

    async def ask(session: EventSession) -> None:
        try:
            await session.call("ask", b"bytes", timeout=0.01)
        except (TimeoutError, realtime.EventError):
            await session.emit("asked")

    for namespace in (events, admin):
        namespace.on("echo")(echo)
        namespace.on("beside", concurrent=2)(echo)
        namespace.on("typed")(typed)
        namespace.on("ask")(ask)
        namespace.on("out")(lambda session: session.disconnect())
        namespace.on("*")(lambda session, event, *args: (event, len(args)))
    events.on("connect")(connect)
    admin.on("connect")(admits)
    return events


@asynccontextmanager
async def watched(**options: Any) -> AsyncIterator[Watched]:
    """A server of these, and the bystander."""
    events = make()
    async with chatting(events, shutdown_timeout=0.3, **options) as place:
        found = Watched(place, events)
        found.bystander = await talk(place, "websocket")
        await found.bystander.say([f'0{{"secret":"{SECRET}"}}'])
        async with within():
            await found.bystander.hear()
        yield found
        await found.check()
        place.end_sessions()


@EVERY_WAY
async def test_each_branch_of_the_decoder(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as here:
        for vector in BAD:
            one = await talk(here.place, way)
            await one.say(["0"])
            await one.hear()
            await one.say([*messages(vector), PROBE])
            await one.until(ANSWER)
            code = vector["error"] if way in ("websocket", "long_polling") else one.over
            assert (one.over, ANSWER in one.heard) == (code, False), vector["name"]
            await here.check()
        await eventually(lambda: len(here.place.rt) == 1)
    assert errors(caplog.get_records("call")) == []


@EVERY_WAY
async def test_what_is_right_is_taken(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as here:
        for vector in GOOD:
            one = await talk(here.place, way)
            await one.say(["0"])
            await one.hear()
            await one.say([*messages(vector), "0", PROBE])
            await one.until(ANSWER)
            assert one.over is None, vector["name"]
    assert errors(caplog.get_records("call")) == []


@EVERY_WAY
async def test_attachments_are_bounded_in_time(way: str) -> None:
    async with watched(clock=VirtualClock()) as here:
        one = await talk(here.place, way)
        await one.say(["0", '52-["echo",{"_placeholder":true,"num":0}]', b"1"])
        await one.hear()
        machine = here.machine()
        await eventually(lambda: machine.inbox.received >= 3 and not machine.inbox.items)
        here.place.tick(29.0)
        assert machine.outcome is None
        here.place.tick(1.5)
        assert machine.outcome is not None
        assert machine.outcome[:2] == (1002, "the attachments of an event did not come in time")
        await one.until("nothing")


@EVERY_WAY
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (['565-["echo"]'], "more than 64 attachments"),
        (['59999999999-["echo"]'], "more than 64 attachments"),
        (['52-["echo"]', b"x" * 40_000, b"x" * 40_000], "more than 65536 bytes"),
    ],
    ids=["number", "a huge number", "size"],
)
async def test_attachments_are_bounded(way: str, said: list[str | bytes], why: str) -> None:
    async with watched() as here:
        one = await talk(here.place, way)
        await one.say(["0"])
        await one.hear()
        machine = here.machine()
        await one.say(said)
        await one.until("nothing")
        assert machine.outcome is not None
        assert machine.outcome.code == 1009
        assert why in machine.outcome.reason


@EVERY_WAY
async def test_names_that_mean_something_elsewhere(way: str) -> None:
    """They are members of objects, names of events and of namespaces like all others."""
    async with watched() as here:
        one = await talk(here.place, way)
        await one.say(["0"])
        await one.hear()
        value = '{"__proto__":{"admin":true},"constructor":{"prototype":1},"__class__":"x","_error":5}'
        await one.say([f'21["echo",{value}]', '22["__proto__"]', '23["__init__",1]', '29007199254740991["echo"]'])
        await one.say(["0/__proto__", "1/constructor", '24["echo",{"_placeholder":true,"num":0}]', PROBE])
        await one.until(ANSWER)
        assert one.heard[1:] == [
            f"31[{value}]",
            '32["__proto__",0]',
            '33["__init__",1]',
            "39007199254740991[]",
            '4/__proto__,{"message":"Invalid namespace"}',
            '34[{"_placeholder":true,"num":0}]',
            ANSWER,
        ]


@pytest.mark.parametrize("part", range(4))
async def test_a_client_of_ours_ends_a_session_whose_server_says_such_things(part: int) -> None:
    vectors = [one for one in VECTORS if "error" in one and one["version"] == 5 and one["from"] != "client"]
    said: list[list[str | bytes]] = []

    async def server(session: realtime.Session) -> None:
        await session.receive()
        await session.send('0{"sid":"you"}')
        for message in said[-1]:
            await session.send(message)
        await session.wait_closed()

    rt = realtime.Server(shutdown_timeout=0.3)
    rt.endpoint("/chat")(server)
    async with Clients() as clients, within():
        for vector in vectors[part::4]:
            if vector["messages"][0] == "":
                continue
            said.append(messages(vector))
            session = await clients(rt, "/realtime/chat")
            main = session.events()
            await main.ready()
            await session.wait_closed()
            assert session.close_code == vector["error"], vector["name"]
            assert main.closed


# -- whole conversations -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["echo", "beside", "typed", "ask", "out", "nobody", "connect", "disconnect", "__proto__", ""])
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | NAMES, inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(["", "", "", "/admin,", "/nowhere,", "/admin?token=right,", "/#,", "/" + "n" * 300 + ","])
NUMBERS = st.sampled_from(["", "0", "5", "5", "9007199254740991", "9007199254740992", "00000000000000000", "-1"])


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


ASKED = st.builds(lambda place, auth: f"0{place}{auth}", PLACES, st.sampled_from(["", "{}", '{"token":"right"}', "[]"]))
EVENTS = st.builds(
    lambda place, number, name, args: f"2{place}{number}{_text([name, *args])}",
    PLACES,
    NUMBERS,
    NAMES,
    st.lists(JSONS, max_size=3),
)
BINARY = st.builds(
    lambda kind, count, place, number, name, at: (
        f'{kind}{count}-{place}{number}["{name}",{{"_placeholder":true,"num":{at}}}]'
    ),
    st.sampled_from("556"),
    st.sampled_from([1, 1, 2, 3, 65, 10**9]),
    PLACES,
    NUMBERS,
    NAMES,
    st.integers(-1, 3),
)
ACKS = st.builds(lambda place, number, args: f"3{place}{number}{_text(args)}", PLACES, NUMBERS, st.lists(JSONS))
LEAVES = st.builds(lambda place: f"1{place}", PLACES)
DEEP = st.builds(lambda depth, what: f'2["echo",{what * depth}', st.integers(1, 500), st.sampled_from(["[", '{"a":']))
RUBBISH = st.text(max_size=20) | st.text(alphabet='0123456789-,/[]{}":_', max_size=20)
PACKETS = ASKED | EVENTS | BINARY | ACKS | LEAVES


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A packet in which something was left out, put in, or said twice."""
    text = draw(PACKETS)
    at, upto = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:at] + draw(RUBBISH | st.just(text[at:upto] * 2)) + text[draw(st.sampled_from([at, upto])) :]


SAID = st.lists(
    PACKETS | PACKETS | st.binary(max_size=12) | st.binary(max_size=12) | changed() | DEEP | RUBBISH, max_size=14
)


def utf8(messages: list[str | bytes]) -> list[str | bytes]:
    """Without what no connection can say."""
    return [
        one.encode("utf-8", "replace").decode().replace("\x1e", "") if isinstance(one, str) else one for one in messages
    ]


def check(heard: list[str | bytes]) -> None:
    """All that was said are packets, and none of them says what is not this client's, or how the server is made."""
    decoder = Decoder(5, max_attachments=64, max_size=10_000_000, patience=1.0)
    for one in heard:
        try:
            decoder.feed(one, 0.0)
        except RemoteProtocolError as wrong:
            raise AssertionError(f"{one[:200]!r}: {wrong}") from None
        assert isinstance(one, bytes) or not any(bad in one for bad in (SECRET, "Traceback", "realtime/", 'File "'))


@pytest.mark.parametrize("way", WAYS)
def test_any_conversation(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """An answer or an end to whatever is said, never a 500, and nothing of any other client's."""
    with asyncio.Runner() as runner:
        context = watched()
        here = runner.run(context.__aenter__())

        async def converse(first: bool, said: list[str | bytes]) -> None:
            one = await talk(here.place, way)
            await one.say([*(["0"] if first else []), *utf8(said)])
            if one.over is None:
                await one.say(["0", PROBE])
                await one.until(ANSWER)
            check(one.heard)
            await here.check()
            if one.over is None:  # whatever it has begun ends with it
                await one.say(["1", "1/admin"])

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.booleans(), SAID)
        def conversations(first: bool, said: list[str | bytes]) -> None:
            runner.run(converse(first, said))

        try:
            conversations()
        finally:
            runner.run(context.__aexit__(None, None, None))
    assert errors(caplog.get_records("call")) == []
