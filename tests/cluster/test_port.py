"""The inner port: who is let in, and what is believed. Strangers are cut off before anything of theirs is read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.cluster import hops as hops_module
from realtime.cluster import places
from realtime.cluster import port as port_module
from realtime.cluster.facts import Facts, said_by
from realtime.cluster.hops import Broken, Hop, Hops, Refused, TooMany
from realtime.cluster.places import place_at
from realtime.cluster.port import HEADER, MOST_STRANGERS
from realtime.cluster.seals import ANSWER_SIZE, GREETING_SIZE, HELLO_SIZE, Seal, nonce_of
from realtime.core.leases import Peer

from ..patience import arrives, eventually
from ..web.peer import LongPollingPeer
from ..web.sockets import contexts
from .workers import SECRET, Worker, workers

FACTS = Facts("abcd", "192.0.2.1", "https")
HEADERS = ((b"Host", b"example.org"), (b"Connection", b"keep-alive"))
TARGET = "/realtime/echo/negotiate"
LINE = f"GET {TARGET} HTTP/1.0"


@contextlib.asynccontextmanager
async def a_worker(**options: Any) -> AsyncIterator[Worker]:
    """One that has served a request, so that it knows its application."""

    def prepare(worker: Worker) -> None:
        @worker.server.endpoint("/echo")
        async def echo(session: object) -> None: ...

        @worker.server.authorize
        async def authorize(request: object) -> None: ...

    async with workers(1, prepare=prepare, **options) as (worker,):
        worker.inner.application = worker.app
        yield worker


def test_of_a_later_version_what_is_known_is_read() -> None:
    packed = json.dumps([*FACTS, "more", {"and": "more"}]).encode()
    assert Facts.read(packed) == FACTS
    assert Facts.read(json.dumps(FACTS[:3]).encode()) == FACTS  # and of an earlier one


def mode_of(path: Path) -> int | None:
    """Who may do what with a file; None if there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def connected(worker: Worker) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(place_at(worker.peer.address)[0].path)


