"""The benchmark harness: every scenario runs, counts and verifies. Nothing here is timed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import pytest_asyncio

from benchmarks.bare import BareWebSocket
from benchmarks.contenders import CONTENDERS
from benchmarks.load import Broadcast, Echo, Failed, Limit, Peer, Tally
from benchmarks.messages import Messages
from benchmarks.process import ServerProcess
from benchmarks.report import Result, as_json, facts, table
from benchmarks.scenarios import SCENARIOS, Figure, Plan
from benchmarks.wire import HttpConnection, WebSocketConnection, client_frame, server_frame

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness reads /proc or asks ps")

FOREVER = float("inf")
of_a_server = pytest.mark.asyncio(loop_scope="module")
TINY = Plan(measured=Limit(FOREVER, 300), warm_up=Limit(FOREVER, 20), sessions=5, settle=0.01)


@pytest.fixture(scope="module", params=list(CONTENDERS))
def contender(request: pytest.FixtureRequest) -> str:
    """Each contender's name."""
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(contender: str) -> AsyncIterator[ServerProcess]:
    """A server of each contender, for all that is measured here."""
    server = await ServerProcess.start(contender, "asyncio")
    try:
        yield server
    finally:
        await server.stop()


@of_a_server
async def test_every_scenario_counts_and_verifies(server: ServerProcess, contender: str) -> None:
    for scenario in SCENARIOS.values():
        figure = await scenario.measure(server, contender, TINY)
        # What is under way when the number is reached is completed, and counted.
        least, most = (5, 5) if scenario.unit == "KiB" else (300, 300 + 5 * 32)
        assert least <= figure.operations <= most, scenario.name
        assert figure.sessions == 5
        assert figure.cpu_seconds > 0


@of_a_server
async def test_messages_of_any_length_pass(server: ServerProcess, contender: str) -> None:
    # One above 64 KiB is larger than a quarter of the window, and many of them are more than all of it.
    for size in (8, 200, 70_000):
        plan = Plan(measured=Limit(FOREVER, 60), warm_up=Limit(FOREVER, 1), size=size, sessions=2, settle=0.01)
        figure = await SCENARIOS["websocket-echo-32"].measure(server, contender, plan)
        assert figure.operations >= 60


@of_a_server
async def test_a_refused_session_is_a_failure(server: ServerProcess, contender: str) -> None:
    (other,) = set(CONTENDERS) - {contender}
    for name in ("websocket-echo", "long-polling-echo"):
        with pytest.raises(Failed, match=r"404|4406"):
            await SCENARIOS[name].measure(server, other, TINY)


@of_a_server
async def test_a_window_is_used_many_times(server: ServerProcess, contender: str) -> None:
    # More than a window of messages each way: they only flow when both ends acknowledge.
    plan = Plan(measured=Limit(FOREVER, 2000), warm_up=Limit(FOREVER, 1), sessions=1, settle=0.01)
    for name in ("websocket-echo-32", "websocket-broadcast-16", "long-polling-echo"):
        figure = await SCENARIOS[name].measure(server, contender, plan)
        assert figure.operations >= 2000


