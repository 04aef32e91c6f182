"""For tests that move a session to WebTransport: the connection may take as long as it likes."""

from __future__ import annotations

import pytest

from realtime.client.drivers import webtransport


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What else connect() has to be told for that."""
    monkeypatch.setattr(webtransport, "DARK", 40.0)
    return {"attach_timeout": 40.0}
