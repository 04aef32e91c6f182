"""The examination of an endpoint, transport by transport.

examine() tries every transport, each alone with a session of its own, and returns an Examination: plain data, for a
program to read and for `realtime doctor` to print. How each transport is tried is in probes.py (over probing.py), what
to do about what was found in remedies.py. Nothing here needs help from the application: an endpoint's handler sees a
session come, say nothing and close with 1000.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from ...core.carrier import Shape
from ...core.errors import LocalProtocolError
from ...core.settings import check
from ...protocols.native import auth_text
from ...transports import ALL_TRANSPORTS, WEBTRANSPORT
from ..drivers.webtransport import Place
from ..handshake import no_redirects
from ..options import RULES, check_settings
from ..wire import browsers_only, endpoint_url, has_shape, own_transports, with_port_of_their_own
from .duplex import find_webtransport
from .findings import Finding
from .probes import probe_of
from .probing import Probe, Target, reach
from .remedies import remedies

__all__ = ["Examination", "examine"]

# No step of a probe (a handshake, an answer) is waited for longer than this, in seconds.
LONGEST_STEP = 5.0
# How much of the time for a whole examination is kept for its end: so many seconds, but no more than this share.
RESERVE = 1.5
SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found at an endpoint. Times in seconds."""

    url: str
    proxy: str | None  # the HTTP proxy in between, if this side was told of one
    realtime: bool  # whether anything there answered in the native protocol
    findings: tuple[Finding, ...]  # one for each transport that was tried, best first
    order: tuple[str, ...]  # the transports to use here, best first
    advice: tuple[str, ...]  # what the operators of the server and of what stands before it should set
    seconds: float  # how long the examination took

    @property
    def through(self) -> bool:
        """Whether at least one transport got through."""
        return any(finding.through for finding in self.findings)


async def examine(
    url: str | URL,
    *,
    transports: Sequence[str] | None = None,
    timeout: float = 20.0,
    patience: float = 3.0,
    headers: Mapping[str, str] | None = None,
    auth: Any = None,
    proxy: str | URL | None = None,
    http: Callable[[], aiohttp.ClientSession] | None = None,
) -> Examination:
    """Tries transports at an endpoint's URL, side by side, in `timeout` seconds at the most; all that need no browser,
    if they are not named: WebTransport among them, where the server says that it has it.

    Each one that carries is then left idle for `patience` seconds (less, if the time is short), to see whether idle
    connections are cut. `headers` and `auth` are those of realtime.connect(). `proxy` is the URL of an HTTP forward
    proxy; without it HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment hold. `http` makes the aiohttp clients,
    one for each transport.

    What fails is a finding, not an error. A wrong argument raises LocalProtocolError, or TypeError for its type.
    """
    address = endpoint_url(url)
    mine = (*with_port_of_their_own(), *own_transports())
    via = _proxy(address, proxy)
    if transports is not None:
        transports = (transports,) if isinstance(transports, str) else tuple(transports)
        check("transports", transports, RULES["transports"])
    check_settings({"headers": headers})
    auth_text(auth)
    for name in transports or ():
        if name in browsers_only():
            raise LocalProtocolError(
                f"only browsers run {name}, so nothing can be said of it from here; there are {', '.join(mine)}"
            )
        if name not in mine:
            raise LocalProtocolError(f"there is no transport {name!r}; there are {', '.join(mine)}")
    if not timeout > 0 or not patience >= 0:
        raise LocalProtocolError("timeout is above 0 seconds, and patience is not negative")
    loop = asyncio.get_running_loop()
    started = loop.time()
    reserve = min(RESERVE, timeout * SHARE)
    target = Target(
        url=address,
        headers=dict(headers or {}),
        auth=auth,
        proxy=URL(proxy) if proxy is not None else None,
        http=http or (lambda: aiohttp.ClientSession(trust_env=True, trace_configs=[no_redirects()])),
        step=min(LONGEST_STEP, timeout / 4),
        patience=patience,
        goodbye=reserve / 2,
        deadline=started + timeout - reserve,
        via=via,
    )
    await reach(target)
    if transports is None or WEBTRANSPORT.name in transports:
        target.webtransport = await find_webtransport(target)
    if transports is None:
        transports = mine if isinstance(target.webtransport, Place) else own_transports()
    findings = [Finding(name) for name in transports]
    probes = [Probe(target, finding) for finding in findings]
    tasks = [loop.create_task(probe.run(probe_of(probe.finding.transport))) for probe in probes]
    try:
        await asyncio.wait(tasks, timeout=target.deadline - loop.time())
    finally:
        for task in tasks:
            task.cancel()  # what has not ended by now says goodbye
        await asyncio.gather(*tasks, return_exceptions=True)
    for task, probe in zip(tasks, probes, strict=True):
        if task.cancelled():
            probe.time_is_up()
        else:
            task.result()
    return Examination(
        url=str(address),
        proxy=via,
        realtime=target.realtime,
        findings=tuple(findings),
        order=_order(findings),
        advice=remedies(findings, target),
        seconds=loop.time() - started,
    )


def _order(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What works as it should in the usual order, then what works with a delay, then what is cut when idle.

    Where requests of one session went astray, those of the transports that got through did not by luck: only what needs
    no second request is left.
    """
    rank = {"ok": 0, "lagged": 1, "cut": 2}
    astray = any(finding.state == "astray" for finding in findings)
    through = [
        finding
        for finding in findings
        if finding.through and not (astray and not has_shape(finding.transport, Shape.DUPLEX))
    ]
    usual = list(ALL_TRANSPORTS)
    through.sort(key=lambda finding: (rank.get(finding.state, 0), usual.index(finding.transport)))
    return tuple(finding.transport for finding in through)


def _proxy(target: URL, proxy: str | URL | None) -> str | None:
    """The forward proxy that requests will take, without its password."""
    if proxy is None:
        named = urllib.request.getproxies().get(target.scheme)
        if not named or urllib.request.proxy_bypass(target.host or ""):
            return None
        proxy = named
    what = "what is said"  # which may have a password in it
    try:
        url = URL(proxy)
        what = repr(f"{url.scheme}://{url.host}") if url.host else what
        if url.scheme == "http" and url.host:
            return str(url.with_user(None))
    except ValueError:
        pass
    raise LocalProtocolError(f"a proxy's URL looks like http://host:3128, not {what}")
