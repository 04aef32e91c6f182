"""What an examination finds out about one transport, and the words for the ways in which one can fail."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["STATES", "Blocked", "Finding"]

# What may be found, and what it means.
STATES = {
    "ok": "gets through",
    "lagged": "gets through, but each piece of a stream is held back for a while",
    "cut": "opens, and is cut: when idle, or (if it did not get through) at once",
    "buffered": "the stream is held back until it ends",
    "mute": "opens, and nothing comes",
    "hung": "the request is never answered",
    "dark": "nothing comes back over UDP",
    "untrusted": "the certificate is not taken",
    "stripped": "the Upgrade header does not arrive",
    "refused": "answered by something in between",
    "altered": "the request does not arrive as it was sent",
    "astray": "requests of one session arrive at different servers",
    "policy": "refused by the server's own policy, which says nothing about the network",
    "ended": "the server ended the session meanwhile",
    "foreign": "no realtime endpoint answers there",
    "unreachable": "no connection can be made",
    "skipped": "not tried",
}


@dataclass
class Finding:
    """What was found out about one transport. Times in seconds; None for what was not seen."""

    transport: str
    through: bool = False  # whether frames went both ways
    state: str = "hung"  # one of STATES
    what: str = "the time was up"  # in words
    status: int | None = None  # the HTTP status that told
    code: int | None = None  # the close code that told
    first_byte: float | None = None  # from the request to the first byte of what it carries
    round_trip: float | None = None  # the median of a few
    lag: float | None = None  # how much later than a POST's answer a piece of the stream (or a held answer) came
    cut_after: float | None = None  # how long it was idle when it was cut
    worker: str | None = None  # the process that opened its session, as it names itself in the session's id
    notes: list[str] = field(default_factory=list)


class Blocked(Exception):
    """A probe can't go on: what it found."""

    def __init__(self, state: str, what: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(what)
        assert state in STATES
        self.state = state
        self.what = what
        self.status = status
        self.code = code
