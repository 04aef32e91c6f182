"""`python -m tests.core.durable_model 20000`, or `trace SEED`."""

from __future__ import annotations

import sys

from ..rooms_model import command
from .schedule import Schedule

command(sys.argv[1:], Schedule)
