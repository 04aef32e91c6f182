"""From bytes in any pieces to frames: several frames in one message, one frame in several, heart-beats between them.

Everything is counted before it is kept or taken apart. The next frame is read when it is asked for, since what is said
in a CONNECT decides how the frames behind it are read.
"""

from __future__ import annotations

import re

from ....core.errors import RemoteProtocolError
from .frames import CLIENT_COMMANDS, V10, V11, V12, Frame, is_bare, unescape

__all__ = ["Decoder"]

_LENGTH = re.compile(r"[0-9]{1,19}")
# There may be a million: what was matched is never tried otherwise, so that no list of ways back is kept.
_NEWLINES, _LINE_ENDS = re.compile(rb"\n*+"), re.compile(rb"(?:\r?\n)*+")
NUL = 0
PADDING = " \t"
# What of a header that is none is repeated to whoever sent it.
SHOWN = 32
LONGEST = max(map(len, CLIENT_COMMANDS)) + 1  # with a carriage return


class Decoder:
    """The frames of one client.

    A frame has at most `max_headers` headers, `max_header_size` bytes in front of its body and `max_body_size` in that.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_command",
        "_count",
        "_head_size",
        "_headers",
        "_length",
        "_max_body_size",
        "_max_header_size",
        "_max_headers",
        "receipt",
        "version",
    )

    def __init__(self, *, max_headers: int, max_header_size: int, max_body_size: int) -> None:
        self.version: str = V12  # from the CONNECT on the one that was agreed on; a CONNECT is read like 1.2's
        self.receipt: str | None = None  # of the frame that is read, as far as it has come
        self._max_headers = max_headers
        self._max_header_size = max_header_size
        self._max_body_size = max_body_size
        self._buffer = bytearray()
        self._at = 0  # up to here it was looked at, and the end of what is read is not there
        self._command = ""  # "": between two frames
        self._headers: dict[str, str] = {}
        self._count = 0  # of headers, those that were repeated as well
        self._head_size = 0
        self._length: int | None = None  # -1: up to the next NUL; None: the headers are not all here

    def feed(self, data: bytes) -> None:
        """The next bytes that have come."""
        self._buffer += data

    @property
    def begun(self) -> bool:
        """Whether something of a frame has come."""
        return bool(self._command or self._buffer)

    @property
    def pending(self) -> int:
        """How many bytes are kept."""
        return len(self._buffer)

    def next(self) -> Frame | None:
        """The next frame, or None where it has not come as a whole.

        Raises RemoteProtocolError: 1002 for what is no frame, 1007 for headers that are not UTF-8, 1009 above a limit.
        Then nothing more is to be read.
        """
        if not self._command and not self._begin():
            return None
        while self._length is None:
            line = self._line(self._max_header_size - self._head_size)
            if line is None:
                return None
            self._head_size += len(line) + 1
            line = self._clean(line)
            if line:
                self._header(line)
            else:
                self._measure()
        return self._body()

    def _begin(self) -> bool:
        """The command of the next frame; whether it is here."""
        between = (_LINE_ENDS if self._returns else _NEWLINES).match(self._buffer)
        if between is not None and between.end():
            del self._buffer[: between.end()]
            self._at = 0
        line = self._line(LONGEST, "the command")
        if line is None:
            return False
        command = self._clean(line).decode("utf-8", "replace")
        if command not in CLIENT_COMMANDS:
            raise RemoteProtocolError(1002, f"there is no command {command!r}")
        self._command, self._head_size = command, len(line) + 1
        return True

    @property
    def _returns(self) -> bool:
        """Whether lines may end with a carriage return as well."""
        return self.version == V12

    def _line(self, most: int, what: str = "") -> bytes | None:
        """The next line, without its end; None if it is not here. Its end is looked for once in each byte."""
        buffer = self._buffer
        end = buffer.find(b"\n", self._at, most + 1)
        if end < 0:
            if len(buffer) > most:
                if what:
                    shown = bytes(buffer[: most + 1]).decode("utf-8", "replace")
                    raise RemoteProtocolError(1002, f"no frame begins with {shown!r}")
                raise RemoteProtocolError(1009, f"headers above {self._max_header_size} bytes (max_header_size)")
            self._at = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._at = 0
        return line

    def _clean(self, line: bytes) -> bytes:
        return line[:-1] if self._returns and line.endswith(b"\r") else line

    def _header(self, line: bytes) -> None:
        self._count += 1
        if self._count > self._max_headers:
            raise RemoteProtocolError(1009, f"more than {self._max_headers} headers (max_headers)")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise RemoteProtocolError(1007, "headers that are not UTF-8") from None
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise RemoteProtocolError(1002, f"a header is a name, a colon and a value, not {text[:SHOWN]!r}")
        if not is_bare(self.version, self._command):
            name, value = unescape(self.version, name), unescape(self.version, value)
        elif self.version == V10:  # which its specification pads in examples
            name, value = name.strip(PADDING), value.strip(PADDING)
        self._headers.setdefault(name, value)
        if name == "receipt" and self.receipt is None:
            self.receipt = value

    def _measure(self) -> None:
        """The headers are here: how long is the body?"""
        said = self._headers.get("content-length")
        if said is None:
            self._length = -1
            return
        said = said.strip(PADDING)
        if not _LENGTH.fullmatch(said):
            raise RemoteProtocolError(1002, f"content-length is a number of bytes, not {said[:SHOWN]!r}")
        self._length = int(said)
        self._check_size(self._length)

    def _check_size(self, size: int) -> None:
        if size > self._max_body_size:
            raise RemoteProtocolError(1009, f"a body above {self._max_body_size} bytes (max_body_size)")

    def _body(self) -> Frame | None:
        buffer, length = self._buffer, self._length
        assert length is not None
        if length < 0:
            length = buffer.find(b"\0", self._at)
            self._check_size(length if length >= 0 else len(buffer))
            if length < 0:
                self._at = len(buffer)
                return None
        elif len(buffer) <= length:
            return None
        elif buffer[length] != NUL:
            raise RemoteProtocolError(1002, f"no NUL behind a body of {length} bytes (content-length)")
        body = bytes(buffer[:length])
        del buffer[: length + 1]
        if body and self._command != "SEND":
            if self.version in (V11, V12) and self._command not in ("CONNECT", "STOMP"):
                raise RemoteProtocolError(1002, f"{self._command} has no body")
            body = b""  # version 1.0 ignores it
        frame = Frame(self._command, self._headers, body)
        self._at = self._count = 0
        self.receipt = None
        self._command, self._headers, self._length = "", {}, None
        return frame
