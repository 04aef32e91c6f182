"""Whatever a client says on its own connection: that ends, at the worst, and everybody else goes on."""

from __future__ import annotations

import logging
from random import Random
from typing import NoReturn

import pytest
from aioquic.buffer import encode_uint_var

import realtime

from ..patience import eventually
from .place import OPEN, Raw, place

# What an HTTP/3 frame may be, and what none is.
KINDS = (0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x7, 0xD, 0x21, 0x41, 0x40, 0x2B603742)


def echoing() -> realtime.Server:
    rt = realtime.Server(open_timeout=60)  # however slow the machine is

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


def nonsense(raw: Raw, random: Random) -> None:
    """Something that no client of HTTP/3 would say."""
    channel, quic = raw.channel, raw.channel.quic
    assert channel.http is not None
    match random.randrange(7):
        case 0:  # bytes instead of frames, on the stream that carries them
            channel.write(random.randbytes(random.randrange(1, 300)))
        case 1:  # frames of HTTP/3 where none are expected, or of the wrong kind
            body = random.randbytes(random.randrange(60))
            data = encode_uint_var(random.choice(KINDS)) + encode_uint_var(random.randrange(80)) + body
            quic.send_stream_data(quic.get_next_available_stream_id(), data, random.random() < 0.5)
        case 2:  # one-way streams of any type
            data = encode_uint_var(random.choice((0x0, 0x1, 0x2, 0x3, 0x54, 0x1234))) + random.randbytes(20)
            quic.send_stream_data(quic.get_next_available_stream_id(is_unidirectional=True), data)
        case 3:  # the control stream
            assert channel.http._local_control_stream_id is not None
            data = encode_uint_var(random.choice(KINDS)) + encode_uint_var(random.randrange(30))
            quic.send_stream_data(channel.http._local_control_stream_id, data + random.randbytes(30))
        case 4:  # the session's own stream: capsules, or not
            assert channel._session is not None
            quic.send_stream_data(channel._session, random.randbytes(random.randrange(1, 40)))
        case 5:
            quic.send_datagram_frame(random.randbytes(random.randrange(30)))
        case _:
            stream = random.choice((channel._session, channel._stream))
            assert stream is not None
            quic.reset_stream(stream, random.randrange(1 << 30))
    channel.transmit_soon()


@pytest.mark.parametrize("seed", range(30))
async def test_nonsense_ends_nothing_but_its_own_connection(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(seed)
    async with place(echoing()) as there, there.raw() as good:
        good.send(OPEN, "a0,0")
        await good.until("o")
        for _ in range(4):
            async with there.raw() as raw:
                if random.random() < 0.7:
                    raw.send(OPEN.replace("0123", f"{random.randrange(10_000):04}"), "a0,0")
                    if random.random() < 0.5:
                        await raw.until("o")
                for _ in range(random.randrange(1, 5)):
                    if not raw.channel.is_over:
                        try:
                            nonsense(raw, random)
                        except (RuntimeError, ValueError):
                            break  # this side knows better by now
                good.send("mstill here")
                assert await good.until("m") == "mstill here"
        listener = there.listener
        await eventually(lambda: all(c.quic.unread == 0 or c.is_over or c.link is None for c in listener._connections))
    # What cannot be read is the client's affair: neither a traceback nor a warning is made of it.
    assert [r for r in caplog.records if r.levelno >= logging.WARNING and r.name.split(".")[0] != "quic"] == []


@pytest.mark.parametrize("where", ["receive_datagram", "handle_timer", "datagrams_to_send", "all"])
async def test_a_connection_that_raises_ends_alone(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it does: at what comes, when its time is up, and while it writes, even its end."""
    async with place(echoing()) as there, there.raw() as good:
        good.send(OPEN, "a0,0")
        await good.until("o")
        (kept,) = there.listener._connections
        async with there.raw() as raw:
            raw.send(OPEN.replace("0123", "4567"), "a0,0")
            await raw.until("o")
            assert len(there.rt) == 2
            (broken,) = set(there.listener._connections) - {kept}

            def fails(*_: object, **__: object) -> NoReturn:
                raise ZeroDivisionError("as no client should make it")

            several = ("receive_datagram", "handle_timer", "datagrams_to_send")
            for name in several if where == "all" else (where,):
                monkeypatch.setattr(broken.quic, name, fails)
            if where == "handle_timer":
                broken._due = 0.0
                broken._timed()
            raw.send("mhello")
            await eventually(lambda: broken.is_over)
            await eventually(lambda: broken.link is not None and broken.told is not None and broken.told.finished)  # type: ignore[attr-defined]
        good.send("mstill here")
        assert await good.until("m") == "mstill here"
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "made it fail" in r.message]
