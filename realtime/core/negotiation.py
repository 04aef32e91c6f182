"""Which transports a client is offered, in which order, and why: policy, abilities, and evidence.

Pure: everything known goes in, a list comes out in which every transport has a verdict and a reason. Reasons are
codes with details, worded when somebody asks. docs/negotiation.md has the table of cases.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .health import Failure, Health

__all__ = ["DEMOTED", "Choice", "Evidence", "Place", "negotiate", "without_evidence"]

REASONS = {
    "taken": "carries the session",
    "offered": "allowed here, and the client can run it",
    "unsaid": "allowed here; the client did not say what it can run",
    "reported": "the client says it failed {ago} ago: {how}",
    "remembered": "failed {ago} ago for a client of this network: {how}",
    "http_1_0": "the request came as HTTP/1.0: what is in between knows no upgrade",
    "not_named": "the client does not name it",
    "not_allowed": "not in this endpoint's transports=(…)",
    "not_served": "this server does not listen for it: setup() was given none",
    "unknown": "this server knows no such transport",
}

# Those of what is demoted.
DEMOTED = ("reported", "remembered", "http_1_0")
# What stands for a client's words before others.
OWN_WORDS = "in its own words"


class Place(NamedTuple):
    """Where a transport is that does not come by the endpoint's own port."""

    port: int
    host: str | None = None  # None: the endpoint's
    digest: bytes | None = None  # the SHA-256 of its certificate, where that is to be taken by its hash

    def as_dict(self) -> dict[str, str | int]:
        """What the client is told."""
        told: dict[str, str | int] = {"port": self.port}
        if self.host is not None:
            told["host"] = self.host
        if self.digest is not None:
            told["hash"] = b64encode(self.digest).decode()
        return told


class Choice(NamedTuple):
    """One transport in the ranked list."""

    name: str
    verdict: str  # "taken", "offered", "demoted" (allowed; try it later) or "refused"
    code: str  # of REASONS
    how: str = ""  # of a failure
    ago: float = 0.0  # seconds since a failure
    timing: float | None = None  # seconds from the start of an attempt to its success, once tried
    place: Place | None = None  # where it is, if that is not where the endpoint is

    @property
    def reason(self) -> str:
        """The reason in words."""
        return REASONS[self.code].format(how=self.how, ago=_span(self.ago))

    @property
    def reason_for_others(self) -> str:
        """The reason in words, without what the client put into its own: for who is neither that client nor its
        handler."""
        return self._replace(how=OWN_WORDS).reason if self.code == "reported" else self.reason

    def as_dict(self) -> dict[str, Any]:
        """What the client is told."""
        told: dict[str, Any] = {"name": self.name, "verdict": self.verdict, "reason": self.reason}
        if self.timing is not None:
            told["timing"] = round(self.timing, 4)
        if self.place is not None:
            told |= self.place.as_dict()
        return told


class Evidence(NamedTuple):
    """What is known besides policy and abilities."""

    http_version: tuple[int, int] = (1, 1)
    # What the client says has failed lately, and how; `at` is in the server's time.
    reported: Mapping[str, Failure] = {}
    # What the server remembers of other clients of the same network.
    remembered: Health | None = None
    timings: Mapping[str, float] = {}


def negotiate(
    policy: Sequence[str],
    known: Sequence[str],
    client: Sequence[str],
    taken: str,
    evidence: Evidence,
    now: float,
) -> tuple[Choice, ...]:
    """All transports: the policy's in its order, whatever the verdicts, then what it does not allow.

    The order says what is wanted most, the verdict what is known. A client that took verdicts for wishes would stay
    for ever with what happened to carry its opening.
    `known` are the server's transports, `client` what the client can run (empty: it did not say), `taken` the one that
    carries the answer ("" for none). A refusal by policy is never evidence against a transport: it is not recorded.
    Where nothing is known against any, all clients of a kind are given the same tuple.
    """
    if not evidence.reported and evidence.remembered is None and not evidence.timings:
        old = evidence.http_version < (1, 1)
        return without_evidence(tuple(policy), tuple(known), tuple(client), taken, (1, 0) if old else (1, 1))
    return _judge_all(policy, known, client, taken, evidence, now)


@lru_cache(maxsize=128)
def without_evidence(
    policy: tuple[str, ...], known: tuple[str, ...], client: tuple[str, ...], taken: str, http_version: tuple[int, int]
) -> tuple[Choice, ...]:
    """negotiate(), of clients of whom nothing is known but whether their requests come as HTTP/1.1, or as (1, 0)."""
    return _judge_all(policy, known, client, taken, Evidence(http_version), 0.0)


def _judge_all(
    policy: Sequence[str], known: Sequence[str], client: Sequence[str], taken: str, evidence: Evidence, now: float
) -> tuple[Choice, ...]:
    choices = [_judge(name, client, taken, evidence, now) for name in policy if name in known]
    choices += [Choice(name, "refused", "not_served") for name in policy if name not in known]
    for name in dict.fromkeys((*known, *client)):
        if name not in policy:
            choices.append(Choice(name, "refused", "not_allowed" if name in known else "unknown"))
    return tuple(choices)


def _judge(name: str, client: Sequence[str], taken: str, evidence: Evidence, now: float) -> Choice:
    timing = evidence.timings.get(name)
    if name == taken:
        return Choice(name, "taken", "taken", timing=timing)
    if client and name not in client:
        return Choice(name, "refused", "not_named")
    if name == "websocket" and evidence.http_version < (1, 1):
        return Choice(name, "demoted", "http_1_0")
    failure = evidence.reported.get(name)
    if failure is not None:
        return Choice(name, "demoted", "reported", failure.how, now - failure.at, timing)
    remembered = evidence.remembered
    if remembered is not None and not remembered.is_well(name, now):
        failure = remembered.failure(name, now)
        assert failure is not None
        return Choice(name, "demoted", "remembered", failure.how, now - failure.at, timing)
    return Choice(name, "offered", "offered" if client else "unsaid", timing=timing)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
