"""HTTP/3 with WebTransport: the settings of the drafts that browsers speak, and bounds for what heads cost."""

from __future__ import annotations

import pylsqpack
from aioquic.h3.connection import ErrorCode, FrameType, H3Connection, H3Stream, ProtocolError
from aioquic.quic.connection import QuicConnection

__all__ = ["MAX_HEAD", "SETTINGS", "Http3"]

# The head of a request or an answer, in bytes as it is on the wire.
MAX_HEAD = 16_384
# draft-ietf-webtrans-http3: what says that WebTransport is spoken, from draft 02 on, draft 07 on, and draft 14 on, the
# latter two with one session at a time; and datagrams, by the number that they had before RFC 9297.
SETTINGS = {0x2B603742: 1, 0xC671706A: 1, 0x14E9CD29: 1, 0xFFD277: 1}


class TooMuch(ProtocolError):
    """The peer says more than is kept."""

    error_code = ErrorCode.H3_EXCESSIVE_LOAD


class Http3(H3Connection):
    """See H3Connection. Heads refer to the static table alone, so that none is much larger than it came."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic, enable_webtransport=True)

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        super()._init_connection()

    def _get_local_settings(self) -> dict[int, int]:
        return super()._get_local_settings() | SETTINGS | {0x6: MAX_HEAD}

    def _check_request_or_push_frame_type(self, frame_type: int, stream: H3Stream) -> None:
        super()._check_request_or_push_frame_type(frame_type, stream)
        size = stream.frame_size or 0
        if frame_type in (FrameType.HEADERS, FrameType.PUSH_PROMISE) and size > MAX_HEAD:
            raise TooMuch(f"a head of {size} bytes, where {MAX_HEAD} are taken")

    def _check_control_frame_type(self, frame_type: int) -> None:
        super()._check_control_frame_type(frame_type)
        assert self._peer_control_stream_id is not None
        size = self._stream[self._peer_control_stream_id].frame_size or 0
        if frame_type in (FrameType.SETTINGS, FrameType.MAX_PUSH_ID) and size > MAX_HEAD:
            raise TooMuch(f"settings of {size} bytes")

    def said_all(self, stream_id: int) -> None:
        """Nothing more is said on a stream, without a word of HTTP/3: when its other half ends it is forgotten."""
        stream = self._stream.get(stream_id)
        if stream is not None:
            stream.sending_ended = True
            if stream.is_ended():
                del self._stream[stream_id]
