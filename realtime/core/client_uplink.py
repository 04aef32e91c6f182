"""What a client sends by requests of its own: uplink batches beside a stream or a held poll, and what plain polls bring
along (docs/protocol.md §6).

ClientMachine mixes it in.
"""

from __future__ import annotations

from typing import NamedTuple

from .carrier import NumberedCarrier, Shape
from .config import Config
from .durable.following import NO_NEWS, DurableClient, RoomNews
from .frames import Outgoing
from .machine import shown
from .outbox import starved
from .proof import Key

__all__ = ["ClientUplink", "Uplink"]


class Uplink(NamedTuple):
    """One uplink batch: what its head says, and the numbered items behind it. In a durable session, the tenure it
    names, and what it says of rooms."""

    sid: str
    received: int
    taken: int
    first: int
    items: list[Outgoing]
    going: int | None  # the answer to the server's go-away, if it is due
    proof: Key
    tenure: str = ""
    news: RoomNews = NO_NEWS
    asks: bool = False  # for an ack when all was taken: what waits has no room in the window

    def __repr__(self) -> str:
        return shown(self)


class ClientUplink(DurableClient):
    """A client machine's half that makes batches."""

    __slots__ = ("confirm", "going_due", "key", "server", "uplink_out")

    confirm: bool
    going_due: bool
    key: Key
    server: Config
    uplink_out: Uplink | None

    @property
    def uplink_wanted(self) -> bool:
        """Whether uplink goes by requests: there is a sid and no duplex carrier has taken over."""
        carrier = self.carrier
        return bool(self.sid) and not (carrier is not None and carrier.codec.shape is Shape.DUPLEX and carrier.attached)

    def uplink(self, now: float, *, force: bool = False) -> Uplink | None:
        """The next uplink batch, or None when there is nothing to say or one is in flight.

        `force` makes one in any case. Give it to uplink_answered() or uplink_lost().
        """
        if self.outcome is not None or self.uplink_out is not None or not self.uplink_wanted or self.following.moved:
            return None
        news = self._room_news(now)
        first = self.outbox.acked + 1
        _, items = self.outbox.peek(first, *self._batch()) if news.cursors is None else (first, [])
        due = self.inbox.due(now, self._ack_delay()) and self.inbox.news
        going = self.outbox.last if self.may_answer(first + len(items)) else None
        asks = not items and starved(self.outbox)
        if not (items or due or self.confirm or force or going is not None or news is not NO_NEWS or asks):
            return None
        self.confirm = False
        named = self.following.tenure
        batch = self.uplink_out = Uplink(self.sid, *self.inbox.ack(), first, items, going, self.key, named, news, asks)
        return batch

    def may_answer(self, following: int) -> bool:
        """Whether the answer to a go-away is due where `following` is the next number: behind all, and whole groups."""
        return self.going_due and following > self.outbox.last and not self.outbox.begun

    def aside(self) -> Uplink:
        """A batch of nothing but acks, to say something behind it beside whatever is in flight."""
        named = self.following.tenure
        return Uplink(self.sid, *self.inbox.ack(), self.outbox.acked + 1, [], None, self.key, named)

    def poll_items(self, carrier: NumberedCarrier) -> list[Outgoing]:
        """What a poll may bring along, behind its open or attach, while no uplink batch is in flight."""
        if self.uplink_out is not None:
            return []
        _, items = self.outbox.peek(carrier.send_cursor, *self._batch())
        carrier.send_cursor += len(items)
        self.confirm = False
        return items

    def _batch(self) -> tuple[int, int]:
        # One frame is the head, and one may be a go-away. In a durable session one has cursors, and one says what was
        # taken of rooms.
        config, server = self.config, self.server
        beside = 2 if self.following.rooms is None else 4
        most = max(1, min(config.max_batch, server.max_batch) - beside)
        return most, min(config.max_batch_size, server.max_batch_size)

    def uplink_answered(self, batch: Uplink, now: float) -> None:
        """The answer to `batch` has come, whatever it says: its acks have arrived."""
        if self.uplink_out is batch:
            self.uplink_out = None
        self.contact = now
        self.inbox.announced(batch.received, batch.taken)
        if batch.going is not None:
            self.going_due = False
        self.listener.dirty()

    def uplink_lost(self, batch: Uplink) -> None:
        """`batch` was not answered: its messages and acks are due again, though they may have arrived."""
        if self.uplink_out is batch:
            self.uplink_out = None
            self.inbox.unannounced()
            self.following.news_lost(batch.news)
            self.listener.dirty()
