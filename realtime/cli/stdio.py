"""Standard input, output and error beside an event loop that must not wait for them.

Each of input and output has a daemon thread that works on the bare file descriptor: unlike Python's buffered files
these hold no lock that would keep the process from ending, and files, pipes, terminals and /dev/null are all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import select
import sys
import threading

__all__ = ["Input", "Lines", "Output", "harmless", "note", "put"]

CHUNK = 65_536
# So many chunks of input may wait for the session.
CHUNKS_AHEAD = 4
# Above this many bytes waiting for the reader of standard output, write() waits.
HIGH_WATER = 1_048_576


class Input:
    """Reads a file descriptor, a few chunks ahead of who takes them. None: there is no standard input."""

    def __init__(self, descriptor: int | None) -> None:
        self.error: OSError | None = None  # why reading ended, if not at the end
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(CHUNKS_AHEAD)
        if descriptor is None:
            self._chunks.put_nowait(b"")
        else:
            threading.Thread(target=self._run, args=(descriptor,), name="realtime input", daemon=True).start()

    async def read(self) -> bytes:
        """Some bytes as they came, or none at the end."""
        chunk = await self._chunks.get()
        self._room.release()
        return chunk

    def _run(self, descriptor: int) -> None:
        while True:
            self._room.acquire()
            try:
                chunk = _read(descriptor)
            except OSError as error:
                self.error, chunk = error, b""
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the event loop is closed: nobody wants it any more
                return
            if not chunk:
                return


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:  # whoever we share the terminal with has made it non-blocking
            select.select([descriptor], [], [])


class Output:
    """Writes to a file descriptor in order. None: there is no standard output, and all of it is dropped.

    `failed` is done, with the error, when it can't be written to any more: a BrokenPipeError when its reader is gone.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[OSError] = self._loop.create_future()
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._waiting = 0  # bytes
        self._progress = asyncio.Event()
        self._dropping = descriptor is None
        if descriptor is not None:
            threading.Thread(target=self._run, args=(descriptor,), name="realtime output", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Writes without delay; waits only while very much is waiting already."""
        if self._dropping:
            return
        self._waiting += len(data)
        self._queue.put(data)
        await self._until(HIGH_WATER)

    async def drain(self) -> None:
        """Waits until everything is written, or cannot be."""
        await self._until(0)

    async def _until(self, most: int) -> None:
        while self._waiting > most and not self.failed.done():
            self._progress.clear()
            await self._progress.wait()

    def _wrote(self, size: int, error: OSError | None) -> None:
        self._waiting -= size
        if error is not None and not self.failed.done():
            self._dropping = True
            self.failed.set_result(error)
        self._progress.set()

    def _run(self, descriptor: int) -> None:
        error: OSError | None = None
        while error is None:
            data = self._queue.get()
            with contextlib.suppress(queue.Empty):
                while len(data) < HIGH_WATER:
                    data += self._queue.get_nowait()
            try:
                _write(descriptor, data)
            except OSError as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(self._wrote, len(data), error)
            except RuntimeError:  # the event loop is closed
                return


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


class Lines:
    """Cuts a stream of bytes into lines without their endings (LF or CR LF), each of at most `limit` bytes.

    A longer one becomes None: it is skipped as it comes, so that memory is bounded.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that `data` completes."""
        *ends, rest = data.split(b"\n")
        lines: list[bytes | None] = []
        for end in ends:
            self._add(end)
            lines.append(self._line())
        self._add(rest)
        return lines

    def end(self) -> list[bytes | None]:
        """The last line, if it had no ending."""
        return [self._line()] if self._rest or self._skipping else []

    def _add(self, piece: bytes) -> None:
        if not self._skipping:
            self._rest += piece
            if len(self._rest) > self._limit + 1:  # 1 for the CR
                self._skipping = True
                self._rest.clear()

    def _line(self) -> bytes | None:
        line = bytes(self._rest).removesuffix(b"\r")
        fits = not self._skipping and len(line) <= self._limit
        self._rest.clear()
        self._skipping = False
        return line if fits else None


# Control characters other than tab and line feed: what a peer could play tricks on a terminal with.
_HARMFUL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def harmless(text: str) -> str:
    """A peer's text, made fit for a terminal."""
    return text.translate(_HARMFUL)


def put(text: str, encoding: str | None = None) -> bool:
    """Writes to standard output, all at once; False where that failed, which is said, unless whoever read has read
    enough. What the encoding (without one, that of the locale) does not have is written as its number."""
    out = sys.stdout
    if out is None:  # the parent has closed it
        return True
    try:
        if isinstance(out, io.TextIOWrapper):
            out.flush()
            out.buffer.write(f"{text}\n".encode(encoding or out.encoding, "backslashreplace"))
            out.buffer.flush()
        else:
            print(text, flush=True)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            note(f"cannot write: {error.strerror}")
        sys.stdout = None  # nothing more to flush at the end
        return isinstance(error, BrokenPipeError)
    return True


def note(text: str) -> None:
    """Says something to the person at the terminal, on standard error."""
    if sys.stderr is not None:  # print() would turn to standard output
        with contextlib.suppress(OSError, ValueError):
            print(f"realtime: {harmless(text)}", file=sys.stderr, flush=True)
