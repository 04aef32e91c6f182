"""Events at the server, packet by packet: coming in, handlers, acknowledgements, errors, leaving."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from typing import Any, Literal

import aiohttp
import pytest

import realtime
from realtime.core.errors import BrokerError, EventError, LocalProtocolError, SessionClosed, Unauthorized
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.testing import VirtualClock

from ..patience import within
from ..web.place import errors, eventually, serving
from .place import EngineClient, chatting, client

KINDS = pytest.mark.parametrize("kind", ["native", "long_polling", "engine"])


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.mark.parametrize("concurrent", [1, 2])
async def test_what_a_handler_waits_for_is_cancelled(
    concurrent: int, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """That is an error of the handler, and not the end of the session, whose task nobody has cancelled."""

    async def fails(*_: object) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    events.on("fails", concurrent=concurrent)(fails)
    for name in ("connect", "disconnect"):
        events.namespace(f"/{name}").on(name)(fails)
    async with chatting(events) as place:
        one = await client(place)
        await one.connect()
        await one.say('20["fails"]', "0/connect,")
        told = sorted(map(str, await one.take(2)))
        assert told[0].startswith('30[{"_error":"failed"')
        assert told[1] == '4/connect,{"message":"The connect handler failed"}'
        await one.connect("/disconnect")
        await one.say("1/disconnect,", '21["fails"]')
        assert str(await one.news()).startswith('31[{"_error":"failed"')
    assert len(errors(caplog.get_records("call"))) == 4


async def test_what_a_plain_handler_raises_or_returns(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is, the session goes on."""

    class Proxy:
        @property  # type: ignore[misc] # as of objects that stand for others, and have none now
        def __class__(self) -> type:
            raise RuntimeError("unbound")

    @events.on("cancelled")
    def cancelled(session: EventSession) -> None:
        raise asyncio.CancelledError  # of a future that it has looked at

    @events.on("proxy")
    def proxy(session: EventSession) -> Proxy:
        return Proxy()

    async with chatting(events) as place:
        one = await client(place)
        await one.connect()
        await one.say('20["cancelled"]', '2["proxy"]', '21["proxy"]')
        assert [str(told)[:20] for told in await one.take(2)] == ['30[{"_error":"failed', '31[{"_error":"failed']
    assert len(errors(caplog.get_records("call"))) == 3


