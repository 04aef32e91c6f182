"""What each end of a session says that it sent and received, and the judgement over both.

Pure. A message is named by its number, from 1 for each end; its content follows from number and size, and each end
has compared it with that when it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .plan import CLIENT_CODE, SERVER_CODE, End

__all__ = ["KILLED", "Account", "Circumstances", "judge", "make_message", "number_of"]

ALPHABET = 'aé\u2028"\\<\u2603\n0 %\0'
HEAD = re.compile(r"(\S+) (\d+) (\d+) ")

# What a session may end with when one end has lost the other: no contact, kept for long enough, no ack of a close.
LOST = {4410, 4411, 4412}

KILLED = 0
"""In place of a code: the session has not ended, but its server or its page has; or it never was."""


def make_message(way: str, number: int, size: int, *, binary: bool) -> str | bytes:
    """The message with this number, as client-js/test/browser/campaign.js makes it: `way` tells the streams apart."""
    head = f"{way} {number} {size} "
    if binary:
        return head.encode() + bytes((number + i) & 255 for i in range(size))
    pad = ALPHABET[number % len(ALPHABET) :] + ALPHABET * (size // len(ALPHABET) + 1)
    return head + pad[:size]


def number_of(way: str, message: str | bytes, problems: list[str]) -> int:
    """The number of a message, after a comparison of all of it with what that message has to be."""
    start = message if isinstance(message, str) else message[:60].decode("latin-1")
    found = HEAD.match(start)
    if found is None or found[1] != way:
        problems.append(f"a message that nobody sent: {start[:60]!r}")
        return -1
    number, size = int(found[2]), int(found[3])
    binary = isinstance(message, bytes)
    if message != make_message(way, number, size, binary=binary):
        problems.append(f"message {number} ({'binary' if binary else 'text'}) has changed on its way")
    return number


@dataclass
class Account:
    """One end of one session, as its application knows it."""

    sent: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What its application saw by itself."""
    opened: bool = False
    asked: bool = False
    """Whether the application of this end has closed: from then on it gets nothing more, and what comes is thrown
    away."""
    code: int | None = None
    """What the session ended with; None: it has not."""
    reason: str = ""
    clean: bool = False
    """Whether that says that both ends have everything."""
    unacknowledged: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Circumstances:
    """What excuses an end."""

    end: End
    fair: bool
    """There was no fault, only a distance."""
    brief: bool = False
    """The server keeps sessions for less than faults last, as for an outage; though the page was left before that."""

    @property
    def lapses(self) -> bool:
        """Whether a session may have been cut off for longer than it is kept."""
        return self.brief or self.end == "outage"

    @property
    def asked(self) -> set[int]:
        """Codes that the run's end brings."""
        return {"leave": {1001}, "drain": {1012}}.get(self.end, set())


def judge(client: Account, servers: Sequence[Account], around: Circumstances) -> list[str]:
    """What is wrong with a session, each in a sentence: nothing, in the end. `servers`: each session that the server
    has had with this client."""
    wrong = [f"client: {problem}" for problem in client.problems]
    server = servers[-1] if servers else Account(code=KILLED)
    for other in servers[:-1]:
        # An open without an answer may have been forgotten when it is made again, after so long an outage: unused,
        # detached, or closed by its handler without an answer. And one that faults have kept from every answer for as
        # long as a nonce lives is made by another, and the session of the first is never gone on with. A new server
        # knows nothing of it either.
        late = other.code == KILLED or (not around.fair and other.code == 4408)
        if not late and (not around.lapses or other.code not in (4408, 4410, 4412)):
            wrong.append(f"the server had another session for it, which ended with {other.code}")
        wrong += _order("server, before", other.received)
    wrong += [f"server: {problem}" for problem in server.problems]
    wrong += _order("client", client.received) + _order("server", server.received)
    if client.code is None:
        wrong.append("client: stuck: the session has not ended, and was told of no end")
    if server.code is None:
        wrong.append("server: stuck: the session has not ended, and was told of no end")
    if client.code is None or server.code is None:
        return wrong
    gone = around.end == "leave"
    wrong += _lost("client", client, server, discards=server.asked, holds=around.end == "drain")
    wrong += _lost("server", server, client, discards=client.asked or gone, holds=False)
    return wrong + _codes(client, server, around)


def _order(who: str, received: list[int]) -> list[str]:
    """Streams have no gaps: what came is the beginning of what was sent."""
    for place, number in enumerate(received, 1):
        if number != place:
            seen = "repeated" if number in received[: place - 1] else "lost or reordered"
            return [f"{who}: message {number} came where {place} was next: {seen}"]
    return []


def _lost(who: str, sender: Account, receiver: Account, *, discards: bool, holds: bool) -> list[str]:
    """Whatever one end sent and the other did not get, it was told. `discards`: the other end wanted no more. `holds`:
    the server drained, so that what a client sends later is never on its way."""
    if discards:
        return []
    wrong = []
    missing = set(sender.sent) - set(receiver.received)
    if untold := missing - set(sender.unacknowledged):
        wrong.append(f"{who}: lost and not listed as unacknowledged: {_few(untold)}")
    if sender.clean and not holds:
        if missing:
            wrong.append(f"{who}: closed cleanly, and yet the other end did not get {_few(missing)}")
        if sender.unacknowledged:
            wrong.append(f"{who}: closed cleanly, and yet lists {_few(sender.unacknowledged)} as unacknowledged")
    return wrong


def _codes(client: Account, server: Account, around: Circumstances) -> list[str]:
    """Who ends a session for what reason: somebody asked for it, or the network was away for too long."""
    wrong = []
    expected = set(around.asked)
    if client.asked:
        expected.add(CLIENT_CODE)
    if server.asked:
        expected.add(SERVER_CODE)
    excused: set[int] = set()
    if around.lapses:
        excused |= LOST | {4408}
    if not around.fair and not client.opened:
        excused |= {4411, 4408}
    unknown = {4404} if around.end == "restart" else set()  # to the new server
    if client.code not in expected | excused | unknown:
        wrong.append(_unasked("client", client))
    if server.code != KILLED:
        # It was closed before it was open, and had sent nothing: what its request has opened is never used, or is left
        # by the connection that has opened it.
        if client.asked and not client.opened and not client.sent:
            excused |= {4408, 4410}
        if around.end == "leave":  # when it had just opened
            excused.add(4408)
        # The last ack may be lost, and a page that goes can only try to say so.
        if not around.fair or around.end == "leave":
            excused |= LOST
            if (
                server.asked
            ):  # the client's only word, that it has heard of the close, is lost: it has never shown itself
                excused.add(4408)
        if server.code not in expected | excused:
            wrong.append(_unasked("server", server))
    return wrong


def _unasked(who: str, account: Account) -> str:
    return f"{who}: the session ended with {account.code} ({account.reason}), for which there was no reason"


def _few(numbers: Iterable[int]) -> str:
    found = sorted(numbers)
    return ", ".join(map(str, found[:8])) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
