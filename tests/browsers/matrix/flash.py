"""The example flashsocket, played in Chromium under Ruffle: the unchanged client over a SWF.

Each check is a page of its own. What the movie makes of servers that refuse, or do not keep to RFC 6455, is seen from
both ends: the page's events, and the code of the close that such a server is sent.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib.util
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.testing import serve

from ..engines import Engine, EngineError, Page

__all__ = ["CHECKS", "ENGINE", "Check", "play", "prepare"]

ENGINE = "chromium"

FOLDER = Path(__file__).parents[3] / "examples" / "flashsocket"
TIMEOUT = 120.0  # seconds for a check; what it waits for comes within two, but for one close that nobody answers
# From here on, what a check needs of a page.
SCRIPT = """
const visits = [];
function exchange(messages) {
  const came = [];
  session.addEventListener("message", ({ data }) => came.push(data));
  for (const message of messages) session.send(message);
  const same = (a, b) => typeof a === "string" ? a === b
    : typeof b !== "string" && String(new Uint8Array(a)) === String(new Uint8Array(b.buffer));
  return () => came.length > messages.length ? "too many" : came.length < messages.length ? ""
    : messages.every((message, index) => same(came[index], message)) ? "same" : "not the same";
}
function visit(address) {
  const events = [];
  const socket = new FlashSocket(address);
  socket.onopen = () => events.push("open");
  socket.onmessage = ({ data }) => events.push(data);
  socket.onclose = ({ code, reason, wasClean }) => events.push([code, reason, wasClean]);
  visits.push({ events, socket });
}
"""
TEXTS = """[...Array(100).keys()].map((n) => `${n}: \\\\ " ' & < > %41 \\0 \\x7f \\u2028 \\ufeff é € 😀`)"""
SIZES = "[0, 1, 125, 126, 127, 65535, 65536]"
BINARY = (
    f"[...Array(100).keys()].map((n) => new Uint8Array({SIZES}[n] ?? n * 7).map((_, index) => (index * 31 + n) % 256))"
)


def load() -> Any:
    """The example as a fresh module."""
    spec = importlib.util.spec_from_file_location("example_flashsocket", FOLDER / "flashsocket.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def prepare() -> str:
    """Has the movie made; the version of Ruffle. Raises EngineError where one of them is not installed."""
    example = load()
    if shutil.which("haxe") is None:
        raise EngineError("Haxe is not installed (no haxe on the PATH): run `sh .ci/flash`")
    if not example.RUFFLE.is_dir():
        raise EngineError(f"Ruffle is not installed ({example.RUFFLE} is missing): run `sh .ci/clients`")
    await asyncio.to_thread(example.build)
    return str(json.loads((example.RUFFLE / "package.json").read_text("utf-8"))["version"])


@contextlib.asynccontextmanager
async def played(engine: Engine, **bridge: Any) -> AsyncIterator[Page]:
    """The page of the example, once its session is open."""
    async with (
        serve(load().make_app(policy_port=0, **bridge)) as server,
        engine.open(str(server.make_url("/")), window=True) as page,
    ):
        await becomes(page, "session.readyState === 1 && session.transport")
        await page.evaluate(SCRIPT + "; void 0")
        yield page


async def becomes(page: Page, expression: str) -> Any:
    """Waits until something is true in a page."""
    while True:
        # Both while the page loads and while the movie does, there is no session.
        with contextlib.suppress(EngineError):
            if value := await page.evaluate(f"typeof session === 'object' && session && ({expression})"):
                return value
        await asyncio.sleep(0.05)


async def exchanged(page: Page, messages: str) -> None:
    """Sends messages to the echo: as many come back, the same and in order."""
    await page.evaluate(f"const answer = exchange({messages}); void 0")
    verdict = await becomes(page, "answer()")
    assert verdict == "same", verdict
    transport = await page.evaluate("session.transport")
    assert transport == "websocket", transport


async def visited(page: Page, address: str) -> list[Any]:
    """What a FlashSocket of the page told, once it is closed."""
    await page.evaluate(f"visit({json.dumps(address)}); void 0")
    told: list[Any] = await becomes(page, "visits.at(-1).socket.readyState === 3 && visits.at(-1).events")
    return told


# -- a server that refuses, and keeps to nothing -----------------------------------------------------------------------

SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
ACCEPTED = f"{SWITCHED}Upgrade: websocket\r\nSec-WebSocket-Accept: "


def frame(first: int, data: bytes = b"") -> bytes:
    """A frame of a server's, shorter than 126 bytes."""
    return bytes([first, len(data)]) + data


