"""Batches: one JSON array of strings on one line (docs/protocol.md §3), however their bytes come."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Frame
from realtime.transports.batch import (
    BatchDecoder,
    BatchLines,
    LinesDecoder,
    decode_batch,
    decode_body,
    first_frame,
    join,
    quote,
)

BATCHES: list[tuple[str, list[Frame]]] = [
    ("[]", []),
    ('["m"]', ["m"]),
    ('["r3,3","mhello","bAAH/","mworld"]', ["r3,3", "mhello", "bAAH/", "mworld"]),
    ('[ "a1,0" ,\t"p" ]', ["a1,0", "p"]),
    ('["m\\u0041\\n\\"\\\\\\/"]', ['mA\n"\\/']),
    ('["m😀é\u2028\u0301"]', ["m😀é\u2028\u0301"]),
    ('["m\\ud83d\\ude00\\u0000"]', ["m😀\0"]),
    ('["m\\ud800"]', ["m\ud800"]),  # what a lone surrogate means is the protocol's affair
    ('["]","[","\\u000a"]', ["]", "[", "\n"]),
]
INVALID = [
    b'["m1"',  # cut
    b'["m1',
    b"[",
    b'["m1"]]',
    b'["m1"]["m2"]',
    b'["m1"] x',
    b'["m1",]',
    b"['m1']",
    b'"m1"',
    b"null",
    b"{}",
    b'{"0":"m1"}',
    b"[1]",
    b"[null]",
    b"[true]",
    b'[["m1"]]',
    b'["m\t1"]',  # a raw control character
    b"m1",
    b"\xef\xbb\xbf[]",  # a byte order mark
    b'["m\xff"]',
    b'["m\xed\xa0\x80"]',  # a surrogate in UTF-8
    b'["m\xc0\x80"]',  # NUL the long way round
    b'["m\xf0\x9f\x98"]',
    b"[" * 100_000,
    b"[" + b"9" * 10_000 + b"]",
    "['m1']".encode("utf-16"),
]


def whole(data: bytes, decoder: BatchDecoder) -> list[Frame]:
    """Fed in one piece."""
    return decoder.feed(data) + decoder.end()


def bytewise(data: bytes, decoder: BatchDecoder) -> list[Frame]:
    """Fed byte by byte."""
    frames: list[Frame] = []
    for number in range(len(data)):
        frames += decoder.feed(data[number : number + 1])
    return frames + decoder.end()


FEEDS = pytest.mark.parametrize("feed", [whole, bytewise])


def decoder(max_frames: int = 100, max_bytes: int = 1_000_000, single: bool = False) -> BatchDecoder:
    """Without limits that matter."""
    return BatchDecoder(max_frames, max_bytes, single=single)


@FEEDS
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"  \n"])
@pytest.mark.parametrize(("text", "frames"), BATCHES, ids=range(len(BATCHES)))
def test_a_batch(feed: object, text: str, frames: list[Frame], end: bytes, single: bool) -> None:
    assert callable(feed)
    assert feed(text.encode() + end, decoder(single=single)) == frames


@FEEDS
@pytest.mark.parametrize("data", [line for line in INVALID if len(line) < 1000], ids=range(len(INVALID) - 2))
def test_what_is_no_batch(feed: object, data: bytes) -> None:
    assert callable(feed)
    with pytest.raises(RemoteProtocolError) as caught:
        feed(data, decoder())
    assert (caught.value.close_code, caught.value.http_status) == (4400, 400)


@pytest.mark.parametrize("data", [line for line in INVALID if len(line) >= 1000], ids=["deep", "long"])
def test_what_is_no_batch_and_large(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        whole(data, decoder())
    assert caught.value.close_code == 4400


def test_an_empty_body_has_no_frames() -> None:
    assert whole(b"", decoder()) == []
    assert whole(b" \n", decoder()) == []


def test_batches_one_after_the_other() -> None:
    lines = decoder()
    assert lines.feed(b'["m1"]\n["m2","m3"]\n["m') == ["m1", "m2", "m3"]
    assert lines.feed(b'4"]') == []
    assert lines.feed(b"\n\n") == ["m4"]
    assert lines.feed(b'["m5"]') == []
    assert lines.end() == ["m5"]


@FEEDS
@pytest.mark.parametrize("trailing", [b'["m2"]', b"x", b" ", b'["m2"]\n', b"\r\n"])
def test_a_body_is_one_batch_and_nothing_comes_behind_its_line_feed(feed: object, trailing: bytes) -> None:
    assert callable(feed)
    with pytest.raises(RemoteProtocolError, match="one batch on one line") as caught:
        feed(b'["m1"]\n' + trailing, decoder(single=True))
    assert caught.value.close_code == 4400


def test_a_body_may_not_start_with_a_line_feed() -> None:
    with pytest.raises(RemoteProtocolError, match="one batch on one line"):
        whole(b'\n["m1"]', decoder(single=True))


def test_too_many_frames() -> None:
    assert decode_batch(b'["p","p"]', 2) == ["p", "p"]
    with pytest.raises(RemoteProtocolError, match="more frames than max_batch=2") as caught:
        decode_batch(b'["p","p","p"]', 2)
    assert (caught.value.close_code, caught.value.http_status) == (4413, 413)


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1.5", b'{"":0}', b"[[[[1]]]]"])
def test_nothing_else_is_made_of_a_batch(value: bytes) -> None:
    body = b"[" + value + (b"," + value) * 200_000 + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="array of strings") as caught:
            decode_batch(body, 1024)
        assert tracemalloc.get_traced_memory()[1] < len(body) + 100_000  # the text of it
    finally:
        tracemalloc.stop()
    assert caught.value.close_code == 4400


def calls(run: Callable[[], object]) -> int:
    """How many functions are called meanwhile."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def test_what_a_batch_costs_does_not_go_by_its_frames_unless_much_may_be_in_it() -> None:
    small = join([quote(f"m{number}") for number in range(1000)])
    assert calls(lambda: decode_batch(small, 1024)) < 40
    full = join([quote(f'm{{"number":{number},"list":[1,2,3,4,5,6,7,8]}}') for number in range(1000)])
    assert calls(lambda: decode_batch(full, 1024)) < 3100  # three for each frame, which is read by itself
    alone = join([quote("m" + ",[{" * 100_000)])
    assert calls(lambda: decode_batch(alone, 1024)) < 40


