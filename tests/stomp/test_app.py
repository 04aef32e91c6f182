"""Handlers, identities and hooks: who is asked, what is answered to whom, and what is refused."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import realtime
from realtime.stomp.destinations import Template, own_room

from .place import Client, client, stomp_of, stomping


def application(**settings: Any) -> realtime.STOMP:
    """One with some handlers."""
    stomp = realtime.STOMP(**settings)

    @stomp.on("/app/greet", reply="/topic/greetings")
    async def greet(client: realtime.StompClient, message: realtime.StompMessage) -> Any:
        return {"content": f"Hello, {message.json()['name']}!"}

    @stomp.on("/app/rooms/{room}/say", reply="/user/queue/said")
    async def say(client: realtime.StompClient, message: realtime.StompMessage) -> str:
        client.data["count"] = client.data.get("count", 0) + 1
        return f"{client.identity} {message.params['room']} {message.text} {client.data['count']}"

    @stomp.on("/app/rooms/lobby/say")
    async def lobby(client: realtime.StompClient, message: realtime.StompMessage) -> bytes:
        return b"\xfflobby"

    @stomp.on("/app/nothing", reply="/topic/nothing")
    async def nothing(client: realtime.StompClient, message: realtime.StompMessage) -> None:
        assert message.destination == "/app/nothing"

    @stomp.on("/app/fails")
    async def fails(client: realtime.StompClient, message: realtime.StompMessage) -> None:
        how = message.headers.get("how")
        if how == "refused":
            raise realtime.Unauthorized("not you")
        if how == "error":
            raise realtime.EventError("not like this")
        if how == "json":
            message.json()
        if how == "text":
            assert message.text
        if how == "repeated":
            raise realtime.EventError(f"no \0\ud800 here: {message.destination}")
        if how == "cancelled":
            raise asyncio.CancelledError  # of what it has waited for
        raise ZeroDivisionError

    return stomp


async def test_an_answer_goes_to_everybody() -> None:
    async with stomping(application()) as place:
        one, other = await client(place), await client(place, "sockjs")
        for each in (one, other):
            await each.connect()
            await each.subscribe("/topic/greetings")
        await one.send("SEND", {"destination": "/app/greet", "correlation-id": "7"}, '{"name":"Ada"}')
        for each in (one, other):
            message = await each.expect("MESSAGE", content_type="application/json", correlation_id="7")
            assert message.body == b'{"content":"Hello, Ada!"}'


async def test_an_answer_goes_to_who_asked() -> None:
    stomp = application()

    @stomp.connect
    async def log_in(client: realtime.StompClient) -> str | None:
        if client.passcode == "wrong":
            raise realtime.Unauthorized("no such login")
        return client.login

    async with stomping(stomp) as place:
        ada, again, nobody, bob = [await client(place) for _ in range(4)]
        for each, login in ((ada, "a/da"), (again, "a/da"), (bob, "bob")):
            await each.connect(login=login, passcode="secret")
        await nobody.connect()
        for each in (ada, again, nobody, bob):
            await each.subscribe("/user/queue/said")
        await ada.send("SEND", {"destination": "/app/rooms/x/say"}, "hi")
        for each in (ada, again):
            assert (await each.expect("MESSAGE", destination="/user/queue/said")).body == b"a/da x hi 1"
        await nobody.send("SEND", {"destination": "/app/rooms/y/say"}, "hi")
        assert (await nobody.expect("MESSAGE")).body == b"None y hi 1"
        await bob.send("SEND", {"destination": "/app/rooms/lobby/say", "reply-to": "/user/queue/said"}, "hi")
        assert (await bob.expect("MESSAGE")).body == b"\xfflobby"
        await stomp_of(place).send("/user/a%2Fda/queue/said", "from afar")
        assert (await ada.expect("MESSAGE")).body == b"from afar"
        wrong = await client(place)
        await wrong.send("CONNECT", {"accept-version": "1.2", "login": "x", "passcode": "wrong"})
        await wrong.refused("no such login")
        # Nothing that was not theirs has come meanwhile.
        for each in (nobody, bob):
            await each.done("SEND", {"destination": "/app/nothing"})


async def test_a_reply_to_a_topic() -> None:
    async with stomping(application()) as place:
        one = await client(place)
        await one.connect()
        await one.subscribe("/queue/mine")
        await one.send("SEND", {"destination": "/app/greet", "reply-to": "/queue/mine"}, '{"name":"Ada"}')
        await one.expect("MESSAGE", destination="/queue/mine")
        await one.send("SEND", {"destination": "/app/greet", "reply-to": "/nowhere"}, '{"name":"Ada"}')
        await one.refused("a destination begins with one of")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("refused", "not you"),
        ("error", "not like this"),
        ("json", "not JSON"),
        ("text", "not text in UTF-8"),
        ("repeated", "no  ? here: /app/fails"),
        ("cancelled", "the server failed to process this frame"),
        ("other", "the server failed to process this frame"),
    ],
)
async def test_handlers_that_raise(how: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    async with stomping(application()) as place:
        one = await client(place)
        await one.connect()
        await one.send("SEND", {"destination": "/app/fails", "how": how, "receipt": "1"}, b"\xff")
        assert (await one.refused(words)).headers["receipt-id"] == "1"
    assert ("ZeroDivisionError" in caplog.text) == (how == "other")


@pytest.mark.parametrize(
    ("command", "destination", "words"),
    [
        ("SEND", "/app/unknown", "no handler of '/app/unknown'"),
        ("SUBSCRIBE", "/app/greet", "nothing is sent to '/app/greet'"),
        ("SEND", "/user/ada/queue/x", "nobody may send to other identities"),
        ("SEND", "/foo", "a destination begins with one of /topic/, /queue/, /app/, /user/"),
        ("SUBSCRIBE", "/topic/", "a destination begins with one of"),
        ("SUBSCRIBE", "/user/", "a destination begins with one of"),
    ],
)
async def test_destinations_there_are_not(command: str, destination: str, words: str) -> None:
    async with stomping(application()) as place:
        one = await client(place)
        await one.connect()
        await one.send(command, {"id": "0", "destination": destination})
        await one.refused(words)


async def test_who_may_do_what() -> None:
    stomp, asked = application(), []

    @stomp.allow
    async def allow(client: realtime.StompClient, action: str, destination: str) -> bool:
        asked.append((action, destination))
        if destination.endswith("secret"):
            raise realtime.Unauthorized("a secret")
        return not destination.endswith("no")

    async with stomping(stomp) as place:

        async def connected() -> Client:
            one = await client(place)
            await one.connect()
            return one

        one = await connected()
        await one.subscribe("/topic/yes")
        await one.send("BEGIN", {"transaction": "t"})
        await one.send("SEND", {"destination": "/topic/yes", "transaction": "t"}, "1")
        await one.send("SEND", {"destination": "/topic/no", "transaction": "t"}, "2")
        await one.send("COMMIT", {"transaction": "t"})
        await one.refused("this client may not send to '/topic/no'")  # and nothing else of the transaction was done
        assert asked == [("subscribe", "/topic/yes"), ("send", "/topic/yes"), ("send", "/topic/no")]
        for command, destination, words in (
            ("SUBSCRIBE", "/topic/no", "may not subscribe to"),
            ("SUBSCRIBE", "/queue/secret", "a secret"),
            ("SEND", "/user/x/no", "may not send to"),
        ):
            one = await connected()
            await one.send(command, {"id": "0", "destination": destination})
            await one.refused(words)
        one = await connected()
        await one.subscribe("/user/queue/x")
        await one.done("SEND", {"destination": "/user/ada/queue/x"}, "to another")
        await one.send("SEND", {"destination": "/app/greet", "reply-to": "/topic/no"}, '{"name":"Ada"}')
        await one.refused("may not send to '/topic/no'")


async def test_frames_that_have_come_are_taken_though_their_client_has_left() -> None:
    stomp, taken, go = realtime.STOMP(), [], asyncio.Event()

    @stomp.on("/app/slow")
    async def slow(client: realtime.StompClient, message: realtime.StompMessage) -> str:
        taken.append(message.text)
        await go.wait()
        return "x"

    async with stomping(stomp) as place:
        one = await client(place)
        await one.connect()
        (session,) = place.rt.sessions
        for text in "123":
            await one.send("SEND", {"destination": "/app/slow", "receipt": text}, text)
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/topic/a"})
        await one.drop()
        await session.wait_closed()
        go.set()
        await asyncio.wait(place.rt._service.sessions.handlers.tasks.values())
        assert taken == ["1", "2", "3"]


@given(st.text("a.-/", max_size=12))
def test_what_names_stand_for(rest: str) -> None:
    """The first as much as it can, as a regular expression would have it."""
    for text in ("/app/{a}", "/app/{a}.{b}", "/app/{a}{b}-{c}", "/app/a{a}.-{b}-/{c}a", "/app/a/{a}", "/app/a"):
        meant = re.sub(r"\\{(.)\\}", r"(?P<\1>[^/]+)", re.escape(text))
        found = re.fullmatch(meant, f"/app/{rest}")
        assert Template(text).match(f"/app/{rest}") == (None if found is None else found.groupdict())


def test_whoever_it_is_has_a_room() -> None:
    """An application's identities are whatever it calls them, and may be what a client has said."""
    assert own_room("/user/queue/a", "ada/\ud800", "sid") == "/user/ada%2F%ED%A0%80/queue/a"
    assert own_room("/user/queue/a", None, "sid") == "/user/:sid/queue/a"


