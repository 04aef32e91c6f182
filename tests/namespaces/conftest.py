"""For the tests of events at the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..web.place import errors


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, in which nothing above INFO may be in the end."""
    yield caplog
    assert errors(caplog.get_records("call")) == []
