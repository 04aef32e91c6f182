"""STOMP at the server: what an application registers, destinations, and the sessions of STOMP's clients.

The protocol itself is protocols/layers/stomp, pure. Over TCP its bytes are brought by gates/stomp.

    broker        STOMP: what an endpoint's destinations are registered at, which is its handler
    bound         what the sessions of one such endpoint share
    connection    one session: its frames, in order, and what they ask for
    members       its subscriptions, as rooms and queues know them
    schedule      heart-beats, and what else is due when
    queues        messages that one of the subscribers takes, kept while there is none
    destinations  what a destination means, and which handler is meant
    messages      what handlers are given, and bodies
"""
