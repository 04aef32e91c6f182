"""Long-polling: held, and one batch a body."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts
from realtime.transports.long_polling import LongPolling

TRANSPORT = LongPolling()


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == (
        "long_polling",
        "POST",
        Shape.POLL,
        True,
    )


def test_the_answer_is_text_that_nobody_caches_sniffs_or_changes() -> None:
    head = TRANSPORT.head(Facts())
    assert head.status == 200
    assert dict(head.headers) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store, no-transform",
        "X-Content-Type-Options": "nosniff",
    }


def test_one_flush_is_one_batch() -> None:
    parts = [TRANSPORT.frame("r1,0"), TRANSPORT.frame('mhe said "hi"')]
    assert list(TRANSPORT.wrap(parts)) == [b'["r1,0","mhe said \\"hi\\""]']
    assert TRANSPORT.tail() == b""


def test_what_is_laid_is_read() -> None:
    decoder = TRANSPORT.decoder(10, 1000)
    body = b"".join(bytes(buffer) for buffer in TRANSPORT.wrap([TRANSPORT.frame("m😀")]) if isinstance(buffer, bytes))
    assert decoder.feed(body) + decoder.end() == ["m😀"]


def test_a_second_batch_in_a_body_is_refused() -> None:
    decoder = TRANSPORT.decoder(10, 1000)
    with pytest.raises(RemoteProtocolError):
        decoder.feed(b'["m1"]\n["m2"]')
