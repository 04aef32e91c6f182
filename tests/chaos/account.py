"""What one session was, as its client knows it, and whether that may be so.

Pure. Of each session it is known which life of which worker had it, since that said so in its first message.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LOST", "NATIVE", "Room", "Session", "judge"]

NATIVE = ("python", "javascript")

LOST = frozenset({4404, 4410, 4411, 4412})
"""What a native session of a dead worker may end with: unknown to all that live, no contact, no ack of a close."""


@dataclass
class Session:
    """One session of one client."""

    client: str  # python, javascript, sockjs, engineio or raw
    transport: str
    owner: str = ""  # the life of a worker
    opened: float = 0.0
    ended: float = 0.0
    sent: int = 0
    received: int = 0  # so many answers came, each the next
    unsent: int = 0  # the client says of so many that they were not taken
    asked: bool = False  # the client itself has closed
    code: int | None = None
    why: str = ""  # what its client says about that
    problems: list[str] = field(default_factory=list)

    def hear(self, message: str) -> None:
        """An answer: the next number."""
        if message.startswith("at "):
            if self.owner:
                self.problems.append(f"a second handler: {message!r} behind {self.owner}")
            self.owner = message[3:]
        elif message != str(self.received + 1):
            self.problems.append(f"{message!r} came where {self.received + 1} should have")
        else:
            self.received += 1


@dataclass
class Room:
    """What one client heard of one room over all its sessions."""

    last: int = -1
    lost: set[int] = field(default_factory=set)
    told: int = 0  # missing behind a gap that was told
    gap: bool = False  # one was, and no message came since
    repeated: int = 0
    heard: int = 0

    def hear(self, number: int) -> None:
        """A message of the room."""
        self.heard += 1
        if number <= self.last:
            self.repeated += 1
            return
        missing = range(self.last + 1, number) if self.last >= 0 else ()  # before its first it was not there
        if self.gap:
            self.told += len(missing)
        else:
            self.lost |= set(missing)
        self.gap = False
        self.last = number


def judge(session: Session, fate: str, deaths: int) -> list[str]:
    """What is wrong with a session whose worker met this fate ("", killed, terminated) while so many workers ended."""
    wrong = list(session.problems)
    name = f"{session.client} over {session.transport} at {session.owner or 'nobody'}"
    if session.received > session.sent:
        wrong.append("more came back than was sent")
    native = session.client in NATIVE
    if fate == "killed":
        if native and not session.asked and session.code not in LOST:
            wrong.append(f"its worker was killed, and it ended with {session.code}")
    elif fate == "terminated":
        if native and not session.asked and session.code not in LOST | {1012}:
            wrong.append(f"its worker was terminated, and it ended with {session.code}")
        if native and session.code == 1012 and session.received != session.sent - session.unsent:
            wrong.append(
                f"it was drained with {session.sent} sent, {session.unsent} of them not taken, and {session.received}"
                " received"
            )
    elif native or not deaths:  # a client of another protocol takes a cut for the end, whoever had its session
        if not session.asked and session.code is not None:
            wrong.append(f"its worker lives, and it ended with {session.code} ({session.why})")
        if session.received != session.sent:
            wrong.append(f"its worker lives, and of {session.sent} sent {session.received} came back")
    return [f"{name}: {one}" for one in wrong]
