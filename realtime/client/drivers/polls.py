"""A session over polls, held or not: each request says what is to be attached, each answer is one batch. How long one
may take, and when the next one follows, is the policy's to choose.
"""

from __future__ import annotations

from ...core.carrier import NumberedCarrier
from ...core.client_machine import Attach
from ...core.frames import Outgoing
from ...protocols.native import attach_frame
from ..carrying import Carrying
from ..context import Context
from ..ends import CarrierEnd
from ..exchange import LOST, POST, behind_hello, failed, hello, request, waiting
from ..links import PollLink
from ..wire import codec

__all__ = ["drive_poll", "probe_poll"]


async def drive_poll(context: Context, carrying: Carrying) -> CarrierEnd:
    """One poll. What opens beside another carrier brings nothing along."""
    machine, name = context.machine, carrying.name
    framing = codec(name)
    link = PollLink()
    carrier = NumberedCarrier(framing, link, context.clock.now())
    attach = carrying.start(carrier)
    link.aborted = carrying.when_aborted("the poll was given up")
    opening = not attach.sid
    items: list[Outgoing] = []
    if carrying.role != "open" and (opening or not framing.held):
        items = machine.poll_items(carrier)
    head = [hello(context, attach), *behind_hello(context, carrier, attach)]
    parts = [*map(framing.text, head), *map(framing.item, items)]
    going = not framing.held and machine.may_answer(carrier.send_cursor)
    if going:
        parts.append(framing.go_away(machine.outbox.last))
    brought = machine.brought
    end: CarrierEnd | None
    try:
        frames, wait = await request(context, name, parts, alive=carrying.alive)
    except LOST as error:
        machine.lost(carrier, context.clock.now())
        return failed(context, name, error)
    except BaseException:
        machine.lost(carrier, context.clock.now())
        raise
    if going:
        machine.going_due = False
    end = waiting(carrying.feed(frames), wait)
    carrier.finished = True
    if end is not None or not carrier.attached:
        machine.lost(carrier, context.clock.now())
        return end or CarrierEnd(name, "the answer does not take up the session")
    return CarrierEnd(name, "answered", "answered", news=bool(items) or machine.brought > brought)


async def probe_poll(context: Context, carrying: Carrying) -> CarrierEnd:
    """Tries beside the carrier in use whether polls of a transport get through: by one with the gen of the first
    carrier, which the server takes for late, so that it changes nothing.
    """
    machine, name = context.machine, carrying.name
    proven = CarrierEnd(name, "answered", "proven")
    carrier = NumberedCarrier(codec(name), PollLink(), context.clock.now())
    if machine.gen <= 1:
        return proven  # there was no carrier before this one
    late = Attach(machine.sid, 1, *machine.inbox.ack(), machine.outbox.acked + 1, machine.key, machine.following.tenure)
    try:
        frames, wait = await request(context, name, [POST.text(attach_frame(late))], alive=carrying.alive)
    except LOST as error:
        return failed(context, name, error)
    end = waiting(context.feed(carrier, frames), wait)
    return proven if end is None or end.how == "superseded" else end
