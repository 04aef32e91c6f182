"""JSON within bounds, and the bytes that are taken out of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.protocols.layers.socketio import values
from realtime.protocols.layers.socketio.values import MAX_DEPTH, read, restore, write

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=4))
def test_what_is_written_is_read(value: list[Any]) -> None:
    text, attachments = write(value)
    text.encode()
    assert restore(read(text), attachments, []) == value


@given(st.lists(st.text(st.characters(exclude_categories=()))))
def test_lone_surrogates_are_escaped_and_come_back(value: list[str]) -> None:
    text, attachments = write([*value, b"x"])
    text.encode()
    assert restore(read(text), attachments, []) == [*json.loads(json.dumps(value)), b"x"]


def test_text_of_every_kind() -> None:
    assert write(["é", "\U0001f600"]) == ('["é","\U0001f600"]', [])
    assert write(["\ud800é", b"x"]) == ('["\\ud800\\u00e9",{"_placeholder":true,"num":0}]', [b"x"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_has_not(value: float) -> None:
    for data in ([value], [value, b""]):
        with pytest.raises(LocalProtocolError, match="no JSON"):
            write(data)
    for text in ("NaN", "-Infinity", "[1e999]", "1" * 5000, "[1", "[1] 2", ""):
        with pytest.raises(RemoteProtocolError) as caught:
            read(text)
        assert caught.value.close_code == 1002


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, [{"a": object()}], [b"", object()]])
def test_other_values_are_named(value: object) -> None:
    with pytest.raises(TypeError, match="an event takes what JSON has"):
        write(value)


def test_what_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(LocalProtocolError, match="Circular"):
        write(value)


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[0,{"b":"[[{\\"", "a":', "}]")])
def test_depth(begin: str, end: str) -> None:
    most = MAX_DEPTH // (begin.count("[0") + 1)
    text = begin * most + "1" + end * most
    assert write(read(text))[1] == []
    for depth in (most + 1, 50_000):
        for deeper in (begin * depth + "1" + end * depth, begin * depth):
            with pytest.raises(RemoteProtocolError, match="more than 64"):
                read(deeper)
    with pytest.raises(LocalProtocolError, match="more than 64"):
        write([json.loads(text)])
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LocalProtocolError, match="more than 64"):
        write(deep)
    while deep:  # or freeing it would go as deep
        deep = deep[0]


def test_brackets_beside_each_other_are_not_deep() -> None:
    for text in ("[" + "[]," * 500 + "{}]", json.dumps(['[[[[\\"{' * 50])):
        assert read(text) == json.loads(text)


@pytest.mark.parametrize("text", ['"' + '\\"' * 500_000, '"' * 500_001, "\\" * 500_000, '"\\', "]" * 100])
def test_what_has_no_end_takes_no_time(text: str) -> None:
    """Each is looked at once, however it is made: were it once for each quote, this would take hours."""
    with pytest.raises(RemoteProtocolError):
        read("[[" * 40 + text)


def test_places_of_attachments() -> None:
    place: dict[str, Any] = {"_placeholder": True, "num": 0}
    placed: list[bytes] = []
    assert restore([place, {"a": [place, 1]}], [b"x"], placed) == [b"x", {"a": [b"x", 1]}]
    assert placed == [b"x", b"x"]
    assert restore({"_placeholder": False, "num": 0, "a": 1}, [], []) == {"_placeholder": False, "num": 0, "a": 1}
    for number in (1, -1, "0", True, None, 0.0, 2**70):
        with pytest.raises(RemoteProtocolError, match="a placeholder"):
            restore([{"_placeholder": True, "num": number}], [b"x"], [])


@given(st.lists(VALUES, max_size=4))
def test_the_short_ways_say_the_same(value: list[Any]) -> None:
    """The encoder that is made once, and reading without looking for white space."""
    text, attachments = write(value)
    if not attachments:
        assert text == "".join(values._pieces(value, 0)) == "".join(values._whole(value, 0))
    for spaced in (f" {text}", f"{text} ", f"\n{text}\t"):
        assert read(spaced) == read(text)


def test_an_encoder_that_is_not_as_it_was_known_is_not_used() -> None:
    def other(*_: object) -> Any:
        return lambda value, level: ["[", "]"]

    gone, changed = SimpleNamespace(), SimpleNamespace(c_make_encoder=other, encode_basestring=str)
    takes_other = SimpleNamespace(c_make_encoder=lambda: None, encode_basestring=str)
    for module in (gone, changed, takes_other):
        assert values._encoder(module) is values._whole
    assert (values._pieces is values._whole) == (getattr(json.encoder, "c_make_encoder", None) is None)


@pytest.mark.parametrize("text", ["", " ", "[", "[1", "[1]x", "nul", "[1,]", "NaN", '"a', "[NaN]", "[1e999]"])
def test_what_is_no_json_wherever_it_begins(text: str) -> None:
    for before in ("", "2", "[1]"):
        with pytest.raises(RemoteProtocolError, match="no JSON"):
            values.read(before + text, len(before))
    assert values.read("2[1]", 1) == [1]
    assert values.read("2 [1] ", 1) == [1]


@pytest.mark.parametrize(
    "held", [{"_placeholder": True}, {"a": 1, "_placeholder": True, "num": 99}, [{"_placeholder": True}]]
)
def test_what_would_be_taken_for_a_place_of_bytes_is_not_sent_beside_some(held: Any) -> None:
    """A server that passes a client's object on with bytes of another's would have all who get it leave."""
    for value in ([held, b"x"], [b"x", held], ["\ud800", held, b"x"]):
        with pytest.raises(LocalProtocolError, match="_placeholder"):
            write(value)
    assert write(["a", held])[1] == []


@pytest.mark.parametrize(
    "held",
    [
        '{"_placeholder":true',
        ',"_placeholder":true',
        {"_placeholder": False},
        {"_placeholder": "true"},
        {"_placeholder": 1},
        {'x,"_placeholder': True},
        {"_placeholders": True},
    ],
)
def test_what_looks_like_a_place_of_bytes_and_is_none(held: Any) -> None:
    text, attachments = write([held, b"x"])
    assert restore(json.loads(text), attachments, []) == [held, b"x"]
