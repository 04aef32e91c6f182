"""Histories of the simulated world, as many as one likes: `python -m tests.core --count 20000`, or `make histories`.

Each seed's with a client that chooses by chance, and with the policy that ships. The tests play the first ones.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback

from .simulation import play
from .supervised import SupervisedClient

parser = argparse.ArgumentParser(prog="python -m tests.core", description=__doc__)
parser.add_argument("--count", type=int, default=10_000, help="how many histories, by each of the two clients")
parser.add_argument("--start", type=int, default=0, help="the seed of the first")
parser.add_argument("--only", type=int, metavar="N", help="one history by each client, by its seed")
options = parser.parse_args()
seeds = range(options.start, options.start + options.count) if options.only is None else [options.only]
logging.disable()  # nothing of a history that was forged or cut is news
broken = 0
for played, seed in enumerate(seeds, 1):
    for name, make in (("by chance", None), ("by policy", SupervisedClient)):
        try:
            play(seed, client=make)
        except Exception:
            broken += 1
            traceback.print_exc()
            print(f"broken: the history of --only {seed}, {name}", file=sys.stderr, flush=True)
    if played % 1000 == 0:
        print(f"{played} histories, {broken} broken", flush=True)
print(f"{len(seeds)} histories by each client, {broken} broken")
sys.exit(bool(broken))
