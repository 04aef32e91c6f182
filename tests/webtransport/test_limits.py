"""Nothing that comes by UDP is kept beyond a limit: connections, handshakes, streams, heads, bytes nobody has taken."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aioquic.h3.connection import ErrorCode
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import Epoch

import realtime
from realtime.quic.client import Channel, _begin
from realtime.quic.connection import MAX_STREAMS, Connection
from realtime.quic.http3 import MAX_HEAD
from realtime.testing import UdpFaultProxy, VirtualClock
from realtime.webtransport import listener as module
from realtime.webtransport.carried import Passing
from realtime.webtransport.link import Link
from realtime.webtransport.listener import WINDOW

from ..patience import arrives, eventually, leap, within
from .place import OPEN, PATIENT, Place, made, place, webtransport


def echoing(**settings: Any) -> realtime.Server:
    rt = realtime.Server(**{"open_timeout": 60.0, **settings})  # however slow the machine is

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


def the_connection(there: Place) -> Any:
    (connection,) = there.listener._connections
    return connection


# -- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Link, Passing])
async def test_what_waits_in_tiny_pieces_is_kept_together(kind: Any) -> None:
    """Each alone would take thirty times as much memory as it has bytes."""
    carried: Any = SimpleNamespace(took=lambda size: None, end=lambda: None)
    link = Link(carried, 1000)
    link.opened(0)
    one: Any = link if kind is Link else Passing(carried, link)
    link._wait_for(asyncio.get_running_loop().create_future())
    await asyncio.sleep(0)
    said = b"".join(number.to_bytes(2, "big") for number in range(5000))
    for at in range(0, len(said), 2):
        one.data(said[at : at + 2], False)
    assert b"".join(one._unread) == said
    assert len(one._unread) <= 3
    assert link._task is not None
    link._task.cancel()
    await asyncio.wait([link._task])


async def test_what_nobody_takes_is_not_sent() -> None:
    """While the application is asked, a client may send as much as the window, whatever it has."""
    asked, answer = asyncio.Event(), asyncio.Event()
    rt = echoing()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        asked.set()
        await answer.wait()
        return "ada"

    async with place(rt) as there, there.raw() as raw:
        raw.send(OPEN)
        # Frames that nobody knows: they are taken and ignored, and so is the time that they take.
        for _ in range(30):
            raw.send("z" + "x" * 60_000)
        await arrives(asked.wait())
        quic = the_connection(there).quic
        await eventually(lambda: quic.unread > WINDOW // 2)
        # As much as was granted has come, and the client waits for more.
        stream = raw.channel._stream
        assert stream is not None
        await eventually(lambda: raw.channel.quic._streams[stream].max_stream_data_remote <= quic.unread + WINDOW)
        for _ in range(20):
            await asyncio.sleep(0)
        assert quic.unread <= WINDOW
        assert raw.channel.quic.waiting(stream) > 30 * 60_000 - WINDOW
        answer.set()
        assert await raw.until("o")
        await eventually(lambda: quic.unread == 0 and raw.channel.quic.waiting(stream) == 0)
        raw.send("a0,0", "mhello")
        assert await raw.until("m") == "mhello"


def exchange(
    client: Connection, server: Connection, now: float, lost: Callable[[], bool], check: Callable[[], None]
) -> bool:
    """One flight each way; whether anything was sent."""
    sent = False
    for sender, receiver in ((client, server), (server, client)):
        for data, _ in sender.datagrams_to_send(now):
            sent = True
            if not lost():
                receiver.receive_datagram(data, ("peer", 1), now)
                check()
    return sent


def shaking() -> tuple[Connection, Connection]:
    """A client and a server that begin to shake hands."""
    from realtime.webtransport.certificates import Certificates

    loaded = Certificates(made().certificate, made().key).loaded
    limits = {"max_data": 40_000, "max_stream_data": 30_000}
    client = Connection(
        configuration=QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=0, **limits)  # type: ignore[arg-type]
    )
    client.connect(("peer", 1), now=0.0)
    server = Connection(
        configuration=QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            certificate=loaded.certificate,
            private_key=loaded.key,
            **limits,  # type: ignore[arg-type]
        ),
        original_destination_connection_id=client.original_destination_connection_id,
    )
    return client, server


def pair() -> tuple[Connection, Connection]:
    """A client and a server that have shaken hands."""
    client, server = shaking()
    for _ in range(6):
        exchange(client, server, 0.0, lambda: False, lambda: None)
    return client, server


@pytest.mark.parametrize("seed", range(3))
def test_windows_slide_with_what_was_delivered_and_taken(seed: int) -> None:
    """Whatever is lost on the way, no more is granted than the window beyond what was delivered; and all arrives."""
    random = Random(seed)
    client, server = pair()
    stream_id = client.get_next_available_stream_id()
    client.send_stream_data(stream_id, bytes(400_000), end_stream=True)
    got, now, ended = 0, 0.0, False

    def delivered() -> None:
        """What has come is unread, before anything is said to the client."""
        nonlocal got, ended
        while (event := server.next_event()) is not None:
            data = getattr(event, "data", b"")
            server.unread += len(data)
            got += len(data)
            ended = ended or getattr(event, "end_stream", False)
        if stream_id in server._streams and not ended:
            stream = server._streams[stream_id]
            gap = stream.receiver.highest_offset - stream.receiver.starting_offset()
            assert gap <= 30_000
            assert stream.max_stream_data_local <= stream.receiver.starting_offset() + 30_000
            assert server._local_max_data.value <= server._local_max_data.used - gap - server.unread + 40_000

    for _ in range(20_000):
        if random.random() < 0.3:
            server.unread = 0
        exchange(client, server, now, lambda: random.random() < 0.1, delivered)
        if ended:
            break
        due = min(at for at in (client.get_timer(), server.get_timer(), now + 0.01) if at is not None)
        now = max(now + 0.001, due)
        for end in (client, server):
            at = end.get_timer()
            if at is not None and at <= now:
                end.handle_timer(now)
    assert got == 400_000


def test_one_byte_far_ahead_is_no_reason_to_grant_more() -> None:
    client, server = pair()
    stream_id = client.get_next_available_stream_id()
    client.send_stream_data(stream_id, bytes(29_999))
    sender = client._streams[stream_id].sender
    sender._pending.subtract(0, 29_998)  # all but the last byte is kept back
    for turn in range(5):
        exchange(client, server, 0.01 * turn, lambda: False, lambda: None)
    stream = server._streams[stream_id]
    assert (stream.receiver.starting_offset(), stream.receiver.highest_offset) == (0, 29_999)
    assert stream.max_stream_data_local == 30_000
    assert server._local_max_data.value <= 40_000


def test_of_a_handshake_no_more_is_kept_than_one_has() -> None:
    """One byte far ahead would have all before it set aside, for an address that may be anybody's."""
    client, server = shaking()
    crypto = client._crypto_streams[Epoch.INITIAL].sender
    client.datagrams_to_send(0.0)  # the ClientHello, which gets lost
    crypto.write(bytes(100_000))
    crypto._pending.subtract(0, crypto._buffer_stop - 1)
    for data, _ in client.datagrams_to_send(0.0):
        server.receive_datagram(data, ("peer", 1), 0.0)
    assert server._close_event is not None
    assert server._close_event.error_code == QuicErrorCode.CRYPTO_BUFFER_EXCEEDED
    assert not server._crypto_streams[Epoch.INITIAL].receiver._buffer


