"""Sessions that outlive their process, as a randomised, seeded model: one client, three workers, a store of sessions
and one of rooms, and everything that may fail. What decides is the code that ships (core/durable, core/leases,
core/attendance); the model has only the stores, the connections, the handler and the client's end.

    python -m tests.core.durable_model N [START]     so many schedules
    python -m tests.core.durable_model trace SEED    one, told step by step

Every fault is drawn from the seed: a seed always gives the same schedule. Faults fall between any two steps of anybody.

    world      time, processes, what dies or is paused together
    store      what its scripts do, and what it forgets
    frames     what the two ends say
    worker     takes requests, takes over, beats, sweeps, leaves
    holding    one session at one worker: its writer, its handler, its carriers
    client     opens, attaches by three kinds of carrier, sends, closes
    schedule   the faults, and what has to hold

The store of rooms is followed without delay: what following takes is rooms_model's affair.
"""