async def is_cut_off(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes but the end."""
    try:
        return await arrives(reader.read(1)) == b""
    except ConnectionError:
        return True


def request(seal: str, facts: bytes, headers: tuple[tuple[bytes, bytes], ...] = HEADERS, target: str = TARGET) -> bytes:
    """One as it goes to the port."""
    sealed = (*headers, (HEADER, seal.encode() + facts))
    return b"GET %b HTTP/1.0\r\n" % target.encode() + b"".join(b"%b: %b\r\n" % one for one in sealed) + b"\r\n"


async def hop_to(worker: Worker) -> Hop:
    """A connection that is known."""
    return await worker.hops.reach(worker.peer)


# -- where it listens --------------------------------------------------------------------------------------------------


async def test_only_its_user_may_open_the_socket(tmp_path: Path) -> None:
    for listen in (None, f"unix:{tmp_path}/folder/", f"unix:{tmp_path}/one"):
        async with a_worker(listen=listen) as worker:
            path = Path(place_at(worker.peer.address)[0].path)
            assert mode_of(path) == 0o600
            assert listen == f"unix:{tmp_path}/one" or mode_of(path.parent) == 0o700
        assert mode_of(path) is None


async def test_over_tcp_and_over_tls(tmp_path: Path) -> None:
    for tls in (None, contexts(tmp_path)):
        async with a_worker(listen="tcp://127.0.0.1:0", tls=tls) as worker:
            hop = await hop_to(worker)
            assert (hop.transport.get_extra_info("ssl_object") is not None) == (tls is not None)
            facts = FACTS.pack()
            hop.transport.write(request(hop.seal.request(said_by(LINE, facts, HEADERS)), facts))
            assert (await arrives(hop.head())).startswith(b"HTTP/1.0 200")


# -- who is let in -----------------------------------------------------------------------------------------------------


async def test_who_does_not_know_the_secret_is_cut_off() -> None:
    async with a_worker() as worker:
        reader, writer = await connected(worker)
        theirs = nonce_of(await arrives(reader.readexactly(GREETING_SIZE)))
        assert theirs is not None
        seal = Seal(b"x" * 32, theirs, secrets.token_bytes(16), Seal.mark(worker.peer.incarnation))
        writer.write(seal.hello())
        assert await is_cut_off(reader)
        writer.close()
        assert not worker.inner.strangers
        assert worker.inner.turned_away == 1


async def test_a_hello_counts_once() -> None:
    """Whoever has listened to one can say it again, and is a stranger."""
    async with a_worker() as worker:
        said: list[bytes] = []
        for _ in range(2):
            reader, writer = await connected(worker)
            theirs = nonce_of(await arrives(reader.readexactly(GREETING_SIZE)))
            assert theirs is not None
            if not said:
                seal = Seal(SECRET.encode(), theirs, secrets.token_bytes(16), Seal.mark(worker.peer.incarnation))
                said.append(seal.hello())
                writer.write(said[0])
                assert seal.welcome(await arrives(reader.readexactly(ANSWER_SIZE)))
            else:
                writer.write(said[0])
                assert await is_cut_off(reader)
            writer.close()


async def test_a_worker_shows_that_it_knows_the_secret_before_it_is_told_anything(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def pretends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"realtime hop 1\n" + secrets.token_bytes(16))
        heard.append(await reader.readexactly(HELLO_SIZE))
        writer.write(b"+" + secrets.token_bytes(32))
        heard.append(await reader.read())
        writer.close()

    path = str(tmp_path / "socket")
    listener = await asyncio.start_unix_server(pretends, path)
    hops = Hops(SECRET.encode())
    with pytest.raises(Broken, match="another secret"):
        await hops.reach(Peer("abcd", "one", f"unix:{path}"))
    await eventually(lambda: len(heard) == 2)
    assert heard[1] == b""
    assert not hops.open
    listener.close()


async def test_another_incarnation_is_refused_as_if_nobody_were_there() -> None:
    async with a_worker() as worker:
        with pytest.raises(Refused):
            await worker.hops.reach(worker.peer._replace(incarnation="the one before"))
        assert not worker.hops.open
        assert worker.inner.turned_away == 0
        peer = worker.peer
    with pytest.raises(Refused):
        await worker.hops.reach(peer)


async def test_a_unix_socket_proves_nothing_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none of that path, or it is somebody else's; where all see one folder it leads there all the same."""
    async with a_worker() as worker:
        monkeypatch.setattr(places, "this_machine", lambda: "another")
        (await hop_to(worker)).transport.close()
        with pytest.raises(Broken, match="another machine") as caught:
            await worker.hops.reach(worker.peer._replace(incarnation="of the one that is meant"))
        assert not isinstance(caught.value, Refused)
        peer = worker.peer
    with pytest.raises(Broken, match="another machine") as caught:
        await worker.hops.reach(peer)
    assert not isinstance(caught.value, Refused)
    with pytest.raises(Broken, match="another machine"):
        await worker.hops.reach(peer._replace(address="unix:/of/somebody/who/does/not/say"))
    monkeypatch.undo()
    with pytest.raises(Refused):
        await worker.hops.reach(peer)


def test_a_machine_is_what_sees_the_same_files() -> None:
    """Another process of this container has the same; another host, where the system does not tell, its name."""
    own = places.this_machine()
    code = "from realtime.cluster.places import this_machine; print(this_machine())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == own
    assert place_at(places.address_of(places.place_of("unix:/a#b")))[1]
    assert str(place_at(places.address_of(places.place_of("unix:/a#b")))[0]) == "unix:/a#b"
    assert places.address_of(places.place_of("tcp://[::1]:7000")) == "tcp://[::1]:7000"
    assert place_at("tcp://[::1]:7000")[1]


async def test_each_of_several_secrets_is_taken() -> None:
    async with a_worker() as worker:
        worker.inner._secrets = (b"n" * 32, SECRET.encode())
        (await hop_to(worker)).transport.close()


async def test_who_says_nothing_is_cut_off_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "HANDSHAKE_PATIENCE", 0.05)
    async with a_worker() as worker:
        reader, writer = await connected(worker)
        await arrives(reader.readexactly(GREETING_SIZE))
        assert await is_cut_off(reader)
        writer.close()


async def test_a_port_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops_module, "HANDSHAKE_PATIENCE", 0.05)
    path = str(tmp_path / "socket")
    came: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_unix_server(lambda reader, writer: came.append(writer), path)
    hops = Hops(SECRET.encode())
    with pytest.raises(Broken, match="cannot be reached"):
        await hops.reach(Peer("abcd", "one", f"unix:{path}"))
    assert not hops.open
    listener.close()
    for writer in came:
        writer.close()


