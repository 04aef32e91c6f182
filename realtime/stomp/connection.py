"""One session of a STOMP client: its frames, in order, what they ask for, and when what is due.

Frames are taken in the task that receives, one after the other: the next when all that one asks for is done. So there
is back-pressure, and a receipt says that what came before it is done, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import (
    BrokerError,
    EventError,
    LocalProtocolError,
    Refusal,
    RemoteProtocolError,
    SessionClosed,
    clip,
    leaves_of,
)
from ..core.frames import KEPT
from ..loops import ends
from ..pace import Pace
from ..protocols.layers.stomp.conversation import (
    Act,
    Connect,
    Conversation,
    Leave,
    Send,
    Settle,
    Subscribe,
    Unsubscribe,
)
from ..protocols.layers.stomp.decoder import Decoder
from ..protocols.layers.stomp.deliveries import Subscription
from ..protocols.layers.stomp.frames import V10, VERSIONS, Frame, write
from ..protocols.layers.stomp.messages import error
from ..session import Session
from .bound import Bound, StompClient
from .destinations import Kind, kind_of, own_room
from .guarded import GuardedQueues
from .members import QueueMember, TopicMember
from .messages import StompMessage, body_of, written
from .queues import Parcel
from .schedule import Schedule

__all__ = ["StompConnection"]

log: logging.Logger = logging.getLogger("realtime.session")

SERVER = "realtime"
FAILED = "the server failed to process this frame"
SHOWN = 64


class StompConnection:
    """See members.Home, and schedule.Home."""

    def __init__(self, bound: Bound, session: Session) -> None:
        self.bound: Bound = bound
        self.queues: GuardedQueues = GuardedQueues(bound)
        self.session: Session = session
        self.conversation: Conversation[Parcel | None] = Conversation(bound.limits)
        sizes = bound.sizes
        self._decoder = Decoder(
            max_headers=sizes.max_headers,
            max_header_size=sizes.max_header_size,
            max_body_size=sizes.max_body_size,
        )
        self._client: StompClient | None = None
        self.queued: int = 0
        self._over = False  # we have ended it: nothing more is taken. What comes before a client's end is taken still
        self._schedule = Schedule(self)
        self._members: dict[Subscription, TopicMember | QueueMember] = {}
        self._count = 0  # of the subscriptions there ever were
        self._pace = Pace(None)

    async def run(self) -> None:
        """Until the session ends."""
        session = self.session
        session.on_change(self._changed)
        self._schedule.start()
        try:
            while True:
                data = await session.receive()
                self._schedule.heard()
                await self._read(data if isinstance(data, bytes) else data.encode())
        except SessionClosed:
            if not session.closed and session._machine.closing is None:
                raise
        finally:
            self._end()

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def _read(self, data: bytes) -> None:
        """Takes what a message brings."""
        decoder = self._decoder
        decoder.feed(data)
        while True:
            try:
                frame = decoder.next()
            except RemoteProtocolError as wrong:
                self.fail(wrong.close_code, wrong.reason, decoder.receipt)
                return
            if frame is None:
                return
            await self._frame(frame)
            if self._over or self.session._machine.closing is not None:
                return
            await self._pace.step()

    async def _frame(self, frame: Frame) -> None:
        receipt = frame.headers.get("receipt")
        try:
            if self._client is None:
                await self._connect(self.conversation.connect(frame))
                return
            await self._perform(self._client, self.conversation.take(frame), receipt)
        except RemoteProtocolError as wrong:
            self.fail(wrong.close_code, wrong.reason, receipt)
        except LocalProtocolError as wrong:
            self.fail(1008, str(wrong), receipt)
        except BrokerError as away:
            log.warning("a STOMP client's %s was refused: %s", frame.command, away)
            self.fail(1013, "come back later", receipt)
        except BaseException as raised:
            if ends(raised):
                raise
            await self._failed(raised, receipt)

    async def _failed(self, raised: BaseException, receipt: str | None) -> None:
        """A hook or a handler has raised."""
        refusal = next((leaf for leaf in leaves_of(raised) if isinstance(leaf, Refusal)), None)
        if refusal is not None:
            self.fail(refusal.code, refusal.reason, receipt)
        elif isinstance(raised, EventError):
            self.fail(1008, raised.message, receipt)
        elif isinstance(raised, SessionClosed) and (self.session.closed or self.session._machine.closing is not None):
            raise raised
        else:
            log.error("a STOMP handler of session %s raised", self.session.label, exc_info=raised)
            self.fail(1011, FAILED, receipt)

    async def _connect(self, asked: Connect) -> None:
        headers = {name: value for name, value in asked.headers.items() if name != "passcode"}
        client = StompClient(self.session, asked.version, asked.login, asked.passcode, asked.host, headers)
        if self.bound.connect is not None:
            identity = await self.bound.connect(client)
            if identity is not None and not isinstance(identity, str):
                raise TypeError(f"the connect hook returns an identity as str, or None, not {type(identity).__name__}")
            client.identity = client.identity if identity is None else identity
        client.passcode = None
        self._client, self._decoder.version = client, asked.version
        self._schedule.connected(asked.heart_beat)
        said = {"version": asked.version, "session": self.session.label, "server": SERVER}
        if asked.version != V10:
            said["heart-beat"] = str(self.bound.beats)
        await self._say(Frame("CONNECTED", said))

    # -- what frames ask for -------------------------------------------------------------------------------------------

    async def _perform(self, client: StompClient, acts: Sequence[Act], receipt: str | None) -> None:
        """Does what a frame asks for, once the application has allowed all of it; then says so, if that is wanted."""
        for act in acts:
            if isinstance(act, Send):
                await self.bound.check(client, "send", act.destination)
            elif isinstance(act, Subscribe):
                await self.bound.check(client, "subscribe", act.subscription.destination)
        self.queues.failed = False
        for act in acts:
            if isinstance(act, Send):
                await self._send(client, act)
            elif isinstance(act, Subscribe):
                await self._subscribe(client, act.subscription)
            elif isinstance(act, Unsubscribe):
                self._unsubscribe(act.subscription)
            elif isinstance(act, Settle):
                self._settle(act)
            await self._pace.step()
        if self.queues.failed:
            self.fail(1011, FAILED, receipt)
            return
        if receipt is not None:
            await self._say(Frame("RECEIPT", {"receipt-id": receipt}))
        if acts and isinstance(acts[-1], Leave):
            self._over = True
            self._leave_all()
            self.session._machine.close(1000, "", self.session._now())

    async def _send(self, client: StompClient, act: Send) -> None:
        if kind_of(act.destination) is not Kind.APP:
            await self.bound.publish(act.destination, act.headers, act.body)
            return
        found = self.bound.find(act.destination)
        if found is None:
            raise LocalProtocolError(f"there is no handler of {act.destination[:SHOWN]!r}")
        handler, params = found
        answer = await handler.function(client, StompMessage(act.destination, act.headers, act.body, params))
        reply = act.reply_to or handler.reply
        if answer is None or reply is None:
            return
        if act.reply_to is not None and kind_of(reply) is not Kind.USER:
            await self.bound.check(client, "send", reply)
        body, kind = body_of(answer)
        headers = {"content-type": kind}
        if "correlation-id" in act.headers:
            headers["correlation-id"] = act.headers["correlation-id"]
        if kind_of(reply) is Kind.USER:  # to whoever has asked
            await self.bound.to_room(own_room(reply, client.identity, self.session.id), headers, body)
        else:
            await self.bound.publish(reply, headers, body)

    async def _subscribe(self, client: StompClient, subscription: Subscription) -> None:
        if self.session.closed:
            return
        destination, headers = subscription.destination, subscription.headers
        kind = kind_of(destination)
        if kind is Kind.QUEUE:
            consumer = self._members[subscription] = QueueMember(self, subscription)
            try:
                await self.bound.queues.subscribe(destination, consumer)
            finally:
                if consumer.over:  # its session has ended meanwhile
                    consumer.end()
            return
        if kind is Kind.APP:
            raise LocalProtocolError(f"nothing is sent to {destination[:SHOWN]!r}: it is a handler's")
        room = destination if kind is Kind.TOPIC else own_room(destination, client.identity, self.session.id)
        self._count += 1
        member = TopicMember(self, subscription, room, f"{self.session.id}#{self._count:x}")
        self._members[subscription] = member
        await self.session._enter(member, room, None, _number(headers, "history"), headers.get("after"))

    def _unsubscribe(self, subscription: Subscription) -> None:
        member = self._members.pop(subscription, None)
        if isinstance(member, TopicMember):
            self.session._exit(member, member.room)
        elif member is not None:
            member.end()
            member.give_back(over=False)
        deliveries = self.conversation.deliveries
        full = deliveries.room <= 0
        if parcels := deliveries.drop(subscription):
            self._return(parcels)
            self._ready(None, full)

    def _settle(self, act: Settle) -> None:
        deliveries = self.conversation.deliveries
        found, full = deliveries.find(act.number), deliveries.room <= 0
        member = None if found is None else self._members.get(found[0])
        settled = deliveries.settle(act.number)
        for parcel in settled:
            if parcel is not None and isinstance(member, QueueMember):
                member.settled = max(member.settled, parcel.place)
            if parcel is not None:
                self.queues.settle(parcel, accepted=act.accepted)
        if settled:
            self._ready(member, full)

    def _ready(self, own: TopicMember | QueueMember | None, full: bool) -> None:
        """There is room for more messages of queues: for this subscription, whose it was, and for all of them where
        there was none, in turn."""
        if full and own is not None:
            self._members[own.subscription] = self._members.pop(own.subscription)
        for member in tuple(self._members.values()) if full else (own,):
            if isinstance(member, QueueMember):
                self.queues.ready(member.subscription.destination, member)

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _say(self, frame: Frame) -> None:
        """Sends a frame, which no outbox drops; waits for room. Who has left is told nothing."""
        item = written(write(self.conversation.version, frame), KEPT)
        session = self.session
        if session.closed:
            return
        session._machine.check_open()
        if session._senders or not session._machine.outbox.has_room(item.size):
            await session._wait_and_put(item.size, (item,))
        else:
            session._put((item,))
        self.spoke()

    def spoke(self) -> None:
        """Something was sent."""
        self._schedule.spoke()

    def fail(self, code: int, reason: str, receipt: str | None = None) -> None:
        """Tells the client what is wrong by an ERROR, and ends the session."""
        session = self.session
        if session.closed or session._machine.closing is not None:
            self._over = True
            return
        self._over = True
        self._leave_all()
        headers = {} if receipt is None else {"receipt-id": receipt}
        if self._client is None:
            headers["version"] = ",".join(VERSIONS)
        item = written(error(self.conversation.version, reason, headers), KEPT)
        if not session._machine.unfit(item):
            session._put((item,))
        session._machine.close(code, clip(" ".join(reason.split())), session._now())

    # -- the end -------------------------------------------------------------------------------------------------------

    def _changed(self, _: str) -> None:
        """The session may be over, or closing: then nothing more is given to it."""
        machine = self.session._machine
        if machine.outcome is not None:
            self._end()
        elif machine.closing is not None:
            self._leave_all()

    def _end(self) -> None:
        self._schedule.stop()
        self._leave_all()
        over = self.session._machine.outcome is not None
        queues = [member for member in self._members.values() if isinstance(member, QueueMember)]
        for member in queues if over else ():
            member.count()
        self._return(tuple(self.conversation.deliveries.drop_all()))
        if over:
            self._members = {}
            for member in queues:
                member.give_back(over=True)

    def _leave_all(self) -> None:
        """It is subscribed to nothing any more."""
        for member in self._members.values():
            if isinstance(member, TopicMember):
                self.session._hub.leave_all(member)
            else:
                member.end()

    def _return(self, parcels: Sequence[Parcel | None]) -> None:
        """These are for others."""
        for parcel in parcels:
            if parcel is not None:
                self.queues.settle(parcel, accepted=False)

    def given(self, number: int) -> None:
        """A message of a queue was given, and is to be acknowledged."""
        self._schedule.given(number)

    def late(self, number: int) -> None:
        """A message was not acknowledged in time: it is given to somebody again."""
        deliveries = self.conversation.deliveries
        found, full = deliveries.find(number), deliveries.room <= 0
        if found is not None:
            member, parcel = self._members.get(found[0]), deliveries.withdraw(number)
            if parcel is not None and isinstance(member, QueueMember):
                member.late(parcel)
            self._return([parcel])
            self._ready(member, full)


def _number(headers: Mapping[str, str], name: str) -> int:
    said: Any = headers.get(name, "0")
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise RemoteProtocolError(1002, f"{name} is a number of messages, not {said[:SHOWN]!r}")
    return int(said)