def test_what_acknowledges_the_future_ends_the_connection() -> None:
    """RFC 9000 §13.1. Whatever is on its way would be taken for lost, each time, and sent again."""
    client, server = pair()
    for turn in range(3):
        exchange(client, server, 0.01 * turn, lambda: False, lambda: None)
    space = client._spaces[Epoch.ONE_RTT]
    space.ack_queue.add(1_000_000)
    space.ack_at = 0.0
    server.send_stream_data(server.get_next_available_stream_id(), b"x" * 3000)
    server.datagrams_to_send(0.1)
    for data, _ in client.datagrams_to_send(0.1):
        server.receive_datagram(data, ("peer", 1), 0.1)
    assert server._close_event is not None
    assert server._close_event.error_code == QuicErrorCode.PROTOCOL_VIOLATION


def test_streams_are_few_and_as_many_again_when_some_have_ended() -> None:
    client, server = pair()
    assert client._remote_max_streams_bidi == client._remote_max_streams_uni == MAX_STREAMS
    for turn in range(3 * MAX_STREAMS):
        stream_id = client.get_next_available_stream_id()
        client.send_stream_data(stream_id, b"x", end_stream=True)
        for step in range(4):
            exchange(client, server, turn + step / 10, lambda: False, lambda: None)
            if step == 0 and stream_id in server._streams:
                server.send_stream_data(stream_id, b"", end_stream=True)
    assert len(server._streams) <= 1
    assert client._close_event is None


# -- streams and requests ----------------------------------------------------------------------------------------------


