"""Batches as string literals: what goes in comes out, and nothing in it means anything to HTML or to an old engine."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.transports.script import (
    ScriptBlocks,
    ScriptDecoder,
    ScriptStreamDecoder,
    check_callback,
    document,
    join,
    quote,
)

ESCAPE = re.compile(r'\\(?:u([0-9a-f]{4})|(["\\/]))')
# What may stand between the quotes: printable ASCII, but for what HTML, UTF-7 and string literals know.
HARMLESS = re.compile(r"""[ !#$%()*,\-.0-9:;=?@A-Z\[\]^_`a-z{|}~]""")


def unescaped(literal: bytes) -> str:
    """The string that a JavaScript engine makes of a literal (ECMA-262 §12.9.4), of the escapes that may be in it."""
    text = literal.decode("ascii")
    assert text[0] == text[-1] == '"'
    units: list[str] = []
    position = 1
    while position < len(text) - 1:
        found = ESCAPE.match(text, position)
        if found is None:
            assert HARMLESS.match(text, position), text[position:]
            units.append(text[position])
            position += 1
        else:
            units.append(chr(int(found[1], 16)) if found[1] else found[2])
            position = found.end()
    return "".join(units).encode("utf-16", "surrogatepass").decode("utf-16")


@given(st.lists(st.text(), min_size=1))
@example(["</script>", "<!--", "-->", "]]>", "&lt;", "'\"\\/", "\u2028\u2029\ufeff\x7f\0", "+ADw-script+AD4-", "😀"])
def test_what_goes_in_comes_out_and_is_harmless(frames: list[str]) -> None:
    literal = join([quote(frame) for frame in frames])
    text = unescaped(literal)
    assert text.isascii()  # so that no engine's JSON stumbles over a character
    assert json.loads(text) == frames
    assert json.loads(json.loads(literal)) == frames  # a literal is a JSON string, too
    decoder = ScriptDecoder(len(frames), 1 << 20)
    assert decoder.feed(b"/**/cb(" + literal + b");\r\n") + decoder.end() == frames
    stream = ScriptStreamDecoder(len(frames), 1 << 20)
    assert stream.feed(b"<script>r(" + literal + b")</script>\r\n") + stream.end() == frames


def test_binary_is_for_carriers_that_have_it() -> None:
    with pytest.raises(AssertionError):
        quote(b"\0")


@pytest.mark.parametrize("name", ["a", "_rt3", "$", "Realtime.calls._7", "a." * 31 + "ab", "x" * 64])
def test_names(name: str) -> None:
    assert check_callback(name) == name
    assert f"parent.{name}(b)".encode() in document(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "1",
        "a.1",
        "a b",
        "a-b",
        "a(",
        "alert(1)",
        "a[0]",
        "a\n",
        "é",
        "a\u2028",
        "<script>",
        "x" * 65,
        "a\x00",
        "a;b",
        "a/**/",
        "{0}",
        "%s",
    ],
)
def test_no_names(name: str) -> None:
    for refuse in (check_callback, document):
        with pytest.raises(LocalProtocolError) as caught:
            refuse(name)
        assert len(name) < 4 or name not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"cb([]);",
        b'/**/cb("[]")',
        b'/**/("[]");',
        b'/**/cb("[\n]");',
        b"/**/cb('[]');",
        b'/**/cb("\\x41");',
        b'/**/cb("{}");',
        b'/**/cb("\xff");',
        b'/**/cb("[\\"\\ud800"]");',
        rb'/**/cb("\ud800");',
        b"<html>",
    ],
)
def test_no_call(body: bytes) -> None:
    decoder = ScriptDecoder(10, 1000)
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.feed(body)
        decoder.end()
    assert caught.value.close_code == 4400


def test_nothing_is_an_answer_without_a_batch() -> None:
    decoder = ScriptDecoder(10, 1000)
    assert decoder.feed(b"\r\n") + decoder.end() == []


def test_a_document_of_script_blocks() -> None:
    blocks = ScriptBlocks()
    (written,) = blocks.wrap([blocks.frame("a<b"), blocks.frame("c")])
    assert written == b'<script>r("[\\"a\\u003cb\\",\\"c\\"]")</script>\r\n'
    assert blocks.decoder(10, 1000).feed(written) == ["a<b", "c"]
    assert blocks.tail() == b"</body></html>\r\n"
