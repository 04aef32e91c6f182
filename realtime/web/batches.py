"""What a request of the native protocol says, wherever it has it: the batch in its body or form, or the one frame in
its URL; and how its answer is to be framed, where it says that, too. (docs/protocol.md §3)

Of a worker of a cluster a body is read as far as it names a session; whose it is, it is asked before more is read.
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..core.config import INITIAL_WINDOW, Config
from ..core.errors import Refusal, RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.native import NativeGate
from ..owners import Elsewhere
from ..protocols.native import NativeCodec
from ..service import Service
from ..transports import Frame
from ..transports.batch import decode_body, first_frame
from ..transports.form import begun_field, parse_fields, parse_text_field
from .replies import Reply, is_form, query_of, reply_to_fields
from .routes import Routes

__all__ = ["EMPTY", "HEAD_SIZE", "LEAST_BATCH", "Batches"]

# A frame that is no message (an open with auth data) may be so many bytes larger than max_size.
HEAD_SIZE = 65_536
# What an open may bring before the client knows max_batch: a head, the initial window, and one to spare.
LEAST_BATCH: int = INITIAL_WINDOW.messages + 2
EMPTY = "an empty batch; one starts with o, r or u"


class Batches(Routes):
    """Reads what requests say."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = NativeGate(service)

    async def _reply_by(
        self, codec: NativeCodec, request: web.Request, config: Config, begun: bytes | None = None
    ) -> Reply:
        """How a request wants to be answered whose answer is a script. Of its body `begun` was read. Raises
        BadCallback, RemoteProtocolError (4413) and Unreadable."""
        if request.method == "GET":
            return reply_to_fields(codec, query_of(request))
        # Three bytes for one is the worst that percent-encoding does.
        least, most = (3 * size + HEAD_SIZE for size in (config.max_open_body, config.max_body))
        body = await self._whole_body(request, config, least, partial(self._form_limit, least, most), begun)
        return reply_to_fields(codec, body)

    def _limit(self, least: int, most: int, beginning: bytes) -> int:
        """The size limit of a batch with this beginning: `most` if it names a living session and has its key, else
        `least`. Raises Refusal."""
        frame = first_frame(beginning)
        if frame is None or frame[:1] not in ("r", "u"):
            return least
        try:
            self._gate.check_key(frame)
        except RemoteProtocolError:
            return least
        return most

    def _form_limit(self, least: int, most: int, beginning: bytes) -> int:
        """The same for a form. It never raises, since the callback that a refusal needs may not be known yet."""
        try:
            return self._limit(least, most, begun_field(beginning, "batch") or b"")
        except Refusal:
            return least

    async def _frames(
        self, request: web.Request, endpoint: Endpoint, reply: Reply, begun: bytes | None = None
    ) -> tuple[list[Frame], bytes | None]:
        """The frames that a request brings, wherever it has them, and its body if it has one, of which `begun` was
        read.

        Raises RemoteProtocolError (4400, 4413) and Unreadable.
        """
        config = endpoint.config
        if request.method == "GET" and request.match_info["transport"] != "send":
            return [parse_text_field(query_of(request), "frame") or ""], None
        if reply.callback:
            (batch,) = parse_fields(reply.fields, "batch")
            if batch is None:
                raise RemoteProtocolError(4400, "the field batch is missing")
            if len(batch) > config.max_body:
                raise RemoteProtocolError(4413, f"the batch is above {config.max_body} bytes; split it")
        else:
            least, most = config.max_open_body, config.max_body
            batch = await self._whole_body(request, config, least, partial(self._limit, least, most), begun)
        frames = decode_body(batch, max(config.max_batch, LEAST_BATCH), config.max_body)
        return frames, reply.fields if reply.callback else batch

    async def _whose(self, request: web.Request, begun: bytes) -> None:
        """Raises Elsewhere where a body that begins so names another worker's session. Whatever else is wrong with it
        is found out, and told, when all of it was read."""
        frame = first_frame((begun_field(begun, "batch") or b"") if is_form(request) else begun)
        if frame is None or frame[:1] not in ("r", "u"):
            return
        try:
            await self._gate.find_owner(frame)
        except Elsewhere:
            raise
        except (Refusal, RemoteProtocolError):
            return
