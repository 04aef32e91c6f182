"""Connections that are taken over from aiohttp, and those that are not: served alike, whatever comes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib.util
import itertools
import logging
import random
import re
import ssl
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import WSMsgType, web
from aiohttp.http import WebSocketReader

from realtime.pace import TURN
from realtime.transports.websocket import frame_header
from realtime.web import lean, parsing, sockets, takeover
from realtime.web.handshake import AHEAD_MESSAGES
from realtime.web.lean import LeanLink
from realtime.web.links import WebSocketLink

from ..patience import arrives, eventually, within
from .sockets import HANDSHAKE, MAX_SIZE, Recorder, WebSockets, contexts, masked, serving_websockets

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


@pytest.fixture
async def served() -> AsyncIterator[WebSockets]:
    async with serving_websockets() as served:
        yield served


@pytest.fixture(params=["taken over", "by aiohttp"])
async def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebSockets]:
    """Served in each of the two ways."""
    monkeypatch.setattr(sockets, "TAKING_OVER", request.param == "taken over")
    async with serving_websockets() as served:
        yield served


# -- the same answers ------------------------------------------------------------------------------------------------


def text(dice: random.Random, most: int) -> bytes:
    return "".join(dice.choices("aé€😀", k=dice.randrange(most))).encode()


def good(dice: random.Random) -> bytes:
    """What means something: a message, in fragments perhaps, with control frames in between."""
    if dice.random() < 0.2:
        return masked(dice.choice((PING, PONG)), dice.randbytes(dice.choice((0, 1, 125))))
    first = dice.choice((1, 2))
    payload = text(dice, 200) if first == 1 else dice.randbytes(dice.randrange(300))
    if dice.random() < 0.1:
        payload = b"x" * dice.choice((MAX_SIZE - 2, MAX_SIZE - 1))
    key = dice.randbytes(4)
    cuts = sorted(dice.randrange(len(payload) + 1) for _ in range(dice.choice((0, 0, 1, 3))))
    pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = b""
    for at, piece in enumerate(pieces):
        frames += masked((0x80 if at == len(pieces) - 1 else 0) | (0 if at else first), piece, key)
        if dice.random() < 0.2:
            frames += masked(PING, b"between")
    return frames


def bad(dice: random.Random) -> bytes:
    """What does not."""
    return dice.choice(
        (
            lambda: masked(0xC1, b"rsv1"),
            lambda: masked(0xA1, b"rsv2"),
            lambda: masked(0x91, b"rsv3"),
            lambda: masked(0x80 | dice.choice((3, 7, 11, 15)), b"opcode"),
            lambda: masked(0x09, b"fragmented ping"),
            lambda: masked(PING, b"x" * 126),
            lambda: masked(0x80, b"continues nothing"),
            lambda: masked(0x01, b"begun") + masked(TEXT, b"and begun again"),
            lambda: masked(TEXT, b"\xff"),
            lambda: masked(0x01, "é".encode()[:1]) + masked(0x80, b"\xff"),
            lambda: masked(TEXT, b"", size=MAX_SIZE),
            lambda: masked(TEXT, b"", size=1 << 40),
            lambda: masked(BINARY, b"", size=(1 << 64) - 1),
            lambda: masked(0x01, b"x" * (MAX_SIZE - 1)) + masked(0x80, b"x"),
            lambda: masked(CLOSE, b"\x03"),
            lambda: masked(CLOSE, dice.choice((0, 999, 1004, 1005, 1006, 1015, 2999)).to_bytes(2, "big")),
            lambda: masked(CLOSE, (1000).to_bytes(2, "big") + b"\xff"),
            lambda: dice.randbytes(dice.randrange(1, 40)),
            lambda: frame_header(TEXT, 8) + b"unmasked",
        )
    )()


def last(dice: random.Random) -> bytes:
    code = dice.choice((1000, 1001, 1008, 1014, 3000, 4000, 4999, 65_535)).to_bytes(2, "big")
    return masked(CLOSE, dice.choice((b"", code, code + text(dice, 20))))


def conversation(seed: int) -> list[bytes]:
    """What a client sends: in pieces of any size."""
    dice = random.Random(seed)
    data = b"".join(good(dice) for _ in range(dice.randrange(6)))
    if dice.random() < 0.6:
        data += bad(dice)
    data += b"".join(good(dice) for _ in range(dice.randrange(2)))
    data += last(dice)
    if dice.random() < 0.1:
        data = data[: dice.randrange(len(data) + 1)]
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 0, 1, 5, 20))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def ends(data: bytes) -> bool:
    """Whether these bytes end a connection, rather than its peer."""
    probe = takeover.Probe()
    reader = WebSocketReader(probe, MAX_SIZE, compress=False, decode_text=True)
    failed, _ = reader.feed_data(data)
    return failed or any(isinstance(seen, tuple) and seen[0] is WSMsgType.CLOSE for seen in probe.seen)


async def slowly(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def answers(served: WebSockets, seed: int) -> tuple[list[Any], bytes | None]:
    """What the Connection was told, and what the client got; None where the end of the connection may overtake it."""
    dice = random.Random(seed)
    waits = dice.random() < 0.4

    def prepare(recorder: Recorder) -> None:
        if waits:
            recorder.connecting = lambda: slowly(dice.randrange(4))
            recorder.taking = lambda: slowly(dice.randrange(4)) if dice.random() < 0.5 else None

    served.prepare_recorder = prepare
    pieces = conversation(seed)
    ended = ends(b"".join(pieces))
    early = pieces.pop(0) if seed % 3 == 0 else b""
    recorder, reader, writer = await served.connect(early)
    got: bytes | None = None
    async with within():
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            if not ended and writer.can_write_eof():
                writer.write_eof()
            elif not ended:  # TLS has no half of an end
                writer.close()
            got = await reader.read()
        except (OSError, RuntimeError):  # which uvloop raises
            pass
        writer.close()
        await recorder.over.wait()
    return recorder.told, got if ended else None


Contexts: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext]


async def compare(seeds: range, monkeypatch: pytest.MonkeyPatch, tls: Contexts | None = None) -> None:
    known: set[Any] = set()
    compared = 0
    async with serving_websockets(tls=tls) as served:
        for seed in seeds:
            for module in (lean, parsing):  # half of them in pieces that are smaller than frames
                monkeypatch.setattr(module, "PIECE", 4096 if seed % 2 else 50)
            monkeypatch.setattr(sockets, "TAKING_OVER", True)
            told, got = await answers(served, seed)
            monkeypatch.setattr(sockets, "TAKING_OVER", False)
            told_by_aiohttp, got_by_aiohttp = await answers(served, seed)
            assert told == told_by_aiohttp, seed
            assert told[-1] == "lost"
            assert told.count("lost") == 1
            if got is not None and got_by_aiohttp is not None:
                assert got == got_by_aiohttp, seed
                compared += 1
            known.add(told[-2][:2] if isinstance(told[-2], tuple) else "cut")
    assert {("failed", 1002), ("failed", 1007), ("failed", 1009), ("closed", 1000), ("closed", 1005), "cut"} <= known
    assert compared > len(seeds) / 2


async def test_whatever_comes_both_ways_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    await compare(range(300), monkeypatch)


def uvloop_with_fast_servers(uvloop: Any, aiofastnet: Any) -> asyncio.AbstractEventLoop:
    """Its servers are aiofastnet's; its clients are not, since these wait for ever. aiofastnet takes what is there each
    time that a reader (`loop.add_reader`) is called, and uvloop's is called once, and never again, where the peer has
    ended the connection and reset it behind some data, as a server that closes does to who goes on sending: the end
    behind the data is not told. That needs neither aiofastnet nor this package to be seen; asyncio's own loop tells."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    loop.create_server = partial(aiofastnet.create_server, loop)  # type: ignore[method-assign]
    return loop


