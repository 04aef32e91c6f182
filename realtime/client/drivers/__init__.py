"""How each transport carries a client's session over aiohttp, chosen by the shape of its carriers.

A driver lives as long as its carrier and returns how that ended. What comes meanwhile it tells by its Carrying.
"""

from __future__ import annotations

from ...core.carrier import Shape
from ...transports import ALL_TRANSPORTS, WEBTRANSPORT
from ..carrying import Carrying
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from .polls import drive_poll, probe_poll
from .streams import drive_stream, probe_stream
from .websocket import drive_websocket, probe_websocket
from .webtransport import drive_webtransport, probe_webtransport

__all__ = ["drive"]

DRIVERS = {Shape.DUPLEX: drive_websocket, Shape.STREAM: drive_stream, Shape.POLL: drive_poll}
PROBES = {Shape.DUPLEX: probe_websocket, Shape.STREAM: probe_stream, Shape.POLL: probe_poll}


async def drive(context: Context, carrying: Carrying) -> CarrierEnd:
    """Runs one carrier, or one probe, until it ends."""
    if context.machine.outcome is not None:
        return CarrierEnd(carrying.name, SESSION_ENDED)
    probes = carrying.role == "probe"
    if carrying.name == WEBTRANSPORT.name:  # of the same shape as a WebSocket, and over another library
        return await (probe_webtransport if probes else drive_webtransport)(context, carrying)
    drivers = PROBES if probes else DRIVERS
    return await drivers[ALL_TRANSPORTS[carrying.name].shape](context, carrying)
