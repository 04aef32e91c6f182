"""htmlfile: a script block a batch, in a document that begins with the function it calls."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import LocalProtocolError
from realtime.transports.base import Facts, Frame
from realtime.transports.htmlfile import HtmlFile

from .streams import PIECES, AnyStream, read_stream

TRANSPORT = HtmlFile()


class TestHtmlFile(AnyStream):
    """What all streams have in common."""

    transport = TRANSPORT


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == (
        "htmlfile",
        "GET",
        Shape.STREAM,
        False,
    )
    head = TRANSPORT.head(Facts(callback="_rt3"))
    assert head.status == 200
    assert dict(head.headers)["Content-Type"] == "text/html; charset=utf-8"
    assert TRANSPORT.tail() == b"</body></html>\r\n"


def test_the_document_begins_with_the_function_and_padding() -> None:
    document, _, padding = TRANSPORT.head(Facts(callback="_rt3")).prelude.partition(b"<body>\r\n")
    assert padding == b" " * 2048 + b"\r\n"
    assert document.startswith(b'<!DOCTYPE html>\r\n<html><head><meta charset="utf-8">')
    assert document.count(b"<script>") == document.count(b"</script>") == 1
    assert b"parent._rt3(b)" in document
    assert b'parent.postMessage("_rt3"+b,"*")' in document


def test_there_is_no_document_without_a_function() -> None:
    for name in ("", "alert(1)"):
        with pytest.raises(LocalProtocolError):
            TRANSPORT.head(Facts(callback=name))


def test_the_framing() -> None:
    parts = [TRANSPORT.frame("r1,0"), TRANSPORT.frame("m</é>")]
    assert list(TRANSPORT.wrap(parts)) == [
        rb'<script>r("[\"r1,0\",\"m\u003c\/\\u00e9\u003e\"]")</script>' + b"\r\n",
    ]


@PIECES
@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (rb'<script>r("[\"m1\"]")</script>' + b"\n", ["m1"]),
        (rb'<p>hello</p><script>r("[\"m1\"]")</script>' + b"\n", []),
        (rb'<script>r("[\"m1\"]")</script>', []),
        (rb'<script>q("[\"m1\"]")</script>' + b"\n", []),
        (b"<html>\r\n\r\n", []),
    ],
)
def test_blocks_and_what_stands_beside_them(size: int, data: bytes, frames: list[Frame]) -> None:
    assert read_stream(TRANSPORT, data, size) == frames
