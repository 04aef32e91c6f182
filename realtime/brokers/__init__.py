"""Brokers: what carries rooms from worker to worker. See base.py for what one must do."""