@pytest.mark.parametrize("space", [b"", b" \t\r\n"])
def test_a_batch_with_much_in_it_is_read_frame_by_frame(space: bytes) -> None:
    frames = ['m{"a":[1,2,3,[[[{}]]]]}' * 3, "", 'm"\\', "é"] * 4
    body = b"[%b]" % b",".join(json.dumps(frame).encode() for frame in frames)
    body = space + body.replace(b'","', b'"' + space + b"," + space + b'"') + space
    assert decode_batch(body, 16) == frames
    with pytest.raises(RemoteProtocolError, match="more frames than max_batch=15"):
        decode_batch(body + b"not looked at", 15)
    for wrong in (body + b"x", body.rstrip()[:-1] + b",]", body.replace(b"[", b"[,", 1), body.rstrip()[:-1]):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_batch(wrong, 16)
        assert caught.value.close_code == 4400


@FEEDS
def test_too_many_bytes(feed: object) -> None:
    assert callable(feed)
    data = b'["m123"]'
    assert feed(data, decoder(max_bytes=8)) == ["m123"]
    with pytest.raises(RemoteProtocolError, match="more than 7 bytes") as caught:
        feed(data, decoder(max_bytes=7))
    assert caught.value.close_code == 4413


def test_the_limit_is_each_batchs_own_on_a_stream() -> None:
    lines = decoder(max_bytes=8)
    for _ in range(3):
        assert lines.feed(b'["m123"]\n') == ["m123"]


