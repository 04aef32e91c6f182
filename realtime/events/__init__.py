"""Events, for both ends of a session: who listens to what, and calls that wait for their answers.

What the packets look like is protocols/layers/socketio; the server's half, in which there are namespaces, is
namespaces/, the client's client/events.
"""
