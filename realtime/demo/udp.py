"""The demo's WebTransport: on a free UDP port, with a certificate of its own making that browsers take by its hash."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

from ..core.errors import LocalProtocolError
from ..testing import make_certificate
from ..webtransport.options import WebTransport

__all__ = ["own_webtransport"]


@contextlib.contextmanager
def own_webtransport(host: str) -> Iterator[WebTransport | None]:
    """What setup() takes, to listen on the address `host`. None where aioquic is not installed."""
    with tempfile.TemporaryDirectory(prefix="realtime-demo-") as folder:
        try:
            made = make_certificate(folder)
            options = WebTransport(port=0, host=host or None, certificate=made.certificate, key=made.key)
        except (ImportError, LocalProtocolError):
            options = None
        yield options
