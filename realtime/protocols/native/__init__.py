"""The native protocol, version 1: frames as text, and what each of them asks of a machine (docs/protocol.md).

    values     numbers, texts, times and JSON, as they may stand in a frame
    codec      a session's frames, on each kind of carrier
    opens      the `o` of both ends
    heads      the first frame of a connection or batch
    renewals   fresh auth data
    rooms      messages of rooms with their positions, and the cursors of an open
    durable    what durable sessions add to all that
    tickets    what a server hands out to those who can show only a URL
    refusals   the `x` of an abrupt end
    feed       frames in: which method of the machine each of them calls

Pure, like every protocol.
"""

from .codec import NativeCodec
from .durable import cursors_frame
from .feed import feed_client, feed_server
from .heads import RequestHead, attach_frame, parse_head, uplink_frames
from .opens import Open, Opened, open_frame, opened_frame, parse_open, parse_open_in_url, verdicts
from .refusals import parse_refusal, refusal_frame
from .renewals import RENEWED, Renewal, auth_text, parse_renewal, renewal_frame
from .tickets import ticket_frame, ticket_frames
from .values import is_text

__all__ = [
    "RENEWED",
    "VERSION",
    "NativeCodec",
    "Open",
    "Opened",
    "Renewal",
    "RequestHead",
    "attach_frame",
    "auth_text",
    "cursors_frame",
    "feed_client",
    "feed_server",
    "is_text",
    "open_frame",
    "opened_frame",
    "parse_head",
    "parse_open",
    "parse_open_in_url",
    "parse_refusal",
    "parse_renewal",
    "refusal_frame",
    "renewal_frame",
    "ticket_frame",
    "ticket_frames",
    "uplink_frames",
    "verdicts",
]

VERSION = 1
