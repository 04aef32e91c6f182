"""Loads what listens, when an application wants it: aioquic is not imported before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..service import Service
from .options import WebTransport

if TYPE_CHECKING:
    from .listener import Listener

__all__ = ["listener"]


def listener(service: Service, options: WebTransport, prefix: str) -> Listener:
    """What listens while an application runs that serves this server below `prefix`."""
    from .listener import Listener

    return Listener(service, options, prefix)