@pytest.mark.parametrize(
    ("loop", "tls"),
    [
        ("uvloop", False),
        ("aiofastnet", False),
        ("asyncio", True),
        ("uvloop", True),
        ("aiofastnet", True),
        ("aiofastnet on uvloop", False),
    ],
    ids=["uvloop-plain", "aiofastnet-plain", "asyncio-TLS", "uvloop-TLS", "aiofastnet-TLS", "aiofastnet-on-uvloop"],
)
def test_on_other_loops_and_over_tls_too(loop: str, tls: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """aiofastnet has transports of its own."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    elif loop == "aiofastnet":
        factory = pytest.importorskip("aiofastnet").loop_factory(asyncio.new_event_loop)
    elif loop == "aiofastnet on uvloop":
        factory = partial(uvloop_with_fast_servers, pytest.importorskip("uvloop"), pytest.importorskip("aiofastnet"))
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(compare(range(100), monkeypatch, contexts(tmp_path) if tls else None))


# -- which way -------------------------------------------------------------------------------------------------------


async def way(served: WebSockets) -> type[object]:
    recorder, _, writer = await served.connect()
    writer.close()
    await arrives(recorder.over.wait())
    return type(recorder.link)


async def test_connections_are_taken_over_unless_there_is_a_reason(
    served: WebSockets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "realtime.server")

    async def said(kind: type[object], what: str) -> None:
        caplog.clear()
        assert await way(served) is kind
        assert what in caplog.text

    assert takeover.STRANGE is None
    await said(LeanLink, "taken over")
    with monkeypatch.context() as patch:
        patch.setattr(sockets, "TAKING_OVER", False)
        await said(WebSocketLink, "switched off")
    with monkeypatch.context() as patch:
        patch.setattr(takeover, "STRANGE", "its RequestHandler has no _manager")
        await said(WebSocketLink, "of aiohttp, its RequestHandler has no _manager")
    with monkeypatch.context() as patch:  # a wrapper that counts bytes, say, or reads what a proxy says first
        patch.setattr("asyncio.selector_events._SelectorTransport.get_protocol", lambda self: object())
        await said(WebSocketLink, "something stands between the connection and aiohttp")
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        await said(WebSocketLink, "debug mode")
    finally:
        loop.set_debug(False)


def test_an_aiohttp_that_is_another_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(answer: Callable[[bytes], tuple[bool, bytes]], module: str = "reader_c") -> str | None:
        class Changed(WebSocketReader):
            __module__ = module

            def feed_data(self, data: bytes | bytearray | memoryview) -> tuple[bool, bytes]:
                return answer(bytes(data))

        monkeypatch.setattr(takeover, "WebSocketReader", Changed)
        return takeover._known()

    def fail(data: bytes) -> tuple[bool, bytes]:
        raise ZeroDivisionError

    assert known(lambda data: (False, b"")) == "its WebSocketReader says something else"
    assert known(fail) == "its WebSocketReader raises ZeroDivisionError"
    assert known(fail, "reader_py") == "its WebSocketReader is not compiled"
    monkeypatch.setattr(takeover, "HANDED_OVER", ("_nothing",))
    assert takeover._known() == "its RequestHandler has no _nothing"


def test_an_aiohttp_that_has_its_reader_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too old says so in a sentence; a newer one reads by itself."""

    def again(name: str) -> Any:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    monkeypatch.setitem(sys.modules, "aiohttp._websocket.reader", None)
    monkeypatch.setattr("aiohttp.__version__", "3.10.11")
    with pytest.raises(ImportError, match=r"needs aiohttp 3\.11\.1 or newer, and this is 3\.10\.11: pip install -U"):
        again("realtime.web.parsing")
    monkeypatch.setattr("aiohttp.__version__", "3.99.0")
    monkeypatch.setattr("realtime.web.parsing.WebSocketDataQueue", again("realtime.web.parsing").WebSocketDataQueue)
    assert again("realtime.web.takeover").STRANGE == "its WebSocketReader raises TypeError"


# -- what is let go --------------------------------------------------------------------------------------------------


def remembering(seen: list[Any]) -> Callable[[WebSockets], None]:
    def prepare(served: WebSockets) -> None:
        async def signal(request: web.Request, response: web.StreamResponse) -> None:
            seen.append(weakref.ref(request))

        served.app.on_response_prepare.append(signal)

    return prepare


async def test_nothing_of_aiohttp_stays() -> None:
    seen: list[Any] = []
    async with serving_websockets(remembering(seen)) as served:
        before = asyncio.all_tasks()
        recorder, _, writer = await served.connect()
        server = served.runner.server
        assert server is not None
        await eventually(lambda: not server.connections)
        await eventually(lambda: asyncio.all_tasks() == before)
        gc.collect()
        assert seen[0]() is None
        writer.write(masked(TEXT, b"still here"))
        await eventually(lambda: recorder.told[-1] == "still here")
        writer.close()
        await arrives(recorder.over.wait())
        await eventually(lambda: not served.sockets.served)


HANDSHAKES = {
    "usual": HANDSHAKE,
    "as others write it": HANDSHAKE.replace(b"websocket", b"WebSocket").replace(b": Upgrade", b": keep-alive, upgrade"),
    "version 8": HANDSHAKE.replace(b"Version: 13", b"Version: 8"),
    "a sub-protocol that nobody knows": HANDSHAKE.replace(b"Host: h", b"Host: h\r\nSec-WebSocket-Protocol: a, b"),
    "compression is offered": HANDSHAKE.replace(b"Host: h", b"Host: h\r\nSec-WebSocket-Extensions: permessage-deflate"),
    "a key with white space around": HANDSHAKE.replace(b"Key: ", b"Key:  \t "),
    "a key of other 16 bytes": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"/+//////////////////+w=="),
}


