"""A session's requests: what a carrier says first, one POST and its answer, and what a failure of them means."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import aiohttp

from ..clock import Patience
from ..core.carrier import NumberedCarrier, Part
from ..core.client_machine import Attach
from ..core.durable.rooms import MAX_NOTES
from ..core.errors import RemoteProtocolError
from ..protocols.native import NativeCodec, attach_frame, cursors_frame, open_frame, uplink_frames
from ..transports import Decoder, Frame
from .context import Context
from .ends import CarrierEnd
from .links import PollLink
from .wire import BATCH, FAILURES, NOT_FOUND, address, codec, words

__all__ = [
    "LOST",
    "POST",
    "Answer",
    "NoBatch",
    "batch_of",
    "behind_hello",
    "decoder_of",
    "failed",
    "hello",
    "request",
    "send_aside",
    "too_much",
    "waiting",
]

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
        context.policy.choice.history(context.clock.now()),
        context.policy.choice.timings,
        context.cursors,
        durable=True,
    )


def behind_hello(context: Context, carrier: NumberedCarrier, attach: Attach) -> list[str]:
    """What follows that: in a durable session, the cursors of its rooms."""
    cursors = context.machine.cursors(carrier) if attach.sid else None
    return [] if cursors is None else [cursors_frame(attach.gen, cursors)]


class Answer(NamedTuple):
    """What came back: the frames of a batch, and how many seconds a Retry-After said."""

    frames: list[Frame]
    wait: float


class NoBatch(RemoteProtocolError):
    """An answer that is none of the protocol's."""

    def __init__(self, what: str, wait: float) -> None:
        super().__init__(4400, what)
        self.wait = wait


async def request(
    context: Context,
    name: str,
    parts: Sequence[Part],
    patience: float | None = None,
    alive: Callable[[], None] | None = None,
) -> Answer:
    """One POST, to be answered in `patience` seconds, if they are given. Raises one of LOST.

    `alive` hears of each part of the answer.
    """
    body = b"".join(POST.wrap(parts))  # type: ignore[arg-type] # batches are bytes
    posting = context.http.post(
        address(context.settings.url, name),
        # As bytes, aiohttp warns of large ones; where warnings are errors, that would be a failure.
        data=io.BytesIO(body),
        headers={**BATCH, **context.headers},
        timeout=aiohttp.ClientTimeout(total=None),
        allow_redirects=False,
        raise_for_status=False,  # whatever the application's session does: what is refused says why
    )
    async with Patience(patience), posting as response:
        return await batch_of(context, response, alive)


async def batch_of(
    context: Context, response: aiohttp.ClientResponse, alive: Callable[[], None] | None = None
) -> Answer:
    """The frames of a whole answer, of which no more is read than one can have.

    Raises NoBatch for one that is no batch, and RemoteProtocolError(1009) for one that begins as a batch and is too
    large.
    """
    limit, wait = _limits(context)[1], retry_after(response.headers)
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if alive is not None:
            alive()
        if len(answer) > limit:
            if response.status == 200 and answer.startswith(b'["'):
                raise too_much(context)
            raise NoBatch(f"HTTP {response.status} with more than {limit} bytes", wait)
    decoder = decoder_of(context, POST)
    try:
        frames = decoder.feed(bytes(answer)) + decoder.end()
    except RemoteProtocolError:
        frames = []
    if not frames:
        if response.status == 404:
            raise NoBatch(NOT_FOUND, wait)
        raise NoBatch(f"HTTP {response.status} without a batch of the protocol", wait)
    return Answer(frames, wait)


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds of a Retry-After header (RFC 9110 §10.2.3), 0.0 without one. A date is not heeded."""
    text = headers.get("Retry-After", "")
    return float(text[:9]) if text.isascii() and text.isdigit() else 0.0


def decoder_of(context: Context, codec: NativeCodec) -> Decoder:
    """What reads batches from the server, and takes none that is larger than the server may make it."""
    return codec.transport.decoder(*_limits(context))


def _limits(context: Context) -> tuple[int, int]:
    """How many frames, and bytes, one batch from the server has at most. In a durable session messages of rooms have a
    window of their own."""
    machine = context.machine
    config = machine.config
    if machine.following.rooms is None:
        return config.max_queue + FRAMES_BESIDE, config.max_answer
    return 2 * config.max_queue + MAX_NOTES + FRAMES_BESIDE, 2 * config.max_answer


async def send_aside(context: Context, frame: str) -> CarrierEnd | None:
    """Says one frame by a send of its own, and takes the answer. Returns what went wrong, if anything did."""
    parts = [*uplink_frames(POST, context.machine.aside()), POST.text(frame)]
    try:
        frames, wait = await request(context, "send", parts, context.settings.post_timeout)
    except LOST as error:
        return failed(context, "send", error)
    return waiting(context.feed(NumberedCarrier(POST, PollLink(), context.clock.now()), frames), wait)


def waiting(end: CarrierEnd | None, wait: float) -> CarrierEnd | None:
    """An end of which the answer said when to come back."""
    return replace(end, wait=wait) if end is not None and wait else end


def failed(context: Context, name: str, error: BaseException) -> CarrierEnd:
    """The end of a carrier, or of an attempt to start one, which failed with `error`.

    One that has brought more than this end takes ends the session: it would bring the same again and again.
    """
    if isinstance(error, RemoteProtocolError) and error.close_code == 1009 and context.machine.sid:
        context.machine.fail(error, context.clock.now())
    wait = 0.0
    if isinstance(error, NoBatch):
        wait = error.wait
    elif isinstance(error, aiohttp.WSServerHandshakeError) and error.headers is not None:
        wait = retry_after(error.headers)
    return CarrierEnd(name, words(error), wait=wait)


def too_much(context: Context) -> RemoteProtocolError:
    """More has come than this end takes."""
    config = context.machine.config
    return RemoteProtocolError(
        1009,
        f"the server sends more at once than max_size={config.max_size}, max_queue={config.max_queue} and"
        f" max_queue_size={config.max_queue_size} of this client take",
    )
