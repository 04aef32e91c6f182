"""A session over long responses: a stream brings what comes down, POSTs beside it take what goes up.

Something in between may hold a stream back until it ends, so each is tested against a POST.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import aiohttp

from ...core.carrier import NumberedCarrier
from ...core.errors import Refusal, RemoteProtocolError
from ...core.proof import ATTACH, Key
from ...protocols.native import parse_refusal, uplink_frames
from ...transports import Decoder
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import LOST, POST, batch_of, decoder_of, failed, hello, request, send_aside, too_much
from ..links import StreamLink
from ..wire import FAILURES, begin_stream, codec, needs_url
from .polls import open_beside
from .timeouts import expire

__all__ = ["drive_stream", "probe_stream"]


async def drive_stream(context: Context, name: str) -> CarrierEnd:
    """Attaches (or opens) by one long response, and reads it until it ends.

    Where polls are allowed the session is opened by one of them, so that the stream can be tested against a POST. Where
    none gets through the stream opens it, and is believed.
    """
    machine = context.machine
    if not machine.sid and (poll := context.ledger.opening_poll()):
        end = await open_beside(context, poll, machine.reserve())
        if end is not None:
            if machine.outcome is not None or (end.refusal is not None and end.refusal.code != 4406):
                return replace(end, transport=name)
            context.ledger.failed_beside(end)
    if needs_url(name) and not machine.sid and context.auth is not None:
        return CarrierEnd(name, "not tried: auth data must not stand in a URL")
    ticket = ""
    if needs_url(name) and machine.sid:
        end = await _ask_for_tickets(context, name)
        if end is not None:
            return end
        ticket = machine.ticket()
    if machine.outcome is not None:
        return CarrierEnd(name, SESSION_ENDED)
    link = StreamLink()
    now = context.clock.now()
    carrier = NumberedCarrier(codec(name), link, now)
    attach = machine.start(carrier, now)
    first = hello(context, attach._replace(proof=Key(ticket)) if ticket else attach)
    patience = context.ledger.patience()
    began: float | None = None
    arrived = asyncio.Event()
    held: list[str] = []
    tester: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(patience) as timeout:
            link.aborted = lambda: expire(timeout)
            if machine.sid:
                tester = context.spawn(_test_stream(context, arrived, held, link), "stream test")
            async with _begin(context, name, first) as response:
                if response.status == 204:
                    return CarrierEnd(name, "ended by the server: superseded", superseded=True)
                if response.status != 200:
                    end = context.feed(carrier, await batch_of(context, response))
                    return end or CarrierEnd(name, f"HTTP {response.status} without a refusal")
                decoder = decoder_of(context, codec(name))
                async for chunk in response.content.iter_any():
                    end = context.feed(carrier, decoder.feed(chunk))
                    if began is None and carrier.attached:
                        arrived.set()
                        held.clear()  # late, but it is here
                        began = context.clock.now()
                        timeout.reschedule(None)
                        context.got_through(name, carrier.started)
                    if end is not None:
                        return replace(end, since=began)
                if began is None:
                    return CarrierEnd(name, f"HTTP {response.status} without a batch of the protocol")
                return CarrierEnd(name, "cut", began)
    except TimeoutError:
        if held:
            return CarrierEnd(name, held[0], held=True)
        if began is not None:
            return CarrierEnd(name, "the stream went silent", began)
        return CarrierEnd(name, "no data in time: held back, or mute", waited=patience)
    except RemoteProtocolError as error:
        large = error.close_code == 4413 and began is not None
        return failed(context, name, too_much(context) if large else error, began, patience)
    except FAILURES as error:
        return failed(context, name, error, began, patience)
    finally:
        link.aborted = None
        if tester is not None:
            tester.cancel()
        machine.lost(carrier, context.clock.now())


def _begin(context: Context, name: str, first: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return begin_stream(context.http, context.settings.url, name, first, context.headers)


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


async def _test_stream(context: Context, arrived: asyncio.Event, held: list[str], link: StreamLink) -> None:
    """A POST beside the stream: when its answer has come and nothing on the stream, something holds the stream back."""
    reason = await _beside_a_post(context, arrived)
    if reason is not None:
        held.append(reason)
        link.abort()


async def _beside_a_post(context: Context, arrived: asyncio.Event) -> str | None:
    """Waits for `arrived`, twice as long as a POST of this session took and half a second; else says why not."""
    started = context.clock.now()
    try:
        await request(context, "send", uplink_frames(POST, context.machine.aside()), context.settings.post_timeout)
    except LOST:
        return None  # nothing gets through: that says nothing about streams
    took = context.clock.now() - started
    waits = {asyncio.ensure_future(arrived.wait()), asyncio.ensure_future(context.sleep(2 * took + 0.5))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if arrived.is_set():
        return None
    return f"held back by something in between: a POST took {took:.3f} s, and no data came in twice that and 0.5 s"


async def probe_stream(context: Context, name: str) -> CarrierEnd | None:
    """Tries beside the carrier in use whether a stream gets through unbuffered: `p`, answered by `q` on a stream that
    goes on for a while. Returns None if it does, or what went wrong.
    """
    arrived = asyncio.Event()
    patience = context.ledger.patience(name)
    tester = asyncio.ensure_future(_beside_a_post(context, arrived))
    try:
        async with asyncio.timeout(patience), _begin(context, name, "p") as response:
            reading = asyncio.ensure_future(_find_pong(context, response, decoder_of(context, codec(name)), arrived))
            try:
                await asyncio.wait({reading, tester}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    refusal = reading.result()
                    if refusal is not None:
                        return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
                    if not arrived.is_set():
                        return CarrierEnd(name, f"HTTP {response.status} without a batch of the protocol")
                    return None
                await asyncio.sleep(0)
                reason = tester.result()
                return (
                    None if arrived.is_set() else CarrierEnd(name, reason or "no data in time", held=reason is not None)
                )
            finally:
                reading.cancel()
    except LOST as error:
        return failed(context, name, error, None, patience)
    finally:
        tester.cancel()


async def _find_pong(
    context: Context, response: aiohttp.ClientResponse, decoder: Decoder, arrived: asyncio.Event
) -> Refusal | None:
    """Reads a stream until its `q`, which sets `arrived`, or its `x`, or its end."""
    if response.status != 200:
        (frame, *_) = await batch_of(context, response)
        return parse_refusal(str(frame))
    async for chunk in response.content.iter_any():
        for frame in decoder.feed(chunk):
            if frame[:1] == "q":
                arrived.set()
                return None
            if isinstance(frame, str) and frame[:1] == "x":
                return parse_refusal(frame)
    for frame in decoder.end():
        if isinstance(frame, str) and frame[:1] == "x":
            return parse_refusal(frame)
    return None