@pytest.mark.parametrize("data", HANDSHAKES.values(), ids=HANDSHAKES.keys())
@pytest.mark.parametrize("added", [False, True])
async def test_the_same_handshakes_are_answered_the_same(
    data: bytes, added: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lays the answer out; what the application adds, and its access log, have it whole."""
    answers = []

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Added"] = "yes"

    def prepare(served: WebSockets) -> None:
        if added:
            served.app.on_response_prepare.append(add)

    for taking_over in (True, False):
        monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
        async with serving_websockets(prepare) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(data)
            answer = await arrives(reader.readuntil(b"\r\n\r\n"))
            writer.close()
            await eventually(lambda: not served.sockets.served)
        assert (b"X-Added: yes" in answer) is added
        answers.append(re.sub(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", b"Date", answer))
    assert answers[0] == answers[1]
    assert b"Date\r\n" in answers[0]


async def test_what_a_log_can_say_of_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Its headers are those of the answer as it was written."""
    caplog.set_level(logging.INFO, "access")

    def prepare(served: WebSockets) -> None:
        served.runner = web.AppRunner(
            served.app, access_log=logging.getLogger("access"), access_log_format="%{Upgrade}o %{Date}o"
        )

    async with serving_websockets(prepare) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HANDSHAKE)
        answer = await arrives(reader.readuntil(b"\r\n\r\n"))
        await eventually(lambda: caplog.records)
        writer.close()
    date = answer.partition(b"Date: ")[2].partition(b"\r\n")[0].decode()
    assert caplog.records[0].getMessage() == f"websocket {date}"


