"""A session over a WebSocket: opened or attached by its first frame, or taken over by one that was tried before."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import WSMsgType

from ...core.carrier import NumberedCarrier
from ...protocols.native import parse_refusal
from ..carrying import Carrying
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import LOST, behind_hello, failed, hello, too_much
from ..handshake import connect_websocket, messages
from ..links import WebSocketLink
from ..wire import FAILURES, address, codec

__all__ = ["drive_websocket", "probe_websocket"]

# How long the last frames of a session may take to be written, in seconds.
FAREWELL = 2.0


async def _connect(context: Context, name: str, query: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
    url = address(context.settings.url, name)
    return await connect_websocket(
        context.http,
        url.update_query(query) if query else url,
        headers=context.headers,
        max_msg_size=context.machine.config.max_answer,
        timeout=aiohttp.ClientWSTimeout(ws_close=FAREWELL),
    )


async def drive_websocket(context: Context, carrying: Carrying) -> CarrierEnd:
    """Opens or attaches over a new WebSocket, and carries until it ends."""
    machine, name = context.machine, carrying.name
    link = WebSocketLink(machine.listener.dirty)
    carrier = NumberedCarrier(codec(name), link, context.clock.now())
    attach = carrying.start(carrier)
    first = hello(context, attach)
    query = {}
    if first[0] == "o" and context.opens_in_url:
        query["open"] = first[1:]
    else:
        link.write([first, *behind_hello(context, carrier, attach)])
    try:
        try:
            ws = await _connect(context, name, query)
        except FAILURES as error:
            return failed(context, name, error)
        try:
            return await _carry(context, carrying, link, ws)
        finally:
            context.dispose(ws)
    finally:
        machine.lost(carrier, context.clock.now())


async def _carry(
    context: Context, carrying: Carrying, link: WebSocketLink, ws: aiohttp.ClientWebSocketResponse
) -> CarrierEnd:
    """Reads and writes an attached (or attaching) WebSocket until it ends."""
    name = carrying.name
    writer = asyncio.get_running_loop().create_task(link.run(ws))
    end: CarrierEnd | None = None
    link.aborted = carrying.when_aborted("the connection went silent")
    try:
        async for message in messages(ws):
            if message.type is WSMsgType.ERROR:
                if carrying.attached and ws.close_code == 1009:
                    return failed(context, name, too_much(context))
                break
            end = carrying.feed([message.data])
            if end is not None:
                break
        if context.machine.outcome is not None:
            # What the machine wrote last (the ack of the server's close) has to go out.
            await asyncio.wait({writer}, timeout=FAREWELL)
        return end or CarrierEnd(name, f"cut (WebSocket close code {ws.close_code})")
    finally:
        link.aborted = None
        writer.cancel()


async def probe_websocket(context: Context, carrying: Carrying) -> CarrierEnd:
    """Tries a WebSocket beside the carrier in use (docs/protocol.md §7); once it has answered and is to take over,
    attaches over it, and carries until it ends."""
    machine, name, started = context.machine, carrying.name, context.clock.now()
    try:
        ws = await _connect(context, name, {})
    except FAILURES as error:
        return failed(context, name, error)
    try:
        try:
            await ws.send_str("p")
            answer = await ws.receive()
            if answer.type is not WSMsgType.TEXT or answer.data != "q":
                return _not_probed(name, answer)
        except LOST as error:
            return failed(context, name, error)
        carrying.tell_proven()
        await carrying.taken.wait()
        if machine.outcome is not None:
            return CarrierEnd(name, SESSION_ENDED)
        link = WebSocketLink(machine.listener.dirty)
        carrier = NumberedCarrier(codec(name), link, started)
        attach = carrying.start(carrier)
        link.write([hello(context, attach), *behind_hello(context, carrier, attach)])
        carrier.started = started  # the probe counts as part of the attempt
        try:
            return await _carry(context, carrying, link, ws)
        finally:
            machine.lost(carrier, context.clock.now())
    finally:
        context.dispose(ws)


def _not_probed(name: str, answer: aiohttp.WSMessage) -> CarrierEnd:
    if answer.type is WSMsgType.TEXT and answer.data[:1] == "x":
        refusal = parse_refusal(answer.data)
        return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
    return CarrierEnd(name, f"the probe was answered with {str(answer.data)[:80]!r}")
