"""The TCP port of an endpoint's STOMP, as an application has asked for it. What listens there is gates/stomp."""

from __future__ import annotations

import ssl

from .bound import Sizes

__all__ = ["Port"]


class Port:
    """Where to listen, and how."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, sizes: Sizes) -> None:
        self.host: str = host
        self.port: int = port
        self.tls: ssl.SSLContext | None = tls
        self.sizes: Sizes = sizes
        self.addresses: list[tuple[str, int]] = []  # where it listens now
