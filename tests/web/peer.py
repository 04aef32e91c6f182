"""Native clients driven by hand, one for each transport: they say what a test tells them, and count what comes.

A peer knows docs/protocol.md and nothing of realtime.client. `read()` gives every frame as it came, in order; `news()`
only what is not bookkeeping. Acks go by themselves unless `acking` is off.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from aiohttp import WSMsgType
from yarl import URL

import realtime
from realtime.core.proof import ATTACH, ticket

from ..patience import within
from .proof import GETS

__all__ = ["PEERS", "Answer", "Cut", "HttpPeer", "Peer", "StreamPeer", "WebSocketPeer", "batch", "batch_of"]

NUMBERED = ("m", "b", "d", "c", "h")


class Cut(Exception):
    """The carrier ended. `code` is the WebSocket's close code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Answer(NamedTuple):
    """The answer to one POST."""

    status: int
    frames: list[str]

    @property
    def refusal(self) -> tuple[int, int, str]:
        """HTTP status, code and scope of the `x` that ends it."""
        code, scope, _, _ = self.frames[-1].removeprefix("x").split(",", 3)
        return self.status, int(code), scope


def batch(*frames: str) -> bytes:
    """The body of a POST."""
    return json.dumps(frames).encode()


def batch_of(line: str) -> str:
    """The batch in a line of a stream or in a script, if it is one."""
    line = line.strip()
    for before, after in (("<script>r(", ")</script>"), ("/**/take(", ");")):
        if line.startswith(before) and line.endswith(after):
            literal = line.removeprefix(before).removesuffix(after)
            return str(json.loads(literal))  # our literals are JSON strings, too
    return line.removeprefix("data: ")


class Peer:
    """What the peers of all transports share: the open, the numbers, the bookkeeping."""

    transport = ""
    scripted = False  # its requests are those of script tags or iframes

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        window: tuple[int, int] = (256, 1_048_576),
        auth: Any = None,
    ) -> None:
        self.http = http
        self.url = url
        # A browser names the page in any request for a script or a frame (docs/protocol.md §9).
        self.headers = ({"Referer": f"{URL(url).origin()}/page"} if self.scripted else {}) | (headers or {})
        self.window = window
        self.auth = auth
        self.nonce = secrets.token_urlsafe(18)
        self.gen = 0
        self.sid = ""
        self.key = ""
        self.tickets: dict[int, str] = {}  # gen -> what an attach by URL shows
        self.opened: dict[str, Any] = {}
        self.received = 0  # numbered frames that came
        self.sent: list[str | bytes] = []  # the numbered frames that went
        self.acked = 0  # of these, the server has received so many
        self.acking = True
        self.unread: deque[str | bytes] = deque()

    def open_object(self, **changes: Any) -> dict[str, Any]:
        """The open's JSON object; `changes` replace members."""
        self.gen += 1
        members = {"nonce": self.nonce, "gen": self.gen, "window": list(self.window), "transports": [self.transport]}
        if self.auth is not None:
            members["auth"] = self.auth
        return members | changes

    def attach_frame(self) -> str:
        """The next attach."""
        self.gen += 1
        return f"r{self.sid},{self.gen},{self.received},{self._taken},{self.acked + 1},{self.proof()}"

    def proof(self) -> str:
        """What an attach with this gen shows."""
        return self.key

    @property
    def _taken(self) -> int:
        return self.received

    def join(self, session: realtime.Session, gen: int) -> None:
        """Knows what the session's own client knows, which has used the gens up to this one."""
        self.sid, self.key, self.gen = session.id, session._machine.key, gen
        self.tickets = {later: ticket(self.key, ATTACH, later) for later in range(gen, gen + 9)}

    def note(self, frame: str | bytes) -> None:
        """Keeps the books of a frame that came."""
        if isinstance(frame, bytes) or frame[:1] in NUMBERED:
            self.received += 1
        elif frame[:1] in ("a", "r"):
            self.acked = max(self.acked, int(frame[1:].split(",")[0]))
        elif frame[:1] == "o":
            self.opened = json.loads(frame[1:])
            self.sid, self.key = self.opened["sid"], self.opened["key"]
        elif frame[:1] == "k":
            first, *tickets = frame[1:].split(",")
            self.tickets.update(enumerate(tickets, int(first)))
        elif frame[:1] == "n":
            self.received = int(frame[1:]) - 1

    async def read(self) -> str | bytes:
        """The next frame, whatever it is."""
        raise NotImplementedError

    async def send(self, *frames: str | bytes) -> Answer:
        """Sends frames behind those sent before."""
        raise NotImplementedError

    async def open(self, **changes: Any) -> dict[str, Any]:
        """Opens the session, and returns the server's `o`."""
        raise NotImplementedError

    async def resume(self) -> None:
        """Attaches again on a new carrier. A peer that polls does so with every poll."""
        raise NotImplementedError

    async def drop(self) -> None:
        """Leaves without a word."""
        raise NotImplementedError

    async def news(self) -> str | bytes:
        """The next frame that is no ack, attach, open, ticket, renumbering, ping or pong."""
        async with within():
            while True:
                frame = await self.read()
                if isinstance(frame, bytes) or frame[:1] not in ("a", "r", "o", "k", "n", "p", "q"):
                    return frame

    async def take(self, count: int) -> list[str | bytes]:
        """So many of what news() gives."""
        return [await self.news() for _ in range(count)]

    async def echo(self, text: str) -> None:
        """Sees that the echo endpoint answers."""
        await self.send("m" + text)
        answer = await self.news()
        assert answer == "m" + text, answer

    async def end(self) -> tuple[int, str]:
        """Reads on to the `x` or `c` and returns its code and letter."""
        while True:
            frame = await self.news()
            if isinstance(frame, str) and frame[0] in "xc":
                return int(frame[1:].split(",")[0]), frame[0]


