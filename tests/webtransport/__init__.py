"""WebTransport: the port, its sessions, its limits, the client, and what UDP does to them."""
