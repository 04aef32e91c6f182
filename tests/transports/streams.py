"""What is true of every stream: each one's test module runs these beside its own."""

from __future__ import annotations

import copy

import pytest

from realtime.core.carrier import Part
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts, Frame, Transport

__all__ = ["FACTS", "PIECES", "AnyStream", "read_stream", "written"]

FACTS = Facts(callback="page.take")
PIECES = pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
BATCHES = [["r1,0", 'mhe said "hi" \\ \n'], ["p"], ["m😀é\u2028\0", "bAAH/"], ["m</script><!--"], ["erecycled"]]


def written(transport: Transport, *batches: list[str]) -> bytes:
    """What a server writes for these batches, flush by flush, behind its prelude."""
    pieces = [b"".join(map(_bytes, transport.wrap([transport.frame(frame) for frame in batch]))) for batch in batches]
    return transport.head(FACTS).prelude + b"".join(pieces)


def _bytes(part: Part) -> bytes:
    assert isinstance(part, bytes)
    return part


def read_stream(
    transport: Transport, data: bytes, size: int = 1 << 20, max_frames: int = 100, max_bytes: int = 10_000
) -> list[Frame]:
    """What a client reads of a body that comes in pieces of `size` bytes."""
    decoder = transport.decoder(max_frames, max_bytes)
    frames: list[Frame] = []
    for start in range(0, len(data), size):
        frames += decoder.feed(data[start : start + size])
    return frames + decoder.end()


class AnyStream:
    """A subclass names its transport."""

    transport: Transport

    @PIECES
    def test_what_is_laid_is_read(self, size: int) -> None:
        body = written(self.transport, *BATCHES) + self.transport.tail()
        assert read_stream(self.transport, body, size) == [frame for batch in BATCHES for frame in batch]

    @PIECES
    def test_wherever_it_is_cut_whole_batches_count_and_no_part_of_one(self, size: int) -> None:
        data = written(self.transport, *BATCHES)
        ends = [len(written(self.transport, *BATCHES[: count + 1])) for count in range(len(BATCHES))]
        decoder, frames, fed = self.transport.decoder(100, 10_000), list[Frame](), 0
        for cut in range(len(written(self.transport)), len(data)):
            while fed + size <= cut:
                frames += decoder.feed(data[fed : fed + size])
                fed += size
            # What comes before the cut is the same for the next one: only the last piece is fed to a copy, and the end.
            last = copy.deepcopy(decoder)
            read = [*frames, *(last.feed(data[fed:cut]) if fed < cut else ()), *last.end()]
            whole = [frame for end, batch in zip(ends, BATCHES, strict=True) if end <= cut for frame in batch]
            assert read == whole, cut

    def test_one_flush_is_one_piece(self) -> None:
        assert len(self.transport.wrap([self.transport.frame("m1"), self.transport.frame("m2")])) == 1

    @PIECES
    def test_limits(self, size: int) -> None:
        assert read_stream(self.transport, written(self.transport, ["p", "p"]), size, max_frames=2) == ["p", "p"]
        with pytest.raises(RemoteProtocolError) as caught:
            read_stream(self.transport, written(self.transport, ["p", "p", "p"]), size, max_frames=2)
        assert caught.value.close_code == 4413
        # More than the prelude.
        assert read_stream(self.transport, written(self.transport, ["m" + "x" * 2995]), size, max_bytes=3100)
        with pytest.raises(RemoteProtocolError) as caught:
            read_stream(self.transport, written(self.transport, ["m" + "x" * 4000]), size, max_bytes=3100)
        assert caught.value.close_code == 4413