def test_a_long_destination_takes_no_time() -> None:
    """Were each mark tried for each of the names, this would take an hour."""
    template = Template("/app/{a}-{b}-{c}-{d}")
    assert template.match("/app/" + "-" * 16_000 + "/") is None
    assert template.match("/app/" + "-" * 16_000) == {"a": "-" * 15_994, "b": "-", "c": "-", "d": "-"}


def test_what_may_not_be_registered() -> None:
    stomp = application()
    with pytest.raises(realtime.LocalProtocolError, match="there is a handler of '/app/greet' already"):
        stomp.on("/app/greet")(_handler)
    with pytest.raises(realtime.LocalProtocolError, match="handlers are for destinations such as"):
        stomp.on("/topic/greet")
    with pytest.raises(realtime.LocalProtocolError, match="a name twice"):
        stomp.on("/app/{a}/{a}")
    with pytest.raises(realtime.LocalProtocolError, match="a reply goes to"):
        stomp.on("/app/a", reply="/app/b")
    hooks: tuple[Any, ...] = (stomp.on("/app/other"), stomp.connect, stomp.allow)
    for register in hooks:
        with pytest.raises(TypeError, match="coroutine function"):
            register(_plain)
    rt = realtime.Server()
    rt.endpoint("/a")(stomp)
    with pytest.raises(realtime.LocalProtocolError, match="make another STOMP"):
        rt.endpoint("/b")(stomp)


