"""The doctor at a cluster behind a balancer: nothing goes astray, and it is said which workers answered."""

from __future__ import annotations

from realtime.cli.doctor import _report
from realtime.client.doctor import examine

from .fleet import fleet


async def test_the_doctor_says_which_workers_answered() -> None:
    async with fleet() as one:
        found = await examine(f"{one.url}/realtime/echo", patience=0.1)
        names = {worker.name for worker in one.workers}
    assert all(finding.through for finding in found.findings)
    workers = {finding.worker for finding in found.findings}
    assert workers <= names
    assert len(workers) > 1
    (line,) = [line for line in _report(found) if line.startswith("Workers that answered: ")]
    assert all(str(name) in line for name in workers)


async def test_one_server_is_not_worth_a_line() -> None:
    async with fleet(1) as one:
        found = await examine(f"{one.url}/realtime/echo", patience=0.1, transports=["websocket", "long_polling"])
    assert [finding.worker for finding in found.findings] == [one.workers[0].name] * 2
    assert not any("Workers" in line for line in _report(found))
