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

# By the seconds that they took when this was written, from a hundred and twenty down to six.
FIRST = (
    "chromium",
    "tests/client/test_fault_matrix.py",
    "firefox",
    "webkitgtk",
    "tests/core/test_simulation.py",
    "tests/cli/test_connect.py",
    "chromium in the demo",
    "htmlunit",
    "tests/compat/publishing/test_publishing.py",
    "phantomjs1",
    "tests/compat/sockjs/test_sockjs_client.py",
    "phantomjs2",
    "tests/web/test_bad_input.py",
    "tests/core/test_rooms_mutations.py",
    "tests/compat/engineio/test_clients.py",
    "tests/test_own_coverage.py",
    "tests/client/test_failures.py",
    "tests/client_js/test_bundle.py",
    "tests/client/test_doctor.py",
    "tests/fuzz/test_fuzz.py",
    "tests/core/test_supervised.py",
    "tests/lab/test_soak.py",
    "tests/web/test_progress.py",
    "tests/web/test_streams.py",
    "tests/compat/websocket/test_libraries.py",
    "tests/demo/test_plug.py",
    "tests/test_docs_blocks.py",
    "qtwebkit",
    "tests/web/test_routes.py",
    "tests/core/test_mutations.py",
    "tests/web/test_plugin.py",
    "tests/test_readme.py",
    "chromium87",
    "tests/client/test_latency.py",
    "tests/lab/test_diagnosis.py",
    "chromium64",
    "tests/client/test_client.py",
    "tests/cli/test_doctor.py",
    "tests/testing/test_plugin.py",
    "tests/web/test_by_aiohttp.py",
    "qtwebkit in the demo",
    "tests/lab/test_idle.py",
    "chromium69",
    "webkitgtk in the demo",
    "tests/web/test_workers.py",
    "tests/test_metrics.py",
    "tests/test_benchmarks.py",
    "tests/cli/test_demo.py",
    "tests/client/test_transport_changes.py",
    "tests/web/test_shutdown.py",
    "chromium64 in the demo",
    "firefox in the demo",
    "phantomjs2 in the demo",
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
