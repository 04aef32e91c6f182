"""What is tested of WebSockets, once more where aiohttp goes on reading them.

Elsewhere connections are taken over; `pytest --websockets=aiohttp` runs all tests this way.
"""

from __future__ import annotations

import pytest

from realtime.web import sockets

from ..gates.test_joined import *  # noqa: F403
from .test_liveness import *  # noqa: F403
from .test_protocol import *  # noqa: F403
from .test_raw import *  # noqa: F403
from .test_shutdown import *  # noqa: F403
from .test_slow_consumers import *  # noqa: F403

pytestmark = []  # type: ignore[assignment] # not the modules' own


@pytest.fixture(params=["websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    """The only one that this is about."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def by_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is taken over."""
    monkeypatch.setattr(sockets, "TAKING_OVER", False)