async def test_further_streams_are_refused_and_the_first_goes_on() -> None:
    async with place(echoing()) as there, there.raw() as raw:
        raw.send(OPEN)
        await raw.until("o")
        raw.send("a0,0")
        channel = raw.channel
        assert channel.http is not None
        assert channel._session is not None
        for one_way in itertools.islice(itertools.cycle((False, True)), 3 * MAX_STREAMS):
            stream_id = channel.http.create_webtransport_stream(channel._session, is_unidirectional=one_way)
            channel.quic.send_stream_data(stream_id, b"x" * 1000)
        channel.transmit_soon()
        raw.send("mhello")
        assert await raw.until("m") == "mhello"
        connection = the_connection(there)
        await eventually(lambda: connection.quic.unread == 0)
        assert len(connection._refused) <= 2 * MAX_STREAMS


async def test_of_streams_that_are_over_nothing_is_kept() -> None:
    """However many there were."""
    async with place(echoing()) as there, there.raw() as raw:
        raw.send(OPEN)
        await raw.until("o")
        raw.send("a0,0")
        channel, connection = raw.channel, the_connection(there)
        assert channel.http is not None
        assert channel._session is not None
        assert connection.http is not None
        before, living = len(connection.http._stream), len(connection.quic._streams)
        for number in range(60):
            for one_way in (False, True):
                stream_id = channel.http.create_webtransport_stream(channel._session, is_unidirectional=one_way)
                channel.quic.send_stream_data(stream_id, b"x", end_stream=number % 2 == 0)
                if number % 2:
                    channel.quic.reset_stream(stream_id, 1)
            channel.transmit_soon()
            raw.send(f"m{number}")
            assert await raw.until("m") == f"m{number}"
        kept = connection.http._stream
        await eventually(lambda: len(kept) <= before)
        await eventually(lambda: len(connection.quic._streams) <= living + MAX_STREAMS)
        assert len(connection._refused) <= 2 * MAX_STREAMS
        assert not connection._before


async def answer_of(channel: Channel, head: list[tuple[bytes, bytes]], body: bytes | None = None) -> str:
    """The status of the answer to another request on a channel."""
    status: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    assert channel.http is not None
    asked = channel.quic.get_next_available_stream_id()
    before = channel.headers

    def headers(stream_id: int, headers: list[tuple[bytes, bytes]], ended: bool) -> None:
        if stream_id == asked and not status.done():
            status.set_result(dict(headers)[b":status"].decode())
        else:
            before(stream_id, headers, ended)

    channel.headers = headers  # type: ignore[method-assign]
    channel.http.send_headers(asked, head, end_stream=body is None)
    if body is not None:
        channel.http.send_data(asked, body, end_stream=False)
    channel.transmit_soon()
    return await arrives(status, "for an answer")


async def test_whatever_else_is_asked_for_is_not_here() -> None:
    def head(**fields: str) -> list[tuple[bytes, bytes]]:
        fields = {"method": "GET", "scheme": "https", "authority": "here", "path": "/realtime/echo/negotiate", **fields}
        return [(f":{name}".encode(), value.encode()) for name, value in fields.items()]

    async with place(echoing()) as there, there.raw() as raw:
        channel = raw.channel
        assert await answer_of(channel, head()) == "404"
        assert await answer_of(channel, head(method="POST"), b"x" * 50_000) == "404"
        assert await answer_of(channel, head(method="CONNECT", protocol="websocket")) == "404"
        another = head(method="CONNECT", protocol="webtransport", path="/realtime/echo/v1/webtransport")
        assert await answer_of(channel, another, b"") == "429"
        raw.send(OPEN, "a0,0", "mhello")
        assert await raw.until("m") == "mhello"


@pytest.mark.parametrize("frame", [0x1, 0x4])
async def test_heads_and_settings_are_not_as_large_as_a_client_likes(frame: int) -> None:
    """They are refused by what they say of themselves, before any of it is kept."""
    from aioquic.buffer import encode_uint_var

    async with place(echoing()) as there, there.raw() as raw:
        channel = raw.channel
        assert channel.http is not None
        data = encode_uint_var(frame) + encode_uint_var(MAX_HEAD + 1)
        if frame == 0x1:
            channel.quic.send_stream_data(channel.quic.get_next_available_stream_id(), data)
        else:  # settings come on the control stream, first; so this connection says something else of itself
            control = channel.http._local_control_stream_id
            assert control is not None
            data = encode_uint_var(0xD) + encode_uint_var(MAX_HEAD + 1)
            channel.quic.send_stream_data(control, data)
        channel.transmit_soon()
        assert await raw.receive() is None
        assert channel.quic._close_event is not None
        assert channel.quic._close_event.error_code == ErrorCode.H3_EXCESSIVE_LOAD


