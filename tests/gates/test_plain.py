"""Protocols without numbers and acks through their gates alone: a link that records, facts of a request, no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

import pytest

import realtime
from realtime import EngineIO, SessionRequest, SockJS
from realtime.core.carrier import Carrier, Part
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.endpoint import Endpoint
from realtime.gates.base import Gone
from realtime.gates.engineio import EngineGate, Visit
from realtime.gates.plain import PlainGate, machine_of
from realtime.gates.plain_connection import OneSession, PlainConnection, Wire
from realtime.gates.requests import Unreadable
from realtime.gates.sockjs import SockJSGate
from realtime.metrics.tally import Tally
from realtime.protocols.engineio.requests import BAD_METHOD, BAD_REQUEST, UNKNOWN_SID, EngineIOError, EngineQuery
from realtime.protocols.sockjs.codec import CODECS
from realtime.testing import VirtualClock

from ..patience import arrives, eventually, within

T = TypeVar("T")
OPTIONS = EngineIO(ping_interval=1000, ping_timeout=1000)


class Link:
    """A carrier's I/O that remembers."""

    def __init__(self) -> None:
        self.writable = True
        self.gone = False
        self.said: list[Part] = []
        self.closed: tuple[int, str] | None = None
        self.cut = False

    def write(self, buffers: Sequence[Part]) -> None:
        """Keeps them."""
        self.said += buffers

    def close(self, code: int, reason: str) -> None:
        """Keeps the first end."""
        self.closed = self.closed or (code, reason)

    def abort(self) -> None:
        """Keeps that."""
        self.cut = True


