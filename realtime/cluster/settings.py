"""What makes a server one worker of several, any of which takes any request."""

from __future__ import annotations

import dataclasses
import os
import ssl
from collections.abc import Sequence
from typing import Any

from ..brokers.base import Stores
from ..core.errors import LocalProtocolError
from ..core.settings import check, number, shown
from .places import PLACES, place_of

__all__ = ["Cluster"]

VARIABLE = "REALTIME_SECRET"
MIN_SECRET = 32  # characters
_WILD = ("0.0.0.0", "[::]")
_DRAW = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Cluster:
    """The settings of realtime.Cluster, which see (joined)."""

    secret: str | Sequence[str] | None = None
    listen: str | None = None
    advertise: str | None = None
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
    lease: float = 10.0
    drain_timeout: float = 20.0

    def __post_init__(self) -> None:
        check("lease", self.lease, number(0, above=True))
        check("drain_timeout", self.drain_timeout, number(0))
        for name in ("listen", "advertise"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name}={shown(value)}: takes {PLACES}, not {type(value).__name__}")
        tls: Any = self.tls
        if tls is not None and (
            not isinstance(tls, (tuple, list)) or [isinstance(one, ssl.SSLContext) for one in tls] != [True, True]
        ):
            raise TypeError("tls takes two ssl.SSLContext: for the listening side, and for the connecting side")
        self.secrets  # noqa: B018  # raises
        listens = None if self.listen is None else place_of(self.listen, "listen")
        if self.advertise is not None:
            told = place_of(self.advertise, "advertise")
            if (told.path and told.path.endswith("/")) or (told.host and not told.port):
                raise LocalProtocolError(
                    f"advertise={shown(self.advertise)}: others have to know the socket, or the port: not a folder, not"
                    " port 0"
                )
        elif listens is not None and str(listens).startswith(tuple(f"tcp://{wild}:" for wild in _WILD)):
            raise LocalProtocolError(
                f"listen={shown(self.listen)} is every address of this machine: say with advertise= by which the others"
                ' reach it, such as advertise="tcp://10.0.0.5:7000"'
            )

    def check_broker(self, broker: Stores) -> None:
        """Raises LocalProtocolError where a worker that is cut off from the store would find that out when its lease
        has run out, or hardly before."""
        if broker.timeout > self.lease / 2:
            raise LocalProtocolError(
                f"lease={self.lease:g}: takes at least twice the broker's timeout of {broker.timeout:g} s, after which"
                " a worker finds out that it is cut off, and connects again to renew its lease"
            )

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The first signs, all are taken. Raises LocalProtocolError where there are none, or one is too short."""
        given: Any = self.secret
        if given is None:
            given = os.environ.get(VARIABLE)
            if not given:
                raise LocalProtocolError(
                    f"a cluster needs a secret, the same at all workers: Cluster(secret=…), or the environment variable"
                    f" {VARIABLE}. To draw one: {_DRAW}"
                )
        several = (given,) if isinstance(given, str) else given
        if not isinstance(several, (tuple, list)) or not all(isinstance(one, str) for one in several):
            raise TypeError(f"secret takes a str, or several, not {type(given).__name__}")
        if not several or any(len(one) < MIN_SECRET for one in several):
            raise LocalProtocolError(f"secret: takes at least {MIN_SECRET} characters. To draw one: {_DRAW}")
        return tuple(one.encode("utf-8", "surrogatepass") for one in several)

    def __repr__(self) -> str:
        return f"<Cluster listen={self.listen!r} advertise={self.advertise!r} lease={self.lease:g}>"  # no secret
