"""SockJS 0.3.3, for the clients of others (docs/compatibility.md).

The protocol document is in `sockjs/sockjs-protocol`. Pure, like every protocol; what a session without numbers and acks
is, is in core/plain_machine.

    options    what an endpoint says of it, and the iframe page
    bodies     what clients send
    codec      the frames of the server, on each kind of carrier
    framings   how frames lie on each of its transports
"""
