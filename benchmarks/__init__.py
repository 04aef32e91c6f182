"""What a session costs the server, measured against bare aiohttp in the same run: see benchmarks/README.md.

python -m benchmarks                       every scenario, on every event loop that is installed
python -m benchmarks websocket-echo        one scenario

server.py     the server process          contenders.py  the applications it can serve
process.py    starts it, reads its CPU time and memory
messages.py   what is sent                wire.py        WebSocket and HTTP clients, by hand
bare.py       sessions that number nothing, and native.py: sessions of docs/protocol.md
load.py       keeps so many operations under way, counts and verifies them
scenarios.py  the list                    report.py      the table
peers.py      the floor, and other people's servers, on Python and (node/) on Node
comparison.py all of it, and how cost grows, for docs/speed.md; plot.py draws
stalled.py    who gets what while others do not read
"""
