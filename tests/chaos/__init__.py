"""Workers behind balancers without stickiness, clients of every kind, and a hand that kills, ends, stops and restarts.

    python -m tests.chaos --seconds 60 --seed 1
    python -m tests.chaos.durable --seconds 60 --seed 1

worker.py is one process of the fleet; fleet.py starts them, Redis and the balancers; clients.py and strangers.cjs
(page.cjs for those that only pages run) are who connects; storm.py does the harm, and counts where it fell; account.py
judges; results.py adds it up and tells. durable.py is the same for sessions that outlive their workers, which
outlived.py judges.
"""
