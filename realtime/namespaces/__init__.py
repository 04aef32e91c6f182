"""Events at the server: namespaces, their clients and their rooms.

events       what an endpoint's handlers of events are registered at, and its namespaces
namespace    one namespace: handlers, middlewares, messages to all in it
emitted      events that a namespace sends, where the application has declared them
rooms        rooms of a namespace
session      one client in one namespace: what handlers are given
connection   one session: which namespaces its client is in, and who may come in
"""