async def _handler(client: realtime.StompClient, message: realtime.StompMessage) -> None:
    """Does nothing."""


def _plain(*_: object) -> None:
    """No coroutine function."""


async def test_sending_without_a_server() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="register the destinations first"):
        await realtime.STOMP().send("/topic/a", "x")
    with pytest.raises(TypeError, match=r"a message is str, bytes or what JSON has: .* object"):
        await realtime.STOMP().send("/topic/a", object())
    with pytest.raises(realtime.LocalProtocolError, match="a message is str, bytes or what JSON has: "):
        await realtime.STOMP().send("/topic/a", {"a": float("nan")})
    for headers in (["a"], {"a": 1}, {1: "a"}, "a"):
        with pytest.raises(TypeError, match=r"^headers=.*: takes a mapping of names to values, both text"):
            await realtime.STOMP().send("/topic/a", "x", headers=headers)  # type: ignore[arg-type]
    for name in ("content-length", "destination", "message-id", "subscription"):
        with pytest.raises(realtime.LocalProtocolError, match=f"headers: what the server itself says .* is {name}$"):
            await realtime.STOMP().send("/topic/a", "x", headers={name: "5", "mine": "x"})
    with pytest.raises(realtime.LocalProtocolError, match="lone surrogate"):
        await realtime.STOMP().send("/topic/a", "\ud800")
    stomp = realtime.STOMP()
    realtime.Server().endpoint("/stomp")(stomp)
    for wrong in ("/user/ada", "/user//x", "/user/:x/y"):
        with pytest.raises(realtime.LocalProtocolError, match="one identity's destination"):
            await stomp.send(wrong, "x")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tcp": "localhost"}, TypeError),
        ({"tcp": ("localhost", "61613")}, TypeError),
        ({"tcp": ("localhost", 70_000)}, realtime.LocalProtocolError),
        ({"tls": True, "tcp": ("localhost", 0)}, TypeError),
        ({"heart_beat": 10}, TypeError),
        ({"heart_beat": (-1, 0)}, realtime.LocalProtocolError),
        ({"heart_beat": (10_000, 10_000)}, realtime.LocalProtocolError),
        ({"max_headers": 0}, realtime.LocalProtocolError),
        ({"ack_timeout": 0}, realtime.LocalProtocolError),
        ({"dead_letters": "/topic/x"}, realtime.LocalProtocolError),
        ({"dead_letters": "dead"}, realtime.LocalProtocolError),
        ({"queues": object()}, TypeError),
    ],
)
def test_settings(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings)).replace("tls", "t")):
        realtime.STOMP(**settings)


