"""For all tests."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from realtime.web import sockets, straight

from . import open_ends

if TYPE_CHECKING:
    from .lanes import Lanes

# No test speaks to anybody for whom a public authority vouches, and whoever imports aiohttp reads the certificates of
# all of those: a tenth of what it costs to start a process.
os.environ["SSL_CERT_FILE"] = os.devnull

# How long an example takes says how busy the machine is, and nothing else.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


# Whose clients are other processes, which cut connections when they like, the fault proxy's too: what the garbage
# collector then closes may be another test's, and is no fault of that in which it comes. open_ends says whose it was.
FOREIGN = ("tests/browsers/", "tests/compat/")


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody can: it is held, so that no test beside this one gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which way WebSockets and polls are served in all tests; some are in tests/web/test_by_aiohttp.py in any case."""
    parser.addoption("--served-by", choices=("realtime", "aiohttp"), default="realtime")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--served-by") == "aiohttp":
        sockets.TAKING_OVER = straight.ANSWERING = False
    open_ends.watch()


def pytest_sessionfinish() -> None:
    """Says what was left open, for whoever looks at a test that failed by another's socket."""
    for left in open_ends.LEFT:
        sys.stderr.write(f"{left}\n")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays, so nothing is looked for among it meanwhile."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names are the same in every process, or several of them can't share the tests out."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: an address in a test's name; give its parameters ids")
        if item.nodeid.startswith(FOREIGN):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


def pytest_collection_finish() -> None:
    """Eight thousand tests and what they have imported stay to the end: the garbage collector, which tests of browsers
    call each time, need not go through a quarter of a million objects to find that out. So does what is garbage among
    it, for which each process would look for a third of a second.
    """
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Of a test that has passed, a process beside others tells once, and not five times, which takes the two a
    millisecond: what is told of its call has the seconds of all.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if all(report.passed for report in reports):
        took = sum(report.duration for report in reports)
        reports = [report for report in reports if report.when == "call"]
        reports[0].duration = took
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    """All the tests are shared out as lanes.py says; some of them as pytest-xdist would."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.getvalue("dist") != "load":
        return None
    from .lanes import Lanes  # which needs pytest-xdist, that not every run has

    return Lanes(config, log)