async def test_heads_are_not_unpacked_to_more_than_they_are() -> None:
    """There is no table by which a byte could stand for kilobytes."""
    async with place(echoing()) as there, there.raw() as raw:
        settings = raw.channel.http and raw.channel.http.received_settings
        assert settings
        assert (settings[0x1], settings[0x7], settings[0x6]) == (0, 0, MAX_HEAD)


async def test_the_settings_of_every_draft_are_sent() -> None:
    async with place(echoing()) as there, there.raw() as raw:
        settings = raw.channel.http and raw.channel.http.received_settings
        assert settings
        expected = {0x8: 1, 0x33: 1, 0xFFD277: 1, 0x2B603742: 1, 0xC671706A: 1, 0x14E9CD29: 1}
        assert {name: settings[name] for name in expected} == expected


# -- messages ----------------------------------------------------------------------------------------------------------


async def test_a_frame_above_max_size_ends_the_session() -> None:
    rt = echoing(max_size=1000)
    async with place(rt) as there, there.raw() as raw:
        raw.send(OPEN, "a0,0")
        await raw.until("o")
        raw.send("m" + "x" * 100_000)
        while await raw.receive() is not None:
            """Until the server has ended the stream."""
        await eventually(lambda: not len(rt))


async def test_text_that_is_not_utf_8_ends_the_session() -> None:
    rt = echoing()
    async with place(rt) as there, there.raw() as raw:
        raw.send(OPEN, "a0,0")
        await raw.until("o")
        raw.channel.write(b"\x04m\xff")
        while await raw.receive() is not None:
            """Until the server has ended the stream."""
        await eventually(lambda: not len(rt))


# -- time --------------------------------------------------------------------------------------------------------------


async def test_who_says_nothing_is_refused_in_the_end() -> None:
    clock = VirtualClock()
    async with place(echoing(clock=clock, open_timeout=5)) as there, there.raw() as raw:
        raw.send("p")
        assert await raw.receive() == "q"
        clock.advance(6.0)
        frame = await raw.receive()
        assert isinstance(frame, str)
        assert frame.startswith("x4408,carrier")
        assert await raw.receive() is None


async def test_who_is_refused_and_does_not_leave_is_cut_off() -> None:
    async with place(echoing()) as there, there.raw("/realtime/nowhere/v1/webtransport") as raw:
        raw.send("p")
        assert str(await raw.receive()).startswith("x4406")
        assert await raw.receive() is None
        connection = the_connection(there)
        leap(5.0)
        await eventually(lambda: connection.is_over)


async def test_a_connection_without_a_session_ends() -> None:
    """After request_timeout, however often its client shows that it is there."""
    async with place(echoing()) as there, within():
        channel = await one_that_asks_for_nothing(there.listener)
        connection = the_connection(there)
        assert connection in there.listener._unopened
        for seconds in (20.0, 11.0):
            # What is on its way when the clock leaps would be a round trip of so many seconds.
            await eventually(lambda: at_rest(channel.quic) and at_rest(connection.quic))
            assert not connection.is_over
            channel.quic.send_ping(0)
            channel.transmit()
            await eventually(lambda: at_rest(channel.quic))
            leap(seconds)
        await eventually(lambda: connection.is_over and channel.is_over)
        assert "no WebTransport session was opened in time" in str(channel.answered.exception())
        assert not there.listener._unopened


async def test_connections_that_are_silent_are_gone_and_forgotten() -> None:
    async with UdpFaultProxy("127.0.0.1", 9) as udp:
        rt = echoing(ping_interval=None)
        options = webtransport(public_port=udp.port, public_host="127.0.0.1", idle_timeout=20)
        async with place(rt, options) as there:
            udp.backend = ("127.0.0.1", there.listener.port)
            async with realtime.connect(there.url / "echo", transports="webtransport") as session:
                await session.send("hello")
                assert await arrives(session.receive()) == "hello"
                # What is on its way when the clock leaps would be a round trip of so many seconds.
                connection = the_connection(there)
                await eventually(lambda: at_rest(connection.quic))
                udp.go_dark()
                pinging = connection._pinging
                leap(600.0)
                await eventually(lambda: connection._pinging is not pinging)  # which gives its peer as long again
                leap(600.0)
                await eventually(lambda: not there.listener._connections and not there.listener._ids)
                udp.clear()
                await session.send("again")
                assert await arrives(session.receive()) == "again"


