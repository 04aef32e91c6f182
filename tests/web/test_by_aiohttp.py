"""What is tested of WebSockets and long-polling, once more where aiohttp goes on serving them.

Elsewhere connections are taken over, and polls answered straight; `pytest --served-by=aiohttp` runs all tests this way.
"""

from __future__ import annotations

import pytest

from realtime.web import sockets, straight

from ..gates.test_joined import *  # noqa: F403
from .test_liveness import *  # noqa: F403
from .test_protocol import *  # noqa: F403
from .test_raw import *  # noqa: F403
from .test_shutdown import *  # noqa: F403
from .test_slow_consumers import *  # noqa: F403

pytestmark = []  # type: ignore[assignment] # not the modules' own


@pytest.fixture(params=["websocket", "long_polling"])
def transport(request: pytest.FixtureRequest) -> str:
    """Those that this is about."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def by_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is taken over, and no request answered straight."""
    monkeypatch.setattr(sockets, "TAKING_OVER", False)
    monkeypatch.setattr(straight, "ANSWERING", False)
