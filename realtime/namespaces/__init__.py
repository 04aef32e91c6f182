"""Events at the server: namespaces, their clients and their rooms.

events       what an endpoint's handlers of events are registered at, and its namespaces
namespace    one namespace: handlers, middlewares, messages to all in it
emitted      events that a namespace sends, where the application has declared them
rooms        rooms of a namespace
session      one client in one namespace: what handlers are given
connection   one session: which namespaces its client is in, and who may come in
reasons      why clients have gone, and which of them may come back
keeping      what one client was sent, so that it can go on where it was
away         those who may: who they are, and who is away
catching_up  how it is sent what it has missed
bridged      a client that goes on at another worker
"""
