"""The frames of a durable session's carriers: answers that name its tenure (docs/protocol.md §13.3)."""

from __future__ import annotations

from ...core.carrier import Part
from ...core.durable.record import Tenure
from .codec import NativeCodec
from .durable import Held, answered_frame, attached_frame

__all__ = ["SendCodec", "TenureCodec"]


class TenureCodec(NativeCodec):
    """The codec of one carrier that has attached: its `r` names the tenure, and with which numbers (`began`) the one
    began that followed what its client has named, if that was another."""

    def __init__(self, codec: NativeCodec, tenure: str, began: Tenure | None = None) -> None:
        # All that a NativeCodec has, as it is.
        self.__dict__.update(codec.__dict__)
        self._tenure = tenure
        self._began = began

    def attach_answer(self, received: int, taken: int) -> Part:
        """`r`."""
        return self.text(attached_frame(Held(received, taken, self._tenure, self._began)))


class SendCodec(TenureCodec):
    """The codec of a send: so does the `a` in its answer."""

    def ack(self, received: int, taken: int) -> Part:
        """`a`."""
        return self.text(answered_frame(Held(received, taken, self._tenure)))
