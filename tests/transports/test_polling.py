"""Plain polling: long-polling's framing, answered at once."""

from __future__ import annotations

from realtime.core.carrier import Shape
from realtime.transports.polling import Polling


def test_what_it_is() -> None:
    transport = Polling()
    assert (transport.name, transport.method, transport.shape, transport.held) == ("polling", "POST", Shape.POLL, False)
    assert list(transport.wrap([transport.frame("p")])) == [b'["p"]']
