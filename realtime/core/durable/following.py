"""The client's end of a durable session: whose answers count, what rooms have sent, and up to where (docs/protocol.md
§13.3, §13.4).

ClientMachine mixes it in. Of a session that is not durable it does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..carrier import NumberedCarrier, Shape
from ..cursors import MAX_CURSORS
from ..errors import RemoteProtocolError
from ..frames import RoomMessage, RoomPosition, missed
from ..numbering import Numbering
from .lineage import Answer, Follower
from .record import Tenure
from .room_inbox import RoomInbox
from .rooms import Heard

__all__ = ["AHEAD", "NO_NEWS", "DurableClient", "Following", "RoomNews"]

AHEAD = 4414


class RoomNews(NamedTuple):
    """What a request says of rooms, for the carrier of this gen."""

    gen: int = 0
    cursors: Mapping[str, str] | None = None  # how far they were heard; None: not to be said
    taken: int | None = None  # how many of its frames were taken; None: not to be said


NO_NEWS = RoomNews()


class Following:
    """What the client of a session knows of its owners, and of its rooms."""

    __slots__ = ("_named", "_send", "again", "follower", "heard", "moved", "rooms", "told", "unsaid")

    def __init__(self) -> None:
        self.follower: Follower = Follower()
        self.heard: Heard = Heard()
        self.rooms: RoomInbox | None = None  # None: the session is not durable, as far as is known
        self.told: int = 0  # the gen of the carrier that was told the cursors last: rooms are heard on that
        self.again: bool = False  # whether that has arrived is not known: they are told it again
        self.moved: bool = False  # an answer to a send has shown another owner, which no carrier has attached to
        self.unsaid: bool = False  # that it has ended with 4414, and the server does not know
        self._named: dict[NumberedCarrier, str] = {}  # the tenures that the requests of carriers have named
        self._send: tuple[NumberedCarrier | None, str] = (None, "")  # the same of the send that is out

    @property
    def tenure(self) -> str:
        """The one that this client read of last; empty where the session is not durable."""
        return self.follower.tenure

    def starts(self, carrier: NumberedCarrier) -> str:
        """A carrier's request is made. Returns the tenure that it names."""
        self._named = {one: named for one, named in self._named.items() if not one.finished}
        self._named[carrier] = self.tenure
        return self.tenure

    def sends(self, carrier: NumberedCarrier, named: str) -> None:
        """A send is made, whose answer comes as this carrier."""
        self._send = carrier, named

    def named(self, carrier: NumberedCarrier) -> str:
        """The tenure that the request of a carrier, or send, has named; empty for none."""
        send, named = self._send
        return named if send is carrier else self._named.get(carrier, "")

    def older(self, carrier: NumberedCarrier) -> list[NumberedCarrier]:
        """The carriers that are under way and were started before this one."""
        return [one for one in self._named if one.gen < carrier.gen and not one.finished]

    def lost(self, carrier: NumberedCarrier) -> None:
        """A carrier is gone."""
        self._named.pop(carrier, None)

    def news_lost(self, news: RoomNews) -> None:
        """A send was not answered: what it said of rooms is due again."""
        if self.rooms is not None and news.gen == self.told:
            self.again = self.again or news.cursors is not None
            if news.taken is not None:
                self.rooms.taken_lost()


