"""QUIC and HTTP/3 as aioquic has them, for both ends of WebTransport: with windows that bound what is kept, and the
settings of every draft that a browser may speak. Only loaded where WebTransport is used.
"""
