"""What of QUIC is loaded only when it is used, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .failures import Progress

if TYPE_CHECKING:
    from .client import Channel

__all__ = ["ABSENT", "open_channel"]

ABSENT = "WebTransport needs aioquic: pip install 'aiohttp-realtime[webtransport]'"


async def open_channel(
    host: str,
    port: int,
    path: str,
    headers: Sequence[tuple[str, str]],
    digest: bytes = b"",
    progress: Progress | None = None,
) -> Channel:
    """See client.open_channel(). Raises ImportError, with a sentence, where aioquic is missing."""
    try:
        from .client import open_channel as opening
    except ImportError as error:
        raise ImportError(f"{ABSENT} ({error})") from None
    return await opening(host, port, path, headers, digest, progress)