async def test_the_access_log_has_a_line_for_the_handshake(
    either: WebSockets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "access")
    recorder, _, writer = await either.connect()
    taken_over = isinstance(recorder.link, LeanLink)
    if taken_over:  # at once; otherwise when the connection has ended
        await eventually(lambda: caplog.records)
    writer.close()
    await arrives(recorder.over.wait())
    await eventually(lambda: caplog.records)
    (record,) = caplog.records
    assert '"GET /ws HTTP/1.1" 101 ' in record.getMessage()


async def test_middlewares_see_a_request_as_long_as_its_connection() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    ends: list[str] = []
    names: list[str | None] = []

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> Any:
        name.set("set by a middleware")
        try:
            return await handler(request)
        finally:
            ends.append("ended")

    async def ask() -> None:
        await asyncio.sleep(0)
        names.append(name.get(None))

    def prepare(recorder: Recorder) -> None:
        recorder.connecting = ask
        recorder.taking = ask

    async with serving_websockets(lambda served: served.app.middlewares.append(middleware)) as served:
        served.prepare_recorder = prepare
        recorder, _, writer = await served.connect()
        assert isinstance(recorder.link, LeanLink)
        writer.write(masked(TEXT, b"hello"))
        await eventually(lambda: names == ["set by a middleware"] * 2)
        assert ends == []
        writer.close()
        await eventually(lambda: ends == ["ended"])
        server = served.runner.server
        assert server is not None
        await eventually(lambda: not server.connections)


# -- back-pressure ---------------------------------------------------------------------------------------------------


