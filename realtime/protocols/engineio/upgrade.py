"""The upgrade from long-polling to WebSocket, as a table: two carriers live at once, and the old one carries until the
new one has proved itself ("Upgrade").

    polling ──connect──> trying ──2probe──> probed ──5──> done
       └───────── anything else, lost, late ──┘
"""

from __future__ import annotations

import enum

from . import packets
from .packets import Packet

__all__ = ["TRANSITIONS", "Act", "Event", "Stage", "Upgrade", "event_of"]


class Stage(enum.Enum):
    """How far it is."""

    POLLING = "polling"  # no WebSocket has come
    TRYING = "trying"  # one is there and has said nothing
    PROBED = "probed"  # it has been answered: polls are to end
    DONE = "done"  # it carries the session, or nothing may be upgraded to


class Event(enum.Enum):
    """What happens to the WebSocket that names a session."""

    CONNECT = "connect"
    PROBE = "2probe"
    UPGRADE = "5"
    OTHER = "other"  # any other packet, or none in time
    LOST = "lost"


class Act(enum.Enum):
    """What is to be done."""

    TRY = "try"  # take it as the one that is tried
    REFUSE = "refuse"  # close that WebSocket: it changes nothing
    ANSWER = "answer"  # 3probe there, and 6 to the parked poll
    SWITCH = "switch"  # it carries the session from here
    DROP = "drop"  # close it; polling goes on as before


TRANSITIONS: dict[tuple[Stage, Event], tuple[Stage, Act]] = {
    (Stage.POLLING, Event.CONNECT): (Stage.TRYING, Act.TRY),
    (Stage.TRYING, Event.CONNECT): (Stage.TRYING, Act.REFUSE),
    (Stage.TRYING, Event.PROBE): (Stage.PROBED, Act.ANSWER),
    (Stage.TRYING, Event.UPGRADE): (Stage.DONE, Act.SWITCH),
    (Stage.TRYING, Event.OTHER): (Stage.POLLING, Act.DROP),
    (Stage.TRYING, Event.LOST): (Stage.POLLING, Act.DROP),
    (Stage.PROBED, Event.CONNECT): (Stage.PROBED, Act.REFUSE),
    (Stage.PROBED, Event.PROBE): (Stage.PROBED, Act.ANSWER),
    (Stage.PROBED, Event.UPGRADE): (Stage.DONE, Act.SWITCH),
    (Stage.PROBED, Event.OTHER): (Stage.POLLING, Act.DROP),
    (Stage.PROBED, Event.LOST): (Stage.POLLING, Act.DROP),
    (Stage.DONE, Event.CONNECT): (Stage.DONE, Act.REFUSE),
}


def event_of(packet: Packet) -> Event:
    """What a packet on the WebSocket that is tried means."""
    if packet == (packets.PING, "probe"):
        return Event.PROBE
    return Event.UPGRADE if packet.type == packets.UPGRADE else Event.OTHER


class Upgrade:
    """The upgrade of one session."""

    __slots__ = ("stage",)

    def __init__(self, *, possible: bool) -> None:
        self.stage = Stage.POLLING if possible else Stage.DONE

    def step(self, event: Event) -> Act:
        """Takes an event and says what to do. Events are of the WebSocket that is tried, but for CONNECT."""
        self.stage, act = TRANSITIONS[self.stage, event]
        return act

    def __repr__(self) -> str:
        return f"<Upgrade {self.stage.value}>"
