"""A wire protocol of three frames, as somebody would add one: a folder, and a line in realtime/web/dialects.py.

    +            the session is there (from the server, first)
    =<text>      a message
    -<code>      the end (from the server)

A WebSocket message is a frame; the answer to a poll, and the body of a POST, are frames with a newline between them:

    GET  <endpoint>/toy            a WebSocket, which is a session of its own
    GET  <endpoint>/toy/<name>     a poll
    POST <endpoint>/toy/<name>     messages for the session of that name
"""
