"""The TCP port: opened and closed with the application, logins for the authorize hook, TLS, and what comes first."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

import realtime
from realtime.gates import stomp as gate
from realtime.gates.plain_connection import OneSession

from ..patience import eventually
from ..web.place import serving
from .place import TcpClient, client, stomp_of, stomping


async def test_the_port_is_open_while_the_application_runs() -> None:
    stomp = realtime.STOMP(tcp=("127.0.0.1", 0))
    assert not stomp.addresses
    async with stomping(stomp) as place:
        host, port = stomp.addresses[0]
        assert host == "127.0.0.1"
        one, silent = await client(place, "tcp"), await client(place, "tcp")
        await one.connect()
        await place.stop()
        await one.ended()
        await silent.refused("the server is going away")
        with pytest.raises(OSError):
            await asyncio.open_connection(host, port)
    assert not stomp.addresses


async def test_logins_are_for_the_authorize_hook() -> None:
    rt, seen = realtime.Server(shutdown_timeout=0.3), []

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        seen.append((request.auth, request.transport, request.remote, request.scheme, request.host, request.path))
        assert "Origin" not in request.headers
        if request.auth["passcode"] != "secret":
            raise realtime.Unauthorized(f"no such login: {request.auth['login']}")
        return str(request.auth["login"])

    stomp, clients = realtime.STOMP(tcp=("127.0.0.1", 0)), []

    @stomp.connect
    async def connect(client: realtime.StompClient) -> None:
        clients.append((client.identity, client.login, client.passcode, client.host, "passcode" in client.headers))

    rt.endpoint("/stomp")(stomp)
    async with serving(rt) as place:
        one = await client(place, "tcp")
        await one.connect(login="ada", passcode="secret")
        assert seen == [({"login": "ada", "passcode": "secret"}, "tcp", "127.0.0.1", "stomp", "here", "/stomp")]
        assert clients == [("ada", "ada", "secret", "here", False)]
        assert await rt.identity("ada").close() == 1
        await one.refused("the identity was withdrawn")
        wrong = await client(place, "tcp")
        await wrong.send("CONNECT", {"accept-version": "1.2", "login": "ada"})
        await wrong.refused("no such login")
        odd = await client(place, "tcp")
        await odd.say(b"CONNECT\naccept-version:1.2\nlogin:a\0da\n\n\0")
        await odd.refused("no such login: a da")  # which no header could say


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1; its key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


async def test_tls(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    async with stomping(realtime.STOMP(tcp=("127.0.0.1", 0), tls=context)) as place:
        theirs = ssl.create_default_context(cafile=str(certificate))
        one = TcpClient(*await asyncio.open_connection(*stomp_of(place).addresses[0], ssl=theirs))
        await one.connect()
        await one.subscribe("/topic/a")
        await one.send("SEND", {"destination": "/topic/a"}, "x" * 300_000)
        assert len((await one.expect("MESSAGE")).body) == 300_000
        await one.send("SEND", {}, "x")
        await one.refused("destination")
        other = TcpClient(*await asyncio.open_connection(*stomp_of(place).addresses[0], ssl=theirs))
        await other.connect()
        await other.drop()
        await eventually(lambda: not len(place.rt))


async def test_much_over_tls_while_the_application_thinks(certificate: Path) -> None:
    """In order, whatever the connection had read already when it was told to pause."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    stomp, taken, go = realtime.STOMP(tcp=("127.0.0.1", 0), tls=context), [], asyncio.Event()

    @stomp.connect
    async def connect(client: realtime.StompClient) -> None:
        await go.wait()

    @stomp.on("/app/take")
    async def take(client: realtime.StompClient, message: realtime.StompMessage) -> None:
        taken.append(int(message.text))

    async with stomping(stomp, max_queue=16, max_size=1000) as place:
        theirs = ssl.create_default_context(cafile=str(certificate))
        one = TcpClient(*await asyncio.open_connection(*stomp_of(place).addresses[0], ssl=theirs))
        frames = [b"SEND\ndestination:/app/take\n\n%d\0" % number for number in range(5000)]
        one.writer.write(b"CONNECT\naccept-version:1.2\n\n\0" + b"".join(frames))
        (session,) = await sessions(place.rt)
        await eventually(lambda: not session._machine.inbox.has_room(1000))
        go.set()
        await eventually(lambda: len(taken) == 5000)
        assert taken == list(range(5000))
        await one.drop()
        await eventually(lambda: not len(place.rt))


async def sessions(rt: realtime.Server) -> list[realtime.Session]:
    """Those there are, when there are some."""
    await eventually(lambda: len(rt) > 0)
    return list(rt.sessions)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "no frame begins with"),
        (b"SEND\ndestination:/a\n\n\0", "has to be a CONNECT, not a SEND"),
        (b"CONNECT\naccept-version:7\n\n\0", "Supported protocol versions are 1.0 1.1 1.2"),
        (b"CONNECT\na:" + b"x" * 20_000, "max_header_size"),
        (b"SEND\ndestination:/a\n\nbody\0", "has to be a CONNECT, not a SEND"),
        (b"CONNECT\n\n" + b"x" * 20_000, "max_body_size"),
        (b"CONNECT\nheart-beat:x\n\n\0", "heart-beat is two numbers"),
    ],
)
async def test_what_comes_first_is_a_connect(data: bytes, words: str) -> None:
    async with stomping() as place:
        one = await client(place, "tcp")
        await one.say(data)
        await one.refused(words)
        assert len(place.rt) == 0


