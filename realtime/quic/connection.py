"""A QUIC connection whose windows slide with what was taken.

aioquic grants twice as much whenever half was used, whether or not anybody has taken it, and keeps what arrives behind
a gap as if the gap were there: so a peer that says one byte far ahead, again and again, has ever more memory set aside.
Here a window begins where its stream was delivered, and the connection's counts what is delivered and not yet taken.
Of a handshake it would keep half a megabyte, of an address that may be anybody's; here it is no more than a handshake
takes.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.connection import QuicConnection, QuicConnectionError, QuicReceiveContext
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from .congestion import Bbr, Pacer

__all__ = ["MAX_STREAMS", "Connection", "reset_token"]

# How many streams of each kind the peer may have at a time: HTTP/3 itself needs three of one kind.
MAX_STREAMS = 8
# A window is moved when so much of it is free again.
SHARE = 4
# How far ahead of what was read the bytes of a handshake may be (RFC 9000 §7.5: 4096 at least): a ClientHello has two
# thousand, and a server's answer as many as its certificates.
MAX_HELLO = 16_384
MAX_ANSWER = 131_072


def reset_token(key: bytes, connection_id: bytes) -> bytes:
    """What tells a client that its server has forgotten the connection with this id (RFC 9000 §10.3.2)."""
    return hmac.digest(key, connection_id, hashlib.sha256)[:16]


class Connection(QuicConnection):
    """See QuicConnection. `unread` are the bytes that were delivered and that nobody has taken yet.

    With a `reset_key`, whoever has that key can tell the peer that this connection is forgotten, although nothing else
    of it is known.
    """

    def __init__(self, *, reset_key: bytes = b"", **arguments: Any) -> None:
        super().__init__(**arguments)
        self._reset_key = reset_key
        self._set_tokens()
        self._control = control = self._loss._cc
        if isinstance(control, Bbr):
            self._loss._pacer = Pacer(control, max_datagram_size=self._max_datagram_size)
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = MAX_STREAMS
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = MAX_STREAMS
        self.unread: int = 0

    def _set_tokens(self) -> None:
        if self._reset_key:
            for connection_id in self._host_cids:
                connection_id.stateless_reset_token = reset_token(self._reset_key, connection_id.cid)

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        self._set_tokens()

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        """See QuicConnection. What the path can do shows only while there is enough to send."""
        sent = super().datagrams_to_send(now)
        control = self._control
        if isinstance(control, Bbr) and self._pacing_at is None:
            control.sent_all_there_was()
        return sent

    def is_reset(self, data: bytes) -> bool:
        """Whether this datagram says that the peer has forgotten the connection."""
        token = self._peer_cid.stateless_reset_token
        return len(token) == 16 and len(data) > 20 and hmac.compare_digest(data[-16:], token)

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

    @property
    def close_event(self) -> ConnectionTerminated | None:
        """How it ends, as soon as either end has said so. aioquic tells it three timeouts later, when nothing of it is
        answered any more: five seconds where a round trip is 600 ms."""
        return self._close_event

    def has_ended(self, stream_id: int) -> bool:
        """Whether nothing more can come on a stream."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.receiver.is_finished

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        end = buf.pull_uint_var() + buf.pull_uint_var()
        buf.seek(start)
        limit = MAX_ANSWER if self._is_client else MAX_HELLO
        if end - self._crypto_streams[context.epoch].receiver.starting_offset() > limit:
            raise QuicConnectionError(
                error_code=QuicErrorCode.CRYPTO_BUFFER_EXCEEDED,
                frame_type=frame_type,
                reason_phrase="a handshake is not so large",
            )
        super()._handle_crypto_frame(context, frame_type, buf)

    def _handle_ack_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        if buf.pull_uint_var() >= self._packet_number:  # RFC 9000 §13.1: all that is on its way would count as lost
            raise QuicConnectionError(
                error_code=QuicErrorCode.PROTOCOL_VIOLATION,
                frame_type=frame_type,
                reason_phrase="a packet is acknowledged that was never sent",
            )
        buf.seek(start)
        super()._handle_ack_frame(context, frame_type, buf)

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
        if stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return  # as nearly always
        highest, receiver.highest_offset = receiver.highest_offset, 0
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = highest
