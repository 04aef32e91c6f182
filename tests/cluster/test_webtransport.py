"""WebTransport sessions that come to another worker than the one that has their session: they are carried there."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.cluster.facts import Facts
from realtime.cluster.hops import Broken, Hop
from realtime.cluster.streams import LENGTH, MARK, MAX_FACTS, NOT_TAKEN, TAKEN, opening
from realtime.quic.client import open_channel
from realtime.testing import FaultProxy, UdpFaultProxy
from realtime.transports import WEBTRANSPORT

from ..client.soak import TIMING, Report, Soak, assert_exactly_once, exchange
from ..patience import arrives, eventually, within
from ..web.sockets import contexts
from ..webtransport.place import OPEN, Raw, listener_of, made, webtransport
from .fleet import serve
from .workers import Worker, workers

COUNT = 1500
# So often all is cut, each time behind so many messages: enough are left for each, whatever was on its way.
CUTS, EACH = 4, 50
PATH = "/realtime/echo/v1/webtransport"


class Two:
    """Workers whose WebTransport is behind one proxy, as if they shared a port; and what clients are told."""

    def __init__(self, them: list[Worker], udp: UdpFaultProxy) -> None:
        self.workers = them
        self.udp = udp
        self.sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()

    def lead(self, worker: Worker) -> None:
        """Whoever comes from now on comes to this one."""
        self.udp.backend = ("127.0.0.1", listener_of(worker.server).port)

    def other(self, owner: Worker) -> Worker:
        """The one that has not the session."""
        return next(worker for worker in self.workers if worker is not owner)

    @contextlib.asynccontextmanager
    async def raw(self, headers: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[Raw]:
        """A session of WebTransport's by the proxy."""
        async with within("for a WebTransport session"):
            channel = await open_channel("127.0.0.1", self.udp.port, PATH, headers, made().digest)
        try:
            yield Raw(channel)
        finally:
            channel.close()


@contextlib.asynccontextmanager
async def two(count: int = 2, *, endpoints: bool = True, faults: Any = None, **options: Any) -> AsyncIterator[Two]:
    """So many workers, with an echo and a place to park, or with what `prepare` gives them."""
    async with UdpFaultProxy("127.0.0.1", 9, random=Random(1), **(faults or {})) as udp:
        sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()

        def setup(app: web.Application, rt: realtime.Server) -> None:
            realtime.setup(app, rt, webtransport=webtransport(public_port=udp.port, public_host="127.0.0.1"))

        if endpoints:
            options.setdefault("prepare", partial(serve, sessions))
        async with workers(count, setup=setup, **options) as them:
            one = Two(them, udp)
            one.sessions = sessions
            one.lead(them[0])
            yield one
            udp.clear()


async def until_the_end(raw: Raw) -> None:
    """What comes does not matter, but that it ends."""
    while await raw.receive() is not None:
        pass


def attach(opened: str, gen: int, received: int = 0, first: int = 1) -> str:
    """The first frame of the next carrier, of a session that was opened so."""
    sid, key = (opened.split(f'"{name}":"')[1].split('"')[0] for name in ("sid", "key"))
    return f"r{sid},{gen},{received},{received},{first},{key}"


@pytest.mark.parametrize("way", ["unix", "tcp", "tls"])
async def test_a_session_goes_on_at_another_worker(way: str, tmp_path: Path) -> None:
    listen = None if way == "unix" else "tcp://127.0.0.1:0"
    async with two(listen=listen, tls=contexts(tmp_path) if way == "tls" else None) as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
            raw.send("mone")
            assert await raw.until("m") == "mone"
        session = await arrives(one.sessions.get())
        one.lead(one.workers[1])
        async with one.raw() as raw:
            # What comes with it goes along, parsed or not.
            raw.send(attach(opened, 2, received=1, first=2), "mtwo", b"\x00\xff", "m" + "x" * 60_000)
            assert await raw.until("m") == "mtwo"
            assert await raw.receive() == b"\x00\xff"
            assert await raw.until("m") == "m" + "x" * 60_000
            raw.send("mé")
            assert await raw.until("m") == "mé"
            assert one.workers[1].forwarder.count == 1
            assert one.workers[1].hops.busy() == {one.workers[0].peer}
            carrier: Any = session._machine.carrier
            assert session._machine.transport == "webtransport"
            closing = asyncio.create_task(session.close(4001, "enough"))
            assert await raw.until("c") == "c4001,enough"
            raw.send("a6,6")
            await until_the_end(raw)
            await arrives(closing)
        assert carrier.finished
        assert session.request.transport == "webtransport"


async def test_what_the_worker_with_the_session_is_shown() -> None:
    """The head of the CONNECT as it came, and its client's address."""
    seen: list[realtime.SessionRequest] = []
    async with two() as one:
        for worker in one.workers:

            @worker.server.authorize
            async def authorize(request: realtime.SessionRequest) -> str:
                seen.append(request)
                return "ada"

        async with one.raw((("X-Of-Mine", "na\u00efve"), ("Origin", "https://127.0.0.1"))) as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
        await arrives(one.sessions.get())
        one.lead(one.workers[1])
        async with one.raw((("X-Of-Mine", "na\u00efve"), ("Origin", "https://127.0.0.1"))) as raw:
            raw.send(attach(opened, 2))
            await raw.until("r")
        here, there = seen[0], seen[-1]
        assert there.transport == "webtransport"
        for name in ("method", "path", "remote", "scheme", "host", "http_version", "raw_headers"):
            assert getattr(here, name) == getattr(there, name)
        assert (b"x-of-mine", "na\u00efve".encode()) in there.raw_headers


