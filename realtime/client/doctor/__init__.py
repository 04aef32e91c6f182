"""What gets through to an endpoint from here, and what stands in the way of the rest: `realtime doctor`, without its
printing.

examine() tries each transport (probes.py, over probing.py), takes down what it finds (findings.py) and says what to do
about it (remedies.py).
"""

from __future__ import annotations

from .examination import Examination, examine
from .findings import STATES, Finding

__all__ = ["STATES", "Examination", "Finding", "examine"]