async def test_many_tiny_messages_leave_others_their_turn(either: WebSockets) -> None:
    turns: list[int] = []

    async def beside(recorder: Recorder) -> None:
        while True:
            turns.append(len(recorder.told))
            await asyncio.sleep(0)

    def prepare(recorder: Recorder) -> None:
        recorder.echoing = False

    either.prepare_recorder = prepare
    recorder, _, writer = await either.connect()
    task = asyncio.create_task(beside(recorder))
    count = 100 * TURN
    writer.write(masked(TEXT) * count)
    await eventually(lambda: len(recorder.told) == 1 + count)
    task.cancel()
    assert max(b - a for a, b in itertools.pairwise(turns)) <= TURN
    assert set(recorder.told[1:]) == {""}
    writer.close()


def until(taken: asyncio.Event) -> Callable[[], Awaitable[None] | None]:
    """Messages are taken when this has happened."""

    async def wait() -> None:
        await taken.wait()

    return lambda: None if taken.is_set() else wait()


async def test_nothing_more_is_read_while_a_message_is_not_taken(either: WebSockets) -> None:
    taken = asyncio.Event()

    def prepare(recorder: Recorder) -> None:
        recorder.echoing = False
        recorder.taking = until(taken)

    either.prepare_recorder = prepare
    recorder, _, writer = await either.connect()
    message = masked(BINARY, b"x" * 1000)
    count = 20_000  # more than all buffers together take
    writer.write(message * count)
    await eventually(lambda: not recorder.link.transport.is_reading())
    assert len(recorder.told) == 2
    assert not recorder.reading.gone
    taken.set()
    await eventually(lambda: len(recorder.told) == 1 + count)
    writer.close()
    await arrives(recorder.over.wait())
    assert recorder.told[-1] == "lost"


