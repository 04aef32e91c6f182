"""WebSockets as aiohttp reads them, whichever protocol they speak: its response, its queue, its handler's task.

This is how any are read where a connection cannot be taken over (see lean, and sockets, which chooses).
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import WebSocketError, WSMessage, WSMsgType, web

from ..core.errors import Refusal
from ..gates.base import Connection
from ..owners import Elsewhere
from .handshake import Incoming
from .links import CONTROL, NO_CODE, WebSocketLink
from .reframed import Reframed, framed
from .threshold import Carry, HandedOver, Opening

__all__ = ["prepare", "read"]


def prepare(max_size: int, subprotocols: Sequence[str] = ()) -> web.WebSocketResponse:
    """A response for messages of at most `max_size` bytes, whose control frames WebSocketLink answers."""
    return web.WebSocketResponse(
        compress=False, autoclose=False, autoping=False, max_msg_size=max_size, protocols=subprotocols
    )


async def read(
    request: web.Request, incoming: Incoming, link: WebSocketLink, connection: Connection, carry: Carry | None = None
) -> None:
    """Reads until the connection ends, as fast as its messages are taken; then it is told, and the link ends. With
    `carry` its session may be another worker's."""
    message: WSMessage | None = None
    try:
        try:
            beginning = connection.connected()
            if beginning is not None:
                await beginning
            while True:
                message = await incoming.receive()
                kind = message.type
                if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
                    taking = connection.message(message.data)
                    if taking is not None:
                        await taking
                elif kind in CONTROL:
                    if connection.control():
                        link.answer(message)
                else:
                    if kind is WSMsgType.CLOSE:
                        connection.closed(message.data or NO_CODE, message.extra or "")
                    elif isinstance(message.data, WebSocketError):  # aiohttp has closed with this code itself
                        connection.failed(message.data.code)
                    return
        except Elsewhere as elsewhere:
            assert carry is not None
            assert isinstance(connection, Opening)
            transport = Reframed(request, incoming)
            said = b"" if message is None else framed(message)
            try:
                await carry(elsewhere, lambda: HandedOver(transport, said, lambda: None))
            except Refusal as refusal:
                connection.refuse(refusal)
                async for _ in incoming:  # the closing handshake
                    pass
            else:
                await transport.run()
    finally:
        connection.lost()
        await link.finished()