class FakePeer:
    """A peer whose server is the test."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.delivered: Callable[[Peer, int], None] = lambda peer, count: None

    async def open(self, *, speaks: bool = True) -> None:
        """Nothing to open."""

    def post(self, count: int) -> None:
        """Sends, to nobody."""
        self.sent += count

    def come(self, count: int) -> None:
        """So many messages have come."""
        self.received += count
        self.delivered(self, count)

    async def leave(self) -> None:
        """Nothing to end."""

    async def abort(self) -> None:
        """Nothing to cut."""


async def _started(tally: Tally, load: Echo | Broadcast, limit: Limit) -> asyncio.Task[int]:
    task = asyncio.ensure_future(load.run(limit))
    await asyncio.sleep(0)
    return task


async def test_an_echo_is_complete_when_all_under_way_has_come_back() -> None:
    peer, tally = FakePeer(), Tally()
    task = await _started(tally, Echo([peer], 4, tally), Limit(FOREVER, 6))
    peer.come(3)
    assert peer.sent == 7
    peer.come(4)
    await asyncio.sleep(0)
    assert await task == 7


async def test_a_lost_message_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "PATIENCE", 0.05)
    peer, tally = FakePeer(), Tally()
    task = await _started(tally, Echo([peer], 2, tally), Limit(0.01))
    peer.come(1)
    with pytest.raises(Failed, match="never completed"):
        await task


async def test_a_repeated_message_is_a_failure() -> None:
    peer, tally = FakePeer(), Tally()
    task = await _started(tally, Echo([peer], 2, tally), Limit(FOREVER, 2))
    peer.come(3)
    with pytest.raises(Failed, match="more operations"):
        await task


async def test_a_broadcast_goes_on_when_the_last_listener_has_it() -> None:
    speaker, one, other, tally = FakePeer(), FakePeer(), FakePeer(), Tally()
    listeners: list[Peer] = [one, other]
    task = await _started(tally, Broadcast(speaker, listeners, 2, tally), Limit(FOREVER, 5))
    one.come(2)
    assert speaker.sent == 2
    other.come(1)
    assert speaker.sent == 3
    other.come(2)
    assert speaker.sent == 4
    one.come(2)
    other.come(1)
    assert await task == 8


async def test_a_listener_that_hears_too_much_is_a_failure() -> None:
    speaker, listener, tally = FakePeer(), FakePeer(), Tally()
    task = await _started(tally, Broadcast(speaker, [listener], 1, tally), Limit(FOREVER, 5))
    listener.come(2)
    with pytest.raises(Failed, match="more than was said"):
        await task


def _append_second(collected: list[bytes], _: int, payload: bytes) -> None:
    collected.append(payload)


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [([0, 0], "not the one expected"), ([1], "not the one expected"), ([0, 1], "more operations"), ([], "closed")],
    ids=["repeated", "lost", "too many", "cut"],
)
async def test_a_server_that_lies_is_found_out(numbers: list[int], complaint: str) -> None:
    messages, tally = Messages(64), Tally()
    frames = messages.laid(server_frame)

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await reader.readexactly(len(client_frame(messages.texts[0])))
        writer.write(b"".join(frames[number] for number in numbers))
        writer.close()

    async with await asyncio.start_server(lie, "127.0.0.1", 0) as server:
        peer = BareWebSocket(server.sockets[0].getsockname()[1], "echo", messages, tally)
        await peer.open()
        with pytest.raises(Failed, match=complaint):
            await Echo([peer], 1, tally).run(Limit(FOREVER, 1))
            tally.check()
        await peer.abort()


async def test_frames_are_counted_however_they_are_cut() -> None:
    messages = Messages(300)
    frames = messages.laid(server_frame)
    stream = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    stream += frames[5] + server_frame(b"other") + frames[6] + server_frame(b"x" * 70_000) + frames[7]
    for step in (1, 7, len(stream)):
        counted: list[int] = []
        others: list[bytes] = []
        errors: list[Exception] = []
        connection = WebSocketConnection(
            b"",
            frames,
            5,
            opened=lambda: None,
            delivered=counted.append,
            other=partial(_append_second, others),
            failed=errors.append,
        )
        for start in range(0, len(stream), step):
            connection.data_received(stream[start : start + step])
        assert sum(counted) == 3
        assert others == [b"other", b"x" * 70_000]
        assert not errors


async def test_a_refused_handshake_is_a_failure() -> None:
    errors: list[Exception] = []
    connection = WebSocketConnection(
        b"",
        Messages(8).laid(server_frame),
        0,
        opened=lambda: None,
        delivered=lambda count: None,
        other=lambda opcode, payload: None,
        failed=errors.append,
    )
    connection.data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    assert "refused" in str(errors[0])


async def test_answers_are_read_however_they_are_cut() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Other: 1\r\nContent-Length: 5\r\n\r\nhello"
    for step in (1, 9, len(answer)):
        answers: list[bytes] = []
        errors: list[Exception] = []
        connection = HttpConnection(answered=partial(_append_second, answers), failed=errors.append)
        for _ in range(2):
            for start in range(0, len(answer), step):
                connection.data_received(answer[start : start + step])
        assert answers == [b"hello"] * 2
        assert not errors


def test_frames_are_laid_as_rfc_6455_says() -> None:
    assert client_frame(b"hi") == b"\x81\x82\x00\x00\x00\x00hi"
    assert server_frame(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert server_frame(b"x" * 65_536)[:10] == b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"


def test_the_table_takes_ratios_within_rounds() -> None:
    def result(contender: str, number: int, microseconds: float) -> Result:
        figure = Figure(operations=1000, sessions=100, cpu_seconds=microseconds / 1000, wall_seconds=1.0)
        return Result("websocket-echo", "asyncio", contender, number, figure)

    results = [
        result("realtime", 1, 10),
        result("bare aiohttp", 1, 20),
        result("realtime", 2, 30),
        result("bare aiohttp", 2, 20),
    ]
    about = facts(pinned=False, rounds=2, seconds=1.0, size=64)
    row = table(results, about).splitlines()[-1]
    assert row.endswith("| 20.0 µs | 20.0 µs | **1.00** (0.50–1.50) |")
    assert len(json.loads(json.dumps(as_json(results, about)))["results"]) == 4
