"""Vectors of batches and of whole requests against a running server: what it reads requests with reads as
tests/protocols says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from yarl import URL

from .peer import batch_of
from .place import Place, serving

pytestmark = pytest.mark.usefixtures("quiet_log")

VECTORS = Path(__file__).parents[1] / "vectors"
BATCHES: list[dict[str, Any]] = json.loads((VECTORS / "batches.json").read_text("ascii"))
REFUSALS: list[dict[str, Any]] = json.loads((VECTORS / "refusals.json").read_text("ascii"))
OPEN = '{"nonce":"aaaaaaaaaaaaaaaaaaaaaa","gen":1,"window":[16,65536]}'


def page_of(place: Place) -> dict[str, str]:
    """What a script tag or a form of a page of the server's own shows."""
    return {"Referer": f"{place.base}/page"}


async def refusal(place: Place, how: str, body: bytes) -> tuple[int, str]:
    """Code and reason of what such a batch is answered; a send, since nothing that is tried here is one's head."""
    url = place.url("/echo/v1/send")
    field = b"callback=take&batch=" + quote_from_bytes(body, safe="").encode()
    headers = page_of(place)
    if how == "query":
        request = place.http.get(URL(f"{url}?{field.decode()}", encoded=True), headers=headers)
    else:
        if how == "form":
            body = field
        headers["Content-Type"] = "application/x-www-form-urlencoded" if how == "form" else "text/plain"
        request = place.http.post(url, data=body, headers=headers)
    async with request as answer:
        text = await answer.text()
    frames = [json.loads(found) for line in text.splitlines() if (found := batch_of(line))[:1] == "["]
    code, _, _, reason = frames[0][0].removeprefix("x").split(",", 3)
    return int(code), reason


@pytest.mark.parametrize("how", ["body", "form", "query"])
async def test_a_server_reads_batches_as_the_vectors_say(how: str) -> None:
    async with serving() as place:
        for vector in BATCHES:
            if "max_frames" in vector or "max_bytes" in vector:
                continue
            body = base64.b64decode(vector["base64"]) if "base64" in vector else vector["body"].encode()
            code, reason = await refusal(place, how, body)
            assert code == 4400, vector["name"]
            # A batch that was read is refused only for what its first frame is.
            assert (("batch" in reason and "empty batch" not in reason) or "a body is one" in reason) is (
                "error" in vector
            ), (vector["name"], reason)


async def test_a_server_reads_no_packed_body_as_the_vectors_say() -> None:
    packed = [vector for vector in REFUSALS if "coding" in vector]
    assert len(packed) == 5
    async with serving() as place:
        url = place.url("/echo/v1/send")
        for vector in packed:
            assert vector["means"] == {"kind": "unread"}
            body = base64.b64decode(vector["base64"])
            async with place.http.post(url, data=body, headers={"Content-Encoding": vector["coding"]}) as answer:
                assert answer.status == vector["http"], vector["name"]
                assert not (await answer.text()).startswith("[")


FIELDS = [
    ("sse", "frame=oOPEN&frame=oOPEN", "frame comes twice"),
    ("sse", "frame=o%7", "the percent-encoding of frame is broken"),
    ("sse", "frame=o%ff", "frame is not UTF-8"),
    ("jsonp", "callback=take&frame=%ed%a0%80", "frame is not UTF-8"),
    ("websocket", "open=OPEN&open=OPEN", "open comes twice"),
    ("websocket", "open=%7", "the percent-encoding of open is broken"),
    ("websocket", "open=%ff", "open is not UTF-8"),
]


@pytest.mark.parametrize(("transport", "query", "words"), FIELDS)
async def test_a_query_is_read_as_a_form_is(place: Place, transport: str, query: str, words: str) -> None:
    url = URL(place.url(f"/echo/v1/{transport}?") + query.replace("OPEN", OPEN.replace('"', "%22")), encoded=True)
    if transport == "websocket":
        async with place.http.ws_connect(url) as ws:
            assert words in (said := await ws.receive_str())
            assert said.startswith("x4400,carrier,")
    else:
        async with place.http.get(url, headers=page_of(place)) as answer:
            text = await answer.text()
        assert "x4400,carrier," in text
        assert words in text
