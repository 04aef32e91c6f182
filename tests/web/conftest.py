"""Fixtures for tests over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from realtime.transports import TRANSPORTS

from .place import Place, errors, serving


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    """Each transport by name."""
    name: str = request.param
    return name


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A server with the usual settings, up and running."""
    async with serving() as place:
        yield place


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, in which nothing above INFO may be in the end."""
    yield caplog
    assert errors(caplog.get_records("call")) == []
