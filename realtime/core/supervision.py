"""Which carrier of a client's session to start, to try, to stop, and when: races, grace, back-off, probes, upgrades,
falling back (docs/negotiation.md); which transport comes next, choice.py knows. One policy for every client:
`client-js/src/supervision.js` is its twin, and tests/vectors/supervision.json holds both to the same histories.

Pure: no clock, no chance, no tasks. The shell tells what happens, calls turn() after each event and when deadline() has
come, and does what turn() says, in order. An action is a short tuple:

    ("start", id, transport, role)   role "carry": attach (or open) by it; it is the newest carrier now
                                     role "open": a second way to open the session; never takes over
                                     role "probe": try it beside the one in use; nothing of the session goes over it
    ("test", id)                     of a stream: send a POST beside it, and tell tested() when that is answered
    ("stop", id)                     let go of it; whatever comes of it need not be told
    ("take", id)                     of a probe that was proven: attach by it; it is the newest carrier now
    ("anew",)                        no open by the nonce before was answered: draw another. What went behind these may
                                     have been taken, and must not go again
    ("renew", reason)                ask the application for other auth data, and tell renewed()
    ("end", code, reason)            the session ends, or can't be opened

Every event has the time first, in seconds of any clock that does not go back. What it says of a carrier that was
stopped, or has ended, is ignored, and so is an action for a carrier that has ended before it is done. A poll is a
carrier like any other: each is started, and ends with its answer.

What stays with the shell and its machine: frames, acks, pings and silence, and giving up a session that has had no
contact for as long as its server would keep it (4411).
"""

from __future__ import annotations

from .attempts import Action, Attempts
from .choice import DUPLEX, FOREVER, HELD, POLL, STREAM

__all__ = ["Supervision"]

# How long a WebSocket that has reached the server may take to answer after HTTP has.
GRACE = 0.5
# A stream is held back if it is mute twice as long as a POST took, and so much longer.
HELD_AFTER = 0.5
# The pause after the server had another carrier; doubled each time in a row.
SUPERSEDED = 0.3
# After so many POSTs in a row that did not get through another way up is looked for: about three seconds by default.
MANY = 6
# "Come back later" counts like so many failures.
LATER_COUNTS = 5
# Refusals (docs/protocol.md §9) that say so, that speak of a transport as such, and of auth data.
LATER = (4408, 4429, 4503)
NOT_HERE = 4406
UNAUTHORISED = 4401


