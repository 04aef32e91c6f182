"""Engine.IO, versions 4 and 3, for the clients of others (docs/compatibility.md).

The protocol documents are `docs/engine.io-protocol` of `socketio/socket.io`. Pure, like every protocol:

    options    what an endpoint says of it, and the handshake says of that
    socketio   the same for Socket.IO's clients, which come by Engine.IO
    requests   what clients say in their URLs, and the errors that they are told
    packets    one packet, as it lies on a WebSocket or in a payload
    payloads   several packets in one HTTP body, and the wrapping of JSONP
    codec      how a session's items become packets on each kind of carrier
    upgrade    the probe: two live carriers, as a table
    heartbeat  who is heard when, in both versions
    machine    a session without numbers and acks on the wire: polls, the upgrade, every end
"""
