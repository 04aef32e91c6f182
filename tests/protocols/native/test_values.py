"""Numbers, texts, times and JSON, as they may stand in a frame."""

from __future__ import annotations

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.native.values import (
    MAX_NUMBER,
    as_it_came,
    compact,
    is_number,
    is_sid,
    is_span,
    is_text,
    is_time,
    malformed,
    parse_base64,
    parse_json,
    parse_number,
    to_base64,
)


def test_numbers_are_decimal_and_no_larger_than_javascripts() -> None:
    assert [parse_number(text, "n") for text in ("0", "7", "10", str(MAX_NUMBER))] == [0, 7, 10, 2**53 - 1]
    for text in ("", "-1", "+1", "01", "1.0", " 1", "\u0661", "x" * 100, str(MAX_NUMBER + 1), "9" * 5000):
        with pytest.raises(RemoteProtocolError, match="n is not a number") as caught:
            parse_number(text, "n")
        assert caught.value.close_code == 1002
        assert len(caught.value.reason) < 60


def test_base64_is_that_of_rfc_4648() -> None:
    for data, text in ((b"", ""), (b"\0", "AA=="), (b"\0\x07\xff", "AAf/")):
        assert (to_base64(data), parse_base64(text)) == (text, data)
    for text in ("A", "AA", "AA=", "AA==\n", "A A=", "AAf_", "Ā"):
        with pytest.raises(RemoteProtocolError, match="not base64") as caught:
            parse_base64(text)
        assert caught.value.close_code == 1007


def test_json_has_no_constants_of_its_own_and_no_spaces() -> None:
    assert parse_json('{"a": [1e400, "é"]}') == {"a": [float("inf"), "é"]}
    for text in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match="is not JSON"):
            parse_json(text)
    assert compact({"a": ["é", None]}) == '{"a":["é",null]}'
    with pytest.raises(ValueError, match="JSON"):
        compact(float("nan"))


def test_what_a_member_is() -> None:
    assert [is_number(value) for value in (0, MAX_NUMBER, MAX_NUMBER + 1, -1, True, 1.0, "1")] == [True, True] + [
        False
    ] * 5
    assert [is_span(value) for value in (0, 0.5, 1e9, -1, True, "1")] == [True, True] + [False] * 4
    assert [is_time(value) for value in (0.5, MAX_NUMBER, 0, float("inf"), True, None)] == [True, True] + [False] * 4
    assert [is_sid(value) for value in ("a.b-C_9", "", "a b", "a" * 129, 5)] == [True] + [False] * 4
    assert [is_text(value) for value in ("", "é😀", "\ud800", b"", None)] == [True, True] + [False] * 3


def test_a_lone_surrogate_is_kept_as_it_came() -> None:
    assert as_it_came("é\ud800").decode("utf-8", "surrogatepass") == "é\ud800"
    assert (malformed("no open").close_code, malformed("no open").reason) == (4400, "no open")
