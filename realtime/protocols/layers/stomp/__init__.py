"""STOMP 1.0, 1.1 and 1.2 over the messages of any session, or over a stream of bytes.

The specifications are at stomp.github.io. Pure, like every protocol:

    frames         one frame: its commands, how it is written, and the escapes of each version
    decoder        from bytes in any pieces to frames, within bounds
    handshake      which version is spoken, and who sends heart-beats how often
    deliveries     which messages a client has to acknowledge, and what an ACK or NACK is about
    transactions   what waits for a COMMIT, within bounds
    conversation   what each frame of a client asks for, by version and state
"""