class DurableClient(Numbering):
    """A client machine's durable half."""

    __slots__ = ()

    following: Following

    # -- owners ------------------------------------------------------------------------------------------------------

    def _becomes_durable(self) -> None:
        """The session's first `o` names a tenure."""
        if self.inbox.received:
            raise RemoteProtocolError(1002, "o is the first frame of a session")
        self.inbox = self.following.rooms = RoomInbox(self.inbox.window, self._took_of_room)
        self.inbox.announce_by(self.ack_share)

    def _follows(self, carrier: NumberedCarrier, tenure: str, began: Tenure | None, now: float) -> bool:
        """`o` or `r` of a durable session came. Returns whether it counts, and the session goes on."""
        following, outbox = self.following, self.outbox
        named = following.named(carrier)
        answer = following.follower.attached(named, tenure, began, self.inbox.received, outbox.acked, outbox.taken)
        if answer is Answer.STALE:
            carrier.ignores = True
            self.lost(carrier, now)
            return False
        following.moved = False
        if answer is Answer.AHEAD:
            carrier.attached = True  # what ends the session may be said on it
            following.unsaid = carrier.codec.shape is not Shape.DUPLEX
            self.end(AHEAD, "the server has lost what this client has", now)
            return False
        if answer is Answer.CHANGED:
            for one in following.older(carrier):
                one.ignores = True
                self._drop(one, now)
        return True

    def send_answered(self, carrier: NumberedCarrier, received: int, taken: int, tenure: str, now: float) -> None:
        """`a` came in the answer to a send of a durable session."""
        following = self.following
        named = following.named(carrier)
        if following.follower.answered(named, tenure) is Answer.SAME:
            self.acknowledged(received, taken, now)
        elif following.follower.has_moved(named, tenure) and not following.moved:
            following.moved = True  # nothing is sent until a carrier has found out
            current = self.carrier
            if current is not None and (current.attached or current.codec.shape is Shape.POLL):
                self._drop(current, now)

    # -- rooms -------------------------------------------------------------------------------------------------------

    def room_came(self, carrier: NumberedCarrier, item: RoomMessage | RoomPosition, size: int, now: float) -> None:
        """`l` came, with a message of a room, a position or a gap. Raises RemoteProtocolError."""
        following, rooms = self.following, self.following.rooms
        if rooms is None or self.outcome is not None or carrier.ignores:
            return
        too_large = size if size > self.config.max_size else 0
        if too_large and isinstance(item, RoomMessage):
            item, size = missed(item), 0  # the next session goes on behind it, or would end by it as well
        if not following.heard.takes(item.room, item.cursor, carrier.gen):
            return
        if len(following.heard) > MAX_CURSORS:
            raise RemoteProtocolError(1002, f"a durable session is in at most {MAX_CURSORS} rooms")
        rooms.put_room(item, size)
        if self.closing is not None:
            rooms.discard(now)
            return
        self.listener.readable()
        if too_large:
            most = self.config.max_size
            raise RemoteProtocolError(1009, f"a message of {too_large} bytes is above max_size={most}")
        if isinstance(item, RoomPosition) and len(rooms.items) == 1:
            self.listener.noted()

    def room_left(self, carrier: NumberedCarrier, room: str, now: float) -> None:
        """`l` came with the name of a room alone: the session is not in it any more. Raises RemoteProtocolError."""
        following, rooms = self.following, self.following.rooms
        if rooms is not None and self.outcome is None and not carrier.ignores and carrier.gen == following.told:
            following.heard.left(room)
            rooms.pass_by(now)
            self._took_of_room(now)

    @property
    def brought(self) -> int:
        """How much has come: what has a number, and frames of rooms."""
        rooms = self.following.rooms
        return self.inbox.received + (0 if rooms is None else rooms.frames)

    def cursors(self, carrier: NumberedCarrier) -> dict[str, str] | None:
        """The cursors to tell a carrier, now: from now on rooms are heard on it alone. None where they are not due,
        or have to wait until the application has taken more of what waits."""
        following, rooms = self.following, self.following.rooms
        if rooms is None or following.told == carrier.gen or not rooms.has_room_for_rooms:
            return None
        following.told, following.again = carrier.gen, False
        rooms.begin(carrier.gen)
        return following.heard.shown(carrier.gen)

    def _tell_of_rooms(self, carrier: NumberedCarrier, now: float) -> None:
        """Writes on an attached duplex carrier what it is to be told of rooms."""
        news, codec = self._news_for(carrier, now), carrier.codec
        if news.cursors is not None:
            carrier.write([codec.cursors(news.gen, news.cursors)])
        if news.taken is not None:
            carrier.write([codec.rooms_taken(news.gen, news.taken)])

    def _room_news(self, now: float) -> RoomNews:
        """What a send has to say of rooms: of a stream that is attached, or a poll that is held."""
        carrier = self.carrier
        if carrier is None or carrier.finished or not (carrier.attached or carrier.codec.held):
            return NO_NEWS
        return self._news_for(carrier, now)

    def _news_for(self, carrier: NumberedCarrier, now: float) -> RoomNews:
        following, rooms = self.following, self.following.rooms
        if rooms is None:
            return NO_NEWS
        cursors, taken = self.cursors(carrier), None
        if following.again and following.told == carrier.gen:
            following.again = False
            cursors = following.heard.shown(carrier.gen)
        if self._rooms_due_at(carrier) <= now:
            taken = rooms.rooms_taken()
        return NO_NEWS if cursors is None and taken is None else RoomNews(carrier.gen, cursors, taken)

    def _rooms_due_at(self, carrier: NumberedCarrier) -> float:
        """When the server is to hear how much was taken of what rooms have sent on this carrier; never of a poll, which
        brings no more than it has."""
        rooms = self.following.rooms
        if rooms is None or carrier.gen != self.following.told or carrier.codec.shape is Shape.POLL:
            return float("inf")
        return rooms.rooms_due_at(self._ack_delay())

    def _ack_at(self) -> float:
        """See Numbering._ack_at(): what was taken of rooms is told likewise."""
        when, carrier = super()._ack_at(), self.carrier
        return when if carrier is None or self.following.rooms is None else min(when, self._rooms_due_at(carrier))

    def _took_of_room(self, now: float) -> None:
        """The application has taken something of a room."""
        carrier, following, rooms = self.carrier, self.following, self.following.rooms
        if carrier is None or rooms is None or self.outcome is not None:
            return
        due_at = self._rooms_due_at(carrier)
        self.wake_by(due_at)
        if due_at <= now or (carrier.gen != following.told and rooms.has_room_for_rooms):
            self.listener.dirty()