async def test_a_room_that_is_closed_and_events_in_it() -> None:
    async with stomping() as place:
        one = await client(place)
        await one.connect()
        await one.subscribe("/topic/x#y")
        await one.subscribe("/topic/a", "1", "client-individual")
        events = realtime.Events()
        place.rt.endpoint("/events")(events)
        await events.namespace("/topic/x").room("y").emit("an event is no message", b"of STOMP's")
        await place.rt.room("/topic/x#y").send("text")
        assert (await one.expect("MESSAGE", subscription="0")).body == b"text"
        await place.rt.room("/topic/a").send("1")
        message = await one.expect("MESSAGE", subscription="1")
        await one.done("NACK", {"id": message.headers["ack"]})  # a topic gives it to nobody else
        await place.rt.room("/topic/a").close()
        await place.rt.room("/topic/a").send("2")
        await one.done("UNSUBSCRIBE", {"id": "1"})


async def test_what_hooks_and_handlers_are_given() -> None:
    stomp, seen = realtime.STOMP(), []

    @stomp.connect
    async def connect(client: realtime.StompClient) -> str | None:
        seen.append((repr(client), client.version, client.request.path, client.passcode, client.headers.get("x")))
        return 7 if client.login == "wrong" else None  # type: ignore[return-value]

    async with stomping(stomp) as place:
        one = await client(place)
        await one.connect("1.1", passcode="p", x="y")
        assert seen[0][1:] == ("1.1", "/realtime/stomp", "p", "y")
        assert seen[0][0].startswith("<StompClient of STOMP 1.1 in <Session")
        wrong = await client(place)
        await wrong.send("CONNECT", {"login": "wrong"})
        await wrong.refused("failed to process")


@pytest.mark.parametrize("header", ["history", "after"])
async def test_what_a_topic_does_not_keep(header: str) -> None:
    async with stomping() as place:
        for value in ("x", "3"):
            one = await client(place)
            await one.connect()
            await one.send("SUBSCRIBE", {"id": "0", "destination": "/topic/a", header: value})
            await one.refused("keeps nothing" if header == "after" or value == "3" else "history is a number")
