"""Forms: their fields, and the documents that answer them."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts
from realtime.transports.form import Form, begun_field, parse_fields, parse_text_field
from realtime.transports.long_polling import LongPolling
from realtime.transports.polling import Polling

FORM = Form(LongPolling())


def test_it_is_the_transport_that_it_carries() -> None:
    assert (FORM.name, FORM.method, FORM.shape, FORM.held) == ("long_polling", "POST", Shape.POLL, True)
    assert (Form(Polling()).name, Form(Polling()).held) == ("polling", False)


def test_the_answer_is_a_document_that_calls_once() -> None:
    head = FORM.head(Facts(callback="_rt3"))
    assert head.status == 200
    assert dict(head.headers) == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store, no-transform",
        "X-Content-Type-Options": "nosniff",
    }
    (block,) = FORM.wrap([FORM.frame("a1,0"), FORM.frame("m</script>")])
    assert block == rb'<script>r("[\"a1,0\",\"m\u003c\/script\u003e\"]")</script>' + b"\r\n"
    body = head.prelude + block + FORM.tail()
    assert b"parent._rt3(b)" in body
    assert body.endswith(b"</body></html>\r\n")
    decoder = FORM.decoder(10, 1000)
    assert decoder.feed(body) + decoder.end() == ["a1,0", "m</script>"]


@given(st.binary(), st.binary())
def test_what_a_browser_encodes_is_read(batch: bytes, callback: bytes) -> None:
    body = urlencode({"batch": batch, "other": "é", "callback": callback}).encode()
    assert parse_fields(body, "callback", "batch") == [callback, batch]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", None),
        (b"batch", b""),
        (b"batch=", b""),
        (b"&&batch=a=b&&", b"a=b"),
        (b"batch=a+b%2B%20", b"a b+ "),
        (b"batch=\\x41\\n%5c", b"\\x41\\n\\"),
        (b"batch=\xc3\xa9%ff", b"\xc3\xa9\xff"),
        (b"other=1&other=2&%=&batch=x", b"x"),
        (b"Batch=1", None),
    ],
)
def test_fields(body: bytes, value: bytes | None) -> None:
    assert parse_fields(body, "batch") == [value]


@pytest.mark.parametrize("body", [b"batch=%", b"batch=%4", b"batch=%zz", b"batch=%%41", b"batch=1&batch=2", b"&" * 40])
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_fields(body, "batch", "callback")
    assert caught.value.close_code == 4400


def test_a_field_that_is_text() -> None:
    assert parse_text_field(b"frame=o%7B%7D+%c3%a9&x=%ff", "frame") == "o{} é"
    assert parse_text_field(b"x=1", "frame") is None
    assert parse_text_field(b"frame", "frame") == ""
    for broken in (b"frame=%ff", b"frame=%ed%a0%80", b"frame=%", b"frame=1&frame=2"):
        with pytest.raises(RemoteProtocolError, match="frame") as caught:
            parse_text_field(broken, "frame")
        assert caught.value.close_code == 4400


def test_encoding_all_of_a_large_body_costs_little() -> None:
    started = time.process_time()
    parse_fields(b"batch=" + b"%41" * 3_000_000, "batch")
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("beginning", "value"),
    [
        (b"batch=%5B%22rs1", b'["rs1'),
        (b"callback=f&batch=%5B%22rs1%2", b'["rs1'),
        (b"callback=f&bat", None),
        (b"mybatch=x", None),
    ],
)
def test_how_a_field_begins(beginning: bytes, value: bytes | None) -> None:
    assert begun_field(beginning, "batch") == value