@pytest.mark.parametrize("takes", [0, 1, None])
async def test_a_long_name_is_repeated_in_part(
    takes: int | None, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """A client makes it up: neither the log nor an answer is as long as it likes."""

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    async def none(session: EventSession, event: str) -> None:
        """Takes no arguments."""

    if takes is not None:
        events.on("*")(none if takes else fails)
    async with chatting(events) as place:
        one = await client(place, "native")
        await one.connect()
        await one.say(f'20["{"x" * 1000}",1]')
        assert len(str(await one.news())) < 200
    assert all(len(record.getMessage()) < 300 for record in caplog.get_records("call"))
    assert len(errors(caplog.get_records("call"))) == (takes == 0)


@KINDS
async def test_coming_in(kind: str, events: Events) -> None:
    auths: list[Any] = []

    @events.on("connect")
    async def connect(session: EventSession, auth: Any) -> None:
        auths.append(auth)
        await session.emit("hello", session.namespace)
        await asyncio.sleep(0)

    admin = events.namespace("/admin")

    @admin.on("connect")
    def plain(session: EventSession) -> None:
        auths.append(session.auth)
        assert session.auth not in gc.get_referents(session)  # parsed it may be 25 times as large as it came

    async with chatting(events) as place:
        one = await client(place, kind)
        sid = await one.connect()
        assert await one.news() == '2["hello","/"]'  # behind the reply, although it was sent before
        assert await one.connect("/admin", {"token": [1]}) != sid
        assert auths == [{}, {"token": [1]}]
        await one.say('0/random,{"a":1}')
        assert await one.news() == '4/random,{"message":"Invalid namespace"}'
        await one.say("0/a#b")
        assert await one.closed() in (1000, 1002)


@KINDS
async def test_refusals(kind: str, events: Events, caplog: pytest.LogCaptureFixture) -> None:
    @events.use
    async def middleware(session: EventSession, event: str, args: list[Any], proceed: Any) -> Any:
        return False if args[0].get("how") == "middleware" else await proceed()

    @events.on("connect")
    def connect(session: EventSession, auth: dict[str, Any]) -> bool:
        if auth.get("how") == "false":
            return False
        if auth.get("how") == "data":
            raise Unauthorized("no", data={"retry": 5})
        if auth.get("how") == "error":
            raise EventError("full")
        if auth.get("how") == "raise":
            raise KeyError("secret")
        if auth.get("how") == "unsaid":
            raise EventError("full", data={1, 2})
        raise Unauthorized

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.say("0", '0{"how":"data"}', '0{"how":"error"}', '0{"how":"raise"}', '2["late"]')
        assert await one.take(4) == [
            '4{"message":"not authorised"}',
            '4{"message":"no","data":{"retry":5}}',
            '4{"message":"full"}',
            '4{"message":"The connect handler failed"}',
        ]
        assert len(errors(caplog.get_records("call"))) == 1
        await one.say('0{"how":"unsaid"}')
        assert await one.news() == '4{"message":"full"}'
        assert len(errors(caplog.get_records("call"))) == 2
        await one.say('0{"how":"false"}', '0{"how":"middleware"}')
        assert await one.take(2) == ['4{"message":"The connect handler failed"}'] * 2
        assert caplog.text.count("\nTypeError: 'connect' returned False; to refuse") == 2
        await one.say(f'0{{"a":"{"x" * 20_000}"}}')
        assert "above 16384 bytes" in str(await one.news())
        assert not place.rt._service.sessions.hub._rooms


@KINDS
async def test_events_and_acks(kind: str, events: Events) -> None:
    seen: list[Any] = []

    @events.on("message")
    def message(session: EventSession, *args: Any) -> Any:
        seen.append(args)
        return args

    @events.on("slow")
    async def slow(session: EventSession, text: str) -> str:
        await asyncio.sleep(0)
        await session.emit("back", text)
        return text.upper()

    @events.on("nothing")
    def nothing(session: EventSession) -> None: ...

    @events.on("null")
    async def null(session: EventSession) -> Any:
        return (None,)

    @events.on("*")
    def rest(session: EventSession, event: str, *args: Any) -> Any:
        return event, list(args)

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('2["message",1,"2",{"3":[true]}]', '2456["message",1,"2",{"3":[false]}]', '20["slow","é"]')
        assert await one.take(3) == ['3456[1,"2",{"3":[false]}]', '2["back","é"]', '30["É"]']
        await one.say('21["nothing"]', '22["null"]', '23["other",1]', '24["*",1]', "25[7]")
        assert await one.take(5) == ["31[]", "32[null]", '33["other",[1]]', '34["*",[1]]', '35["7",[]]']
        place_of = '{"_placeholder":true,"num":'
        await one.say(f'52-789["message",{place_of}0}},{{"a":{place_of}1}}}}]', b"\x01\x02", b"")
        assert await one.take(3) == [f'62-789[{place_of}0}},{{"a":{place_of}1}}}}]', b"\x01\x02", b""]
        assert seen[-1] == (b"\x01\x02", {"a": b""})


@KINDS
async def test_errors_are_answered_and_logged_once(kind: str, events: Events, caplog: pytest.LogCaptureFixture) -> None:
    @events.on("raises")
    async def raises(session: EventSession) -> None:
        raise ValueError("secret")

    @events.on("plain")
    def plain(session: EventSession) -> None:
        raise ValueError("secret")

    @events.on("told")
    def told(session: EventSession) -> None:
        raise EventError("the room is full", code="full", data={"most": 3})

    @events.on("unauthorized")
    async def unauthorized(session: EventSession) -> None:
        raise Unauthorized("not you", status=403)

    @events.on("unsaid")
    def unsaid(session: EventSession) -> object:
        return object()

    class Lazy(dict[str, int]):
        def items(self) -> Any:
            raise KeyError

    @events.on("lazy")
    async def lazy(session: EventSession) -> object:
        return Lazy(a=1)

    @events.on("two")
    def two(session: EventSession, a: int, b: int = 2) -> None: ...

    @events.on("away")
    def away(session: EventSession) -> None:
        raise BrokerError("Redis is away")

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('20["away"]')  # which may meet everybody at once: one line
        assert await one.news() == '30[{"_error":"failed","message":"the handler failed"}]'
        (record,) = caplog.get_records("call")
        assert (record.levelname, record.exc_info) == ("WARNING", None)
        assert record.getMessage().endswith("raised: Redis is away")
        caplog.clear()
        await one.say('20["lazy"]')
        assert await one.news() == '30[{"_error":"failed","message":"the handler failed"}]'
        assert len(errors(caplog.get_records("call"))) == 1
        caplog.clear()
        await one.say('21["raises"]', '22["plain"]', '23["told"]', '24["unauthorized"]', '25["unsaid"]')
        failed = '{"_error":"failed","message":"the handler failed"}'
        assert await one.take(5) == [
            f"31[{failed}]",
            f"32[{failed}]",
            '33[{"_error":"full","message":"the room is full","data":{"most":3}}]',
            '34[{"_error":"unauthorized","message":"not you"}]',
            f"35[{failed}]",
        ]
        assert len(errors(caplog.get_records("call"))) == 3
        assert "secret" not in "".join(errors(caplog.get_records("call")))
        await one.say('2["raises"]', '26["two"]', '27["two",1,2,3]', '28["two",1]')
        assert await one.take(3) == [
            '36[{"_error":"arguments","message":"\'two\' takes 1 to 2 arguments, not 0"}]',
            '37[{"_error":"arguments","message":"\'two\' takes 1 to 2 arguments, not 3"}]',
            "38[]",
        ]
        assert len(errors(caplog.get_records("call"))) == 4
        await one.say('29["nobody"]', '210["two",1]')
        if kind != "engine":  # Socket.IO's clients take no errors, and go by time-outs
            assert await one.news() == '39[{"_error":"unknown","message":"there is no handler of \'nobody\'"}]'
        assert await one.news() == "310[]"


@KINDS
async def test_leaving(kind: str, events: Events) -> None:
    told: list[tuple[str, str, bool]] = []
    sessions: list[EventSession] = []
    other = events.namespace("/other")

    for namespace in (events, other):

        @namespace.on("connect")
        def connect(session: EventSession) -> None:
            sessions.append(session)

        @namespace.on("disconnect")
        async def disconnect(session: EventSession, reason: str) -> None:
            told.append((session.namespace, reason, session.closed))
            with pytest.raises(SessionClosed):
                await session.emit("late")
            with pytest.raises(SessionClosed):
                await session.call("late")

    @events.on("message")
    def message(session: EventSession, text: str) -> str:
        return text

    async with chatting(events, close_timeout=0.1) as place:  # its client acknowledges no close
        one = await client(place, kind)
        await one.connect()
        await one.connect("/other")
        await one.say("1/other", '2/other,1["late"]', '21["message","still here"]')
        assert await one.news() == '31["still here"]'
        assert told == [("/other", "client namespace disconnect", True)]
        await sessions[0].disconnect()
        assert await one.news() == "1"
        assert told[1:] == [("/", "server namespace disconnect", True)]
        await sessions[0].disconnect()
        await one.connect("/other")
        await one.connect()
        await sessions[-1].session.close(1001)
        await eventually(lambda: len(told) == 4)
        assert told[2:] == [("/other", "server shutting down", True), ("/", "server shutting down", True)]


@KINDS
@pytest.mark.parametrize(
    "packet",
    ["abc", '2["a"]', "2{}", '2abc["a"]', "", "2[]", b"x", '2["connect"]', "4{}", '51-["a"]', "2" + "[" * 100],
    ids=lambda packet: repr(packet)[:20],
)
async def test_bad_packets_end_the_session(kind: str, packet: str | bytes, events: Events) -> None:
    async with chatting(events) as place:
        one = await client(place, kind)
        if packet != '2["a"]':  # which is a good one, and comes before any CONNECT
            await one.connect()
        await one.say(packet, '2["next"]')
        assert await one.closed() in (1000, 1002)
        await eventually(lambda: len(place.rt) == 0)


@KINDS
async def test_nobody_comes_in(kind: str, events: Events) -> None:
    async with chatting(events, {"connect_timeout": 3.0}, clock=VirtualClock()) as place:
        one = await client(place, kind)
        two = await client(place, kind)
        await two.connect()
        assert len(place.rt) == 2
        place.tick(3.0)
        assert await one.closed() in (1000, 4408)
        assert len(place.rt) == 1


async def test_too_many_namespaces() -> None:
    events = Events(max_namespaces=2)
    events.namespace(re.compile(r"/n\d"))
    async with chatting(events) as place:
        one = await client(place)
        await one.connect("/n1")
        await one.connect("/n2")
        await one.say("0/n3,", "1/n1,", "0/n1,")
        assert await one.news() == '4/n3,{"message":"Too many namespaces"}'
        assert str(await one.news()).startswith('0/n1,{"sid"')


@KINDS
async def test_namespaces_of_many_names(kind: str, events: Events) -> None:
    games = events.namespace(re.compile(r"/game-\d+"))

    @games.on("move")
    async def move(session: EventSession, to: str) -> str:
        await games.named(session.namespace).emit("moved", to, skip=session)
        return session.namespace

    async def lets_in(name: str, auth: dict[str, Any]) -> bool:
        return auth.get("name") == name

    mine = events.namespace(lets_in)
    with pytest.raises(LocalProtocolError, match="named"):
        await mine.emit("to all")
    with pytest.raises(LocalProtocolError, match="named"):
        mine.room("a")

    async with chatting(events) as place:
        one, two, three = [await client(place, kind) for _ in range(3)]
        await one.connect("/game-1")
        await two.connect("/game-1")
        await three.connect("/game-2")
        await three.connect("/anna", {"name": "/anna"})
        await three.say('0/bob,{"name":"/anna"}', "0/game-x")
        assert await three.take(2) == [
            '4/bob,{"message":"Invalid namespace"}',
            '4/game-x,{"message":"Invalid namespace"}',
        ]
        await one.say('2/game-1,1["move","e4"]')
        assert await one.news() == '3/game-1,1["/game-1"]'
        assert await two.news() == '2/game-1,["moved","e4"]'
        await mine.named("/anna").emit("hello")
        assert await three.news() == '2/anna,["hello"]'


@KINDS
async def test_middlewares(kind: str, events: Events) -> None:
    went: list[str] = []

    @events.use
    async def outer(session: EventSession, event: str, args: list[Any], proceed: Any) -> Any:
        went.append(f"outer {event}")
        answer = await proceed()
        went.append(f"outer {event} done")
        return answer

    @events.use
    async def inner(session: EventSession, event: str, args: list[Any], proceed: Any) -> Any:
        if event == "connect" and args != [{"token": 1}]:
            raise Unauthorized("who?")
        if event == "secret":
            raise EventError("no")
        args[:] = [str(arg).upper() for arg in args]
        answer = await proceed()
        return answer and f"<{answer}>"

    @events.on("connect")
    def connect(session: EventSession, auth: Any) -> None:
        went.append(auth)

    @events.on("message")
    def message(session: EventSession, text: str) -> str:
        return text

    @events.on("secret")
    async def secret(session: EventSession) -> str:
        return "never"

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.say("0")
        assert await one.news() == '4{"message":"who?"}'
        await one.connect(auth={"token": 1})
        assert went == ["outer connect", "outer connect", "{'TOKEN': 1}", "outer connect done"]
        await one.say('21["message","a"]', '22["secret"]', '23["message"]')
        assert await one.take(3) == [
            '31["<A>"]',
            '32[{"_error":"error","message":"no"}]',
            '33[{"_error":"arguments","message":"\'message\' takes 1 argument, not 0"}]',
        ]


async def test_what_cannot_be_registered(events: Events) -> None:
    @events.on("a")
    def a(session: EventSession) -> None: ...

    with pytest.raises(LocalProtocolError, match="already"):
        events.on("a")(a)
    with pytest.raises(LocalProtocolError, match="no event 'connect_error'"):
        events.on("connect_error")(a)
    with pytest.raises(TypeError, match="name of an event"):
        events.on(a)(a)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is a function"):
        events.on("b")("b")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="takes less"):
        events.on("b")(lambda: None)
    with pytest.raises(TypeError, match="2 arguments at most"):
        events.on("connect")(lambda session, auth, more: None)
    with pytest.raises(LocalProtocolError, match="coroutine functions"):
        events.on("b", concurrent=2)(a)
    with pytest.raises(TypeError, match="concurrent"):
        events.on("b", concurrent="2")(a)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="a namespace is"):
        events.namespace("admin")
    with pytest.raises(TypeError, match="a namespace is a str"):
        events.namespace(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coroutine"):
        events.namespace(a)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coroutine"):
        events.use(a)  # type: ignore[type-var]
    with pytest.raises(LocalProtocolError, match="register the events first"):
        events.room("a")
    with pytest.raises(LocalProtocolError, match="max_waiting=0"):
        Events(max_waiting=0)
    assert events.namespace("/a") is events.namespace("/a")
    assert events.namespace("/") is events


async def test_events_are_one_endpoints(events: Events) -> None:
    async with chatting(events) as place:
        with pytest.raises(LocalProtocolError, match="another Events"):
            place.rt.endpoint("/more")(events)

        async def handler(session: Any) -> None: ...

        with pytest.raises(LocalProtocolError, match=r"realtime\.Events"):
            place.rt.endpoint("/more", socketio="/more")(handler)
        with pytest.raises(LocalProtocolError, match="leave out engineio"):
            place.rt.endpoint("/more", socketio="/more", engineio="/more")


@KINDS
async def test_annotations(kind: str, events: Events) -> None:
    seen: list[Any] = []

    @events.on("connect")
    def connect(session: EventSession, auth: dict[str, int]) -> None:
        seen.append(auth)

    @events.on("move")
    async def move(session: EventSession, to: tuple[float, float], how: Literal["fast", "slow"] = "fast") -> str:
        seen.append((to, how))
        return how

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.say('0{"a":"x"}')
        assert await one.news() == '4{"message":"\'connect\': argument 1 (auth).a is a whole number, not a str"}'
        await one.connect(auth={"a": 1})
        await one.say('21["move",[1,2.5]]', '22["move",[1,"2"],"slow"]', '23["move",[1,2],"never"]', '2["move"]')
        assert await one.take(3) == [
            '31["fast"]',
            '32[{"_error":"arguments","message":"\'move\': argument 1 (to)[1] is a number, not a str"}]',
            '33[{"_error":"arguments","message":"\'move\': argument 2 (how) is one of \'fast\', \'slow\'"}]',
        ]
        assert seen == [{"a": 1}, ((1.0, 2.5), "fast")]


async def test_bare_websockets_and_sockjs_speak_the_same(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    events.on("echo")(lambda session, *args: args)
    rt = realtime.Server(shutdown_timeout=0.3)
    rt.endpoint("/chat", sockjs=True)(events)
    async with serving(rt) as place, place.http.ws_connect(place.url("/chat")) as bare, within():
        one = EngineClient(bare, mark="")
        await one.connect()
        await one.say('51-1["echo",{"_placeholder":true,"num":0}]', b"x")
        assert await one.take(2) == ['61-1[{"_placeholder":true,"num":0}]', b"x"]
        async with place.http.ws_connect(place.url("/chat/000/a/websocket")) as ws:
            assert await ws.receive_str() == "o"
            await ws.send_str(json.dumps(["0", '21["echo","é"]']))
            said = await sockjs_messages(ws, 2)
            assert said[0].startswith('0{"sid":')
            assert said[1] == '31["é"]'
            assert errors(caplog.get_records("call")) == []
            events.on("bytes")(lambda session: b"which SockJS has not")
            await ws.send_str(json.dumps(['22["bytes"]']))
            assert await sockjs_messages(ws, 1) == ['32[{"_error":"failed","message":"the handler failed"}]']
            assert len(errors(caplog.get_records("call"))) == 1


async def sockjs_messages(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    """So many messages, in whatever frames they come."""
    found: list[str] = []
    while len(found) < count:
        frame = await ws.receive_str()
        found += json.loads(frame[1:]) if frame[0] == "a" else []
    return found
