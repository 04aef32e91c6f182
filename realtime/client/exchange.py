"""A session's requests: what a carrier says first, one POST and its answer, and what a failure of them means."""

from __future__ import annotations

import io
from collections.abc import Sequence

import aiohttp

from ..core.carrier import NumberedCarrier, Part
from ..core.client_machine import Attach
from ..core.errors import RemoteProtocolError
from ..protocols.native import NativeCodec, attach_frame, open_frame, uplink_frames
from ..transports import Decoder, Frame
from .context import Context
from .ends import CarrierEnd
from .links import PollLink
from .wire import BATCH, FAILURES, NOT_FOUND, address, codec, words

__all__ = ["LOST", "POST", "batch_of", "decoder_of", "failed", "hello", "request", "send_aside", "too_much"]

POST = codec("long_polling")  # batches look alike on all of them
# What request() raises where the network fails, or something in between answers.
LOST = (*FAILURES, RemoteProtocolError)
# How many frames a batch from the server may have besides the messages that our window lets through.
FRAMES_BESIDE = 256


def hello(context: Context, attach: Attach) -> str:
    """The first frame of a carrier: open or attach."""
    if attach.sid:
        return attach_frame(attach)
    return open_frame(
        context.nonce,
        attach.gen,
        context.machine.config.window,
        context.settings.transports,
        context.auth,
        context.ledger.history(),
        context.ledger.timings,
    )


async def request(context: Context, name: str, parts: Sequence[Part], patience: float) -> list[Frame]:
    """One POST, to be answered in `patience` seconds: the frames of the answer. Raises one of LOST."""
    body = b"".join(POST.wrap(parts))  # type: ignore[arg-type] # batches are bytes
    async with context.http.post(
        address(context.settings.url, name),
        # As bytes, aiohttp warns of large ones; where warnings are errors, that ends the session.
        data=io.BytesIO(body),
        headers={**BATCH, **context.headers},
        timeout=aiohttp.ClientTimeout(total=patience),
        allow_redirects=False,
    ) as response:
        if "Retry-After" in response.headers:
            context.heed(response.headers["Retry-After"])
        return await batch_of(context, response)


async def batch_of(context: Context, response: aiohttp.ClientResponse) -> list[Frame]:
    """The frames of a whole answer, of which no more is read than one can have.

    Raises RemoteProtocolError for one that is no batch, and with 1009 for one that begins as a batch and is too large.
    """
    limit = context.machine.config.max_answer
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > limit:
            if response.status == 200 and answer.startswith(b'["'):
                raise too_much(context)
            raise RemoteProtocolError(4400, f"HTTP {response.status} with more than {limit} bytes")
    decoder = decoder_of(context, POST)
    try:
        frames = decoder.feed(bytes(answer)) + decoder.end()
    except RemoteProtocolError:
        frames = []
    if not frames:
        if response.status == 404:
            raise RemoteProtocolError(4400, NOT_FOUND)
        raise RemoteProtocolError(4400, f"HTTP {response.status} without a batch of the protocol")
    return frames


def decoder_of(context: Context, codec: NativeCodec) -> Decoder:
    """What reads batches from the server, and takes none that is larger than the server may make it."""
    config = context.machine.config
    return codec.transport.decoder(config.max_queue + FRAMES_BESIDE, config.max_answer)


async def send_aside(context: Context, frame: str) -> CarrierEnd | None:
    """Says one frame by a send of its own, and takes the answer. Returns what went wrong, if anything did."""
    parts = [*uplink_frames(POST, context.machine.aside()), POST.text(frame)]
    try:
        frames = await request(context, "send", parts, context.settings.post_timeout)
    except LOST as error:
        return CarrierEnd("send", words(error))
    return context.feed(NumberedCarrier(POST, PollLink(), context.clock.now()), frames)


def failed(
    context: Context, name: str, error: BaseException, since: float | None = None, patience: float = 0.0
) -> CarrierEnd:
    """The end of an attempt to carry, or of a carrier that has carried since then, which failed with `error`.

    One that has brought more than this end takes ends the session: it would bring the same again and again.
    """
    if isinstance(error, RemoteProtocolError) and error.close_code == 1009 and context.machine.sid:
        context.machine.fail(error, context.clock.now())
    late = since is None and isinstance(error, TimeoutError)
    return CarrierEnd(name, words(error), since, waited=patience if late else 0.0)


def too_much(context: Context) -> RemoteProtocolError:
    """More has come than this end takes."""
    config = context.machine.config
    return RemoteProtocolError(
        1009,
        f"the server sends more at once than max_size={config.max_size}, max_queue={config.max_queue} and"
        f" max_queue_size={config.max_queue_size} of this client take",
    )
