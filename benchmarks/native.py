"""Sessions of the native protocol (docs/protocol.md): a WebSocket, a parked long poll or a stream with sends beside it.

The generator takes every message the moment it comes, so what it has received it has taken; it acks at a quarter of its
window, or after a second. It keeps to the server's window, and any frame that is not in order is a failure.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from urllib.parse import quote

from .bare import BasePeer
from .load import Failed, Tally
from .messages import Messages
from .wire import (
    CLOSE,
    TEXT,
    HttpConnection,
    StreamConnection,
    WebSocketConnection,
    chunk,
    client_frame,
    handshake,
    http_request,
    server_frame,
)

__all__ = ["WINDOW", "NativeLongPolling", "NativeStreaming", "NativeWebSocket"]

# What this end announces (§5).
WINDOW = (256, 1_048_576)
ACK_DELAY = 1.0  # seconds, on a WebSocket (§6)
SHARES = random.Random(1)  # of a quarter of the window, behind which an ack goes (§6)


def _open_object(transport: str) -> str:
    members = {"nonce": secrets.token_urlsafe(16), "gen": 1, "window": WINDOW, "transports": [transport]}
    return json.dumps(members, separators=(",", ":"))


def _batch_frame(text: bytes) -> bytes:
    """A frame of plain ASCII as it lies in a batch (§3)."""
    return b'"' + text + b'"'


def _line(text: bytes) -> bytes:
    """A flush of one such frame, as it lies on a stream (§3.1)."""
    return chunk(b'["%b"]\n' % text)


class NativePeer(BasePeer):
    """The sending half's window and the receiving half's acks (§6)."""

    def __init__(self, tally: Tally, messages: Messages, first: int) -> None:
        super().__init__(tally, messages, first)
        self._sid = ""
        self._key = ""
        self._acked = 0  # the server has received so many of ours
        self._taken = 0  # and its application has taken so many
        self._most = 0  # how many messages of this size fit the server's window
        self._waiting = 0  # messages to send, as soon as the window allows
        # As clients do, so that the acks of those who got the same don't all come at once.
        self._quarter = max(1, int(min(WINDOW[0] // 4, WINDOW[1] // 4 // messages.size) * SHARES.uniform(0.75, 1)))

    @property
    def _up(self) -> int:
        """How many numbered messages this end has sent."""
        return self.sent

    @property
    def _down(self) -> int:
        """And how many it has received."""
        return self.received

    def post(self, count: int) -> None:
        """See load.Peer."""
        self._waiting += count
        self._go_on()

    def _go_on(self) -> None:
        raise NotImplementedError

    def _allowed(self) -> int:
        """How many of the waiting messages the window allows now; they wait no longer. One larger than the window goes
        when all before it was taken."""
        outstanding = self._up - self._taken
        count = min(self._waiting, max(self._most - outstanding, 0 if outstanding else 1))
        self._waiting -= count
        return count

    def _read_opened(self, text: str) -> None:
        """`o` (§5)."""
        members = json.loads(text)
        self._sid, self._key = members["sid"], members["key"]
        most, size = members["window"]
        self._most = min(most, size // self._messages.size)
        self._read_acks(*members["ack"])

    def _read_acks(self, received: int, taken: int) -> None:
        """An ack, from wherever it came."""
        if not taken <= received <= self._up:
            raise Failed(f"the server acknowledged {received},{taken} where {self._up} messages were sent")
        self._acked = max(self._acked, received)
        self._taken = max(self._taken, taken)
        if self._waiting:
            self._go_on()


class NativeWebSocket(NativePeer):
    """The session on a WebSocket."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        sends, receives = messages.laid(client_frame, b"m"), messages.laid(server_frame, b"m")
        self._over(port, f"/realtime/{name}/v1/websocket?", sends, receives, self._first)

    def _over(self, port: int, path: str, sends: list[bytes], receives: list[bytes], index: int) -> None:
        """The WebSocket at this path, with what is sent on it and is to come, from `index` on."""
        self._port = port
        self._frames = sends
        self._announced = 0
        self._since = 0.0  # when the oldest that was not announced came
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._connection = WebSocketConnection(
            handshake(f"{path}open={quote(_open_object('websocket'))}", port),
            receives,
            index,
            opened=lambda: None,  # `o` says so
            delivered=self._come,
            other=self._other,
            failed=self._failed,
        )

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        await self._connection.connect(self._port)
        await self._opened

    def _go_on(self) -> None:
        count = self._allowed()
        if count:
            frames = self._next(self._frames, count)
            if self._down - self._announced >= self._quarter:
                frames.insert(0, self._ack())
            self._connection.write(b"".join(frames))

    def _come(self, count: int) -> None:
        if self._down == self._announced:
            self._since = self._loop.time()
        self._take(count)
        # What was sent in reply may have carried the ack.
        behind = self._down - self._announced
        if behind >= self._quarter:
            self._connection.write(self._ack())
        elif behind and self._timer is None:
            self._timer = self._loop.call_at(self._since + ACK_DELAY, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._leaving or self._down == self._announced:
            return
        if self._loop.time() >= self._since + ACK_DELAY:
            self._connection.write(self._ack())
        else:
            self._timer = self._loop.call_at(self._since + ACK_DELAY, self._tick)

    def _ack(self) -> bytes:
        self._announced = self._down
        return client_frame(b"a%d,%d" % (self._down, self._down))

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE and self._leaving:
            self._connection.write(client_frame(payload[:2], CLOSE))
            return
        text = payload.decode()
        kind = text[:1] if opcode == TEXT else ""
        if kind == "a":
            received, taken = text[1:].split(",")[:2]
            self._read_acks(int(received), int(taken))
        elif kind == "o" and not self._sid:
            self._read_opened(text[1:])
            self._connection.write(client_frame(b"a0,0"))  # confirms the sid, at once (§5)
            self._welcome()
        elif kind == "p":
            self._connection.write(self._ack() + client_frame(b"q" + payload[1:65]))
        elif kind == "m":
            raise Failed(f"message {self.received + 1} of a session is not the one expected: {text[:80]}")
        elif kind != "k" and (kind != "x" or not self._leaving):  # tickets are for carriers by URL
            raise Failed(f"a frame of opcode {opcode} came that does not belong here: {text[:80]}")

    async def leave(self) -> None:
        """See load.Peer."""
        self._leaving = True
        self.sent += 1  # a close is numbered, and acked
        self._connection.write(client_frame(b"c1000,"))
        await self._connection.closed

    async def abort(self) -> None:
        """See load.Peer."""
        self._leaving = True
        if self._timer is not None:
            self._timer.cancel()
        await self._connection.abort()


class NativeLongPolling(NativePeer):
    """The session by long polls, with at most one send under way beside them; one connection for each of the two."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        endpoint = f"/realtime/{name}/v1"
        self._port = port
        self._open = _open_object("long_polling")
        self._gen = 1
        self._poll = http_request("POST", f"{endpoint}/long_polling", port)
        self._send = http_request("POST", f"{endpoint}/send", port)
        self._frames = messages.laid(_batch_frame, b"m")
        self._polls = HttpConnection(answered=self._polled, failed=self._failed)
        self._uplink: HttpConnection | None = None
        self._sending = False

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        await self._polls.connect(self._port)
        self._polls.write(self._poll(json.dumps(["o" + self._open]).encode()))
        await self._opened
        if speaks:
            self._uplink = HttpConnection(answered=self._answered, failed=self._failed)
            await self._uplink.connect(self._port)

    def _polled(self, status: int, body: bytes) -> None:
        head, *frames = self._read(status, body)
        acks: tuple[int, int] | None = None
        if head[:1] == "o" and not self._sid:
            self._read_opened(head[1:])
            frames = [frame for frame in frames if frame[:1] != "k"]
            self._welcome()
        elif head[:1] == "r":
            received, taken = head[1:].split(",")[:2]
            acks = int(received), int(taken)
        else:
            raise Failed(f"a poll was answered by {head[:80]}")
        texts = self._messages.texts
        for number, frame in enumerate(frames, self._first + self.received):
            if frame[:1] != "m" or frame[1:].encode() != texts[number % len(texts)]:
                raise Failed(f"message {self.received + 1} of a session is not the one expected: {frame[:80]}")
        self._gen += 1
        self._polls.write(self._attach(self.received + len(frames)))
        if acks is not None:
            self._read_acks(*acks)
        if frames:
            self._take(len(frames))

    def _attach(self, taken: int) -> bytes:
        head = f'["r{self._sid},{self._gen},{taken},{taken},{self._acked + 1},{self._key}"]'
        return self._poll(head.encode())

    def _go_on(self) -> None:
        if self._sending or not self._sid:
            return
        first = self._acked + 1
        count = self._allowed()
        if count:
            assert self._uplink is not None
            self._sending = True
            head = f'["u{self._sid},{self.received},{self.received},{first},{self._key}"'.encode()
            self._uplink.write(self._send(b",".join((head, *self._next(self._frames, count))) + b"]"))

    def _answered(self, status: int, body: bytes) -> None:
        (frame,) = self._read(status, body)
        if frame[:1] != "a":
            raise Failed(f"a send was answered by {frame[:80]}")
        received, taken = frame[1:].split(",")[:2]
        if int(received) != self.sent:
            raise Failed(f"a send of messages up to {self.sent} was acknowledged up to {received}")
        self._sending = False
        self._read_acks(int(received), int(taken))

    @staticmethod
    def _read(status: int, body: bytes) -> list[str]:
        if status != 200:
            raise Failed(f"a request was answered {status}: {body[:200]!r}")
        frames: list[str] = json.loads(body)
        return frames

    async def leave(self) -> None:
        """See load.Peer. The session itself is left to expire."""
        await self.abort()

    async def abort(self) -> None:
        """See load.Peer."""
        self._leaving = True
        await self._polls.abort()
        if self._uplink is not None:
            await self._uplink.abort()


class NativeStreaming(NativePeer):
    """A session that listens on a stream; its acks are sends, on a connection of their own."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        endpoint = f"/realtime/{name}/v1"
        self._port = port
        self._send = http_request("POST", f"{endpoint}/send", port)
        self._uplink: HttpConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._announced = -1  # so many were, in the last send
        self._sending = False
        self._connection = StreamConnection(
            http_request("POST", f"{endpoint}/xhr_streaming", port)(
                json.dumps(["o" + _open_object("xhr_streaming")]).encode()
            ),
            messages.laid(_line, b"m"),
            self._first,
            opened=lambda: None,  # `o` says so
            delivered=self._come,
            other=self._other,
            failed=self._failed,
        )

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        await self._connection.connect(self._port)
        await self._opened
        # As browsers do when nothing is said for a while: an idle session is one connection.
        uplink, self._uplink = self._uplink, None
        if uplink is not None:
            await uplink.abort()

    def _come(self, count: int) -> None:
        self._take(count)
        self._announce()

    def _announce(self) -> None:
        if self._down - self._announced >= self._quarter:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._sending:
            return
        self._sending, self._announced = True, self._down
        ack = self._send(f'["u{self._sid},{self._down},{self._down},1,{self._key}"]'.encode())
        if self._uplink is None:
            self._connecting = asyncio.create_task(self._connect(ack))
        else:
            self._uplink.write(ack)

    async def _connect(self, ack: bytes) -> None:
        uplink = self._uplink = HttpConnection(
            answered=self._answered, failed=lambda error: self._failed(error) if self._uplink is uplink else None
        )
        try:
            await uplink.connect(self._port)
            uplink.write(ack)
        except OSError as error:
            self._failed(error)

    def _answered(self, status: int, body: bytes) -> None:
        if status != 200 or not body.startswith(b'["a'):
            raise Failed(f"an ack was answered {status}: {body[:200]!r}")
        self._sending = False
        self._welcome()  # the first confirms the sid (§5)
        self._announce()

    def _other(self, opcode: int, payload: bytes) -> None:
        if not payload.strip():
            return  # what streams begin with
        texts, came = self._messages.texts, 0
        for frame in json.loads(payload):
            kind = frame[:1]
            if kind == "o" and not self._sid:
                self._read_opened(frame[1:])
                self._acknowledge()
            elif kind == "m" and frame[1:].encode() == texts[self._connection.index]:
                self._connection.passed()
                came += 1
            elif kind == "p":
                self._acknowledge()
            elif kind == "a":
                received, taken = frame[1:].split(",")[:2]
                self._read_acks(int(received), int(taken))
            elif kind != "k":
                raise Failed(f"a frame came on a stream that does not belong here: {frame[:80]}")
        if came:
            self._come(came)

    async def leave(self) -> None:
        """See load.Peer. The session itself is left to expire."""
        await self.abort()

    async def abort(self) -> None:
        """See load.Peer."""
        self._leaving = True
        await self._connection.abort()
        if self._uplink is not None:
            await self._uplink.abort()
