"""Sessions that outlive their process, at the server: what runs core/durable on a broker's records (docs/durable.md).

session    what a handler holds: turns, commits, data
holding    one session at this worker: its writer, its handler, its end here
keeper     all of them: opened, found, taken over, handed over
served     which of them belong to an endpoint of this worker, and how long they are kept
requests   what a record keeps of the request that opened it
"""
