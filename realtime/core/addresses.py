"""Addresses of clients: what limits per address count, and the networks that evidence is kept for."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["address_key", "network_of", "parse_address"]


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
