"""Socket.IO's packets: events, acknowledgements and namespaces over the messages of any session.

The protocol documents are `docs/socket.io-protocol` of `socketio/socket.io`. Version 5 is what clients 3 and 4 speak,
and realtime's own over native sessions; version 4 is that of clients 1 and 2, version 3 that of the first of these
(1.0.0 to 1.0.2). Pure, like every protocol:

    packets      one packet: how it is read, and written
    values       the JSON in it: how deep it may be, and where its attachments belong
    decoder      from messages to packets: what waits for its attachments, within bounds
    membership   which namespaces a session is in, and what a packet is to be taken for
    answers      what an acknowledgement says, errors as well
    recovery     what a client may have missed, and how it goes on there
"""
