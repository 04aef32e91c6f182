"""The transport comparison demo: what `realtime demo` serves, page and all.

Demo          listens: on its port, and on one for each lane of the race
make_app()    the application: endpoints, the page, and what the page asks for
meter         bytes, counted at the server's sockets
race          a visitor's lanes
plug          a visitor's panel whose network can be broken
verify        what is lost, repeated or reordered, told by numbers
child         the process of a panel that can be killed
Store         a Redis of the demo's own, which keeps the panel's session
Several       the same command with several workers, one of which is killed
"""

from __future__ import annotations

from .app import ENDPOINTS, make_app
from .serving import Demo
from .several import Several
from .store import Store

__all__ = ["ENDPOINTS", "Demo", "Several", "Store", "make_app"]
