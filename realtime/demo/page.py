"""The page: its files, and the policy that says what it may load. For all but browsers, the same as plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

__all__ = ["Pages"]

FOLDER = Path(__file__).with_name("static")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# A host name or address as it may stand in the policy. Anything else is nobody's.
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",  # lanes on other ports know the page by it
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


class Pages:
    """`lines` are the endpoints with what they do; `ports` are those, besides its own, that the page may use, and `udp`
    those of WebTransport. `name` is its file, and `port` where the endpoints
    are, if not at its own.
    """

    def __init__(
        self,
        lines: Sequence[tuple[str, str]],
        ports: Callable[[], Sequence[int]],
        *,
        udp: Callable[[], Sequence[int]] = tuple,
        name: str = "index.html",
        port: int | None = None,
    ) -> None:
        self._lines = lines
        self._ports = ports
        self._udp = udp
        self._name = name
        self._port = port
        self._files = {
            path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES and path.is_file()
        }

    def hang_into(self, app: web.Application) -> None:
        """Adds the routes."""
        app.router.add_get("/", self._page)
        app.router.add_get(r"/demo/{name:[a-z-]+\.(?:css|js|svg)}", self._file)

    async def _page(self, request: web.Request) -> web.Response:
        if "text/html" in request.headers.get("Accept", ""):
            return self._answer(
                self._name, {"Content-Security-Policy": policy(request.host, self._ports(), self._udp())}
            )
        origin = f"{request.scheme}://{request.host}"
        if self._port is not None:
            origin = str(request.url.origin().with_port(self._port))
        lines = [f"  {origin}{path:<17} {what}" for path, what in self._lines]
        text = "\n".join(
            ["The demo of realtime.", "", *lines, "", f"Try: realtime connect {origin}{self._lines[0][0]}", ""]
        )
        return web.Response(text=text, headers={**SAFE, "Content-Security-Policy": "default-src 'none'"})

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            return web.Response(status=404, text="there is no such file\n", headers=SAFE)
        return self._answer(name, {})

    def _answer(self, name: str, headers: dict[str, str]) -> web.Response:
        kind = TYPES[Path(name).suffix]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers={**SAFE, **headers})


def policy(host: str, ports: Sequence[int], udp: Sequence[int] = ()) -> str:
    """The Content-Security-Policy of a page that was asked for at `host`: itself, and the demo's other ports there, of
    which `udp` are WebTransport's."""
    found = HOST.fullmatch(host)
    own = f" ws://{host} wss://{host}" if found else ""  # 'self' is not ws: everywhere
    others = "".join(f" http://{found[1]}:{port}" for port in ports) if found else ""
    sockets = others.replace(" http:", " ws:")
    sockets += "".join(f" https://{found[1]}:{port}" for port in udp) if found else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{others}",  # jsonp
            f"connect-src 'self'{own}{others}{sockets}",
            f"frame-src 'self'{others}",  # htmlfile
            f"form-action 'self'{others}",  # what those two send
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
