"""What becomes of a session in each engine under each fault: `python -m tests.browsers.matrix`, or `make matrix`."""
