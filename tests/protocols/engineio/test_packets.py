"""One packet, both ways, in both versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.engineio.packets import Packet, decode, decode_bytes, decode_text, message

VERSIONS = pytest.mark.parametrize("version", [4, 3])


@VERSIONS
@pytest.mark.parametrize("kind", "0123456")
def test_text_packets(version: int, kind: str) -> None:
    assert decode(version, kind) == Packet(kind, "")
    assert decode(version, f"{kind}probe") == Packet(kind, "probe")


@VERSIONS
@pytest.mark.parametrize("text", ["", "7", "abc", "-1", "٤hello", "\x1e", "b", "b4", "b4*", "bAQI", "bé", "b0AQ=="])
def test_text_that_is_no_packet(version: int, text: str) -> None:
    if (version, text) in ((4, "b"), (3, "b4")):
        assert decode_text(version, text) == Packet("4", b"")
        return
    with pytest.raises(RemoteProtocolError) as error:
        decode_text(version, text)
    assert error.value.close_code == 1002


def test_binary_messages() -> None:
    assert decode(4, b"\x01\x02") == Packet("4", b"\x01\x02")
    assert decode(4, "bAQIDBA==") == Packet("4", b"\x01\x02\x03\x04")
    assert decode(3, b"\x04\x01\x02") == Packet("4", b"\x01\x02")
    assert decode(3, "b4AQIDBA==") == Packet("4", b"\x01\x02\x03\x04")


def test_bytes_in_version_3_start_with_a_type() -> None:
    assert decode_bytes(b"\x02probe") == Packet("2", "")
    for wrong in (b"", b"\x07", b"4a"):
        with pytest.raises(RemoteProtocolError):
            decode_bytes(wrong)


def test_messages_out() -> None:
    assert message(4, "hello", text_only=True) == message(3, "hello", text_only=False) == "4hello"
    assert message(4, b"\x01\x02\x03\x04", text_only=True) == "bAQIDBA=="
    assert message(3, b"\x01\x02\x03\x04", text_only=True) == "b4AQIDBA=="
    assert message(4, b"\x01", text_only=False) == b"\x01"
    assert message(3, b"\x01", text_only=False) == b"\x04\x01"


@given(st.text() | st.binary(), st.sampled_from((4, 3)), st.booleans())
def test_what_goes_out_comes_in(data: str | bytes, version: int, text_only: bool) -> None:
    assert decode(version, message(version, data, text_only=text_only)) == Packet("4", data)