async def test_strangers_are_counted_and_others_still_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "GRACE", 60.0)
    async with a_worker() as worker:
        them = [await connected(worker) for _ in range(MOST_STRANGERS)]
        await eventually(lambda: len(worker.inner.strangers) == MOST_STRANGERS)
        reader, writer = await connected(worker)
        assert await is_cut_off(reader)
        for _, other in [*them, (reader, writer)]:
            other.transport.abort()
        await eventually(lambda: not worker.inner.strangers)
        (await hop_to(worker)).transport.close()


async def test_who_was_a_stranger_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects as often as anybody may, and says nothing, keeps no worker out."""
    monkeypatch.setattr(port_module, "MOST_STRANGERS", 2)
    async with a_worker() as worker:
        them = [await connected(worker) for _ in range(2)]
        await eventually(lambda: len(worker.inner.strangers) == 2)
        reader, writer = await connected(worker)
        assert await is_cut_off(reader)
        monkeypatch.setattr(port_module, "GRACE", 0.0)
        (await hop_to(worker)).transport.close()
        await arrives(them[0][0].readexactly(GREETING_SIZE))
        assert await is_cut_off(them[0][0])
        assert len(worker.inner.strangers) == 1
        for _, other in [*them, (reader, writer)]:
            other.transport.abort()


async def test_whatever_strangers_say(caplog: pytest.LogCaptureFixture) -> None:
    """Random bytes, and a good hello with some of them changed, cut or added: all are cut off, and nothing is kept."""
    dice = random.Random(17)
    async with a_worker() as worker:
        for number in range(150):
            reader, writer = await connected(worker)
            theirs = nonce_of(await arrives(reader.readexactly(GREETING_SIZE)))
            assert theirs is not None
            hello = Seal(SECRET.encode(), theirs, dice.randbytes(16), Seal.mark(worker.peer.incarnation)).hello()
            if number % 3 == 0:
                said = dice.randbytes(dice.choice((1, 63, 64, 65, 4096, 100_000)))
            elif number % 3 == 1:
                at = dice.randrange(len(hello))
                said = hello[:at] + bytes((hello[at] ^ (1 << dice.randrange(8)),)) + hello[at + 1 :]
            else:
                said = hello + dice.randbytes(dice.randrange(1, 2000))
            with contextlib.suppress(ConnectionError):
                writer.write(said)
                if len(said) < HELLO_SIZE:
                    writer.write_eof()
                assert await is_cut_off(reader)
            writer.close()
        await eventually(lambda: not worker.inner.strangers)
        assert worker.inner._server is None  # no HTTP was ever looked at
    assert not caplog.records


# -- what is believed --------------------------------------------------------------------------------------------------


async def test_what_is_sealed_is_believed() -> None:
    async with a_worker() as worker:
        hop = await hop_to(worker)
        for _ in range(3):
            facts = FACTS.pack()
            hop.transport.write(request(hop.seal.request(said_by(LINE, facts, HEADERS)), facts))
            head = await arrives(hop.head())
            assert head.startswith(b"HTTP/1.0 200")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
            told = json.loads(await hop.take(int(length.split(b":")[1])))
            assert told["endpoint"] == "/echo"
        hop.transport.close()


FORGED = ["another version", "no seal", "two seals", "other facts", "another header", "one header fewer"]
FORGED += ["another target", "said again"]


@pytest.mark.parametrize("how", FORGED)
async def test_what_is_not_sealed_is_refused(how: str) -> None:
    async with a_worker() as worker:
        hop = await hop_to(worker)
        facts, headers, target = FACTS.pack(), HEADERS, TARGET
        seal = hop.seal.request(said_by(LINE, facts, headers))
        if how == "no seal":
            said = b"GET %b HTTP/1.0\r\nHost: h\r\n\r\n" % target.encode()
        elif how == "another version":
            said = request(seal, facts).replace(b"HTTP/1.0", b"HTTP/1.1")
        elif how == "two seals":
            said = request(seal, facts, ((HEADER, seal.encode() + facts), *headers))
        elif how == "other facts":
            said = request(seal, FACTS._replace(remote="127.0.0.1").pack())
        elif how == "another header":
            said = request(seal, facts, (*headers, (b"Cookie", b"user=admin")))
        elif how == "one header fewer":
            said = request(seal, facts, headers[:1])
        elif how == "another target":
            said = request(seal, facts, target="/realtime/other/negotiate")
        else:
            said = request(seal, facts)
            hop.transport.write(said)
            head = await arrives(hop.head())
            assert head.startswith(b"HTTP/1.0 200")
            await hop.take(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        hop.transport.write(said)
        assert (await arrives(hop.head()))[8:13] == b" 403 "
        await eventually(lambda: hop.gone)
        assert worker.inner.turned_away == 1


async def test_a_client_cannot_seal_its_own_request() -> None:
    """At the public port the header says nothing, and does not go along to another worker."""
    seen: list[tuple[str | None, dict[str, str]]] = []

    def prepare(worker: Worker) -> None:
        @worker.server.endpoint("/echo")
        async def echo(session: realtime.Session) -> None:
            await session.wait_closed()

        @worker.server.authorize
        async def authorize(request: realtime.SessionRequest) -> None:
            seen.append((request.remote, dict(request.headers)))

    headers = {"realtime-hop": "0" * 64 + json.dumps(["abcd", "192.0.2.1", "https"]), "X-Kept": "yes"}
    async with workers(2, prepare=prepare) as (one, other), aiohttp.ClientSession() as http:
        peer = LongPollingPeer(http, f"{one.url}/realtime/echo", headers=headers)
        await peer.open()
        peer.url = f"{other.url}/realtime/echo"
        await arrives(peer.send("mhello"))
        assert other.forwarder.count == 1
    assert len(seen) >= 2
    assert {remote for remote, _ in seen} == {"127.0.0.1"}
    assert "Realtime-Hop" not in {name.title() for name in seen[-1][1]}
    assert seen[-1][1]["X-Kept"] == "yes"


async def test_whatever_is_said_behind_a_hello(caplog: pytest.LogCaptureFixture) -> None:
    """Random bytes, and a sealed request with some of its bytes changed, left out or doubled: refused, or cut off; the
    application sees none of it."""
    dice = random.Random(18)
    seen: list[str] = []

    @web.middleware
    async def watching(request: web.Request, handler: Any) -> web.StreamResponse:
        seen.append(request.path)
        response: web.StreamResponse = await handler(request)
        return response

    def prepare(worker: Worker) -> None:
        worker.app.middlewares.append(watching)

    async with workers(1, prepare=prepare) as (worker,):
        worker.inner.application = worker.app
        for number in range(120):
            hop = await hop_to(worker)
            facts = FACTS.pack()
            good = request(hop.seal.request(said_by(LINE, facts, HEADERS)), facts)
            at = dice.randrange(len(good) - 4)
            if number % 4 == 0:
                said = dice.randbytes(dice.choice((1, 100, 5000))) + b"\r\n\r\n"
            elif number % 4 == 1:
                said = good[:at] + bytes((good[at] ^ (1 << dice.randrange(8)),)) + good[at + 1 :]
            elif number % 4 == 2:
                said = good[:at] + good[at + dice.randrange(1, 4) :]
            else:
                said = good[:at] + good[at : at + dice.randrange(1, 40)] + good[at:]
            hop.transport.write(said)
            hop.transport.write_eof()
            with contextlib.suppress(Broken):
                head = await arrives(hop.head())
                assert head[:12] in (b"HTTP/1.0 400", b"HTTP/1.0 403", b"HTTP/1.1 400", b"HTTP/1.1 403"), (said, head)
            hop.transport.abort()
        assert seen == []
        await eventually(lambda: not worker.hops.open)
    assert not [record for record in caplog.records if record.name.startswith("realtime")]


async def test_a_hop_that_ends_just_behind_an_answer_is_not_kept() -> None:
    """Whoever waits for the answer runs when both have come."""
    async with workers(2) as (one, other):
        one.inner.application = one.app
        hop = await other.hops.reach(one.peer)
        waiting = asyncio.ensure_future(hop.take(1))
        await asyncio.sleep(0)
        hop.data_received(b"x")
        hop.transport.abort()
        hop.connection_lost(None)
        assert await waiting == b"x"
        other.hops.keep(hop)
        assert (len(other.hops.open), other.hops.idle) == (0, 0)


async def test_hops_are_counted() -> None:
    async with workers(2) as (one, other):
        other.hops._most = 1
        one.inner.application = one.app
        hop = await other.hops.reach(one.peer)
        with pytest.raises(TooMany):
            await other.hops.reach(one.peer)
        other.hops.keep(hop)
        assert await other.hops.reach(one.peer) is hop
        assert (len(other.hops.open), other.hops.idle) == (1, 0)
