"""Protocols that ride on a session's messages, whatever carries the session.

A layer is a machine over messages, pure like everything here: it is fed each message that a session receives (text or
bytes, in order), and says which messages to send and what to tell the application. It knows no carrier, transport,
heartbeat or acknowledgement: those are the session's. So one layer serves every wire protocol below it.

    socketio   events, acknowledgements and namespaces, in Socket.IO's packets
    stomp      frames of STOMP, for messages to destinations and from them
"""
