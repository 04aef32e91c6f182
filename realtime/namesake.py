"""The other package that is imported as `realtime`: Supabase's client. What each of us says when the other is meant.

Both put their files into one folder, and pip does not mind: whichever is installed last has its `__init__.py` there.
Imports nothing of the package, since it has to work where that is half another's.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ["THEIRS", "clash", "foreign", "missing"]

# Names of their versions 1 and 2. A name that both have is ours, and never asked for here.
THEIRS = frozenset(
    {
        "AsyncRealtimeChannel",
        "AsyncRealtimeClient",
        "AsyncRealtimePresence",
        "AuthorizationError",
        "BroadcastCallback",
        "BroadcastMeta",
        "BroadcastPayload",
        "Channel",
        "ChannelEvents",
        "ChannelStates",
        "DEFAULT_HEARTBEAT_INTERVAL",
        "NotConnectedError",
        "PHOENIX_CHANNEL",
        "PostgresChangesCallback",
        "PostgresChangesColumn",
        "PostgresChangesData",
        "PostgresChangesMessage",
        "PostgresChangesPayload",
        "PostgresRowChange",
        "PresenceDiff",
        "PresenceEvents",
        "PresenceMeta",
        "PresenceOnJoinCallback",
        "PresenceOnLeaveCallback",
        "PresenceOpts",
        "RawPresenceDiff",
        "RawPresenceState",
        "RealtimeAcknowledgementStatus",
        "RealtimeChannelBroadcastConfig",
        "RealtimeChannelConfig",
        "RealtimeChannelOptions",
        "RealtimeChannelPresenceConfig",
        "RealtimeClient",
        "RealtimeHTTPError",
        "RealtimePostgresChangesListenEvent",
        "RealtimePresenceJoinPayload",
        "RealtimePresenceLeavePayload",
        "RealtimePresenceListenEvents",
        "RealtimePresenceState",
        "RealtimeSubscribeStates",
        "ReplayOption",
        "Socket",
        "SyncRealtimeChannel",
        "SyncRealtimeClient",
        "SyncRealtimePresence",
        "http_endpoint_url",
    }
)
ADVICE = (
    "give each a virtual environment of its own; to repair this one:"
    " pip uninstall realtime aiohttp-realtime, then pip install the one that is wanted"
)


def missing(name: str) -> Exception:
    """What asking our module for a name that it does not have raises: ImportError for one of theirs."""
    if name in THEIRS:
        return ImportError(
            f"realtime.{name} is of Supabase's package realtime, and this is aiohttp-realtime, which is imported by the"
            f" same name: {ADVICE}",
            name="realtime",
        )
    return AttributeError(f"module 'realtime' has no attribute {name!r}", name=name, obj=sys.modules.get("realtime"))


def foreign() -> str | None:
    """The sentence to say when `import realtime` gives theirs, although files of ours are beside it; else None."""
    module = sys.modules["realtime"]
    if hasattr(module, "get_server"):
        return None
    return (
        f"{module.__file__} is not of aiohttp-realtime: Supabase's package realtime, which is imported by the same"
        f" name, was installed over it; {ADVICE}"
    )


def clash() -> str | None:
    """The sentence to say when both are installed in this environment; else None."""
    said = foreign()
    if said is not None:
        return said
    try:
        theirs = version("realtime")
    except PackageNotFoundError:
        return None
    return f"Supabase's package realtime {theirs} is installed here as well, and imported by the same name: {ADVICE}"
