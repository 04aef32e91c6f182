"""Standard input and output beside the event loop: over real pipes, with slow and vanished readers."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.cli.pipe import describe
from realtime.cli.stdio import HIGH_WATER, Input, Lines, Output, harmless, put


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end, closed in the end if the test has not."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a pause is not our slowness
@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 9)))
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    cutter, found, start = Lines(10), [], 0
    for size in cuts:
        found += cutter.feed(data[start : start + size])
        start += size
    found += cutter.feed(data[start:])
    assert cutter.end() == []
    plain = [line.removesuffix(b"\r") for line in lines]
    assert found == [line if len(line) <= 10 else None for line in plain]


def test_the_last_line_needs_no_ending() -> None:
    lines = Lines(5)
    assert lines.feed(b"one\r\ntwo") == [b"one"]
    assert lines.end() == [b"two"]
    assert lines.end() == []
    lines.feed(b"too long")
    assert lines.end() == [None]


def test_a_long_line_is_not_kept() -> None:
    lines = Lines(5)
    for _ in range(100):
        assert lines.feed(b"x" * 100) == []
        assert len(lines._rest) <= 100
    assert lines.feed(b"\nnext\n") == [None, b"next"]


def test_a_terminal_is_protected() -> None:
    assert harmless("tab\tline\n é 字") == "tab\tline\n é 字"
    assert harmless("\x1b[2J\x07\x9b\x7f\r") == "\ufffd[2J\ufffd\ufffd\ufffd\ufffd"


def test_binary_in_one_line() -> None:
    assert describe(b"") == "<0 bytes>"
    assert describe(b"\x00") == "<1 byte: 00>"
    assert describe(bytes(range(32))) == f"<32 bytes: {bytes(range(32)).hex(' ')}>"
    assert describe(bytes(33)) == f"<33 bytes: {bytes(32).hex(' ')} …>"


async def test_input_comes_as_it_is_written(pipe: tuple[int, int]) -> None:
    source = Input(pipe[0])
    os.write(pipe[1], b"one")
    assert await source.read() == b"one"
    os.write(pipe[1], b"two")
    assert await source.read() == b"two"
    os.close(pipe[1])
    assert await source.read() == b""
    assert source.error is None


async def test_no_input_at_all() -> None:
    assert await Input(None).read() == b""


async def test_input_that_others_made_non_blocking(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], False)
    source = Input(pipe[0])
    reading = asyncio.ensure_future(source.read())
    os.write(pipe[1], b"late")
    assert await reading == b"late"
    os.close(pipe[1])
    assert await source.read() == b""


async def test_input_that_cannot_be_read(pipe: tuple[int, int]) -> None:
    source = Input(pipe[1])
    assert await source.read() == b""
    assert source.error is not None


async def test_output_is_written_in_order(pipe: tuple[int, int]) -> None:
    target = Output(pipe[1])
    for number in range(100):
        await target.write(b"%d\n" % number)
    await target.drain()
    assert os.read(pipe[0], 65_536) == b"".join(b"%d\n" % number for number in range(100))


async def test_a_slow_reader_is_waited_for_beside_the_loop(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)  # the harder case
    target = Output(pipe[1])
    writing = asyncio.ensure_future(target.write(b"x" * (HIGH_WATER + 65_536 * 4)))
    await asyncio.sleep(0)
    assert not writing.done()
    size = 0
    while size < HIGH_WATER + 65_536 * 4:
        size += len(await asyncio.to_thread(os.read, pipe[0], 65_536))
    await writing
    await target.drain()


async def test_a_reader_that_left(pipe: tuple[int, int]) -> None:
    target = Output(pipe[1])
    os.close(pipe[0])
    await target.write(b"anyone?")
    assert isinstance(await target.failed, BrokenPipeError)
    await target.write(b"x" * HIGH_WATER * 2)  # dropped
    await target.drain()


async def test_no_output_at_all() -> None:
    target = Output(None)
    await target.write(b"x" * HIGH_WATER * 2)
    await target.drain()
    assert not target.failed.done()


class Stuck(io.RawIOBase):
    """What cannot be written to."""

    def __init__(self, error: OSError) -> None:
        self._error: OSError | None = error

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._error is not None:
            raise self._error
        return len(data)

    def let(self) -> None:
        self._error = None


@pytest.mark.parametrize(
    ("error", "fine", "says"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), True, ""),
        (OSError(errno.ENOSPC, "No space left on device"), False, "realtime: cannot write: No space left on device\n"),
    ],
)
def test_what_cannot_be_put_out_is_no_traceback(
    error: OSError, fine: bool, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = Stuck(error)
    out = io.TextIOWrapper(io.BufferedWriter(stuck), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert put("text") is fine
    assert sys.stdout is None
    assert put("and where there is none") is True
    assert capsys.readouterr().err == says
    stuck.let()
    out.close()


@pytest.mark.parametrize(("encoding", "written"), [(None, b"h\\xe4l\n"), ("utf-8", b"h\xc3\xa4l\n")])
def test_what_is_put_out_needs_no_locale(encoding: str | None, written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", newline="\n"))
    assert put("häl", encoding)
    assert raw.getvalue() == written
