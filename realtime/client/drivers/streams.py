"""A session over long responses: a stream brings what comes down, POSTs beside it take what goes up.

Something in between may hold a stream back until it ends, so the policy wants each tested against a POST.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Literal

import aiohttp

from ...core.carrier import NumberedCarrier
from ...core.errors import Refusal, RemoteProtocolError
from ...core.proof import ATTACH, Key
from ...protocols.native import parse_refusal, uplink_frames
from ...transports import Decoder
from ..carrying import Carrying
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import (
    LOST,
    POST,
    batch_of,
    behind_hello,
    decoder_of,
    failed,
    hello,
    request,
    send_aside,
    too_much,
    waiting,
)
from ..links import StreamLink
from ..wire import FAILURES, begin_stream, codec, needs_url

__all__ = ["drive_stream", "post_beside", "probe_stream"]


async def drive_stream(context: Context, carrying: Carrying) -> CarrierEnd:
    """Attaches (or opens) by one long response, and reads it until it ends."""
    machine, name = context.machine, carrying.name
    ticket = ""
    if needs_url(name):
        if not machine.sid and not context.opens_in_url:
            what = "cursors" if context.auth is None else "auth data"
            return CarrierEnd(name, f"not tried: {what} must not stand in a URL")
        if machine.sid:
            end = await _ask_for_tickets(context, name)
            if end is not None:
                return end
            ticket = machine.ticket()
    link = StreamLink()
    carrier = NumberedCarrier(codec(name), link, context.clock.now())
    attach = carrying.start(carrier)
    first = hello(context, attach._replace(proof=Key(ticket)) if ticket else attach)
    more = [] if needs_url(name) else behind_hello(context, carrier, attach)
    link.aborted = carrying.when_aborted("the stream was given up")
    carrying.begun.set()
    try:
        async with _begin(context, name, first, more) as response:
            if response.status == 204:
                return CarrierEnd(name, "ended by the server: superseded", "superseded")
            if response.status != 200:
                frames, wait = await batch_of(context, response)
                end = waiting(carrying.feed(frames), wait)
                return end or CarrierEnd(name, f"HTTP {response.status} without a refusal")
            decoder = decoder_of(context, codec(name))
            async for chunk in response.content.iter_any():
                end = carrying.feed(decoder.feed(chunk))
                if end is not None:
                    return end
            if not carrying.attached:
                return CarrierEnd(name, f"HTTP {response.status} without a batch of the protocol")
            return CarrierEnd(name, "cut")
    except RemoteProtocolError as error:
        large = error.close_code == 4413 and carrying.attached
        return failed(context, name, too_much(context) if large else error)
    except FAILURES as error:
        return failed(context, name, error)
    finally:
        link.aborted = None
        machine.lost(carrier, context.clock.now())


def _begin(
    context: Context, name: str, first: str, more: Sequence[str] = ()
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return begin_stream(context.http, context.settings.url, name, first, context.headers, more=more)


async def _ask_for_tickets(context: Context, name: str) -> CarrierEnd | None:
    """Sees to it that there is a ticket for the next carrier, which starts in a URL: nearly always there is."""
    machine = context.machine
    while not machine.ticket():
        asked = machine.tickets
        end = await send_aside(context, f"{ATTACH}{machine.gen + 1}")
        if end is None and machine.outcome is not None:
            end = CarrierEnd(name, SESSION_ENDED)
        if end is None and machine.tickets is asked:
            end = CarrierEnd(name, "the server gives no ticket for a stream by URL")
        if end is not None:
            return replace(end, transport=name)
    return None


async def post_beside(context: Context, carrying: Carrying) -> None:
    """A POST beside a stream, for the policy to judge that by. If it is lost, that says nothing about streams."""
    await carrying.begun.wait()
    started = context.clock.now()
    try:
        await request(context, "send", uplink_frames(POST, context.machine.aside()), context.settings.post_timeout)
    except LOST:
        return
    context.tell(context.policy.tested, carrying.number, context.clock.now() - started)


async def probe_stream(context: Context, carrying: Carrying) -> CarrierEnd:
    """Tries beside the carrier in use whether a stream gets through unbuffered: `p`, answered by `q` on a stream that
    goes on for a while.
    """
    name = carrying.name
    carrying.begun.set()
    try:
        async with _begin(context, name, "p") as response:
            if response.status != 200:
                (frame, *_), wait = await batch_of(context, response)
                return _not_probed(name, parse_refusal(str(frame)), wait)
            found = await _find_pong(response, decoder_of(context, codec(name)))
    except LOST as error:
        return failed(context, name, error)
    if found is True:
        return CarrierEnd(name, "answered", "proven")
    if found is None:
        return CarrierEnd(name, f"HTTP {response.status} without a batch of the protocol")
    return _not_probed(name, found, 0.0)


def _not_probed(name: str, refusal: Refusal, wait: float) -> CarrierEnd:
    return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal, wait=wait)


async def _find_pong(response: aiohttp.ClientResponse, decoder: Decoder) -> Refusal | Literal[True] | None:
    """Reads a stream until its `q` (True), or its `x`, or its end (None)."""
    async for chunk in response.content.iter_any():
        for frame in decoder.feed(chunk):
            if frame[:1] == "q":
                return True
            if isinstance(frame, str) and frame[:1] == "x":
                return parse_refusal(frame)
    for frame in decoder.end():
        if isinstance(frame, str) and frame[:1] == "x":
            return parse_refusal(frame)
    return None
