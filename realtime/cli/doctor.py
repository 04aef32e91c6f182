"""`realtime doctor`: prints what realtime.client.doctor found out, for people or as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

from ..client.doctor import STATES, Examination, Finding, examine
from ..client.wire import browsers_only, own_transports
from ..namesake import clash
from .signals import signals
from .stdio import harmless, note, put

__all__ = ["Options", "run"]

WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said. Times in seconds."""

    url: str
    transports: Sequence[str] | None  # None: all that there are
    headers: Mapping[str, str]
    auth: Any
    proxy: str | None
    timeout: float
    patience: float
    as_json: bool


def run(options: Options) -> int:
    """Runs the command; 0 when at least one transport got through. Raises LocalProtocolError for wrong options."""
    return asyncio.run(_main(options))


async def _main(options: Options) -> int:
    said = clash()
    if said is not None:
        note(said)
    with signals() as asked:
        examination = asyncio.ensure_future(
            examine(
                options.url,
                transports=options.transports,
                timeout=options.timeout,
                patience=options.patience,
                headers=options.headers,
                auth=options.auth,
                proxy=options.proxy,
            )
        )
        both: set[asyncio.Future[Any]] = {examination, asked}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not examination.done():
            examination.cancel()
            await asyncio.wait({examination})
            return 128 + asked.result()
        found = examination.result()
    text = json.dumps(_plain(found), indent=2) if options.as_json else "\n".join(_report(found))
    put(text)
    return 0 if found.through else 1


def _plain(found: Examination) -> dict[str, Any]:
    """The examination as JSON has it; times rounded to tenths of a millisecond."""
    plain: dict[str, Any] = asdict(found) | {"through": found.through}
    plain["seconds"] = round(found.seconds, 2)
    for finding in plain["findings"]:
        finding["meaning"] = STATES[finding["state"]]
        for key, value in finding.items():
            if isinstance(value, float):
                finding[key] = round(value, 4)
    return plain


def _report(found: Examination) -> Iterator[str]:
    via = f" through the proxy {found.proxy}" if found.proxy else ""
    yield harmless(f"{found.url}{via}")
    yield ""
    yield from _table(found.findings)
    yield ""
    yield from _workers(found.findings)
    if found.order:
        yield f"Use, best first: {', '.join(found.order)}"
    elif found.realtime:
        yield "The server answers, but no transport gets through."
    else:
        yield "No transport gets through, and nothing there answered in the protocol of realtime."
    if set(own_transports()) <= {finding.transport for finding in found.findings}:
        yield f"Not tried: {', '.join(browsers_only())}, which only browsers run."
    for advice in found.advice:
        yield ""
        yield from wrap(harmless(advice), WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _workers(findings: Sequence[Finding]) -> Iterator[str]:
    """Which worker process opened which session, where there are several."""
    by: dict[str, list[str]] = {}
    for finding in findings:
        if finding.worker is not None:
            by.setdefault(finding.worker, []).append(finding.transport)
    if len(by) > 1:
        said = (f"{harmless(one)} ({', '.join(names)})" for one, names in by.items())
        yield f"Workers that answered: {'; '.join(said)}"


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    rows = [("transport", "through", "first byte", "round trip", "what happened")]
    for finding in findings:
        rows.append(
            (
                finding.transport,
                "yes" if finding.through else "no",
                _time(finding.first_byte),
                _time(finding.round_trip),
                harmless("; ".join([f"{finding.state}: {finding.what}" if _telling(finding) else "", *finding.notes])),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, through, first, trip, what in rows:
        cells = (
            f"{name:{widths[0]}}",
            f"{through:{widths[1]}}",
            f"{first:>{widths[2]}}",
            f"{trip:>{widths[3]}}",
            what.strip("; "),
        )
        yield "  ".join(cells).rstrip()


def _telling(finding: Finding) -> bool:
    return finding.state != "ok"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
