"""How several processes share all the tests out: what takes long is begun first, and an engine stays with one process.

What is given out is a file's tests together, or in tests/browsers all tests for one engine, so that it starts once, or
those of all files that look at the wheel.
Whatever FIRST does not name follows, the files with the most tests before others, and none of that takes long: so the
processes end together. Much of what is named waits more than it computes, so there may be more processes than cores.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from .browsers.engines import ENGINES

__all__ = ["FIRST", "Lanes", "lane", "seconds"]

ROOT = Path(__file__).parents[1]

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

# By the seconds that they took when this was written, down to four. But two that mostly wait come beside the first
# three browsers, all of which want the processor when they start. For a new order:
#     pytest -n 4 --junitxml=times.xml; python -m tests.lanes times.xml
FIRST = (
    "chromium",
    "webkitgtk",
    "firefox",
    "tests/client/test_fault_matrix.py",
    "tests/brokers/test_failures.py",
    PUBLISHED,
    "chromium in the demo",
    "tests/lab/test_soak.py",
    "tests/client_js/test_bundle.py",
    "tests/test_own_coverage.py",
    "tests/test_benchmarks_peers.py",
    "tests/client/test_failures.py",
    "tests/chaos/test_chaos.py",
    "tests/chaos/test_durable.py",
    "phantomjs2",
    "qtwebkit",
    "tests/brokers/test_cluster.py",
    "tests/durable/test_processes.py",
    "tests/web/test_lean.py",
    "tests/fuzz/test_fuzz.py",
    "tests/client/test_transport_changes.py",
    "htmlunit",
    "tests/webtransport/test_nonsense.py",
    "tests/brokers/test_rooms.py",
    "tests/brokers/test_identities.py",
    "tests/web/test_bad_input.py",
    "tests/core/test_simulation.py",
    "tests/brokers/test_reopening.py",
    "chromium87",
    "tests/compat/engineio/test_clients.py",
    "tests/cli/test_connect.py",
    "tests/client/test_doctor.py",
    "tests/demo/test_plug.py",
    "tests/test_docs_blocks.py",
    "tests/webtransport/test_fault_matrix.py",
    "phantomjs1",
    "tests/webtransport/test_sessions.py",
    "tests/cli/test_demo.py",
    "tests/test_benchmarks_events.py",
    "tests/testing/test_plugin.py",
    "tests/brokers/test_stomp_queues.py",
    "tests/cluster/test_redis.py",
    "tests/compat/sockjs/test_sockjs_client.py",
    "tests/demo/test_several.py",
    "tests/web/test_progress.py",
    "chromium64",
    "tests/brokers/test_lossy.py",
    "tests/test_benchmarks.py",
    "tests/lab/test_diagnosis.py",
    "tests/webtransport/test_limits.py",
    "tests/brokers/test_stomp_killings.py",
    "tests/web/test_by_aiohttp.py",
    "tests/client/test_events.py",
    "tests/cluster/test_ends.py",
    "tests/compat/socketio/test_recovery.py",
    "tests/cluster/test_webtransport.py",
    "tests/cluster/test_webtransport_processes.py",
    "tests/webtransport/test_doctor.py",
    "tests/namespaces/test_fault_matrix.py",
    "tests/client/test_latency.py",
    "tests/client_js/test_durable.py",
    "chromium69",
    "tests/brokers/test_events.py",
    "tests/brokers/test_kept.py",
    "tests/typescript/test_pages.py",
    "tests/brokers/test_store.py",
    "tests/brokers/test_directory.py",
    "tests/lab/test_forward_proxy.py",
    "tests/web/test_bodies.py",
    "tests/client_js/test_matrix.py",
    "tests/cli/test_chat.py",
    "tests/lab/test_idle.py",
    "tests/brokers/test_closings.py",
    "tests/client/test_supervision.py",
    "tests/web/test_plugin.py",
    "tests/web/test_bundle.py",
    "tests/cluster/test_port.py",
    "tests/cluster/test_events.py",
    "tests/test_reference.py",
    "tests/web/test_answers.py",
    "tests/client/test_client.py",
    "tests/stomp/test_memory_queues.py",
    "tests/browsers/test_tabs.py",
    "tests/typescript/test_forms.py",
    "tests/client/test_durable.py",
    "tests/test_layers.py",
    "tests/core/test_supervised.py",
    "tests/core/test_naive.py",
    "tests/test_metrics.py",
    "tests/test_idle_costs.py",
    "tests/testing/test_distance.py",
    "tests/test_costs.py",
    "tests/cluster/test_gunicorn.py",
    "tests/namespaces/test_bad_packets.py",
    "tests/test_benchmarks_stomp.py",
    "tests/testing/test_fault_proxy.py",
    "tests/stomp/test_tcp.py",
    "tests/cluster/test_leaving.py",
    "tests/lab/test_documented.py",
    "tests/brokers/test_counts.py",
    "tests/core/test_durable_model.py",
    "tests/compat/stomp/test_clients.py",
    "tests/web/test_workers.py",
    "tests/compat/socketio/test_clients.py",
    "tests/stomp/test_queues.py",
    "tests/brokers/test_killings.py",
    "tests/web/test_shutdown.py",
    "tests/web/test_routes.py",
    "tests/test_benchmarks_rooms.py",
    "tests/web/test_streams.py",
    "tests/web/test_key.py",
    "tests/browsers/test_campaign.py",
    "tests/cli/test_doctor.py",
    "tests/protocols/engineio/test_packets.py",
    "tests/web/test_engineio.py",
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


def seconds(report: Path) -> Counter[str]:
    """How long each group took in a run, in seconds, by the report that `pytest --junitxml=…` has written of it."""
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        parts = case.attrib["classname"].split(".")  # of the module, and of a class in it
        while parts and not (ROOT / "/".join(parts)).with_suffix(".py").is_file():
            parts.pop()
        if parts:
            found[lane(f"{'/'.join(parts)}.py::{case.attrib['name']}")] += float(case.attrib["time"])  # type: ignore[assignment]
    return found


def main() -> int:
    """Prints what took four seconds or more, longest first, and where it stands in FIRST."""
    for name, took in seconds(Path(sys.argv[1])).most_common():
        if took >= 4:
            print(f"{took:7.1f} {FIRST.index(name) + 1 if name in FIRST else '-':>4} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
