"""What a durable session was, as its client knows it: whether that may be so, and how long it stood still for what was
done to its workers.

Pure. Its answers say which life of which worker has given them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .account import Session

__all__ = ["POISON", "Outlived", "judge_outlived", "pauses", "percentile"]

UNHEARD = (
    4412  # nobody has acknowledged the client's close in time, as where a worker stood still: its client is told so
)
POISON = 4  # so many ends of workers behind one message, and a session may end by it


@dataclass
class Outlived(Session):
    """One durable session of one client. `owner` is its sid, which it is told once."""

    times: list[float] = field(default_factory=list)  # when each message was sent
    answers: list[tuple[float, str]] = field(default_factory=list)  # when each was answered, and by whom

    def answered(self, now: float, message: str) -> None:
        """A message of the server."""
        number, _, by = message.partition(" by ")
        if by:
            self.answers.append((now, by))
        self.hear(number)


def judge_outlived(session: Outlived, handled: Mapping[str, Sequence[int]], deaths: Sequence[float]) -> list[str]:
    """What is wrong with a session, where its handlers counted so many messages when they came to its end, and workers
    ended at these times. Whatever was done: sent = received = handled."""
    wrong = list(session.problems)
    if session.code == 1011 and session.received < len(session.times):
        waited = session.times[session.received]
        if sum(waited <= death <= session.ended for death in deaths) >= POISON:
            return wrong  # its workers died by one message, as far as anybody can know
    if not session.asked:
        wrong.append(f"it ended with {session.code} ({session.why})")
    if session.received != session.sent:
        wrong.append(f"of {session.sent} sent {session.received} came back")
    if session.code == UNHEARD:
        return [_told(session, one) for one in wrong]
    counts = handled.get(session.owner, ())
    if session.sent not in counts or max(counts) > session.sent:
        wrong.append(f"of {session.sent} sent its handlers counted {list(counts)} at its end, {session.code}")
    return [_told(session, one) for one in wrong]


def _told(session: Outlived, wrong: str) -> str:
    return f"durable {session.client} over {session.transport}, {session.owner or 'nobody'}: {wrong}"


def pauses(sessions: Iterable[Outlived], harms: Sequence[tuple[str, str, float]]) -> dict[str, list[float]]:
    """For how many seconds each session heard nothing when something was done to the worker that it was at, by what was
    done: the longest silence from then on to the first answer of another worker, while a message waited for its own."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for session in sessions:
        for how, life, at in harms:
            before = [by for answered, by in session.answers if answered <= at]
            if not before or before[-1] != life:
                continue
            silence, last = 0.0, at
            for sent, (answered, by) in zip(session.times[len(before) :], session.answers[len(before) :], strict=False):
                silence = max(silence, answered - max(sent, last))
                last = answered
                if by != life:
                    found[how].append(silence)
                    break
    return found


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
