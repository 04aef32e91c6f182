"""What both Qt drivers share: lines of JSON from stdin, handed to `do_<command>(page, **details)` by Qt's own loop.

Runs on the Python that has the engine, without any of this project's packages.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def say(**what: Any) -> None:
    """A line to whoever drives us."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Lines:
    """Commands by line; subclasses have the methods. A method that answers later returns LATER."""

    LATER = object()

    def __init__(self, notifier: Any, quit_: Any) -> None:
        self._rest = b""
        self._quit = quit_
        self.number = 0
        self._notifier = notifier  # or it would be collected
        notifier.activated.connect(self._read)

    def _read(self, *_: Any) -> None:
        data = os.read(0, 65536)
        if not data:
            self._quit()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, command: dict[str, Any]) -> None:
        self.number = number = command.pop("id")
        method = getattr(self, "do_" + command.pop("do"))
        try:
            result = method(**command)
        except Exception:
            say(id=number, error=traceback.format_exc())
        else:
            if result is not self.LATER:
                say(id=number, result=result)
