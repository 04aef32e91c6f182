"""Which transports get through where: what failed lately for clients of which network, and what a client is offered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from .clock import Clock
from .core.addresses import network_of
from .core.config import Config
from .core.health import Failure, Memory
from .core.negotiation import Choice, Evidence, Place, negotiate, without_evidence
from .endpoint import Endpoint
from .request import SessionRequest
from .session import Session
from .transports import TRANSPORTS, WEBTRANSPORT

__all__ = ["Networks", "Place"]

log: logging.Logger = logging.getLogger("realtime.negotiation")

KNOWN = tuple(TRANSPORTS)
# Where WebTransport is served, and the policy where nothing was said: who has set it up wants it most.
KNOWN_WITH = (WEBTRANSPORT.name, *KNOWN)
USUAL = Config().transports
USUAL_WITH = (WEBTRANSPORT.name, *USUAL)
HTTP_1_0, HTTP_1_1 = (1, 0), (1, 1)
# What failed for a network: demoted for 30 s at first, 10 min at most; so many networks are remembered.
MEMORY = (30.0, 600.0, 4096)
# A WebSocket that lived so long, in seconds, got through; one that was cut before did not.
GOOD_LIFE = 10.0


class Networks:
    """What a server remembers of networks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory = Memory(*MEMORY)
        self.demotions: Counter[tuple[str, str]] = Counter()  # in new sessions: transports, and why (DEMOTED)
        self.webtransport: Callable[[], Place] | None = None  # where that is, while it is served

    def policy(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The transports of an endpoint, most wanted first, by their carriers' names."""
        transports = endpoint.config.transports
        return USUAL_WITH if self.webtransport is not None and transports == USUAL else transports

    def negotiate(
        self,
        endpoint: Endpoint,
        request: SessionRequest,
        transports: Sequence[str] = (),
        failed: Mapping[str, tuple[str, float]] | None = None,
        tried: Mapping[str, float] | None = None,
        taken: str = "",
    ) -> tuple[Choice, ...]:
        """All transports in the order of the policy, each with a verdict for this client, and why."""
        served = self.webtransport
        policy, known = (endpoint.config.transports, KNOWN) if served is None else (self.policy(endpoint), KNOWN_WITH)
        remembered = self._memory.of(network_of(request.remote)) if self._memory.networks else None
        if remembered is None and not failed and not tried:
            http_version = HTTP_1_1 if request.http_version >= HTTP_1_1 else HTTP_1_0
            choices = without_evidence(policy, known, tuple(transports), taken, http_version)
        else:
            now = self._clock.now()
            evidence = Evidence(
                http_version=request.http_version,
                reported={name: Failure(1, now - ago, how) for name, (how, ago) in failed.items()} if failed else {},
                remembered=remembered,
                timings=tried or {},
            )
            choices = negotiate(policy, known, transports, taken, evidence, now)
        return choices if served is None else _placed(choices, served())

    def decided(self, session: Session, choices: tuple[Choice, ...]) -> None:
        """A new session's transports are settled: shown to the handler, and logged: what carries, and what is known
        against others; at DEBUG all of them. The first time counts, since an open may come again.

        What the client says has failed counts in its own choices. Others of its network are not told: anybody could
        say so, in any words.
        """
        if session._choices:
            return
        session._choices = choices
        for choice in choices:
            if choice.verdict == "demoted":
                self.demotions[choice.name, choice.code] += 1
        if log.isEnabledFor(logging.INFO):
            words = [choice.name for choice in choices if choice.verdict == "taken"]
            words += [_worded(choice) for choice in choices if choice.verdict == "demoted"]
            log.info("session %s at %s: %s", session.label, session.path, "; ".join(words))
            log.debug("session %s: %s", session.label, "; ".join(map(_worded, choices)))

    def note_failure(self, remote: str | None, transport: str, how: str) -> None:
        """A transport did not get through for a client at this address."""
        self._memory.failed(network_of(remote), transport, how, self._clock.now())

    def note_end(self, session: Session, transport: str, since: float) -> None:
        """The connection under a session's newest carrier, which began at `since`, is gone, without a word."""
        lived = self._clock.now() - since
        remote = session.request.remote
        if lived >= GOOD_LIFE:
            self._memory.worked(network_of(remote), transport)
        elif not session.closed and session._machine.closing is None:
            self.note_failure(remote, transport, f"cut after {lived:.1f} s")


@lru_cache(maxsize=128)
def _placed(choices: tuple[Choice, ...], place: Place) -> tuple[Choice, ...]:
    """The choices with the place of WebTransport, where that is allowed."""
    return tuple(
        choice._replace(place=place) if choice.name == WEBTRANSPORT.name and choice.verdict != "refused" else choice
        for choice in choices
    )


def _worded(choice: Choice) -> str:
    """One transport, as logs have it."""
    return f"{choice.name} {choice.verdict} ({choice.reason_for_others})"