# path -> what is answered to the handshake: {} is the right word for Sec-WebSocket-Accept
UNOPENED: dict[str, str] = {
    "forbidden": "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "no-switch": "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
    "no-upgrade": f"{SWITCHED}Sec-WebSocket-Accept: {{}}\r\n\r\n",
    "no-accept": f"{SWITCHED}Upgrade: websocket\r\n\r\n",
    "wrong-accept": f"{ACCEPTED}AAAA{{}}\r\n\r\n",
    "an-extension": f"{ACCEPTED}{{}}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "a-subprotocol": f"{ACCEPTED}{{}}\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
    "endless-head": f"{SWITCHED}X: {'x' * 9000}",
    "cut-head": "HTTP/1.1 101 Switching",
}
# path -> frames that come with the answer, what the page is told between open and close, and the code that we are sent
OPENED: dict[str, tuple[bytes, list[str], int | None]] = {
    "cut": (frame(0x81, b"whole") + b"\x81\x7e\x01", ["whole"], None),
    "masked": (b"\x81\x81\0\0\0\0a", [], 1002),
    "reserved-bit": (frame(0xC1, b"a"), [], 1002),
    "unknown-opcode": (frame(0x83, b"a"), [], 1002),
    "ping-in-pieces": (frame(0x09, b"a"), [], 1002),
    "ping-too-long": (b"\x89\x7e\0\x7e" + bytes(126), [], 1002),
    "continues-nothing": (frame(0x80, b"a"), [], 1002),
    "not-continued": (frame(0x01, b"a") + frame(0x81, b"b"), [], 1002),
    "close-of-one-byte": (frame(0x88, b"a"), [], 1002),
    "too-big": (b"\x82\x7f\0\0\0\0\x01\0\0\x01", [], 1009),
    "far-too-big": (b"\x82\x7f\0\0\0\x01\0\0\0\0", [], 1009),
    "no-utf-8": (frame(0x81, b"\xff"), [], 1007),
    "in-pieces": (
        frame(0x01, b"a\xe2") + frame(0x89, b"ping") + frame(0x00, b"\x82") + frame(0x80, b"\xac") + frame(0x88),
        ["a€"],
        1005,
    ),
    "says-goodbye": (frame(0x81, b"a") + frame(0x88, b"\x0f\xa0adieu"), ["a"], 4000),
}


class Refuser:
    """Answers each handshake by its path, and keeps the code of the close that it is sent for that."""

    def __init__(self) -> None:
        self.pongs: list[bytes] = []
        self._closes: dict[str, int | None] = {}
        self._told = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[tuple[str, int]]:
        """Where it is, while it is."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[:2]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1].lstrip("/")
        key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        answer = f"{ACCEPTED}{{}}\r\n\r\n" if path in OPENED else UNOPENED.get(path, UNOPENED["forbidden"])
        writer.write(answer.format(base64.b64encode(digest).decode()).encode())
        if path in OPENED:
            writer.write(OPENED[path][0])
            if OPENED[path][2] is not None:
                await self._closed(path, reader, writer)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def _closed(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code = None
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                first, length, *mask = await reader.readexactly(6)
                masked = await reader.readexactly(length & 127)
                data = bytes(byte ^ mask[index & 3] for index, byte in enumerate(masked))
                if first == 0x88:
                    code = int.from_bytes(data[:2]) if data else 1005
                    writer.write(frame(0x88, data))
                    break
                self.pongs.append(data)
        async with self._told:
            self._closes[path] = code
            self._told.notify_all()

    async def closed_with(self, path: str) -> int | None:
        """The code that we are sent, once it has come; 1005 for a close without one, None for a cut."""
        async with self._told:
            await self._told.wait_for(lambda: path in self._closes)
        return self._closes[path]


# -- the checks -------------------------------------------------------------------------------------------------------


async def messages(engine: Engine) -> None:
    async with played(engine) as page:
        await exchanged(page, f"[...{TEXTS}, ...{BINARY}]")


async def large(engine: Engine) -> None:
    async with played(engine) as page:
        await exchanged(page, "['€'.repeat(70000), 'x'.repeat(70000)]")


async def split(engine: Engine) -> None:
    async with played(engine, piece=1) as page:
        await exchanged(page, f"[...{TEXTS}, ...{BINARY}.filter((bytes) => bytes.length < 1000)]")


async def refusals(engine: Engine) -> None:
    refuser = Refuser()
    async with refuser.up() as target, played(engine, target=target) as page:
        transport = await page.evaluate("session.transport")  # as for whom WebSockets are blocked
        assert transport != "websocket", transport
        for path in [*UNOPENED, "http://127.0.0.1:1/"]:  # a port for which there is no bridge
            assert await visited(page, path) == [[1006, "", False]], path
        for path, (_, between, code) in OPENED.items():
            *before, last = await visited(page, path)
            assert before == ["open", *between], path
            clean = code in (1005, 1007, 4000)  # the movie does not wait for one that has broken the protocol
            assert last == [code if clean else 1006, "adieu" if code == 4000 else "", clean], path
            if code is not None:
                assert await refuser.closed_with(path) == code, path
        assert refuser.pongs == [b"ping"], refuser.pongs


async def closes(engine: Engine) -> None:
    async with played(engine) as page:
        await page.evaluate("session.close(4321, 'enough'); void 0")
        await becomes(page, "session.readyState === 3")
        assert await page.errors() == []


CHECKS: dict[str, tuple[str, Callable[[Engine], Awaitable[None]]]] = {
    "messages": ("100 texts and 100 binary messages of 0 to 65,536 bytes, there and back in order", messages),
    "large": ("70,000 characters, of one byte each and of three", large),
    "split": ("every byte by itself", split),
    "refusals": (
        f"{len(UNOPENED)} servers that refuse, none at all, and {len(OPENED)} that break the protocol or say odd "
        "things; refused, the client goes on by HTTP",
        refusals,
    ),
    "closes": ("a close with a code and a reason", closes),
}


@dataclass(frozen=True)
class Check:
    """What became of one."""

    words: str
    seconds: float
    problem: str


async def play(engine: Engine, name: str) -> Check:
    """One of CHECKS."""
    words, check = CHECKS[name]
    began = time.monotonic()
    problem = ""
    try:
        async with asyncio.timeout(TIMEOUT):
            await check(engine)
    except TimeoutError:
        problem = f"not within {TIMEOUT:g} s"
    except (AssertionError, EngineError) as error:
        problem = repr(error)
    return Check(words, time.monotonic() - began, problem)
