"""How often an address may open. (Who may, over sockets: tests/web/test_routes.py.)"""

from __future__ import annotations

import pytest

from realtime.admission import Admission
from realtime.core.config import Config
from realtime.core.errors import Refusal
from realtime.testing import VirtualClock


def test_opens_per_second_per_address() -> None:
    clock = VirtualClock()
    admission = Admission(Config(opens_per_second_per_address=0.1), clock)
    admission.check_rate("a")
    clock.advance(1.0)
    with pytest.raises(Refusal, match=r"opens_per_second_per_address.* again in 9.0 s") as caught:
        admission.check_rate("a")
    assert (caught.value.code, caught.value.retry_after) == (4429, 9.0)
    admission.check_rate("b")
    for _ in range(2):
        admission.check_rate("")  # of no address in particular
    clock.advance(9.0)
    admission.check_rate("a")
    with pytest.raises(Refusal):
        admission.check_rate("a")
    admission.reset()
    admission.check_rate("a")


def test_no_limit() -> None:
    admission = Admission(Config(), VirtualClock())
    for _ in range(1000):
        admission.check_rate("a")
