"""A carrier: two cursors, and an end that comes once."""

from __future__ import annotations

from realtime.core.carrier import Capabilities, Carrier, Shape, SharedBuffers, lay_alone, share
from realtime.core.frames import Outgoing, Unshared

from .fakes import FakeCodec, FakeLink, duplex, poll


def test_a_new_carrier() -> None:
    carrier, link = duplex(5.0)
    assert (carrier.send_cursor, carrier.receive_cursor, carrier.gen) == (1, 1, 0)
    assert carrier.started == carrier.last_received == carrier.last_written == carrier.last_pinged == 5.0
    assert carrier.written == 0
    assert not any((carrier.pinged, carrier.attached, carrier.ignores, carrier.finished))
    assert link.writes == []


def test_parts_of_one_write_are_wrapped_together() -> None:
    carrier, link = duplex()
    carrier.write(["a", "b"])
    carrier.write(["c"])
    assert link.writes == [["a", "b"], ["c"]]
    assert carrier.written == 3


def test_finish_writes_the_last_parts_and_closes_once() -> None:
    carrier, link = poll()
    carrier.finish(["r0,0"], 1000, "done")
    assert carrier.finished
    assert link.said == ["r0,0"]
    assert link.closed == (1000, "done")
    carrier.finish(["more"], 1002)
    carrier.write(["and more"])
    assert link.said == []
    assert (link.closed, link.closes) == ((1000, "done"), 1)


def test_finish_without_parts_writes_nothing() -> None:
    carrier, link = duplex()
    carrier.finish([])
    assert link.writes == []
    assert link.closed == (1000, "")


def test_nothing_is_written_on_a_lost_carrier() -> None:
    carrier, link = duplex()
    carrier.finished = True
    carrier.write(["a"])
    carrier.finish(["b"])
    assert (link.writes, link.closed) == ([], None)


def test_repr_shows_cursors_and_the_end() -> None:
    carrier, _ = duplex(name="websocket")
    carrier.gen, carrier.send_cursor = 3, 7
    assert repr(carrier) == "<NumberedCarrier websocket gen=3 send=7 receive=1>"
    carrier.finished = True
    assert repr(carrier) == "<NumberedCarrier websocket gen=3 send=7 receive=1 finished>"


def test_a_carrier_without_numbers_has_one_cursor() -> None:
    carrier = Carrier(FakeCodec(name="xhr"), FakeLink(), 2.0)
    assert repr(carrier) == "<Carrier xhr gen=0 send=1>"
    carrier.finish([])
    assert repr(carrier) == "<Carrier xhr gen=0 send=1 finished>"


def test_the_native_protocols_capabilities_are_the_defaults() -> None:
    assert Capabilities() == Capabilities(protocol="the native protocol", binary=True, heartbeat="ask", greeting=b"")
    assert {shape.value for shape in Shape} == {"duplex", "stream", "poll"}


def test_shared_buffers_keep_what_a_link_makes_of_them() -> None:
    buffers = SharedBuffers([b"one", b"two"])
    assert (list(buffers), buffers.chunked, buffers.size) == ([b"one", b"two"], None, 6)


def test_what_several_carriers_write_is_laid_once_for_each_codec() -> None:
    one, other, last = FakeCodec(Shape.STREAM), FakeCodec(Shape.STREAM), Outgoing.message("x")
    made = share(one, last, ["mx"])
    assert list(made) == ["mx"]
    assert share(one, last, ["mx"]) is made
    assert share(other, last, ["mx"]) is not made
    assert share(one, last, ["mx"]) is made
    assert list(share(one, last, ["a1,1", "mx"])) == ["a1,1", "mx"]
    links = [FakeLink(), FakeLink()]
    for link in links:
        carrier = Carrier(one, link, 0.0)
        carrier.write(["mx"], last)
        assert carrier.written == 2
    assert [link.said for link in links] == [["mx"], ["mx"]]


def test_what_is_written_alone_is_laid_once_for_each_codec() -> None:
    one, other, item = FakeCodec(Shape.STREAM), FakeCodec(Shape.STREAM), Outgoing.message("x")
    assert not item.alone
    made = [lay_alone(one, item), lay_alone(other, item)]
    assert [list(buffers) for buffers in made] == [["mx"], ["mx"]]
    assert item.alone == {one: made[0], other: made[1]}
    assert not Outgoing.message("y").alone


def test_for_one_receiver_it_is_laid_each_time() -> None:
    codec, item = FakeCodec(Shape.STREAM), Unshared.message("x")
    assert [list(lay_alone(codec, item)), list(share(codec, item, ["a1,1", "mx"]))] == [["mx"], ["a1,1", "mx"]]
    assert (item.alone, item.framed) == ({}, None)