async def test_who_says_nothing() -> None:
    async with stomping(realtime.STOMP(tcp=("127.0.0.1", 0), connect_timeout=0.05)) as place:
        one = await client(place, "tcp")
        await one.refused("no CONNECT came within connect_timeout")


async def test_byte_by_byte_and_all_at_once() -> None:
    async with stomping(max_size=16) as place:
        one = await client(place, "tcp")
        data = b"CONNECT\naccept-version:1.2\n\n\0\nSUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0"
        for at in range(len(data)):
            await one.say(data[at : at + 1])
        await one.expect("CONNECTED")
        await one.say(b"".join(b"SEND\ndestination:/topic/a\n\n%d\0" % number for number in range(1000)))
        assert [int((await one.expect("MESSAGE")).body) for _ in range(1000)] == list(range(1000))


async def test_who_leaves_without_a_word_and_what_it_said_before_that() -> None:
    stomp, taken = realtime.STOMP(tcp=("127.0.0.1", 0)), []

    @stomp.on("/app/take")
    async def take(client: realtime.StompClient, message: realtime.StompMessage) -> None:
        taken.append(message.text)

    async with stomping(stomp, max_queue=16, max_size=1000) as place:
        one = await client(place, "tcp")
        frames = b"".join(b"SEND\ndestination:/app/take\n\n%d\0" % number for number in range(5000))
        await one.say(b"CONNECT\naccept-version:1.2\n\n\0" + frames)
        assert isinstance(one, TcpClient)
        one.writer.write_eof()
        await eventually(lambda: len(taken) == 5000)
        await eventually(lambda: not len(place.rt))


async def test_a_slow_reader_holds_up_nobody() -> None:
    async with stomping() as place:
        slow, quick = await client(place, "tcp"), await client(place, "tcp")
        for each in (slow, quick):
            await each.connect()
            await each.subscribe("/topic/a")
        for _ in range(60):
            await quick.send("SEND", {"destination": "/topic/a"}, "x" * 100_000)
            assert len((await quick.expect("MESSAGE")).body) == 100_000
        await quick.send("SEND", {"destination": "/topic/a"}, "last")
        while (await slow.expect("MESSAGE")).body != b"last":
            pass


async def test_too_many_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_UNOPENED", 2)
    async with stomping() as place:
        first, second, third = [await client(place, "tcp") for _ in range(3)]
        await third.ended()
        await first.connect()
        fourth = await client(place, "tcp")
        await fourth.connect()
        await second.connect()


async def test_who_has_said_nothing_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens as many as there may be, and says nothing, keeps nobody out; who is asked about is not silent."""
    monkeypatch.setattr(gate, "MAX_UNOPENED", 2)
    monkeypatch.setattr(gate, "GRACE", 0.0)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def authorize(request: realtime.SessionRequest) -> None:
        if request.auth["login"] == "slow":
            asked.set()
            await answer.wait()

    async with stomping() as place:
        place.rt.authorize(authorize)
        slow = await client(place, "tcp")
        await slow.send("CONNECT", {"accept-version": "1.2", "login": "slow"})
        await asked.wait()
        silent, third = await client(place, "tcp"), await client(place, "tcp")
        await silent.ended()
        await third.connect()
        answer.set()
        await slow.expect("CONNECTED")


async def test_a_connection_that_raises_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind that would be taken for what comes next."""
    told: list[dict[str, Any]] = []

    async def raises(*_: Any) -> None:
        raise RuntimeError("of a connection")

    async with stomping() as place:
        one = await client(place, "tcp")
        await one.connect()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        monkeypatch.setattr(OneSession, "message", raises)
        await one.send("BEGIN", {"transaction": "a"})
        await one.ended()
        assert [str(context["exception"]) for context in told] == ["of a connection"]


async def test_a_port_that_is_taken_stops_the_start() -> None:
    async with stomping() as place:
        address = stomp_of(place).addresses[0]
        rt = realtime.Server()
        rt.endpoint("/stomp")(realtime.STOMP(tcp=address))
        with pytest.raises(realtime.LocalProtocolError, match="endpoint '/stomp' cannot be opened"):
            async with serving(rt):
                pass


async def test_a_port_comes_before_the_start() -> None:
    async with serving() as place:
        with pytest.raises(realtime.LocalProtocolError, match="register it before"):
            place.rt.endpoint("/stomp")(realtime.STOMP(tcp=("127.0.0.1", 0)))
        place.rt.endpoint("/other")(realtime.STOMP())


def test_tls_wants_a_port() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="tls is for the TCP port"):
        realtime.STOMP(tls=ssl.create_default_context())


async def test_what_stands_behind_the_headers_of_a_connect_counts_for_nothing() -> None:
    async with stomping() as place:
        one = await client(place, "tcp")
        await one.say(b"CONNECT\naccept-version:1.2\nhost:here\n\n\n\0")
        await one.expect("CONNECTED")


async def test_line_ends_before_the_connect_are_not_kept() -> None:
    async with stomping() as place:
        one = await client(place, "tcp")
        for _ in range(256):
            await one.say(b"\n" * 16_384)
        await one.say(b"\r\n\nCONN")
        (link,) = [each for each in gc.get_objects() if isinstance(each, gate.TcpLink) and not each._lost]
        await eventually(lambda: bool(link._early))
        assert len(link._early) < 1_000_000  # at most what was read at once
        await one.say(b"ECT\naccept-version:1.2\nhost:here\n\n\0")
        await one.expect("CONNECTED")