class WebSocketPeer(Peer):
    """Over a WebSocket."""

    transport = "websocket"
    ws: aiohttp.ClientWebSocketResponse

    async def connect(self, query: str = "") -> aiohttp.ClientWebSocketResponse:
        """A new WebSocket, not attached to anything unless `query` opens."""
        self.ws = await self.http.ws_connect(
            f"{self.url}/v1/websocket{query}", headers=self.headers, max_msg_size=0, autoclose=True
        )
        return self.ws

    async def open(self, **changes: Any) -> dict[str, Any]:
        text = json.dumps(self.open_object(**changes))
        if self.auth is None:
            await self.connect("?open=" + quote(text))
        else:
            await self.connect()
            await self.ws.send_str("o" + text)
        async with within():
            frame = await self.read()
        assert isinstance(frame, str)
        assert frame[0] == "o", frame
        if self.acking:
            await self.ws.send_str("a0,0")
        return self.opened

    async def resume(self) -> None:
        await self.connect()
        await self.ws.send_str(self.attach_frame())
        for sent in self.sent[self.acked :]:
            await (self.ws.send_str(sent) if isinstance(sent, str) else self.ws.send_bytes(sent))
        async with within():
            frame = await self.read()
        if isinstance(frame, str) and frame[0] != "r":
            self.unread.appendleft(frame)

    async def send(self, *frames: str | bytes) -> Answer:
        for frame in frames:
            if isinstance(frame, bytes) or frame[:1] in NUMBERED:
                self.sent.append(frame)
            await (self.ws.send_str(frame) if isinstance(frame, str) else self.ws.send_bytes(frame))
        return Answer(200, [])

    async def read(self) -> str | bytes:
        if self.unread:
            return self.unread.popleft()
        message = await self.ws.receive()
        if message.type is not WSMsgType.TEXT and message.type is not WSMsgType.BINARY:
            raise Cut(self.ws.close_code)
        frame: str | bytes = message.data
        before = self.received
        self.note(frame)
        asked = frame[:1] == "p"
        if self.acking and (asked or self.received > before):
            await self.ws.send_str(f"a{self.received},{self._taken}")
        if self.acking and isinstance(frame, str) and asked:
            await self.ws.send_str("q" + frame[1:])
        return frame

    async def closed(self) -> int | None:
        """Reads to the end of the WebSocket and returns its close code."""
        try:
            async with within():
                while True:
                    await self.read()
        except Cut as cut:
            return cut.code

    async def drop(self) -> None:
        if hasattr(self, "ws"):
            self.socket.abort()
            await self.ws.close()

    @property
    def socket(self) -> asyncio.Transport:
        """The connection: to stop reading from, to write nonsense to, to cut."""
        transport = self.ws._writer.transport
        assert isinstance(transport, asyncio.Transport)
        return transport


