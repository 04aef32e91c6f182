"""Random faults between pages in real browsers and a real server, with both ends' accounts compared.

    python -m tests.browsers.campaign --faults 20000 --seed 1      (make campaign)

`plan.py` makes a run from a seed and its number, `weather.py` its faults; `run.py` carries it out, with
client-js/test/browser/campaign.js as the page's part; `ledger.py` judges; `report.py` runs many and sums up.
"""