class Supervision(Attempts):
    """The choice of carriers for one session.

    `transports` are (name, kind), most wanted first. `jitter` gives numbers from 0 to below 1.
    """

    # -- the one place where time passes -----------------------------------------------------------------------------

    def turn(self, now: float) -> list[Action]:
        """What is to be done now, in this order. May be called at any time."""
        self._deadline = FOREVER
        if not self.is_over:
            self._watch(now)
        if not self.is_over:
            if self.newest is None and not self.waits and not self._renewing and self._due(self._start_at, now):
                self._start(self._goes_on or self.choice.next(now), now)
            self._race(now)
            self._try_better(now)
        actions, self._actions = self._actions, []
        return actions

    def deadline(self) -> float:
        """When turn() is to be called if nothing happens before; infinity for never."""
        return FOREVER if self.is_over else self._deadline

    def _race(self, now: float) -> None:
        """HTTP opens the session beside a WebSocket that takes its time: whichever wins (as RFC 8305 for addresses)."""
        newest = self.newest
        if newest is None or newest.kind != DUPLEX or self.is_open or self._raced or self.beside is not None:
            return
        if self._due(newest.since + self.rules.race_delay, now) and self._nonce_is_young(now):
            self._raced = True
            if name := self.choice.opener(now):
                self.beside = self._begin(name, "open", now)

    def _try_better(self, now: float) -> None:
        """While a lesser transport carries the session in peace, tries the better ones beside it."""
        newest, choice = self.newest, self.choice
        if not self.is_open or self.beside is not None or not (self._in_doubt or (self.calm and self.rules.upgrade)):
            return
        if newest is None:
            carries = self._goes_on == self.current != ""
        else:
            carries = newest.name == self.current and (newest.attached or newest.kind >= HELD)
        if not carries or not self._due(self._upgrade_at, now):
            return
        better = choice.better(self.current, in_doubt=self._in_doubt)
        soonest = min((choice.retry_at(name, now) for name in better), default=FOREVER)
        self._upgrade_at = now + max(soonest - now, self._look) * (1 + self._jitter() / 4)
        if soonest <= now:
            name = next(name for name in better if choice.retry_at(name, now) <= now)
            self.beside = self._begin(name, "probe", now)
        else:
            self._due(self._upgrade_at, now)

    # -- events: what a carrier tells ----------------------------------------------------------------------------------

    def opened(self, now: float, lifetime: float, held: float, poll_interval: tuple[float, float]) -> None:
        """There is a session; attached() follows for the carrier that has told. What the server announced, in seconds:
        how long the session outlives the last contact, how long the answer to a held poll may take, and the bounds of
        the pause between two plain polls."""
        if not self.is_open:
            self.is_open = True
            self.fails = 0
        self.contact = now
        self.lifetime, self.held, self.poll_interval = lifetime, held, poll_interval
        self._pause = poll_interval[0]

    def attached(self, now: float, ident: int) -> None:
        """A carrier has taken up the session (its `o` or `r` has come)."""
        carrier = self._find(ident)
        if carrier is None:
            return
        carrier.attached = True
        self._got_through(carrier, now)
        if carrier is self.newest:
            self._late.pop("", None)
            self._renewed = False
            if self._began is None:
                self._began = now
            if carrier.kind in (DUPLEX, POLL):
                self.post_answered(now)
            self._stop(self.old)
            if self.beside is not None and self.beside.role == "open":
                self._stop(self.beside)
        elif carrier is self.old or self.current:
            return
        if carrier.name != self.current:
            self.current = carrier.name
            self._in_doubt = False
            self._upgrade_at = min(self._upgrade_at, now + self._look)

    def alive(self, now: float, ident: int) -> None:
        """A part of a poll's answer has come that says nothing yet."""
        carrier = self._find(ident)
        if carrier is not None and carrier.kind >= HELD:
            carrier.late_at = now + carrier.limit

    def tested(self, now: float, ident: int, took: float) -> None:
        """The POST that tests a stream was answered after so many seconds."""
        carrier = self._find(ident)
        if carrier is not None:
            carrier.verdict_at = now + 2 * took + HELD_AFTER

    def proven(self, now: float, ident: int) -> None:
        """A probe was answered: the session moves to its transport."""
        carrier = self._find(ident)
        if carrier is None or carrier.role != "probe":
            return
        self._got_through(carrier, now)
        self._late.pop(carrier.name, None)
        self._goes_on = ""
        if carrier.kind == DUPLEX:
            self.beside = self._began = None
            carrier.role = "carry"
            carrier.late_at = now + self.patience(now)
            self._become(carrier)
            self._actions.append(("take", ident))
        else:
            self._stop(carrier)
            self._start(carrier.name, now)

    def answered(self, now: float, ident: int, news: bool) -> None:
        """A poll was answered whole. `news`: it brought a message, or took one along."""
        carrier = self._out(ident)
        if carrier is None or carrier.role == "probe":
            return
        if carrier.role == "open":
            self._grant(now, now - carrier.since)
            return
        self._start_at = now
        self._goes_on = "" if carrier.opens else carrier.name  # one that opens was only to open
        if carrier.kind == POLL and self._goes_on:
            least, most = self.poll_interval
            self._pause = least if news else min(self._pause * 2, most)
            self._start_at += self._pause

    def superseded(self, now: float, ident: int) -> None:
        """The server has another carrier than this one."""
        carrier = self._out(ident)
        if carrier is None or carrier.role == "probe":
            return
        if carrier.role == "open":
            self._grant(now, max(now - carrier.since, GRACE))
            return
        self._start_at = now
        if not (carrier.opens and carrier.kind >= HELD):  # which has opened the session, and was not to carry it
            if self._lived_well(carrier, now):
                self._superseded = 0
            pause = SUPERSEDED * 2.0 ** min(self._superseded, 60)
            self._start_at += min(pause, self.rules.backoff[1], self._longest)
            self._superseded += 1

    def recycled(self, now: float, ident: int) -> None:
        """A carrier was ended on purpose, to start again: at once if it was of use, else as after a failure."""
        carrier = self._out(ident)
        if carrier is None or carrier.role != "carry":
            return
        if self._lived_well(carrier, now):
            self._of_use(now)
        self._began = None
        self.fails += 1
        self._goes_on = carrier.name
        self._back_off(now)

    def lost(self, now: float, ident: int, how: str, wait: float = 0.0) -> None:
        """A carrier has failed, or was cut. `wait`: an answer had a Retry-After of so many seconds."""
        carrier = self._out(ident)
        if carrier is not None:
            if wait:
                self.choice.come_back(carrier.name, now + min(wait, self._longest))
            self._failed(carrier, now, how)

    def refused(self, now: float, ident: int, code: int, reason: str, wait: float = 0.0) -> None:
        """The server has refused a carrier, without prejudice to the session (docs/protocol.md §9)."""
        carrier = self._find(ident)
        if carrier is not None and carrier.opens and self.is_open and not carrier.attached:
            self.superseded(now, ident)  # an open that comes late: another carrier has opened the session
            return
        if self._out(ident) is None or carrier is None:
            return
        insists, carries = self.is_open or self.rules.insists, carrier.role == "carry"
        self.choice.attempts[carrier.name] = reason
        if carries:
            self._began, self._start_at = None, now
            self._promote()
        if code == UNAUTHORISED and insists and not self._renewed:
            self._renewed = self._renewing = True
            self._actions.append(("renew", reason))
        elif code in LATER:
            wait = min(wait, self._longest)
            if carries:
                self.fails = max(self.fails + 1, LATER_COUNTS)
                self._start_at += max(self._backed_off(self.fails - 2), wait)
            else:
                self.choice.come_back(carrier.name, now + max(wait, self.rules.backoff[1]))
        elif code == UNAUTHORISED or (code != NOT_HERE and not self.is_open):
            self._end(code, reason)  # the server does not want this client; another transport would not help
        elif not self.choice.rule_out(carrier.name, reason):
            self._end(code, reason)

    # -- events: everything else -------------------------------------------------------------------------------------

    def delivered(self, now: float, up: bool) -> None:
        """The newest carrier has brought a message, or (`up`) word of one that had not been acknowledged.

        So the failures before are forgotten. That it could attach says less: something in between may cut every carrier
        at its first message.
        """
        self._of_use(now)
        if up:
            self.posts_failed = 0

    def news(self, now: float) -> None:
        """There is something to send: between two plain polls the next one need not wait."""
        if self.newest is None and self.choice.kinds.get(self._goes_on) == POLL:
            self._start_at = min(self._start_at, now)

    def crowd(self, now: float, crowded: bool) -> None:
        """Whether other sessions hold requests enough (see CROWDED in choice.py)."""
        if self.choice.crowded and not crowded:
            self._upgrade_at = min(self._upgrade_at, now + self._look)  # there is a place again
        self.choice.crowded = crowded

    def post_failed(self, now: float, how: str, wait: float = 0.0) -> None:
        """A POST beside the carrier was lost or refused. A server that is never told anything takes its client for
        gone, however well the carrier brings what comes down; so this end does not outlast that either."""
        if self.is_over:
            return
        if not self.posts_failed:
            self._posts_since = now
        self.posts_failed += 1
        gives_up = self._posts_since + self.lifetime
        if now >= gives_up:
            self._end(4411, f"nothing that is sent gets through: {how}")
            return
        self.post_at = min(now + max(self._backed_off(self.posts_failed - 1), wait), gives_up)
        if self.posts_failed % MANY == 0:
            self._in_doubt = True
            self._upgrade_at = now
            for name in self.choice.allowed():
                if self.choice.kinds[name] in (STREAM, HELD):
                    self.choice.failed(name, f"what is sent beside it does not get through: {how}", now)

    def post_answered(self, now: float) -> None:
        """What goes up has got through."""
        self.posts_failed = 0
        self._in_doubt = False

    def renewed(self, now: float) -> None:
        """The server was given other auth data."""
        self._renewing = False
        self.restart(now)  # it may have taken a person's time, not the network's

    def restart(self, now: float) -> None:
        """Opening, if it still goes on, has all its time again: the application was asked, or the process stood
        still."""
        self._open_by = now + self.rules.open_timeout

    def online(self, now: float, another: bool) -> None:
        """The network is back, or the machine has slept: what seems to live may be dead. `another`: it is another one,
        of which what failed before says nothing."""
        if self.is_over:
            return
        self.fails = self._superseded = 0
        self.post_at = min(self.post_at, now)
        if another:
            self.choice.forget()
            self._late.clear()
            self._upgrade_at = min(self._upgrade_at, now)
        newest = self.newest
        if newest is None:
            self._start_at = min(self._start_at, now)
        elif self.is_open and (newest.attached or newest.kind == HELD):
            self._start(newest.name, now)  # costs little, and tells; the one before goes on until it is attached

    def switch(self, now: float, name: str) -> None:
        """The application wants this transport now."""
        if self.is_over:
            return
        self._stop(self.beside)
        if self.choice.kinds[name] == DUPLEX:
            self.beside = self._begin(name, "probe", now)
        else:
            self._goes_on = ""
            self._start(name, now)

    def dropped(self, now: float) -> None:
        """The shell has let go of every carrier, and wants to start afresh (a page that was put away)."""
        self.newest = self.old = self.beside = self._began = None
        self._goes_on = ""
        self.fails = 0
        self._start_at = now

    def over(self, now: float) -> None:
        """The session has ended. The shell lets go of every carrier."""
        self.is_over = True
        self._actions.clear()