class HttpPeer(Peer):
    """Over polls and sends."""

    async def post(self, where: str, body: bytes | Sequence[str], **options: Any) -> Answer:
        """One POST below v1/, as it is."""
        data = body if isinstance(body, bytes) else batch(*body)
        async with self.http.post(f"{self.url}/v1/{where}", data=data, headers=self.headers, **options) as response:
            text = await response.text()
        return Answer(response.status, json.loads(text))

    def uplink_frame(self) -> str:
        """The head of the next uplink batch."""
        return f"u{self.sid},{self.received},{self._taken},{self.acked + 1},{self.key}"

    async def open(self, **changes: Any) -> dict[str, Any]:
        answer = await self.post(self.transport, ["o" + json.dumps(self.open_object(**changes))])
        assert answer.status == 200, answer
        self._keep(answer)
        self.unread.popleft()
        if self.acking:
            await self.confirm()
        return self.opened

    async def open_by_poll(self, **changes: Any) -> dict[str, Any]:
        """Opens where auth data do not stand in a URL."""
        self._keep(await HttpPeer.post(self, "polling", ["o" + json.dumps(self.open_object(**changes))]))
        self.unread.popleft()
        return self.opened

    async def refused(self, *frames: str) -> Answer:
        """The answer to a carrier that begins like this and is refused."""
        return await self.post(self.transport, batch(*frames))

    async def confirm(self) -> None:
        """Tells the server that its answer came."""
        self._acks(await self.post("send", [self.uplink_frame()]))

    async def resume(self) -> None:
        """The next poll does it."""

    async def ask(self) -> None:
        """Asks for tickets, where the next attach wants one and there is none."""
        if self.transport in GETS and self.gen + 1 not in self.tickets:
            for frame in (await HttpPeer.post(self, "send", [self.uplink_frame(), f"k{self.gen + 1}"])).frames:
                self.note(frame)

    def proof(self) -> str:
        return self.tickets.get(self.gen, "") if self.transport in GETS else self.key

    async def send(self, *frames: str | bytes) -> Answer:
        texts = [frame if isinstance(frame, str) else "b" + base64.b64encode(frame).decode() for frame in frames]
        head = self.uplink_frame()
        self.sent += [text for text in texts if text[:1] in NUMBERED]
        answer = await self.post("send", [head, *texts])
        self._acks(answer)
        return answer

    def _acks(self, answer: Answer) -> None:
        for frame in answer.frames:
            self.note(frame)
            if frame[0] == "x":
                self.unread.append(frame)

    async def poll(self, *frames: str) -> Answer:
        """One poll, as it is; what it brings is noted, and left to be read."""
        await self.ask()
        answer = await self.post(self.transport, [self.attach_frame(), *frames])
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for frame in answer.frames:
            self.note(frame)
            self.unread.append(base64.b64decode(frame[1:]) if frame[0] == "b" else frame)

    async def read(self) -> str | bytes:
        while not self.unread:
            await self.poll()
        return self.unread.popleft()

    async def drop(self) -> None:
        """There is no connection to drop."""


class LongPollingPeer(HttpPeer):
    """Over long polls."""

    transport = "long_polling"


class PollingPeer(HttpPeer):
    """Over plain polls."""

    transport = "polling"


