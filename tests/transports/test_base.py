"""What every transport has in common, whichever are registered."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.config import Config
from realtime.transports import TRANSPORTS, Facts, Head, Transport

ALL = pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
FACTS = Facts(callback="take")


def test_the_default_policy_names_only_registered_transports_best_first() -> None:
    assert tuple(TRANSPORTS) == Config().transports


@ALL
def test_a_transport_is_registered_by_its_name(transport: Transport) -> None:
    assert TRANSPORTS[transport.name] is transport


@ALL
def test_members(transport: Transport) -> None:
    assert transport.method in ("GET", "POST")
    assert isinstance(transport.shape, Shape)
    assert not (transport.held and transport.shape is not Shape.POLL)
    assert transport.framing in ("message", "json", "script")
    head = transport.head(FACTS)
    assert head.status in (101, 200)
    assert transport.shape is Shape.STREAM or transport.framing == "script" or head.prelude == transport.tail() == b""


@ALL
def test_transports_that_lay_frames_alike_say_so(transport: Transport) -> None:
    alike = {other.frame("m<é>") for other in TRANSPORTS.values() if other.framing == transport.framing}
    assert len(alike) == 1


@ALL
def test_a_stream_begins_with_so_much_that_no_engine_holds_it_back(transport: Transport) -> None:
    if transport.shape is Shape.STREAM:
        assert len(transport.head(FACTS).prelude) > 2048


@ALL
def test_no_stream_is_kept_changed_sniffed_or_held_back_on_its_way(transport: Transport) -> None:
    if transport.shape is Shape.STREAM:
        headers = dict(transport.head(FACTS).headers)
        assert headers.pop("Content-Type")
        assert headers == {
            "Cache-Control": "no-store, no-transform",
            "X-Content-Type-Options": "nosniff",
            "X-Accel-Buffering": "no",
        }


@ALL
def test_what_is_laid_comes_in_pieces_that_are_bytes(transport: Transport) -> None:
    parts = [transport.frame("m1"), transport.frame("m2")]
    assert all(isinstance(buffer, bytes) and buffer for buffer in transport.wrap(parts))


def test_defaults_of_facts_and_heads() -> None:
    assert Facts() == ((1, 1), "")
    assert Head(200, ()).prelude == b""
