"""The JavaScript client as files: names, caching, compression, other origins, and what is there when nothing is."""

from __future__ import annotations

import gzip
import hashlib
import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.web import bundle, plugin
from realtime.web.bundle import Bundle

from .place import Place, serving

pytestmark = pytest.mark.usefixtures("quiet_log")

CONTENT = {
    "client.js": b"var Realtime = 1;\n//# sourceMappingURL=realtime.js.map\n" + b"// padding\n" * 100,
    "client.mjs": b"export const Realtime = 1;\n//# sourceMappingURL=realtime.mjs.map\n",
    "events.js": b"var RealtimeEvents = 1;\n//# sourceMappingURL=events.js.map\n",
    "events.mjs": b"export const events = 1;\n//# sourceMappingURL=events.mjs.map\n",
    "webtransport.js": b"var RealtimeWebTransport = 1;\n//# sourceMappingURL=webtransport.js.map\n",
    "webtransport.mjs": b"export const webtransport = 1;\n//# sourceMappingURL=webtransport.mjs.map\n",
    "webtransport.js.map": json.dumps({"version": 3, "file": "webtransport.js"}).encode(),
    "webtransport.mjs.map": json.dumps({"version": 3, "file": "webtransport.mjs"}).encode(),
    "events.js.map": json.dumps({"version": 3, "file": "events.js"}).encode(),
    "events.mjs.map": json.dumps({"version": 3, "file": "events.mjs"}).encode(),
    "realtime.js.map": json.dumps({"version": 3}).encode(),
    "realtime.mjs.map": json.dumps({"version": 3, "file": "realtime.mjs"}).encode(),
}
TYPES = {".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8"}
NAMES = pytest.mark.parametrize("name", CONTENT)
FOREVER = "public, max-age=31536000, immutable"


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the real one."""
    for name, content in CONTENT.items():
        (tmp_path / name.replace("client", "realtime")).write_bytes(content)
    monkeypatch.setattr(plugin, "BUNDLE", Bundle(tmp_path))
    return tmp_path


@pytest.fixture
async def place(dist: Path) -> AsyncIterator[Place]:
    """A server that has these files."""
    async with serving() as place:
        yield place


async def get(place: Place, path: str, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """The answer, as it came."""
    told = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.request(method, place.base + path, headers=told) as response,
    ):
        return response, await response.read()


def hashed(name: str) -> str:
    """The name that holds the hash."""
    stem, dot, rest = name.partition(".")
    return f"{stem}-{hashlib.sha256(CONTENT[name]).hexdigest()[:16]}{dot}{rest}"


@NAMES
async def test_the_files(place: Place, name: str) -> None:
    response, body = await get(place, f"/realtime/{name}")
    assert (response.status, body) == (200, CONTENT[name])
    headers = response.headers
    assert headers["Content-Type"] == TYPES.get(Path(name).suffix, "application/json; charset=utf-8")
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in headers
    tag = headers["ETag"]
    for asked in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response, body = await get(place, f"/realtime/{name}", If_None_Match=asked)
        assert (response.status, body, response.headers["ETag"]) == (304, b"", tag)
        assert response.headers["Cache-Control"] == "no-cache"
    response, _ = await get(place, f"/realtime/{name}", If_None_Match='"x"')
    assert response.status == 200


@NAMES
async def test_a_name_with_the_hash_is_for_ever(place: Place, name: str) -> None:
    response, body = await get(place, f"/realtime/{hashed(name)}")
    assert (response.status, body, response.headers["Cache-Control"]) == (200, CONTENT[name], FOREVER)
    stem, dot, rest = name.partition(".")
    for wrong in (f"{stem}-{'0' * 16}{dot}{rest}",):
        response, body = await get(place, f"/realtime/{wrong}")
        assert response.status == 404
        assert name.encode() in body
        assert "immutable" not in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    "name", ["client-.js", "client-abc.js", f"client-{'A' * 16}.js", "client.js.map", "realtime.js"]
)
async def test_other_names_are_no_files(place: Place, name: str) -> None:
    response, _ = await get(place, f"/realtime/{name}")
    assert response.status == 404


async def test_head_and_other_methods(place: Place) -> None:
    response, body = await get(place, "/realtime/client.js", "HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(CONTENT["client.js"])
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        response, _ = await get(place, "/realtime/client.js", method)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


CONDITIONS = [
    ({"If-None-Match": "TAG"}, 304),
    ({"If-None-Match": "W/TAG"}, 304),
    ({"If-None-Match": '"a", W/"b,c" ,TAG'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": " * "}, 304),
    ({"If-None-Match": '"x"'}, 200),
    ({"If-None-Match": '"TEXT" , "TEXTx", "xTEXT"'}, 200),
    ({"If-None-Match": '"a,TEXT,b"'}, 200),
    ({"If-None-Match": 'xTAG, TAG"y"'}, 200),
    ({"If-None-Match": "TEXT"}, 200),
    ({"If-None-Match": ""}, 200),
    ({"If-Match": "TAG"}, 200),
    ({"If-Match": '"x", TAG'}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"x"'}, 412),
    ({"If-Match": "W/TAG"}, 412),
    ({"If-Match": ""}, 412),
    ({"If-Match": '"x"', "If-None-Match": "TAG"}, 412),
    ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
]


def conditions(tag: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers, with this tag in them."""
    return {name: value.replace("TAG", tag).replace("TEXT", tag[1:-1][:-1]) for name, value in headers.items()}