async def test_what_came_before_the_end_is_taken_though_it_had_to_wait(either: WebSockets) -> None:
    taken = asyncio.Event()

    def prepare(recorder: Recorder) -> None:
        recorder.taking = until(taken)

    either.prepare_recorder = prepare
    recorder, _, writer = await either.connect()
    writer.write(b"".join(masked(TEXT, b"%d" % at) for at in range(AHEAD_MESSAGES // 2)))
    writer.close()
    transport = recorder.link.transport
    await eventually(transport.is_closing)
    assert recorder.told == ["connected", "0"]
    taken.set()
    await arrives(recorder.over.wait())
    assert recorder.told == ["connected", *map(str, range(AHEAD_MESSAGES // 2)), "lost"]


@pytest.mark.parametrize("how", ["close", "nonsense", "end"])
async def test_whoever_leaves_while_something_is_asked_is_known_to_be_gone(served: WebSockets, how: str) -> None:
    answered = asyncio.Event()
    found: list[bool] = []

    def prepare(recorder: Recorder) -> None:
        async def ask() -> None:
            async with recorder.reading.reading_ahead():
                await answered.wait()
            found.append(recorder.reading.gone)

        recorder.connecting = ask

    served.prepare_recorder = prepare
    recorder, _, writer = await served.connect()
    assert not recorder.reading.gone
    if how == "end":
        writer.close()
    else:
        writer.write(masked(CLOSE) if how == "close" else masked(0xF1))
    await eventually(lambda: recorder.reading.gone)
    answered.set()
    await arrives(recorder.over.wait())
    assert found == [True]
    ends: dict[str, list[Any]] = {"close": [("closed", 1005, "")], "nonsense": [("failed", 1002)], "end": []}
    assert recorder.told == ["connected", *ends[how], "lost"]
    writer.close()


async def test_a_peer_that_does_not_read_is_not_written_to_until_it_does(either: WebSockets) -> None:
    recorder, reader, writer = await either.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    chunk = frame_header(BINARY, 65_536) + bytes(65_536)
    sent = 0
    while recorder.link.writable:
        recorder.link.write([chunk])
        sent += len(chunk)
        await asyncio.sleep(0)
    writer.write(masked(PING, b"unanswered"))
    await eventually(lambda: recorder.told[-1] == "control")
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    got = await arrives(reader.readexactly(sent))
    assert got == chunk * (sent // len(chunk))
    await eventually(lambda: recorder.told[-1] == "writable again")
    assert recorder.link.writable
    recorder.link.write([b"\x81\x01", b"a"])
    assert await arrives(reader.readexactly(3)) == b"\x81\x01a"
    writer.close()


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_the_closing_handshake_from_here(either: WebSockets) -> None:
    recorder, reader, writer = await either.connect()
    recorder.link.close(4000, "bye")
    recorder.link.close(4001, "twice")
    recorder.link.write([b"swallowed"])
    assert not recorder.link.writable
    writer.write(masked(TEXT, b"on its way") + masked(CLOSE, (4000).to_bytes(2, "big")) + masked(TEXT, b"too late"))
    assert await arrives(reader.read()) == b"\x88\x05\x0f\xa0bye"
    await arrives(recorder.over.wait())
    assert recorder.told == ["connected", "on its way", ("closed", 4000, ""), "lost"]
    recorder.link.abort()  # which it may be at any time
    writer.close()


@pytest.mark.parametrize("reads", [True, False])
async def test_whoever_takes_no_part_in_a_closing_handshake_is_cut_off(
    served: WebSockets, reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CLOSE_PATIENCE", 0.05)
    recorder, _, writer = await served.connect()
    if not reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while recorder.link.writable:
            recorder.link.write([bytes(1 << 20)])
    recorder.link.close(1000, "")
    await arrives(recorder.over.wait())
    assert recorder.told == ["connected", "lost"]
    writer.close()


async def test_of_several_that_close_who_takes_part_is_not_cut_off(
    served: WebSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One timer serves them all, and is set again for who closes later."""
    monkeypatch.setattr(sockets, "CLOSE_PATIENCE", 0.05)
    clients = [await served.connect() for _ in range(3)]
    (polite, reader, writer), (deaf, _, _), (later, _, _) = clients
    polite.link.close(1000, "")
    deaf.link.close(1000, "")
    assert await arrives(reader.readexactly(4)) == b"\x88\x02\x03\xe8"
    writer.write(masked(CLOSE, b"\x03\xe8"))
    for recorder in (polite, deaf):
        await arrives(recorder.over.wait())
    assert later.told == ["connected"]
    later.link.close(1000, "")
    await arrives(later.over.wait())
    assert polite.told == ["connected", ("closed", 1000, ""), "lost"]
    assert deaf.told == later.told == ["connected", "lost"]
    await eventually(lambda: not served.sockets.served)
    for _, _, each in clients:
        each.close()


async def test_a_peer_that_closes_and_does_not_read_is_cut_off(
    served: WebSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CLOSE_PATIENCE", 0.05)
    recorder, _, writer = await served.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    while recorder.link.writable:
        recorder.link.write([bytes(1 << 20)])
    writer.write(masked(CLOSE))
    await eventually(lambda: not served.sockets.served)
    assert recorder.told == ["connected", ("closed", 1005, ""), "lost"]
    writer.close()


@pytest.mark.parametrize("where", ["message", "taking"])
async def test_a_connection_that_raises_ends_and_is_reported(served: WebSockets, where: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    async def fail() -> None:
        raise ZeroDivisionError

    def raising() -> Awaitable[None]:
        if where == "message":
            raise ZeroDivisionError
        return fail()

    def prepare(recorder: Recorder) -> None:
        recorder.taking = raising

    served.prepare_recorder = prepare
    recorder, reader, writer = await served.connect()
    writer.write(masked(TEXT, b"a") + masked(TEXT, b"b"))
    assert (await arrives(reader.read()))[-4:] == b"\x88\x02\x03\xf3"
    await arrives(recorder.over.wait())
    assert recorder.told[1] == "a"
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
    writer.close()


async def test_at_shutdown_all_are_ended(served: WebSockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CLOSE_PATIENCE", 0.05)

    async def never() -> None:
        await asyncio.Event().wait()

    polite, reader, writer = await served.connect()
    deaf, _, other = await served.connect()
    served.prepare_recorder = lambda recorder: setattr(recorder, "connecting", never)
    waiting, _, third = await served.connect()
    ending = asyncio.create_task(served.sockets.ended())
    assert (await arrives(reader.readexactly(4)))[:4] == b"\x88\x1a\x03\xe9"
    writer.write(masked(CLOSE))
    await arrives(ending)
    for recorder in (polite, deaf, waiting):
        await arrives(recorder.over.wait())
        assert recorder.told[-1] == "lost"
    assert polite.told[1] == ("closed", 1005, "")
    await eventually(lambda: not served.sockets.served)
    for each in (writer, other, third):
        each.close()
