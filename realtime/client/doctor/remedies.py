"""What to do about what an examination found: sentences for whoever runs the server, or what stands before it.

Pure text; docs/deployment.md has the whole configurations.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...transports import WEBTRANSPORT
from ..drivers.webtransport import Place
from .findings import Finding
from .probing import Target

__all__ = ["remedies"]

STRIPPED = (
    "Something in between removes the Upgrade header of WebSocket handshakes. nginx needs proxy_http_version 1.1,"
    " proxy_set_header Upgrade $http_upgrade and proxy_set_header Connection $connection_upgrade; haproxy passes it"
    " unless a rule deletes it (http-request del-header Upgrade). A forward proxy passes WebSockets only over https."
)
REFUSED = (
    "Something in between answers {names} with HTTP {status}; the server never saw it. Allow it there (haproxy: look"
    " for http-request deny; firewalls: WebSocket or unknown traffic), or serve over https, where it can't be told."
)
BUFFERED = (
    "Streams are held back until they end. nginx obeys the server's X-Accel-Buffering: no, unless proxy_ignore_headers"
    " says otherwise: set proxy_buffering off and proxy_http_version 1.1. haproxy: remove http-response wait-for-body."
    " Proxies that scan or compress answers have to let text/event-stream pass."
)
LAGGED = (
    "Small pieces of streams are held back for {lag:.2g} s. haproxy needs option http-no-delay; nginx tcp_nodelay on."
)
CUT = (
    "Idle connections are cut after {after:.1f} s ({names}). Raise the limit (nginx: proxy_read_timeout; haproxy:"
    " timeout client, timeout server and timeout tunnel), or set ping_interval below it{now}."
)
KILLED = "{names}: opened and cut at once. Look for a firewall or antivirus that inspects traffic, or use https."
TLS = "If TLS is spoken at that port, the URL begins with https:."
STRANGER = (
    "Browsers will not take the server's certificate either. Where its authority is your own, name that in the"
    " environment: SSL_CERT_FILE=/path/to/authority.pem."
)
DARK = (
    "UDP does not get through to port {port} of {host}, or not back: open it for UDP in firewalls and containers"
    " (docker: -p {port}:{port}/udp), and see that what spreads the load passes UDP too. Until then who wants"
    " WebTransport waits a moment, once, and goes by another transport."
)
CLOSED = (
    "Nothing listens on UDP port {port} of {host}: if it is another port or host from outside, say so with public_port"
    " and public_host of WebTransport."
)
UNTRUSTED = (
    "The certificate at UDP port {port} of {host} is not taken. It has to be good for that host, with its chain, from"
    " an authority that clients know, and not expired. One of no authority is taken by its hash alone: with a key on"
    " P-256, and for 14 days at the most."
)
OTHER = (
    "Something else than this server's WebTransport answers at UDP port {port} of {host}: perhaps a proxy that speaks"
    " HTTP/3 itself. Give WebTransport a port of its own."
)
SILENT = (
    "{names}: something in between takes the request and lets no answer through. Look for inspection of what it does"
    " not know, or use https."
)
ASTRAY = (
    "Requests of one session reach different servers or worker processes. Make these a cluster (Server(broker=…,"
    " cluster=…)), let the proxy send them to the same one (haproxy: balance source or stick-table; nginx: ip_hash or"
    " hash), or run one process."
)
ALTERED = "Something in between changes requests: {what}. Look for rewriting of paths, queries or bodies."
POLICY = (
    "The server itself refuses {names} ({what}). That is its own decision and says nothing about the network: another"
    " setting of the server, not of the proxy, would change it."
)
NOWHERE = "The server answers, but {what} In the URL it stands behind the prefix of setup(): /realtime/chat."
UNAUTHORIZED = (
    "The server's authorize hook refuses {names} ({what}). Give what it goes by: --auth, or --header (a Cookie, an"
    " Authorization)."
)
FOREIGN = (
    "Nothing at this address speaks the protocol of realtime: check the path (the prefix of setup() and the endpoint's"
    " own, such as /realtime/chat), and that the proxy passes everything below it."
)
PROXY_AUTH = "The forward proxy wants a user name and password: --proxy http://user:password@host:port."


def remedies(findings: Sequence[Finding], target: Target) -> tuple[str, ...]:
    """Each piece of advice once, the most helpful first."""
    advice: list[str] = []

    def found(*states: str, through: bool | None = None) -> list[Finding]:
        return [f for f in findings if f.state in states and (through is None or f.through is through)]

    if any(finding.status == 407 for finding in findings):
        advice.append(PROXY_AUTH)
    elif not target.realtime and found("foreign", "refused"):
        advice.append(FOREIGN)
    if found("stripped"):
        advice.append(STRIPPED)
    if target.realtime:
        by_status: dict[int | None, list[Finding]] = {}
        for finding in found("refused", "foreign"):
            if finding.transport == WEBTRANSPORT.name:
                continue
            by_status.setdefault(finding.status, []).append(finding)
        advice += [REFUSED.format(names=_names(group), status=status) for status, group in by_status.items()]
    if found("buffered"):
        advice.append(BUFFERED)
    if lagged := found("lagged"):
        advice.append(LAGGED.format(lag=max(finding.lag or 0.0 for finding in lagged)))
    if cut := found("cut", through=True):
        after = min(finding.cut_after or 0.0 for finding in cut)
        interval = target.ping_interval
        now = f" (it is {interval:g} s)" if interval is not None else " (there are no pings now)"
        advice.append(CUT.format(after=after, names=_names(cut), now=now))
    if killed := found("cut", through=False):
        advice.append(KILLED.format(names=_names(killed)))
        if not target.realtime and target.url.scheme == "http":
            advice.append(TLS)
    if any(finding.transport != WEBTRANSPORT.name for finding in found("untrusted")):
        advice.append(STRANGER)
    if silent := found("mute", "hung"):
        advice.append(SILENT.format(names=_names(silent)))
    if found("astray"):
        advice.append(ASTRAY)
    if altered := found("altered"):
        advice.append(ALTERED.format(what=altered[0].what))
    advice += _about_udp(findings, target)
    by_code: dict[int | None, list[Finding]] = {}
    for finding in found("policy"):
        by_code.setdefault(finding.code, []).append(finding)
    advice += [_about_policy(code, group) for code, group in by_code.items()]
    return tuple(advice)


def _about_policy(code: int | None, refused: Sequence[Finding]) -> str:
    """What to do about a refusal of the server's own."""
    what = refused[0].what
    _, nowhere, path = what.partition("there is no endpoint")
    if nowhere:
        return NOWHERE.format(what=nowhere + path)
    return (UNAUTHORIZED if code == 4401 else POLICY).format(names=_names(refused), what=what)


def _about_udp(findings: Sequence[Finding], target: Target) -> list[str]:
    """What a port of WebTransport needs."""
    where = target.webtransport
    told = {"dark": DARK, "unreachable": CLOSED, "untrusted": UNTRUSTED, "foreign": OTHER}
    if not isinstance(where, Place):
        return []
    states = [finding.state for finding in findings if finding.transport == WEBTRANSPORT.name]
    return [told[state].format(host=where.host, port=where.port) for state in states if state in told]


def _names(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.transport for finding in findings)
