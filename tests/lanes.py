"""How several processes share all the tests out: what takes long is begun first, and an engine stays with one process.

What is given out is a file's tests together, or in tests/browsers all tests for one engine, so that it starts once, or
those of all files that look at the wheel.
Whatever FIRST does not name follows, the files with the most tests before others, and none of that takes long: so the
processes end together. Much of what is named waits more than it computes, so there may be more processes than cores.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from .browsers.engines import ENGINES

__all__ = ["FIRST", "Lanes", "lane"]

BROWSERS = "tests/browsers/"
APART = "tests/browsers/test_demo.py"  # for the engine with the most tests a lane of its own, which starts it once more
MOST = "chromium"
# What looks at the wheel goes together, which is built once.
PUBLISHED = "what is published"
OF_THE_WHEEL = frozenset(
    {
        "tests/compat/publishing/test_publishing.py",
        "tests/test_examples.py",
        "tests/test_namesake.py",
        "tests/test_packaging.py",
        "tests/test_readme.py",
    }
)

# By the seconds that they took when this was written, from a hundred and fifty down to four.
FIRST = (
    "firefox",
    "webkitgtk",
    "chromium",
    "phantomjs2",
    "qtwebkit",
    "tests/client_js/test_bundle.py",
    "chromium in the demo",
    PUBLISHED,
    "tests/client/test_fault_matrix.py",
    "tests/client_js/test_matrix.py",
    "tests/namespaces/test_fault_matrix.py",
    "tests/chaos/test_chaos.py",
    "tests/test_own_coverage.py",
    "chromium64",
    "phantomjs1",
    "htmlunit",
    "tests/test_benchmarks_peers.py",
    "tests/brokers/test_rooms.py",
    "tests/cli/test_connect.py",
    "tests/core/test_simulation.py",
    "tests/brokers/test_reopening.py",
    "tests/typescript/test_pages.py",
    "tests/demo/test_several.py",
    "tests/compat/engineio/test_clients.py",
    "tests/cluster/test_gunicorn.py",
    "tests/compat/socketio/test_clients.py",
    "tests/brokers/test_failures.py",
    "tests/lab/test_soak.py",
    "tests/web/test_bad_input.py",
    "tests/brokers/test_directory.py",
    "tests/brokers/test_identities.py",
    "tests/typescript/test_forms.py",
    "tests/brokers/test_killings.py",
    "tests/core/test_naive.py",
    "tests/client/test_failures.py",
    "tests/test_benchmarks.py",
    "tests/test_benchmarks_events.py",
    "tests/client/test_doctor.py",
    "tests/demo/test_plug.py",
    "chromium87",
    "tests/compat/sockjs/test_sockjs_client.py",
    "tests/web/test_progress.py",
    "tests/test_docs_blocks.py",
    "tests/brokers/test_store.py",
    "tests/browsers/test_tabs.py",
    "tests/client/test_latency.py",
    "chromium69",
    "tests/test_metrics.py",
    "tests/lab/test_diagnosis.py",
    "tests/lab/test_idle.py",
    "tests/web/test_lean.py",
    "tests/fuzz/test_fuzz.py",
    "tests/web/test_routes.py",
    "tests/web/test_streams.py",
    "tests/web/test_by_aiohttp.py",
    "tests/web/test_plugin.py",
    "tests/client/test_transport_changes.py",
    "tests/cli/test_doctor.py",
    "tests/cluster/test_redis.py",
    "tests/core/test_supervised.py",
    "tests/client/test_client.py",
    "tests/cli/test_demo.py",
    "tests/testing/test_plugin.py",
    "tests/brokers/test_lossy.py",
    "tests/testing/test_distance.py",
    "tests/web/test_shutdown.py",
    "tests/web/test_workers.py",
)


def lane(nodeid: str) -> str:
    """What a test is given out with: its engine, its file, or those that look at the wheel, too."""
    path, _, name = nodeid.partition("::")
    if path.startswith(BROWSERS):
        for parameter in name.partition("[")[2].removesuffix("]").split("-"):
            if parameter in ENGINES:
                return f"{parameter} in the demo" if path == APART and parameter == MOST else parameter
    return PUBLISHED if path in OF_THE_WHEEL else path


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
