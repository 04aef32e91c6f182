"""The JavaScript client as files below the prefix: client.js, client.mjs, the same of events and webtransport, their
source maps, and names with a hash.

Pages that name `client.js` ask each time whether it has changed, and are answered 304 as long as it has not; those that
use client_url() name the very content, and never ask again. Knows nothing of sessions.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from functools import cached_property
from pathlib import Path

from aiohttp import web

from .answers import bodiless
from .conditions import Precondition, weigh

__all__ = ["FILES", "Bundle"]

# In a wheel the files lie in the package; in a checkout, where they are built.
PACKAGED = Path(__file__).parents[1] / "static"
BUILT = Path(__file__).parents[2] / "client-js" / "dist"

SCRIPT = "text/javascript; charset=utf-8"
MAP = "application/json; charset=utf-8"
# name below the prefix -> name of the file, Content-Type
FILES = {
    "client.js": ("realtime.js", SCRIPT),
    "client.mjs": ("realtime.mjs", SCRIPT),
    "events.js": ("events.js", SCRIPT),
    "events.mjs": ("events.mjs", SCRIPT),
    "webtransport.js": ("webtransport.js", SCRIPT),
    "webtransport.mjs": ("webtransport.mjs", SCRIPT),
    "realtime.js.map": ("realtime.js.map", MAP),
    "realtime.mjs.map": ("realtime.mjs.map", MAP),
    "events.js.map": ("events.js.map", MAP),
    "events.mjs.map": ("events.mjs.map", MAP),
    "webtransport.js.map": ("webtransport.js.map", MAP),
    "webtransport.mjs.map": ("webtransport.mjs.map", MAP),
}
HASHED = re.compile(
    r"(client|events|webtransport)-([0-9a-f]{16})(\.js|\.mjs)"
    r"|(realtime|events|webtransport)-([0-9a-f]{16})(\.js\.map|\.mjs\.map)"
)
FOREVER = "public, max-age=31536000, immutable"
# A deployment has to show at once: a client that asks is answered 304, in one round trip and without a body.
ASK = "no-cache"
# Public files, which pages of any origin may load, also with `crossorigin` and from isolated pages.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}


class File:
    """The content of one file, compressed when that is first asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.hash: str = hashlib.sha256(content).hexdigest()[:16]

    @cached_property
    def compressed(self) -> bytes:
        """The same with gzip; always the same bytes, since its ETag says so."""
        return gzip.compress(self.content, 9, mtime=0)


class Bundle:
    """Serves the files of one folder; by default those that came with the package."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: dict[str, File] = {}

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder or (PACKAGED if PACKAGED.is_dir() else BUILT)

    def _file(self, name: str) -> File:
        """A file, read once. Raises OSError when there is none."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = File((self.folder / FILES[name][0]).read_bytes())
        return file

    def _there(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / FILES[name][0]).is_file()

    def hashed(self, name: str) -> str:
        """The name that holds the hash of the content. Raises OSError when there is no such file."""
        stem, dot, rest = name.partition(".")
        return f"{stem}-{self._file(name).hash}{dot}{rest}"

    async def serve(self, request: web.Request) -> web.Response:
        """GET or HEAD of any of the names."""
        if request.method not in ("GET", "HEAD"):
            return _sentence(405, f"{request.method[:16]} is not for files; use GET", Allow="GET, HEAD")
        asked = request.match_info["file"]
        found = HASHED.fullmatch(asked)
        parts = [part for part in found.groups() if part is not None] if found else []
        name = parts[0] + parts[2] if parts else asked
        if name not in FILES:
            return _sentence(404, f"there is no such file; there are {', '.join(FILES)}")
        try:
            if name not in self._files:
                await asyncio.get_running_loop().run_in_executor(None, self._file, name)
            file = self._files[name]
        except OSError:
            if name.endswith(".map") and self._there("client.js"):
                return _sentence(404, f"{name} is not installed: source maps come with the client's package for npm")
            return _sentence(
                503, f"{FILES[name][0]} is not there: build the JavaScript client first (client-js), or use a release"
            )
        if parts and parts[1] != file.hash:
            return _sentence(404, f"this is not the version that is served here; {name} always is")
        headers = HEADERS | {"Cache-Control": FOREVER if parts else ASK, "Content-Type": FILES[name][1]}
        body, tag = file.content, f'"{file.hash}"'
        if _takes_gzip(request.headers.get("Accept-Encoding", "")):
            if "compressed" not in vars(file):
                await asyncio.get_running_loop().run_in_executor(None, lambda: file.compressed)
            body, tag = file.compressed, f'"{file.hash}-gzip"'
            headers["Content-Encoding"] = "gzip"
        headers["ETag"] = tag
        condition = weigh(request, tag)
        if condition is Precondition.FAILED:
            return _sentence(412, f"{name} has another tag now: {tag}", ETag=tag, Vary="Accept-Encoding")
        if condition is Precondition.NOT_MODIFIED:
            for needless in ("Content-Type", "Content-Encoding"):
                headers.pop(needless, None)
            return bodiless(304, headers)
        return web.Response(body=body, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding takes gzip (RFC 9110 §12.5.3). What cannot be read takes nothing."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, value = parameter.partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        weights[coding.strip()] = weight
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _sentence(status: int, text: str, **headers: str) -> web.Response:
    safe = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*"}
    return web.Response(status=status, text=f"{text}\n", headers=safe | headers)