def test_too_many_bytes_are_not_kept_until_the_end() -> None:
    lines = decoder(max_bytes=8)
    lines.feed(b'["m')
    with pytest.raises(RemoteProtocolError):
        lines.feed(b"123456")


@pytest.mark.parametrize("text", ["", "hello", 'quote " backslash \\ slash /', "\0\x1f\n\r\t", "\u2028😀e\u0301"])
def test_quoting_is_json_on_one_line_in_utf8(text: str) -> None:
    quoted = quote(text)
    assert json.loads(quoted) == text
    assert b"\n" not in quoted


def test_quoting_leaves_what_json_allows() -> None:
    assert quote("é\u2028😀") == '"é\u2028😀"'.encode()


def test_binary_is_never_quoted() -> None:
    with pytest.raises(AssertionError, match="base64"):
        quote(b"\0")


def test_joining() -> None:
    assert join([]) == b"[]"
    assert join([quote("a"), quote("b")]) == b'["a","b"]'
    assert decode_batch(join([quote('m"\n'), quote("p")]), 10) == ['m"\n', "p"]


@pytest.mark.parametrize(
    "body", [b'["m1"]', b'["m1"]\r\n', b"", b"\n", b'["m1",\n"m2"]', b'\n["m1"]', b'["m1"]\n["m2"]', b'["1","2","3"]']
)
def test_a_body_in_one_piece_is_read_like_one_that_comes_in_pieces(body: bytes) -> None:
    def outcome(read: Callable[[], list[Frame]]) -> object:
        try:
            return read()
        except RemoteProtocolError as error:
            return error.close_code, error.reason

    def bytewise() -> list[Frame]:
        decoder = BatchDecoder(2, 100, single=True)
        return [frame for byte in body for frame in decoder.feed(bytes([byte]))] + decoder.end()

    assert outcome(lambda: decode_body(body, 2, 100)) == outcome(bytewise)


@FEEDS
def test_on_a_stream_only_whole_lines_count(feed: object) -> None:
    assert callable(feed)
    assert feed(b'["m1"]\n\n["m2"]\r\n["m3"]', LinesDecoder(10, 100)) == ["m1", "m2"]


def test_lines_are_gathered_up_to_a_limit_and_taken_once() -> None:
    lines = BatchLines(5)
    assert lines.take() == b""
    lines.add(b"12")
    lines.add(b"45")
    assert lines.take() == b"12\n45"
    assert lines.take() == b""
    lines.add(b"12345")
    with pytest.raises(RemoteProtocolError, match="more than 5 bytes") as caught:
        lines.add(b"")
    assert caught.value.close_code == 4413


@pytest.mark.parametrize(
    ("beginning", "frame"),
    [
        (b'["rs1,1,0,0,1","mhel', "rs1,1,0,0,1"),
        (b' [ "o{}"', "o{}"),
        (b'["rs1,1', None),
        (b"[]", None),
        (b"nothing", None),
    ],
)
def test_the_first_frame_of_what_has_begun(beginning: bytes, frame: str | None) -> None:
    assert first_frame(beginning) == frame


@pytest.mark.parametrize(
    ("body", "max_frames", "max_bytes", "code"),
    [
        (b"[" * 5000, 10_000, 10_000, 4400),  # deeper than a parser goes
        (b'["' + b"," * 10_000, 1, 20_000, 4400),  # a string without an end, where much may be in it
        (b'["12345"]', 5, 8, 4413),
    ],
)
def test_a_body_that_is_refused(body: bytes, max_frames: int, max_bytes: int, code: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_body(body, max_frames, max_bytes)
    assert caught.value.close_code == code


def test_where_no_frame_may_be_there_is_none() -> None:
    assert decode_batch(b"[]", 0) == []
    with pytest.raises(RemoteProtocolError):
        decode_batch(b"[] []", 0)
