"""Gates: from what a connection or a request has said to a session. No sockets, no HTTP: web/ stands above."""
