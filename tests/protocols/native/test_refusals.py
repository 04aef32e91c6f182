"""The abrupt end, said and read."""

from __future__ import annotations

import pytest

from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.protocols.native import parse_refusal, refusal_frame


def test_refusals_there_and_back() -> None:
    refusal = parse_refusal(refusal_frame(Refusal(4429, "later,\nplease", received=3)))
    assert (refusal.code, refusal.reason, refusal.scope, refusal.received) == (4429, "later, please", "carrier", 3)
    assert parse_refusal("x4404,session,,").received is None


@pytest.mark.parametrize("frame", ["y1000,session,0,", "x1000,session,0", "x1000,globe,0,", "x1,session,0,", "x,,,"])
def test_no_refusals(frame: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_refusal(frame)
    assert caught.value.close_code == 1002