@pytest.mark.parametrize(("headers", "status"), CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/realtime/client.js", "/realtime/pages/iframe-1.6.1.html"])
async def test_conditions(method: str, path: str, headers: dict[str, str], status: int, dist: Path) -> None:
    def prepare(place: Place) -> None:
        @place.rt.endpoint("/pages", sockjs=True)
        async def pages(session: realtime.Session) -> None:
            raise AssertionError

    async with serving(prepare=prepare) as place:
        page = {"Referer": place.url("/page")}  # an iframe shows whose it is
        tag = (await get(place, path, **page))[0].headers["ETag"]
        response, body = await get(place, path, method, **page, **conditions(tag, headers))
        assert response.status == status
        if status == 304:
            assert (body, response.headers["ETag"], "Content-Type" in response.headers) == (b"", tag, False)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("", False),
        ("gzip;q=x", False),
        ("gzip;level=1", True),
    ],
)
async def test_compression(place: Place, accepted: str, packed: bool) -> None:
    plain, _ = await get(place, "/realtime/client.js")
    response, body = await get(place, "/realtime/client.js", Accept_Encoding=accepted)
    assert ("gzip" in response.headers.get("Content-Encoding", "")) is packed
    assert (gzip.decompress(body) if packed else body) == CONTENT["client.js"]
    assert (response.headers["ETag"] != plain.headers["ETag"]) is packed
    again, _ = await get(place, "/realtime/client.js", Accept_Encoding=accepted, If_None_Match=response.headers["ETag"])
    assert again.status == 304


async def test_any_origin_may_load_them(place: Place) -> None:
    response, _ = await get(place, "/realtime/client.js", Origin="https://elsewhere.example")
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, "*")


def empty(folder: Path) -> None:
    """Takes the files away."""
    for file in folder.iterdir():
        file.unlink()


@NAMES
async def test_files_that_are_missing(dist: Path, name: str) -> None:
    empty(dist)
    async with serving() as place:
        for asked in (name, hashed(name)):
            response, body = await get(place, f"/realtime/{asked}")
            assert response.status == 503
            assert b"build the JavaScript client first" in body
        assert realtime.client_url(place.app) == "/realtime/client.js"


async def test_the_address_for_templates(dist: Path) -> None:
    inner = web.Application()
    rt, other = realtime.Server(), realtime.Server()
    realtime.setup(inner, rt)
    realtime.setup(inner, other, prefix="/other")
    seen: list[str] = []

    async def page(request: web.Request) -> web.Response:
        seen.append(realtime.client_url(request))
        seen.append(realtime.client_url(request, "client.mjs", prefix="/other"))
        seen.append(realtime.client_url(request, "events.js"))
        return web.Response()

    inner.router.add_get("/page", page)
    async with serving(prepare=lambda place: place.app.add_subapp("/inner", inner)) as place:
        assert realtime.client_url(place.app) == f"/realtime/{hashed('client.js')}"
        response, _ = await get(place, "/inner/page")
        assert response.status == 200
        assert seen == [
            f"/inner/realtime/{hashed('client.js')}",
            f"/inner/other/{hashed('client.mjs')}",
            f"/inner/realtime/{hashed('events.js')}",
        ]
        for url in seen:
            response, _ = await get(place, url)
            assert (response.status, response.headers["Cache-Control"]) == (200, FOREVER)
        with pytest.raises(realtime.LocalProtocolError, match=r"setup\(app"):
            realtime.client_url(place.app, prefix="/elsewhere")
        with pytest.raises(realtime.LocalProtocolError, match=r"client\.css"):
            realtime.client_url(place.app, "client.css")


def test_without_a_folder_the_files_are_those_of_the_package_or_of_the_checkout() -> None:
    folder = Bundle().folder
    assert folder.parts[-2:] in (("client-js", "dist"), ("realtime", "static"))


def test_wheels_have_the_files_where_the_server_looks_for_them() -> None:
    root = Path(__file__).parents[2]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "client-js/dist" in wheel["only-include"]
    assert root / wheel["sources"]["client-js/dist"] == bundle.PACKAGED
    assert root / "client-js" / "dist" == bundle.BUILT