class StreamPeer(HttpPeer):
    """Over one long response after the other, and sends. Its reader is a lax one: any line that is a batch."""

    response: aiohttp.ClientResponse | None = None

    async def request(self, *frames: str) -> aiohttp.ClientResponse:
        """The request of a stream; its answer has begun."""
        return await self.http.post(f"{self.url}/v1/{self.transport}", data=batch(*frames), headers=self.headers)

    async def refused(self, *frames: str) -> Answer:
        async with await self.request(*frames) as response:
            lines = (await response.text()).splitlines()
        batches = [text for text in map(batch_of, lines) if text[:1] == "["]
        return Answer(response.status, [frame for line in batches for frame in json.loads(line)])

    async def open(self, **changes: Any) -> dict[str, Any]:
        await self.start("o" + json.dumps(self.open_object(**changes)))
        return self.opened

    async def resume(self) -> None:
        await self.ask()
        await self.start(self.attach_frame())

    async def start(self, *frames: str) -> None:
        """A new stream, and its first frame."""
        await self.drop()
        self.response = await self.request(*frames)
        if self.response.status != 200:
            raise AssertionError(json.loads(await self.response.text()))
        async with within():
            await self._line()
        self.unread.popleft()
        if self.acking:
            await self.confirm()

    async def read(self) -> str | bytes:
        while not self.unread:
            before = self.received
            await self._line()
            if self.acking and (self.received > before or "p" in self.unread):
                await self.confirm()
        return self.unread.popleft()

    async def _line(self) -> None:
        """Reads one more batch."""
        assert self.response is not None
        while line := await self.response.content.readline():
            text = batch_of(line.decode())
            if text[:1] == "[":
                return self._keep(Answer(200, json.loads(text)))
        raise Cut(None)

    async def drop(self) -> None:
        if self.response is not None:
            self.response.close()


class XhrStreamingPeer(StreamPeer):
    """Over a stream that begins with a POST."""

    transport = "xhr_streaming"


class GetStreamPeer(StreamPeer):
    """Over a stream that begins with a GET."""

    more = ""  # what else the query says

    async def request(self, *frames: str) -> aiohttp.ClientResponse:
        # Of what follows the head nothing can be said in a URL.
        url = f"{self.url}/v1/{self.transport}?frame={quote(frames[0], safe='', errors='surrogatepass')}{self.more}"
        return await self.http.get(URL(url, encoded=True), headers=self.headers)

    async def open(self, **changes: Any) -> dict[str, Any]:
        if self.auth is None:
            return await super().open(**changes)
        await self.open_by_poll(**changes)
        await self.resume()
        return self.opened


class SsePeer(GetStreamPeer):
    """Over server-sent events."""

    transport = "sse"


class MultipartPeer(GetStreamPeer):
    """Over multipart/x-mixed-replace."""

    transport = "multipart"


class HtmlFilePeer(GetStreamPeer):
    """Over a document in an iframe."""

    transport = "htmlfile"
    scripted = True
    more = "&callback=take"


class JsonpPeer(HttpPeer):
    """Over script tags, which can say one frame each. Its sends are POSTs, or script tags too."""

    transport = "jsonp"
    scripted = True
    scripts = False

    async def open(self, **changes: Any) -> dict[str, Any]:
        return await (super().open(**changes) if self.auth is None else self.open_by_poll(**changes))

    async def post(self, where: str, body: bytes | Sequence[str], **options: Any) -> Answer:
        if where != "jsonp" and not self.scripts:
            return await super().post(where, body, **options)
        frames = json.loads(body) if isinstance(body, bytes) else body
        if where == "send" and not any(frame[:1] in NUMBERED for frame in frames):
            return await HttpPeer.post(self, where, frames, **options)
        if where == "send":
            asked = await HttpPeer.post(self, where, [frames[0], f"s{self.acked + 1}"])
            (given,) = (frame.split(",")[1] for frame in asked.frames if frame[:1] == "s")
            frames = [frames[0].replace(self.key, given), *frames[1:]]
        said = frames[0] if where == "jsonp" else json.dumps(frames)
        name = "frame" if where == "jsonp" else "batch"
        url = f"{self.url}/v1/{where}?callback=take&{name}={quote(said, safe='', errors='surrogatepass')}"
        async with self.http.get(URL(url, encoded=True), headers=self.headers, **options) as response:
            text = await response.text()
        return Answer(response.status, json.loads(batch_of(text)))


PEERS: dict[str, type[Peer]] = {
    peer.transport: peer
    for peer in (
        WebSocketPeer,
        XhrStreamingPeer,
        SsePeer,
        MultipartPeer,
        HtmlFilePeer,
        LongPollingPeer,
        PollingPeer,
        JsonpPeer,
    )
}
