"""A session over polls, held or not: each request says what is to be attached, each answer is one batch."""

from __future__ import annotations

from dataclasses import replace

from ...core.carrier import NumberedCarrier
from ...core.client_machine import Attach
from ...core.frames import Outgoing
from ...protocols.native import attach_frame
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import LOST, POST, failed, hello, request
from ..links import PollLink
from ..wire import codec

__all__ = ["drive_polls", "open_beside", "probe_polls"]


async def open_beside(context: Context, name: str, gen: int) -> CarrierEnd | None:
    """Opens the session by one poll that never takes over, beside a carrier that is wanted more.

    Returns None when the session is open, or the poll's end: `superseded` when the server has that other carrier.
    """
    machine = context.machine
    if machine.outcome is not None:
        return CarrierEnd(name, SESSION_ENDED)
    now = context.clock.now()
    carrier = NumberedCarrier(codec(name), PollLink(), now)
    first = hello(context, machine.start(carrier, now, gen=gen))
    patience = context.ledger.patience()
    try:
        frames = await request(context, name, [POST.text(first)], patience)
    except LOST as error:
        return failed(context, name, error, None, patience)
    context.ledger.timings.setdefault(name, context.clock.now() - now)
    end = context.feed(carrier, frames)
    carrier.finished = True
    if carrier.attached:
        context.opened_by(name)
    return end


async def probe_polls(context: Context, name: str) -> CarrierEnd | None:
    """Tries beside the carrier in use whether polls of a transport get through: by one with the gen of the first
    carrier, which the server takes for late, so that it changes nothing. Returns None if they do, or what went wrong.
    """
    machine = context.machine
    patience = context.ledger.patience(name)
    carrier = NumberedCarrier(codec(name), PollLink(), context.clock.now())
    if machine.gen <= 1:
        return None  # there was no carrier before this one
    late = Attach(machine.sid, 1, *machine.inbox.ack(), machine.outbox.acked + 1, machine.key)
    try:
        frames = await request(context, name, [POST.text(attach_frame(late))], patience)
    except LOST as error:
        return failed(context, name, error, None, patience)
    end = context.feed(carrier, frames)
    return None if end is not None and end.superseded else end


async def drive_polls(context: Context, name: str) -> CarrierEnd:
    """One poll after the other, until one is lost or another transport takes over."""
    machine = context.machine
    framing = codec(name)
    pause = machine.server.poll_interval[0]
    began: float | None = None
    while machine.outcome is None:
        now = context.clock.now()
        carrier = NumberedCarrier(framing, PollLink(), now)
        attach = machine.start(carrier, now)
        opening = not attach.sid
        items: list[Outgoing] = [] if framing.held and not opening else machine.poll_items(carrier)
        parts = [framing.text(hello(context, attach)), *map(framing.item, items)]
        going = machine.going_due and not framing.held and machine.outbox.last < carrier.send_cursor
        if going:
            parts.append(framing.go_away(machine.outbox.last))
        patience = context.ledger.patience()
        if framing.held and not opening:
            patience = max(patience, min(machine.server.silence, machine.server.hold * 2))
        try:
            frames = await request(context, name, parts, patience)
        except LOST as error:
            machine.lost(carrier, context.clock.now())
            return failed(context, name, error, began, patience)
        except BaseException:
            machine.lost(carrier, context.clock.now())
            raise
        if going:
            machine.going_due = False
        received = machine.inbox.received
        end = context.feed(carrier, frames)
        carrier.finished = True
        if end is not None or machine.carrier is not carrier:
            machine.lost(carrier, context.clock.now())
            return replace(end, since=began) if end else CarrierEnd(name, "replaced", began, superseded=True)
        if began is None:
            began = context.clock.now()
            context.got_through(name, now)
        if not framing.held and not opening:
            least, most = machine.server.poll_interval
            pause = least if items or machine.inbox.received > received else min(max(pause, least) * 2, most)
            await context.poll_pause(pause)
        if not context.drives():
            return CarrierEnd(name, "replaced", began, superseded=True)
    return CarrierEnd(name, SESSION_ENDED, began)
