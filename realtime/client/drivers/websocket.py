"""A session over a WebSocket: opened or attached by its first frame, or taken over by one that was tried before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from ...core.carrier import NumberedCarrier
from ...protocols.native import parse_refusal
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import failed, hello, too_much
from ..handshake import connect_websocket, messages
from ..links import WebSocketLink
from ..wire import FAILURES, address, codec
from .timeouts import expire

__all__ = ["drive_websocket", "probe_websocket"]


async def _connect(context: Context, name: str, query: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
    url = address(context.settings.url, name)
    return await connect_websocket(
        context.http,
        url.update_query(query) if query else url,
        headers=context.headers,
        max_msg_size=context.machine.config.max_answer,
        timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
    )


async def drive_websocket(context: Context, name: str) -> CarrierEnd:
    """Opens or attaches over a new WebSocket, and carries until it ends."""
    machine = context.machine
    if machine.outcome is not None:
        return CarrierEnd(name, SESSION_ENDED)
    link = WebSocketLink(machine.listener.dirty)
    now = context.clock.now()
    carrier = NumberedCarrier(codec(name), link, now)
    patience = context.ledger.patience()
    first = hello(context, machine.start(carrier, now))
    query = {}
    if first[0] == "o" and context.auth is None:
        query["open"] = first[1:]
    else:
        link.write([first])
    try:
        try:
            async with asyncio.timeout(patience):
                ws = await _connect(context, name, query)
        except FAILURES as error:
            return failed(context, name, error, None, patience)
        return await _carry(context, carrier, link, ws)
    finally:
        machine.lost(carrier, context.clock.now())


async def _carry(
    context: Context, carrier: NumberedCarrier, link: WebSocketLink, ws: aiohttp.ClientWebSocketResponse
) -> CarrierEnd:
    """Reads and writes an attached (or attaching) WebSocket until it ends."""
    name = carrier.codec.name
    loop = asyncio.get_running_loop()
    writer = loop.create_task(link.run(ws))
    began: float | None = None
    end: CarrierEnd | None = None
    patience = context.ledger.patience()
    try:
        try:
            async with asyncio.timeout(patience) as timeout:
                link.aborted = lambda: expire(timeout)
                async for message in messages(ws):
                    if message.type is WSMsgType.ERROR:
                        if began is not None and ws.close_code == 1009:
                            return failed(context, name, too_much(context), began, patience)
                        break
                    end = context.feed(carrier, [message.data])
                    if end is not None:
                        break
                    if began is None and carrier.attached:
                        began = context.clock.now()
                        timeout.reschedule(None)
                        context.got_through(name, carrier.started)
        except TimeoutError:
            if began is not None:
                return CarrierEnd(name, "the connection went silent", began)
            return CarrierEnd(name, "the connection stayed mute", waited=patience)
        if context.machine.outcome is not None:
            # What the machine wrote last (the ack of the server's close) has to go out.
            await asyncio.wait({writer}, timeout=2.0)
        if end is None:
            return CarrierEnd(name, f"cut (WebSocket close code {ws.close_code})", began)
        return replace(end, since=began)
    finally:
        link.aborted = None
        writer.cancel()
        context.dispose(ws)


async def probe_websocket(context: Context, name: str) -> CarrierEnd | Callable[[], Coroutine[Any, Any, CarrierEnd]]:
    """Tries a WebSocket beside the carrier in use (docs/protocol.md §7).

    Returns what went wrong, or, once it has answered, what upgrades to it and carries until it ends.
    """
    started = context.clock.now()
    patience = context.ledger.patience(name)
    try:
        async with asyncio.timeout(patience):
            ws = await _connect(context, name, {})
            try:
                await ws.send_str("p")
                answer = await ws.receive()
                if answer.type is not WSMsgType.TEXT or answer.data != "q":
                    context.dispose(ws)
                    return _not_probed(name, answer)
            except BaseException:
                context.dispose(ws)
                raise
    except FAILURES as error:
        return failed(context, name, error, None, patience)
    if context.machine.outcome is not None:
        context.dispose(ws)
        return CarrierEnd(name, SESSION_ENDED)
    return partial(_upgrade, context, name, ws, started)


def _not_probed(name: str, answer: aiohttp.WSMessage) -> CarrierEnd:
    if answer.type is WSMsgType.TEXT and answer.data[:1] == "x":
        refusal = parse_refusal(answer.data)
        return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
    return CarrierEnd(name, f"the probe was answered with {str(answer.data)[:80]!r}")


async def _upgrade(context: Context, name: str, ws: aiohttp.ClientWebSocketResponse, started: float) -> CarrierEnd:
    """Attaches over a WebSocket that has answered, and carries until it ends."""
    machine = context.machine
    if machine.outcome is not None:
        context.dispose(ws)
        return CarrierEnd(name, SESSION_ENDED)
    link = WebSocketLink(machine.listener.dirty)
    carrier = NumberedCarrier(codec(name), link, started)
    link.write([hello(context, machine.start(carrier, context.clock.now()))])
    carrier.started = started  # the probe counts as part of the attempt
    try:
        return await _carry(context, carrier, link, ws)
    finally:
        machine.lost(carrier, context.clock.now())