async def test_an_open_that_another_worker_has_done_is_carried_there() -> None:
    """So the same open twice, at two workers, is one session."""
    async with two() as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
            one.lead(one.workers[1])
            async with one.raw() as again:
                again.send(OPEN.replace('"gen":1', '"gen":2'), "mone")
                assert attach(await again.until("o"), 3) == attach(opened, 3)
                assert await again.until("m") == "mone"
        await arrives(one.sessions.get())
        assert one.sessions.empty()


class Cutting(Report):
    """Cuts everything again and again, each time behind some messages of a carrier that stands, and what comes then
    comes to the next worker."""

    def __init__(self, one: Two) -> None:
        super().__init__()
        self.one = one
        self.cuts = 0
        self._next = EACH
        self._before: object = None

    def take(self, message: str | bytes) -> None:
        """Counts it."""
        super().take(message)
        (session,) = (session for worker in self.one.workers for session in worker.service.sessions)
        carrier: Any = session._machine.carrier
        if self.cuts == CUTS or self.received < self._next or carrier in (None, self._before):
            return
        if (carrier.link.transport is not None) == (self.cuts % 2 == 1):  # it was brought, or not, as it should be
            self.cuts += 1
            self._next, self._before = self.received + EACH, carrier
            self.one.lead(self.one.workers[self.cuts % 2])
            self.one.udp.cut()


@pytest.mark.parametrize("latency", [0.0, 0.15])
async def test_exactly_once_where_it_is_cut_here_and_goes_on_there(latency: float) -> None:
    """Each connection comes to another worker than the one before, and the session stays where it is."""
    timing = TIMING | ({"ping_interval": 0.5, "ping_timeout": 1.5} if latency else {})
    async with two(endpoints=False, faults={"latency": latency}, **timing) as one, FaultProxy("127.0.0.1", 9) as none:
        soak = Soak(one.workers[0].server, 0, none, COUNT)
        for worker in one.workers:
            worker.server.endpoint("/soak")(soak.handle)
        client = Cutting(one)
        options: Any = {
            "transports": ["webtransport"],
            "attach_timeout": 20.0,
            "open_timeout": 40.0,
            "backoff": (0.01, 0.1),
            "max_queue": 64,
        }
        async with within(), realtime.connect(f"{one.workers[0].url}/realtime/soak", **options) as session:
            owner = session.id.partition(".")[0]
            await exchange(session, COUNT, client)
            await session.flush()
            assert session.transport == "webtransport"
            assert session.id.partition(".")[0] == owner == one.workers[0].name
        client.closed = (session.close_code or 0, session.close_reason or "")
        await arrives(soak.done.wait())
        (server,) = soak.reports
        assert_exactly_once(server, client, COUNT)
        assert session.unacknowledged == []
        assert client.cuts == CUTS
        assert one.workers[1].forwarder.count >= 2
        assert one.workers[0].forwarder.count == 0


async def test_who_does_not_read_stops_the_worker_that_has_the_session() -> None:
    async with two(max_outbox_size=4_000_000, ping_interval=None) as one:
        async with one.raw() as raw:
            raw.send(OPEN.replace("[256,1048576]", "[256,16000000]"))
            opened = await raw.until("o")
        session = await arrives(one.sessions.get())
        one.lead(one.workers[1])
        async with one.raw() as raw:
            raw.send(attach(opened, 2))
            await raw.until("r")
            filling = asyncio.create_task(fill(session))
            link: Any = session._machine.carrier.link  # type: ignore[union-attr]
            await eventually(lambda: not link.writable and filling.done())
            assert link.transport.get_write_buffer_size() < 1_000_000
            assert raw.channel.quic.unread < 2_000_000
            count = 0
            while count < 3_000_000:
                count += len(str(await raw.until("m"))) - 1
            await eventually(lambda: link.writable)


async def fill(session: realtime.Session) -> None:
    """More than all that lies in between keeps, and less than the session does."""
    for _ in range(60):
        await session.send("x" * 50_000)


async def test_whoever_is_cut_off_is_so_for_both() -> None:
    """The client's connection, and the worker that has the session."""
    async with two() as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
        session = await arrives(one.sessions.get())
        one.lead(one.workers[1])
        async with one.raw() as raw:
            raw.send(attach(opened, 2))
            await raw.until("r")
            carrier: Any = session._machine.carrier
            raw.channel.close()
            await eventually(lambda: carrier.finished and session._machine.carrier is None)
            await eventually(lambda: not one.workers[1].hops.open)
        async with one.raw() as raw:
            raw.send(attach(opened, 3))
            await raw.until("r")
            one.workers[0].kill()
            for stream in tuple(one.workers[0].inner.streams):
                stream.end()
            await until_the_end(raw)
            await eventually(lambda: not one.workers[1].hops.open)
        async with one.raw() as raw:
            raw.send(attach(opened, 4))
            told = await raw.until("x")
            assert told.startswith(("x4503,carrier", "x4404,session"))