class House:
    """A server whose /echo answers and whose /hold takes nothing."""

    def __init__(self, **settings: Any) -> None:
        self.rt = realtime.Server(clock=VirtualClock(), shutdown_timeout=0.3, **settings)
        self.rt.endpoint("/echo")(self._echo)
        self.rt.endpoint("/hold", max_queue=16)(self._hold)
        self.told = Tally()
        self.rt.observe(self.told)

    async def _echo(self, session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async def _hold(self, session: realtime.Session) -> None:
        await session.wait_closed()

    def endpoint(self, path: str = "/echo") -> Endpoint:
        """One of them."""
        return self.rt._service.endpoints[path]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A house that is left empty."""
    house = House()
    async with within("a gate"):
        yield house
        await house.rt._service.shutdown()
    assert len(house.rt) == 0


def facts(method: str = "GET", transport: str = "polling") -> SessionRequest:
    """A request."""
    return SessionRequest(method=method, remote="192.0.2.1", transport=transport)


def body(data: bytes) -> Any:
    """Reads a request's body."""

    async def read(limit: int) -> bytes:
        if len(data) > limit:
            raise RemoteProtocolError(4413, f"above {limit}")
        return data

    return read


async def cut(limit: int) -> bytes:
    """A body that breaks off."""
    raise Unreadable(Refusal(4400, "cut"))


async def leaves(asking: Coroutine[Any, Any, T], /) -> T:
    """A client that has left when the application has answered."""
    await asking
    raise Gone


async def said(link: Link, *buffers: Part) -> None:
    """Waits for just these, and forgets them."""
    await eventually(lambda: len(link.said) >= len(buffers))
    assert link.said == list(buffers)
    link.said.clear()


# -- a connection that is a session ----------------------------------------------------------------------------------


def connection(house: House, link: Link, path: str = "/echo", **options: Any) -> OneSession:
    """SockJS's WebSocket, without one."""
    gate = SockJSGate(house.rt._service)
    endpoint = house.endpoint(path)
    return OneSession(gate, facts(transport="websocket"), endpoint, gate.wire(endpoint, SockJS()), link, **options)


def laid(frame: bytes) -> bytes:
    """A frame as SockJS's WebSocket has it."""
    return CODECS["websocket"].framing.lay(frame)


def take(connection: PlainConnection, data: str) -> None:
    """A message comes, and nothing has to be waited for."""
    assert connection.message(data) is None


async def stands(one: OneSession) -> None:
    """The connection stands; what that waits for has come."""
    opening = one.connected()
    if opening is not None:
        await opening


async def test_a_message_for_which_there_is_no_room_is_waited_for(house: House) -> None:
    one = connection(house, Link(), "/hold")
    await stands(one)
    (session,) = house.rt.sessions
    for at in range(15):
        take(one, f'"{at}"')
    first = one.message('["15", "16", "17"]')  # there is room for the first of these
    assert first is not None
    taking = asyncio.ensure_future(first)
    await asyncio.sleep(0)
    second = one.message('"18"')
    assert second is not None
    taking_second = asyncio.ensure_future(second)
    assert [await session.receive() for _ in range(19)] == [str(at) for at in range(19)]
    await taking
    await taking_second
    take(one, '"19"')
    one.closed(1000, "")
    one.lost()
    assert session.closed


async def test_a_connection_opens_is_fed_and_closes(house: House) -> None:
    link = Link()
    one = connection(house, link)
    await stands(one)
    take(one, '["a","b"]')
    await said(link, laid(b"o"), laid(b'a["a","b"]'))
    assert one.control()
    link.writable = False
    take(one, '"c"')
    link.writable = True
    one.writable_again()
    await said(link, laid(b'a["c"]'))
    (session,) = house.rt.sessions
    one.closed(3000, "bye")
    one.lost()
    assert (session.close_code, session.close_reason) == (3000, "bye")
    assert one.message('"late"') is None
    assert not house.told.refusals


async def test_a_connection_that_is_lost_or_fails_ends_its_session(house: House) -> None:
    for code in (1006, 1007, 1009):
        one = connection(house, Link())
        await stands(one)
        (session,) = house.rt.sessions
        if code != 1006:
            one.failed(code)
            assert session.close_code == code
        one.lost()
        assert session.close_code == code


async def test_nonsense_on_a_connection_is_not_answered(house: House) -> None:
    link = Link()
    one = connection(house, link)
    await stands(one)
    await said(link, laid(b"o"))
    take(one, "{")
    assert link.said == []
    assert link.closed == (1002, "Broken JSON encoding.")
    one.lost()


async def test_too_many_pings_end_the_session() -> None:
    house = House(max_message_rate=1.0, on_rate="close", rate_burst=2.0)
    one = connection(house, Link())
    await stands(one)
    (session,) = house.rt.sessions
    answered = [one.control() for _ in range(1000)]
    assert answered[0]
    assert not answered[-1]
    assert session.close_code == 1008
    one.lost()


async def test_who_is_refused_is_told_on_the_connection_and_counted(house: House) -> None:
    @house.rt.authorize
    async def nobody(request: SessionRequest) -> str:
        raise realtime.Unauthorized("no")

    link = Link()
    one = connection(house, link)
    await stands(one)
    assert link.said == [laid(b'c[4401,"no"]')]
    assert link.closed == (4401, "no")
    assert house.told.refusals == {"4401": 1}
    assert one.control()
    assert one.message('"x"') is None
    one.writable_again()
    one.closed(1000, "")
    one.failed(1009)
    one.lost()


async def test_nothing_is_opened_for_who_has_left(house: House) -> None:
    link = Link()
    one = connection(house, link, wait=leaves)
    await stands(one)
    assert (link.said, len(house.rt)) == ([], 0)
    one.lost()


# -- sessions by name ------------------------------------------------------------------------------------------------


async def receive(gate: SockJSGate, house: House, name: str = "n", path: str = "/echo") -> tuple[Link, Carrier]:
    """A poll of SockJS."""
    link = Link()
    carrier = Carrier(CODECS["xhr"], link, gate.now())
    await gate.receive(facts("POST", "long_polling"), house.endpoint(path), SockJS(), name, carrier)
    return link, carrier


async def bring(gate: SockJSGate, house: House, data: bytes, name: str = "n", *, form: bool = False) -> bool:
    """A POST of SockJS."""
    return await gate.bring(facts("POST", "long_polling"), house.endpoint(), name, body(data), form=form)


async def test_a_session_goes_on_by_its_name(house: House) -> None:
    gate = SockJSGate(house.rt._service)
    assert not await bring(gate, house, b'["early"]')
    link, _ = await receive(gate, house)
    await said(link, b"o\n")
    assert link.closed is not None
    assert await bring(gate, house, b'["1"]')
    assert await bring(gate, house, b"d=%5B%222%22%5D", form=True)
    await said((await receive(gate, house))[0], b'a["1","2"]\n')
    other, _ = await receive(gate, house, "other")
    await said(other, b"o\n")
    assert len(house.rt) == 2


async def test_a_second_receiver_is_told_so_unless_the_first_has_left(house: House) -> None:
    gate = SockJSGate(house.rt._service)
    await receive(gate, house)
    held, _ = await receive(gate, house)
    second, _ = await receive(gate, house)
    assert second.said == [b'c[2010,"Another connection still open"]\n']
    assert not held.cut
    held.gone = True
    third, carrier = await receive(gate, house)
    assert held.cut
    assert third.said == [b'c[1002,"Connection interrupted"]\n']
    assert carrier.finished
    assert house.told.refusals == {"4409": 1}


async def test_what_cannot_be_read_is_raised_and_a_flood_ends_the_session(house: House) -> None:
    gate = SockJSGate(house.rt._service)
    await receive(gate, house)
    (session,) = house.rt.sessions
    with pytest.raises(RemoteProtocolError, match="Broken JSON"):
        await bring(gate, house, b"[")
    with pytest.raises(RemoteProtocolError, match="above"):
        await bring(gate, house, b" " * (house.endpoint().config.max_body + 1))
    with pytest.raises(Unreadable):
        await gate.bring(facts("POST"), house.endpoint(), "n", cut, form=False)
    assert not session.closed
    with pytest.raises(RemoteProtocolError, match="max_size"):
        await gate.feed(session, ["x" * (house.endpoint().config.max_size + 1)])


async def test_posts_wait_for_room_and_only_so_many(house: House) -> None:
    gate = PlainGate(house.rt._service)
    kind = Wire(
        CODECS["xhr"], lambda data: [data], SockJSGate(house.rt._service).wire(house.endpoint(), SockJS()).kind, 1
    )
    session = await gate.open(facts(), house.endpoint("/hold"), kind.kind, name="n")
    waiting = [asyncio.ensure_future(gate.feed(session, ["x"] * 16)) for _ in range(17)]
    await eventually(lambda: waiting[0].done() and waiting[-1].done() is False and machine_of(session).waiting)
    with pytest.raises(Refusal, match="too many requests wait"):
        await gate.feed(session, ["x"])
    for _ in range(16):
        await session.receive()
    assert await arrives(waiting[1])
    machine_of(session).end(1001, "", gate.now())
    assert {await arrives(one) for one in waiting[2:]} == {False}


# -- Engine.IO -------------------------------------------------------------------------------------------------------


async def enter(gate: EngineGate, house: House, method: str = "GET", path: str = "/echo", **query: str) -> Visit:
    """A request of an Engine.IO client."""
    asked = EngineQuery.of({"EIO": "4", "transport": "polling"} | query, OPTIONS)
    return await gate.enter(facts(method, asked.transport), house.endpoint(path), OPTIONS, asked)


async def opened(gate: EngineGate, house: House, path: str = "/echo") -> str:
    """The sid of a session over polls."""
    link = Link()
    visit = await enter(gate, house, path=path)
    carrier = visit.poll(link)
    await eventually(lambda: link.said)
    visit.cut(carrier)  # it was answered: nothing is lost
    assert visit.session.id.encode() in b"".join(part for part in link.said if isinstance(part, bytes))
    return visit.session.id


async def test_engineio_polls_and_posts(house: House) -> None:
    gate = EngineGate(house.rt._service)
    sid = await opened(gate, house)
    visit = await enter(gate, house, "POST", sid=sid)
    await visit.post(Link(), body(b"4one\x1e4two"), binary=False)
    link = Link()
    (await enter(gate, house, sid=sid)).poll(link)
    await said(link, b"4one\x1e4two")


async def test_engineio_by_a_connection_alone(house: House) -> None:
    gate, link = EngineGate(house.rt._service), Link()
    visit = await enter(gate, house, transport="websocket")
    one = visit.connection(link)
    one.connected()
    await eventually(lambda: link.said)
    link.said.clear()
    take(one, "4hi")
    await said(link, b"\x81\x034hi")
    one.closed(1001, "")
    one.lost()
    visit.left()
    assert visit.session.close_code == 1001


async def test_engineio_upgrades(house: House) -> None:
    gate, link = EngineGate(house.rt._service), Link()
    sid = await opened(gate, house)
    visit = await enter(gate, house, sid=sid, transport="websocket")
    one = visit.connection(link)
    one.connected()
    for packet in ("2probe", "5", "4over"):
        take(one, packet)
    await said(link, b"\x81\x063probe", b"\x81\x054over")
    with pytest.raises(Refusal, match="does not go over polls"):
        await enter(gate, house, sid=sid)
    second = Link()
    late = (await enter(gate, house, sid=sid, transport="websocket")).connection(second)
    late.connected()
    assert second.closed == (1000, "another connection carries this session")
    late.lost()
    one.lost()
    visit.left()


async def test_what_cannot_be_read_on_a_tried_connection_ends_the_trial_and_no_session(house: House) -> None:
    gate, link = EngineGate(house.rt._service), Link()
    sid = await opened(gate, house)
    visit = await enter(gate, house, sid=sid, transport="websocket")
    one = visit.connection(link)
    one.connected()
    take(one, "9")
    assert link.closed == (1000, "the upgrade was not completed")
    assert not visit.session.closed
    one.lost()


async def test_a_shutdown_ends_what_is_only_tried(house: House) -> None:
    gate, link = EngineGate(house.rt._service), Link()
    sid = await opened(gate, house)
    one = (await enter(gate, house, sid=sid, transport="websocket")).connection(link)
    one.connected()
    gate.stop()
    assert link.closed == (1001, "")
    one.lost()


async def test_an_engineio_session_that_was_opened_and_never_begun_ends(house: House) -> None:
    visit = await enter(EngineGate(house.rt._service), house, transport="websocket")
    visit.connection(Link()).lost()
    visit.left()
    assert visit.session.close_code == 1006


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("POST", "/echo", {}, BAD_METHOD),
        ("GET", "/hold", {"sid": "it"}, UNKNOWN_SID),
        ("GET", "/echo", {"sid": "it", "EIO": "3"}, BAD_REQUEST),
        ("PUT", "/echo", {"sid": "it"}, BAD_REQUEST),
    ],
)
async def test_requests_that_engineio_has_an_error_for(
    house: House, method: str, path: str, query: dict[str, str], code: int
) -> None:
    gate = EngineGate(house.rt._service)
    sid = await opened(gate, house)
    with pytest.raises(EngineIOError) as raised:
        await enter(
            gate, house, method, path, **{name: sid if value == "it" else value for name, value in query.items()}
        )
    assert raised.value.code == code


