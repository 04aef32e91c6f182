"""How each transport carries a client's session over aiohttp, chosen by the shape of its carriers.

A driver lives as long as its carrier, or as its run of polls, and returns how that ended.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ...core.carrier import Shape
from ...transports import TRANSPORTS
from ..context import Context
from ..ends import CarrierEnd
from .polls import drive_polls, open_beside, probe_polls
from .streams import drive_stream, probe_stream
from .websocket import drive_websocket, probe_websocket

__all__ = ["Carrying", "drive", "open_beside", "probe"]

Carrying = Callable[[], Coroutine[Any, Any, CarrierEnd]]

DRIVERS = {Shape.DUPLEX: drive_websocket, Shape.STREAM: drive_stream, Shape.POLL: drive_polls}


def drive(context: Context, name: str) -> Coroutine[Any, Any, CarrierEnd]:
    """Carries the session by a transport, until that ends."""
    return DRIVERS[TRANSPORTS[name].shape](context, name)


async def probe(context: Context, name: str) -> CarrierEnd | Carrying:
    """Tries a transport beside the carrier in use.

    Returns what went wrong, or, if the transport gets through, what moves the session to it and carries until it ends.
    """
    shape = TRANSPORTS[name].shape
    if shape is Shape.DUPLEX:
        return await probe_websocket(context, name)
    end = await (probe_stream if shape is Shape.STREAM else probe_polls)(context, name)
    return end or partial(drive, context, name)
