"""aiohttp's WebSocket reader (compiled), and whose bytes it reads.

Between two frames a reader knows nothing, so that connections share one; a connection has one of its own from the
middle of a frame or of fragments on. See lean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
from aiohttp.http import WebSocketReader

if TYPE_CHECKING:
    from aiohttp._websocket.reader_py import WebSocketDataQueue
else:
    try:
        from aiohttp._websocket.reader import WebSocketDataQueue
    except ImportError as error:
        if [int(part) for part in aiohttp.__version__.split(".")[:2]] < [3, 11]:  # pip only warns of that
            raise ImportError(
                f"realtime needs aiohttp 3.11.1 or newer, and this is {aiohttp.__version__}: pip install -U aiohttp"
            ) from error
        WebSocketDataQueue = object  # of a newer one, which takeover finds to be another than it was known to be

__all__ = ["FRAGMENT", "PIECE", "UNKNOWN", "Parser", "Shared", "WebSocketDataQueue", "beyond", "piece"]

# So many bytes are parsed at once, or what there is of one frame: what they bring is kept when somebody has to be
# waited for, however little each is.
PIECE = 4096
LONGEST_HEADER = 14  # of a frame, with the mask
# A frame that is a whole message begins with more than this: it has FIN, and an opcode.
FRAGMENT = 0x80
MASKED = 0x80  # the bit beside a frame's length
UNKNOWN = -1


def beyond(data: bytes, at: int) -> int:
    """How many bytes of a frame are missing behind `data`, in which a frame begins at `at`: 0 where its last frame
    ends with it. UNKNOWN where that is not seen at a glance: a header is cut, or without mask, or a message is in
    fragments."""
    size = len(data)
    while 0 <= at < size:
        if data[at] <= FRAGMENT or at + 1 == size or data[at + 1] < MASKED:
            return UNKNOWN
        length = data[at + 1] - MASKED
        at += 6  # with the mask
        if length == 126:
            if at - 2 > size:
                return UNKNOWN
            length = int.from_bytes(data[at - 4 : at - 2], "big")
            at += 2
        elif length == 127:
            if at + 4 > size:
                return UNKNOWN
            length = int.from_bytes(data[at - 4 : at + 4], "big")
            at += 8
        at += length
    return at - size if at >= 0 else UNKNOWN


class Reading(Protocol):
    """Whose bytes a Parser reads."""

    def parsed(self, message: Any, size: int, /) -> None:
        """One message, or control frame."""

    def unreadable(self, error: BaseException, /) -> None:
        """What has come is no message."""


class Parser(WebSocketDataQueue):
    """A reader, and the queue that it fills: which passes on what comes, to whoever's bytes are read. After what is no
    message it reads nothing more."""

    __slots__ = ("max_size", "missing", "reader", "whose")

    # aiohttp's own initialiser makes a buffer, which nothing goes into.
    def __init__(self, max_size: int) -> None:
        self.max_size: int = max_size
        self.missing: int = 0  # so many bytes of a frame
        self.whose: Reading | None = None
        self._renew()

    def _renew(self) -> None:
        self.reader: WebSocketReader = WebSocketReader(self, self.max_size, compress=False, decode_text=True)

    def feed_data(self, message: Any, size: int) -> None:
        """One message, or control frame."""
        self.whose.parsed(message, size)  # type: ignore[union-attr] # somebody's bytes are being read

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        """What has come is no message; or whoever was told raised."""
        self.whose.unreadable(error)  # type: ignore[union-attr] # the same


class Shared(Parser):
    """One that stands between two frames whenever it reads nothing."""

    __slots__ = ()

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        """What has come is no message; what others send is another matter."""
        self._renew()
        super().set_exception(error, cause)


def piece(data: bytes, at: int, own: Parser | None) -> int:
    """How many bytes of `data` are parsed at once, from `at` on. `own` is the connection's own reader, if any."""
    missing = LONGEST_HEADER + beyond(data[at : at + LONGEST_HEADER], 0) if own is None else own.missing
    return max(missing, PIECE)
