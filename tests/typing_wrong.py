"""Wrong uses of the settings. mypy has to find each: an ignore that is not needed is an error (warn_unused_ignores).

tests/test_settings.py calls them, and compares what is said with the line's comment.
"""

from __future__ import annotations

from collections.abc import Callable

import realtime

URL = "http://localhost/realtime/chat"


def wrong_uses() -> list[tuple[Callable[[], object], str]]:
    """Each wrong use, and what its error says."""
    rt = realtime.Server()
    return [
        # an unknown name
        (lambda: realtime.Server(ping_intervall=1), "did you mean 'ping_interval'"),  # type: ignore[call-arg]
        (lambda: realtime.Server(allowed_origin="*"), "did you mean 'allowed_origins'"),  # type: ignore[call-arg]
        (lambda: rt.endpoint("/x", max_sise=1), "did you mean 'max_size'"),  # type: ignore[call-arg]
        (lambda: rt.endpoint("/x", engine_io="/e"), "did you mean 'engineio'"),  # type: ignore[call-arg]
        (lambda: rt.endpoint("/x", max_sessions=1), "max_sessions is a setting of the whole"),  # type: ignore[call-arg]
        (lambda: rt.endpoint("/x", clock=None), "clock is a setting of the whole"),  # type: ignore[call-arg]
        (lambda: realtime.connect(URL, transport="polling"), "did you mean 'transports'"),  # type: ignore[call-arg]
        (lambda: realtime.connect(URL, ping_interval=1), "no setting 'ping_interval'"),  # type: ignore[call-arg]
        # a wrong type
        (lambda: realtime.Server(ping_interval="soon"), "ping_interval='soon': takes a number"),  # type: ignore[arg-type]
        (lambda: realtime.Server(max_size=None), "max_size=None: takes a whole number"),  # type: ignore[arg-type]
        (lambda: realtime.Server(max_size="1 MB"), "max_size='1 MB': takes a whole number"),  # type: ignore[arg-type]
        (lambda: realtime.Server(max_queue=16.0), "max_queue=16.0: takes a whole number"),  # type: ignore[arg-type]
        (lambda: realtime.Server(transports=5), "transports=5: takes different names"),  # type: ignore[arg-type]
        (lambda: realtime.Server(transports=(1,)), r"transports=\(1,\): takes different"),  # type: ignore[arg-type]
        (lambda: realtime.Server(poll_interval=1), r"poll_interval=1: takes \(first, longest\)"),  # type: ignore[arg-type]
        (lambda: realtime.Server(allowed_origins=7), "allowed_origins=7: takes origins"),  # type: ignore[arg-type]
        (lambda: realtime.Server(trusted_proxies=None), "trusted_proxies=None: takes addr"),  # type: ignore[arg-type]
        (lambda: realtime.Server(shutdown_timeout="3"), "shutdown_timeout='3': takes a number"),  # type: ignore[arg-type]
        (lambda: realtime.Server(clock=12), r"clock=12: takes what has now\(\)"),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", raw="no"), "raw='no': takes True or False"),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", sockjs="/s"), "sockjs='/s': takes True, False or"),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", engineio=True), "engineio=True: takes a path"),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", dialects=realtime.SockJS()), r"dialects=SockJS\("),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", max_outbox="16"), "max_outbox='16': takes a whole"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, race_delay="1"), "race_delay='1': takes a number"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, transports=1), "transports=1: takes different"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, headers=["a"]), r"headers=\['a'\]: takes a mapping"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, headers={"a": 1}), "headers={'a': 1}: takes a mapp"),  # type: ignore[dict-item]
        (lambda: realtime.connect(URL, http="proxy"), "http='proxy': takes an aiohttp"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, upgrade="no"), "upgrade='no': takes True or"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, max_size=1.5), "max_size=1.5: takes a whole"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, backoff=1), r"backoff=1: takes \(first, longest\)"),  # type: ignore[arg-type]
        (lambda: realtime.connect(URL, clock="now"), "clock='now': takes what has"),  # type: ignore[arg-type]
        # out of bounds, as far as types say so
        (lambda: realtime.Server(on_full="explode"), "on_full='explode': takes 'wait' or"),  # type: ignore[arg-type]
        (lambda: rt.endpoint("/x", on_rate="stop"), "on_rate='stop': takes 'slow' or"),  # type: ignore[arg-type]
    ]
