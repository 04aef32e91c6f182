"""Who a request comes from, and which host and scheme it asked for: what the connection says, or a trusted proxy.

Forwarded headers can be written by anybody, so they count only on connections from `trusted_proxies`. The list is read
from its right end, past those who are trusted too: the first who is not is the client. Where there are X-Forwarded-*
headers, Forwarded (RFC 7239) is not looked at: most proxies write the former and let the latter through unread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from ..core.addresses import UNIX, check_proxies, parse_address

__all__ = ["Origin", "Proxies"]

# name=value of RFC 7239 §4, and the commas between elements.
_PAIR = re.compile(r'\s*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*+"|[^\s",;]*)\s*)?([;,]|$)')
_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_PORT = re.compile(r":[0-9]{1,5}")


class Origin(NamedTuple):
    """Where a request comes from, as far as it is known."""

    remote: str | None  # the client's address
    host: str  # the host it asked for, with the port if it was named
    scheme: str  # http or https


class Proxies:
    """The proxies that are believed: addresses and networks such as "127.0.0.1" and "10.0.0.0/8", and "unix" for
    whoever connects over a Unix socket. Raises LocalProtocolError for anything else."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = check_proxies(trusted)
        self._unix = UNIX in trusted

    def trusts(self, address: str | None) -> bool:
        """Whether what this peer says of others is believed."""
        if not address:
            return self._unix
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def origin(self, remote: str | None, host: str, scheme: str, headers: CIMultiDictProxy[str]) -> Origin:
        """Where the request comes from, given what its connection and Host say.

        Who comes over IPv4 has an IPv4 address, also on a listener for both (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2).
        """
        if remote and ":" in remote:
            parsed = parse_address(remote)
            if isinstance(parsed, IPv4Address):
                remote = str(parsed)
        if not (self._networks or self._unix) or not self.trusts(remote):
            return Origin(remote, host, scheme)
        passed, hosts, schemes = _lists(headers)
        hops = 0
        while passed and self.trusts(remote):
            address = _address(passed.pop())
            if address is None:  # "unknown", hidden or nonsense: the proxy that said so is all that is known
                break
            remote = address
            hops += 1
        # Each proxy appends, or overwrites: then the list is shorter than the way.
        named = _from_right(hosts, hops)
        if named and _HOST.fullmatch(named):
            host = named
        how = _from_right(schemes, hops).lower()
        if how in ("http", "https"):
            scheme = how
        return Origin(remote, host, scheme)


def _address(text: str) -> str | None:
    """The address in an element of a list: as it is, or with a port, or in brackets."""
    text = text.strip()
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        fine = not port or _PORT.fullmatch(port)
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        fine = _PORT.fullmatch(":" + port)
    else:
        fine = True
    parsed = parse_address(text) if fine else None
    return None if parsed is None else str(parsed)


def _from_right(values: list[str], hops: int) -> str:
    return values[-min(max(hops, 1), len(values))].strip() if values else ""


def _lists(headers: CIMultiDictProxy[str]) -> tuple[list[str], list[str], list[str]]:
    """What the proxies say: addresses, hosts and schemes, the nearest proxy's last."""
    names = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
    if any(name in headers for name in names):
        passed, hosts, schemes = (",".join(headers.getall(name, [])) for name in names)
        return _split(passed), _split(hosts), _split(schemes)
    elements = _elements(",".join(headers.getall("Forwarded", [])))
    # An element that does not say breaks the list of addresses, and is passed over in the others.
    return (
        [element.get("for", "unknown") for element in elements],
        [element["host"] for element in elements if "host" in element],
        [element["proto"] for element in elements if "proto" in element],
    )


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]


def _elements(text: str) -> list[CIMultiDict[str]]:
    """The elements of Forwarded; what cannot be read makes all of it worthless."""
    elements: list[CIMultiDict[str]] = []
    element: CIMultiDict[str] = CIMultiDict()
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return []
        name, value, stop = match.groups()
        if name:
            element[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if stop != ";" and element:
            elements.append(element)
            element = CIMultiDict()
        at = match.end()
        if not stop:
            break
    return elements
