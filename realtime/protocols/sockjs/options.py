"""What an endpoint says of its SockJS clients, checked when made; and the page that brings some into its origin."""

from __future__ import annotations

import dataclasses
import re

from ...core.config import Config
from ...core.dialects import Dialect
from ...core.errors import LocalProtocolError
from ...core.settings import check, flag, number, text, whole

__all__ = ["CLIENT_INTEGRITY", "CLIENT_URL", "SockJS", "iframe_page"]

_URL = re.compile(r"""(?:https?:/)?/[^\s"'<>&\\]+""")
# A script from elsewhere runs in our origin, so it has to be the one that was meant (W3C Subresource Integrity).
_INTEGRITY = re.compile(r"sha(?:256-[A-Za-z0-9+/]{43}=|384-[A-Za-z0-9+/]{64}|512-[A-Za-z0-9+/]{86}==)")
CLIENT_URL = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"
CLIENT_INTEGRITY = "sha384-svdnwiXBL+Js+yUneJSRFy24NgGiOfDM/vkQl/vCeVrcbYD6yW8EwPr1FnxTEZsR"
_RULES = {
    "websocket": flag(),
    "cookie_needed": flag(),
    "heartbeat_delay": number(0, above=True),
    "disconnect_delay": number(0, above=True),
    "response_limit": whole(4096),
    "client_url": text("a URL or a path"),
    "client_integrity": text('hashes such as "sha384-…", "" for the right ones').or_none("none"),
}
_IFRAME = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{}"{}></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SockJS(Dialect):
    """The options of SockJS at one endpoint: `@rt.endpoint("/chat", sockjs=realtime.SockJS(cookie_needed=True))`.

    `heartbeat_delay` and `disconnect_delay` are in seconds, `response_limit` in bytes with all framing. `client_url` is
    the script that the iframe page loads, and `client_integrity` its hash, as in HTML ("sha384-…", several with spaces
    between them). The default script has one, and a script of the server's own origin ("/…") needs none; for any
    other the hash has to be given, or None, which lets whoever serves that URL run what they like in your origin.
    Raises TypeError for a misspelt option, LocalProtocolError for one out of bounds.
    """

    websocket: bool = True
    cookie_needed: bool = False
    heartbeat_delay: float = 25.0
    disconnect_delay: float = 5.0
    response_limit: int = 131_072
    client_url: str = CLIENT_URL
    client_integrity: str | None = ""  # not said

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            check(name, getattr(self, name), rule)
        if not _URL.fullmatch(self.client_url):
            raise LocalProtocolError(
                f'client_url={self.client_url!r}: must start with "/", "http://" or "https://" and need no quoting'
            )
        if self.client_integrity:
            if not all(_INTEGRITY.fullmatch(value) for value in self.client_integrity.split(" ")):
                raise LocalProtocolError(
                    f'client_integrity={self.client_integrity!r}: must be like "sha384-…", with the hash in base64'
                )
        elif self.client_integrity is not None and not self._is_known:
            raise LocalProtocolError(
                f"client_url={self.client_url!r} is a script of another origin: give its hash, client_integrity="
                '"sha384-…", or client_integrity=None for a script that may change'
            )

    @property
    def _is_known(self) -> bool:
        """Whether the script is the default one, or of the server's own origin."""
        return self.client_url == CLIENT_URL or not self.client_url.startswith(("//", "http:", "https:"))

    @property
    def script_integrity(self) -> str | None:
        """The hash that the iframe page names, if any."""
        if self.client_integrity != "":
            return self.client_integrity
        return CLIENT_INTEGRITY if self.client_url == CLIENT_URL else None

    def settings(self, config: Config) -> Config:
        """The settings of a session, from those of its endpoint."""
        return dataclasses.replace(
            config,
            ping_interval=self.heartbeat_delay,
            resume_window=self.disconnect_delay,
            max_stream_size=self.response_limit,
            max_batch_size=min(config.max_batch_size, self.response_limit),
        )


def iframe_page(options: SockJS) -> bytes:
    """The page that brings a client into its server's origin."""
    integrity = options.script_integrity
    attributes = f' integrity="{integrity}" crossorigin="anonymous"' if integrity else ""
    return _IFRAME.format(options.client_url, attributes).encode()