async def test_engineio_posts_that_make_no_sense(house: House) -> None:
    gate = EngineGate(house.rt._service)
    sid = await opened(gate, house)
    visit = await enter(gate, house, "POST", sid=sid)
    with pytest.raises(RemoteProtocolError, match="above"):
        await visit.post(Link(), body(b"4" * (OPTIONS.max_payload + 1)), binary=False)
    assert not visit.session.closed
    with pytest.raises(RemoteProtocolError, match="a packet starts with its type"):
        await visit.post(Link(), body(b"x"), binary=False)
    assert visit.session.close_code == 1002
    visit = await enter(gate, house, "POST", sid=await opened(gate, house))
    with pytest.raises(Unreadable):
        await visit.post(Link(), cut, binary=False)
    assert (visit.session.close_code, visit.session.close_reason) == (1006, "a POST was cut")


async def test_two_posts_at_once_end_an_engineio_session(house: House) -> None:
    gate, asked = EngineGate(house.rt._service), asyncio.Event()
    sid = await opened(gate, house)

    async def slow(limit: int) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    first = asyncio.ensure_future((await enter(gate, house, "POST", sid=sid)).post(Link(), slow, binary=False))
    await asked.wait()
    visit = await enter(gate, house, "POST", sid=sid)
    with pytest.raises(Refusal, match="two POSTs at once"):
        await visit.post(Link(), body(b"4x"), binary=False)
    first.cancel()
    await asyncio.wait([first])
