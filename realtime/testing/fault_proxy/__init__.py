"""A TCP/HTTP proxy that a test puts between a client and a server, to do to them what networks do.

It uses the standard library only and knows nothing of this package's protocols. `faults.py` lists what
it can do, `exchange.py` does it, and `proxy.py` is what a test holds.
Tests import the names from `realtime.testing`.
"""
