"""The answers on a durable session's carriers."""

from __future__ import annotations

from realtime.core.durable.record import Tenure
from realtime.protocols.native import NativeCodec
from realtime.protocols.native.tenures import SendCodec, TenureCodec
from realtime.transports import TRANSPORTS


def test_an_attach_is_answered_with_the_tenure() -> None:
    plain = NativeCodec(TRANSPORTS["long_polling"])
    assert TenureCodec(plain, "t1").attach_answer(2, 1) == b'"r2,1,t1"'
    began = TenureCodec(plain, "t2", Tenure("t2", 9, 8, 6))
    assert began.attach_answer(2, 1) == b'"r2,1,t2,9,8,6"'
    assert began.ack(2, 1) == plain.ack(2, 1) == b'"a2,1"'
    assert (began.key, began.name, began.shape) == (plain.key, plain.name, plain.shape)


def test_a_send_is_answered_with_the_tenure() -> None:
    codec = SendCodec(NativeCodec(TRANSPORTS["long_polling"]), "t1")
    assert codec.ack(2, 1) == b'"a2,1,t1"'
    assert codec.wrap([codec.ack(2, 1)]) == [b'["a2,1,t1"]']
