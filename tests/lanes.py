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

# By the seconds that they took when this was written, on a busy machine, from 260 down to four. But two that mostly
# wait come beside the first four browsers, all of which want the processor when they start.
FIRST = (
    "chromium",
    "webkitgtk",
    "firefox",
    "phantomjs2",
    "tests/client/test_fault_matrix.py",
    "tests/brokers/test_failures.py",
    "chromium in the demo",
    "qtwebkit",
    "phantomjs1",
    "tests/client_js/test_bundle.py",
    PUBLISHED,
    "chromium64",
    "tests/lab/test_soak.py",
    "tests/webtransport/test_fault_matrix.py",
    "tests/chaos/test_chaos.py",
    "tests/chaos/test_durable.py",
    "htmlunit",
    "tests/namespaces/test_fault_matrix.py",
    "tests/browsers/test_campaign.py",
    "tests/test_own_coverage.py",
    "tests/compat/engineio/test_clients.py",
    "tests/client/test_failures.py",
    "tests/demo/test_plug.py",
    "chromium87",
    "tests/brokers/test_stomp_queues.py",
    "tests/brokers/test_identities.py",
    "tests/core/test_simulation.py",
    "tests/cli/test_connect.py",
    "tests/fuzz/test_fuzz.py",
    "tests/client/test_doctor.py",
    "tests/browsers/test_tabs.py",
    "tests/client_js/test_matrix.py",
    "tests/demo/test_several.py",
    "tests/cli/test_demo.py",
    "tests/brokers/test_rooms.py",
    "tests/web/test_progress.py",
    "tests/test_docs_blocks.py",
    "tests/web/test_bad_input.py",
    "tests/compat/sockjs/test_sockjs_client.py",
    "chromium69",
    "tests/test_benchmarks_peers.py",
    "tests/compat/socketio/test_recovery.py",
    "tests/cluster/test_webtransport.py",
    "tests/cluster/test_webtransport_processes.py",
    "tests/webtransport/test_doctor.py",
    "tests/cluster/test_gunicorn.py",
    "tests/client/test_latency.py",
    "tests/typescript/test_pages.py",
    "tests/cli/test_doctor.py",
    "tests/lab/test_diagnosis.py",
    "tests/test_benchmarks_events.py",
    "tests/brokers/test_cluster.py",
    "tests/brokers/test_stomp_killings.py",
    "tests/brokers/test_lossy.py",
    "tests/brokers/test_events.py",
    "tests/web/test_by_aiohttp.py",
    "tests/brokers/test_reopening.py",
    "tests/test_metrics.py",
    "tests/core/test_durable_mutations.py",
    "tests/lab/test_idle.py",
    "tests/cluster/test_redis.py",
    "tests/web/test_lean.py",
    "tests/client/test_transport_changes.py",
    "tests/test_benchmarks.py",
    "tests/brokers/test_store.py",
    "tests/web/test_plugin.py",
    "tests/core/test_naive.py",
    "tests/brokers/test_closings.py",
    "tests/client/test_client.py",
    "tests/web/test_streams.py",
    "tests/cluster/test_ends.py",
    "tests/web/test_lingering.py",
    "tests/web/test_bodies.py",
    "tests/cluster/test_leaving.py",
    "tests/core/test_supervised.py",
    "tests/client/test_supervision.py",
    "tests/typescript/test_forms.py",
    "tests/testing/test_distance.py",
    "tests/testing/test_plugin.py",
    "tests/test_reference.py",
    "tests/testing/test_fault_proxy.py",
    "tests/test_benchmarks_stomp.py",
    "tests/web/test_routes.py",
    "tests/protocols/layers/stomp/test_conversation.py",
    "tests/web/test_shutdown.py",
    "tests/web/test_workers.py",
    "tests/test_layers.py",
    "tests/protocols/test_vectors.py",
    "tests/compat/stomp/test_clients.py",
    "tests/client/test_events.py",
    "tests/lab/test_forward_proxy.py",
    "tests/namespaces/test_bad_packets.py",
    "tests/web/test_stalled.py",
    "tests/cli/test_types.py",
    "tests/brokers/test_records.py",
    "tests/core/test_durable_model.py",
    "tests/stomp/test_memory_queues.py",
    "tests/stomp/test_tcp.py",
    "tests/test_benchmarks_rooms.py",
    "tests/chaos/test_pages.py",
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
