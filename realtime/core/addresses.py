"""Addresses of clients: what limits per address count, the networks that evidence is kept for, and the proxies that are
believed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .errors import LocalProtocolError

__all__ = ["UNIX", "address_key", "check_proxies", "network_of", "parse_address"]

UNIX = "unix"


def parse_address(address: str) -> IPv4Address | IPv6Address | None:
    """The address that this text names, without its zone; None for anything else.

    An IPv4 address within an IPv6 one (`::ffff:192.0.2.1`) is an IPv4 address.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def check_proxies(trusted: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    """The networks that the setting trusted_proxies names, as addresses are compared with them; beside them there may
    be UNIX, for whoever connects over a Unix socket. Raises LocalProtocolError for anything else."""
    networks = []
    for name in trusted:
        if name == UNIX:
            continue
        try:
            networks.append(ip_network(name))
        except ValueError as error:
            raise LocalProtocolError(
                f'trusted_proxies: {error}; it takes addresses and networks, such as "127.0.0.1" or "10.0.0.0/8",'
                f' and "{UNIX}"'
            ) from None
    return networks


@lru_cache(maxsize=1024)  # a client comes again, and many come from one network
def address_key(address: str | None) -> str:
    """What limits per address count: an IPv4 address, or the /64 that one IPv6 client has to itself. Empty for none."""
    parsed = parse_address(address or "")
    if parsed is None:
        return ""
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


@lru_cache(maxsize=1024)
def network_of(address: str | None) -> str:
    """The network an address belongs to, for what is remembered: IPv4 /24, IPv6 /48, "" for anything else."""
    parsed = parse_address(address or "")
    if parsed is None:
        return ""
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
