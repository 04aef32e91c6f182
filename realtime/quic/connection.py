"""A QUIC connection whose windows slide with what was taken.

aioquic grants twice as much whenever half was used, whether or not anybody has taken it, and keeps what arrives behind
a gap as if the gap were there: so a peer that says one byte far ahead, again and again, has ever more memory set aside.
Here a window begins where its stream was delivered, and the connection's counts what is delivered and not yet taken.
"""

from __future__ import annotations

from typing import Any

from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

__all__ = ["MAX_STREAMS", "Connection"]

# How many streams of each kind the peer may have at a time: HTTP/3 itself needs three of one kind.
MAX_STREAMS = 8
# A window is moved when so much of it is free again.
SHARE = 4


class Connection(QuicConnection):
    """See QuicConnection. `unread` are the bytes that were delivered and that nobody has taken yet."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = MAX_STREAMS
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = MAX_STREAMS
        self.unread: int = 0

    def waiting(self, stream_id: int) -> int:
        """How many bytes of a stream were written, and are not acknowledged by the peer."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def may_write(self, stream_id: int) -> bool:
        """Whether anything can be written on a stream: its end was not said, and the peer has not refused it."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        sender = stream.sender
        return not sender.is_finished and sender._buffer_fin is None and sender._reset_error_code is None

    @property
    def patience(self) -> float:
        """After how many seconds of silence the connection is gone: the less of what both ends say."""
        return self._idle_timeout()

    def has_ended(self, stream_id: int) -> bool:
        """Whether nothing more can come on a stream."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.receiver.is_finished

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit, window = self._local_max_data, self.configuration.max_data
        kept = self.unread
        for stream in self._streams.values():
            receiver = stream.receiver
            if not receiver.is_finished:
                kept += receiver.highest_offset - receiver.starting_offset()
        value = limit.used - kept + window
        if value - limit.value >= window // SHARE:
            limit.value = value
        used, limit.used = limit.used, 0  # nothing is to be doubled
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        receiver, window = stream.receiver, self.configuration.max_stream_data
        if receiver.is_finished:
            return
        value = receiver.starting_offset() + window
        if value - stream.max_stream_data_local >= window // SHARE:
            stream.max_stream_data_local = value
        highest, receiver.highest_offset = receiver.highest_offset, 0
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = highest