async def test_without_pings_of_the_session_quic_keeps_the_connection() -> None:
    """Its own pings go a third of the time after which it would be gone."""
    rt = echoing(ping_interval=None)
    async with (
        place(rt, webtransport(idle_timeout=30)) as there,
        realtime.connect(there.url / "echo", **PATIENT) as session,
    ):
        connection = the_connection(there)
        for _ in range(6):
            due = connection._pinging
            leap(11.0)
            await eventually(lambda due=due: connection._pinging is not due)  # type: ignore[misc]
            await eventually(lambda: not connection.quic._ping_pending)
            await session.send("still here")
            assert await arrives(session.receive()) == "still here"
        assert the_connection(there) is connection


# -- numbers -----------------------------------------------------------------------------------------------------------


async def test_so_many_connections_and_no_more() -> None:
    async with place(echoing(), webtransport(max_connections=2)) as there, within():
        url = there.url / "echo"
        async with realtime.connect(url, **PATIENT), realtime.connect(url, **PATIENT):
            assert len(there.listener._connections) == 2
            async with realtime.connect(url, transports=["webtransport", "polling"], upgrade=False) as third:
                assert third.transport == "polling"
                assert len(there.listener._connections) == 2
        await eventually(lambda: not there.listener._connections)
        assert not there.listener._ids


async def test_when_many_shake_hands_a_client_shows_that_its_address_is_its_own() -> None:
    """From half of max_handshakes on, and it gets in; above it nobody does."""
    async with place(echoing(), webtransport(max_handshakes=2)) as there, within():
        listener = there.listener
        first = await one_that_asks_for_nothing(listener)
        assert not first.quic._retry_count
        second = await one_that_asks_for_nothing(listener)  # was asked again
        assert second.quic._retry_count == 1
        assert len(listener._unopened) == 2
        third = await begun(listener)
        await first_datagram(listener)
        assert len(listener._connections) == 2
        first.close()
        await eventually(lambda: len(listener._unopened) == 1)
        async with there.raw() as raw:
            raw.send(OPEN)
            assert await raw.until("o")
        for channel in (second, third):
            channel.close()


async def test_who_has_opened_no_session_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens as many as there may be keeps nobody out who has shown its address."""
    monkeypatch.setattr(module, "GRACE", 0.0)
    async with place(echoing(), webtransport(max_handshakes=2)) as there, within():
        listener = there.listener
        first, second = [await one_that_asks_for_nothing(listener) for _ in range(2)]
        third = await one_that_asks_for_nothing(listener)
        await eventually(lambda: first.is_over)
        assert len(listener._unopened) == 2
        assert not second.is_over
        for channel in (second, third):
            channel.close()


async def begun(listener: Any) -> Channel:
    """A client's connection."""
    return await _begin(2, ("127.0.0.1", listener.port), "127.0.0.1", [], made().digest)


async def one_that_asks_for_nothing(listener: Any) -> Channel:
    """A connection whose handshake is done."""
    channel = await begun(listener)
    channel._connect = lambda settings: setattr(channel, "_session", 0)  # type: ignore[method-assign]
    await eventually(lambda: channel._session is not None)
    return channel


def at_rest(quic: Connection) -> bool:
    """Whether all that was sent is acknowledged."""
    return not any(space.ack_eliciting_in_flight for space in quic._loss.spaces)


async def first_datagram(listener: Any) -> None:
    """Waits for a datagram to have come to the port."""
    came = asyncio.Event()
    before = listener.datagram_received

    def received(data: bytes, address: Any) -> None:
        before(data, address)
        came.set()

    listener.datagram_received = received
    await arrives(came.wait())
    del listener.datagram_received


async def test_what_is_no_quic_is_passed_over() -> None:
    async with place(echoing()) as there, within():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", there.listener.port)
        )
        random = Random(1)
        version = bytes(4), b"\x00\x00\x00\x01", b"\x0a\x0a\x0a\x0a"
        for size in (0, 1, 20, 1200, 1500):
            for _ in range(20):
                transport.sendto(random.randbytes(size))
                head = bytes((0xC0 | random.randrange(64),)) + random.choice(version) + b"\x08" + random.randbytes(8)
                transport.sendto((head + b"\x08" + random.randbytes(8) + random.randbytes(size))[: max(size, 20)])
        async with there.raw() as raw:
            raw.send(OPEN)
            assert await raw.until("o")
        transport.close()
