"""How several processes share all the tests out: what takes long is begun first, and an engine stays with one process.

What is given out is a file's tests together, or in tests/browsers all tests for one engine, so that it starts once.
Whatever FIRST does not name follows, the files with the most tests before others, and none of that takes long: so the
processes end together. Much of what is named waits more than it computes, so there may be more processes than cores.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from .browsers.engines import ENGINES

__all__ = ["FIRST", "Lanes", "lane"]

BROWSERS = "tests/browsers/"
APART = "tests/browsers/test_demo.py"  # the longest of them: a lane of its own for each engine

# By the seconds that they took when this was written, from two hundred down to ten.
FIRST = (
    "chromium",
    "tests/core/test_simulation.py",
    "chromium in the demo",
    "firefox",
    "tests/compat/sockjs/test_sockjs_client.py",
    "tests/client/test_fault_matrix.py",
    "webkitgtk",
    "tests/client_js/test_bundle.py",
    "tests/cli/test_connect.py",
    "tests/test_own_coverage.py",
    "phantomjs2",
    "tests/web/test_bad_input.py",
    "phantomjs1",
    "tests/core/test_mutations.py",
    "tests/core/test_rooms_mutations.py",
    "tests/compat/engineio/test_clients.py",
    "tests/lab/test_soak.py",
    "chromium64",
    "qtwebkit",
    "tests/client/test_failures.py",
    "tests/client/test_doctor.py",
    "tests/test_benchmarks.py",
    "htmlunit",
    "chromium69",
    "chromium87",
    "tests/demo/test_plug.py",
    "firefox in the demo",
    "webkitgtk in the demo",
    "qtwebkit in the demo",
    "phantomjs2 in the demo",
    "chromium64 in the demo",
    "tests/web/test_bodies.py",
    "tests/web/test_progress.py",
    "tests/fuzz/test_fuzz.py",
    "tests/client/test_latency.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_doctor.py",
    "tests/lab/test_diagnosis.py",
    "tests/web/test_routes.py",
    "tests/web/test_streams.py",
)


def lane(nodeid: str) -> str:
    """What a test is given out with: its engine, or its file."""
    path, _, name = nodeid.partition("::")
    if path.startswith(BROWSERS):
        for parameter in name.partition("[")[2].removesuffix("]").split("-"):
            if parameter in ENGINES:
                return f"{parameter} in the demo" if path == APART else parameter
    return path


class Lanes(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """pytest-xdist's scheduler, for these groups and in this order."""

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Gives a process its next group."""
        for name in FIRST:
            if name in self.workqueue:
                self.workqueue.move_to_end(name, last=False)
                break
        super()._assign_work_unit(node)