async def test_a_worker_that_goes_away_says_so_to_those_that_it_carries() -> None:
    """No request of HTTP has come to the other by then."""
    async with two() as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
        session = await arrives(one.sessions.get())
        assert one.workers[0].inner.application is None
        one.lead(one.workers[1])
        async with one.raw() as raw:
            raw.send(attach(opened, 2))
            await raw.until("r")
            leaving = asyncio.create_task(one.workers[1].service.drain(30.0, None))
            assert await raw.until("e") == "erecycled"
            raw.channel.close()
            await arrives(leaving)
        assert not session.closed


async def test_where_a_worker_takes_none_its_client_is_told_to_come_back() -> None:
    async with two() as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
        await arrives(one.sessions.get())
        one.workers[0].service.taking = None
        one.workers[0].inner.application = one.workers[0].app
        one.lead(one.workers[1])
        async with one.raw() as raw:
            raw.send(attach(opened, 2))
            assert (await raw.until("x")).startswith(
                "x4503,carrier,,the worker that has the session takes no WebTransport"
            )


async def test_a_session_is_carried_once() -> None:
    """Two workers that each take the other for the one that has it would pass it on for ever."""
    async with two() as one:
        async with one.raw() as raw:
            raw.send(OPEN)
            opened = await raw.until("o")
        await arrives(one.sessions.get())
        hop = await one.workers[0].hops.reach(one.workers[1].peer, new=True)  # which has not the session
        hop.transport.write(opening(hop.seal, FACTS) + WEBTRANSPORT.frame(attach(opened, 2)))
        assert await arrives(hop.take(1)) == TAKEN
        assert (await arrives(hop.take(15)))[2:] == b"x4503,carrier"
        assert one.workers[1].forwarder.count == 0
        hop.transport.close()


# -- the inner port ----------------------------------------------------------------------------------------------------


async def hop_to(worker: Worker) -> Hop:
    """A connection that is known."""
    return await worker.hops.reach(worker.peer, new=True)


async def ended(hop: Hop) -> bool:
    """Whether nothing comes but the end."""
    try:
        await arrives(hop.take(1))
    except Broken:
        return True
    return False


FACTS = Facts("abcd", "192.0.2.1", "https", head=((":authority", "127.0.0.1"), (":path", PATH)))


async def test_it_comes_in_any_pieces() -> None:
    async with two(1) as one:
        hop = await hop_to(one.workers[0])
        for byte in opening(hop.seal, FACTS) + b"\x02":
            hop.transport.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await arrives(hop.take(1)) == TAKEN
        hop.transport.close()


async def test_what_is_not_sealed_is_not_taken() -> None:
    async with two(1) as one:
        worker = one.workers[0]
        refused = worker.inner.turned_away
        several: list[Callable[[Hop], bytes]] = [
            lambda hop: opening(hop.seal, FACTS).replace(b"192.0.2.1", b"192.0.2.2"),
            lambda hop: opening(hop.seal, FACTS)[:-1] + b" ",
            lambda hop: (opening(hop.seal, FACTS), opening(hop.seal, FACTS))[1],  # the second, said first
            lambda hop: MARK + LENGTH.pack(MAX_FACTS + 1),
            lambda hop: MARK + struct.pack("!I", 3) + b"abc",
        ]
        for said in several:
            hop = await hop_to(worker)
            hop.transport.write(said(hop))
            assert await ended(hop)
            refused += 1
            assert worker.inner.turned_away == refused
        assert not worker.inner.streams


async def test_a_page_that_may_not_connect_there_is_told_so() -> None:
    """Where workers are not set up alike: the one that has the session has the last word."""
    head = ((":authority", "127.0.0.1"), (":path", PATH), ("origin", "https://evil.example"))
    async with two(1) as one:
        hop = await hop_to(one.workers[0])
        hop.transport.write(opening(hop.seal, FACTS._replace(head=head)))
        assert await arrives(hop.take(1)) == TAKEN
        assert (await arrives(hop.take(15)))[2:] == b"x4403,carrier"
        hop.transport.close()


async def test_who_is_known_and_says_nothing_leaves_with_the_port() -> None:
    async with two(1) as one:
        worker = one.workers[0]
        silent = await hop_to(worker)
        begun = await hop_to(worker)
        begun.transport.write(opening(begun.seal, FACTS)[:9])
        await eventually(lambda: len(worker.inner.known) == 1 and len(worker.inner.streams) == 1)
        taken = await hop_to(worker)
        taken.transport.write(opening(taken.seal, FACTS))
        assert await arrives(taken.take(1)) == TAKEN
    assert await ended(silent)
    assert await ended(begun)
    assert not worker.inner.known
    assert not worker.inner.streams
    assert NOT_TAKEN != TAKEN
