"""Rubbish in, documented answers out: generated input for the decoders and for a running server.

    python -m tests.fuzz --count 100000 --seed 1      (make fuzz)
    python -m tests.fuzz --seed 1 --only 4711         one input again

dice (values) -> frames (of the protocol) -> http, websocket (bytes on a connection) -> pure, scenes (one input each)
-> house (the server under test and what must be true of it) -> runner. `wire` judges what the server says.
"""
