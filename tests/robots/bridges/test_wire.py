"""The wire: openpi's bytes exactly, and a reader that no bytes can surprise."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pilab.robots.bridges.wire import MAX_DEPTH, MAX_VALUES, WireError, pack, unpack

LIGHT = settings(max_examples=3000, deadline=None)
STATE = "81b16f62736572766174696f6e2f737461746584c40b5f5f6e6461727261795f5fc3c40464617461c40c000000000000803f00000040"
STATE += "c4056474797065a33c6634c40573686170659103"
SCALAR = "83c40d5f5f6e7067656e657269635f5fc3c40464617461cb3ff8000000000000c4056474797065a33c6634"


# ---------------------------------------------------------------------------------------------------------- openpi's bytes
def test_golden_vectors_to_the_byte():
    """Computed with openpi's own encoder and msgpack 1.2.4; never to be updated: the protocol is openpi's."""
    assert pack({"observation/state": np.arange(3, dtype=np.float32)}).hex() == STATE
    assert pack(np.float32(1.5)).hex() == SCALAR
    assert pack({}) == b"\x80"


def test_golden_vectors_are_read():
    (state,) = unpack(bytes.fromhex(STATE)).values()
    assert state.dtype == np.float32 and state.tolist() == [0, 1, 2] and state.flags.writeable
    scalar = unpack(b"\x81\xa1x" + bytes.fromhex(SCALAR))["x"]
    assert type(scalar) is np.float32 and scalar == 1.5
    assert unpack(b"\x80") == {}


def array(data=b"\0" * 4, dtype="<f4", shape=(1,), **more):
    return {"a": {"__ndarray__": True, "data": data, "dtype": dtype, "shape": list(shape), **more}}


def scalar(data, dtype):
    return {"a": {b"__npgeneric__": True, b"data": data, b"dtype": dtype}}


def test_text_keys_are_read_as_well():
    assert unpack(msgpack.packb(array()))["a"].tolist() == [0]
    assert unpack(msgpack.packb({b"task": "put", "state": [1, 2.5, None]})) == {"task": "put", "state": [1, 2.5, None]}


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_order_of_bytes_is_kept(order):
    values = np.array([[1, 2], [3, 4]], f"{order}i4")
    back = unpack(pack({"x": values[:, ::-1]}))["x"]  # not contiguous either
    np.testing.assert_array_equal(back, values[:, ::-1])


numbers = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
        hnp.byte_string_dtypes(max_len=5), hnp.datetime64_dtypes(), hnp.timedelta64_dtypes(),
        hnp.unicode_string_dtypes(max_len=5),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)  # fmt: skip
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary(), numbers
)
messages = st.dictionaries(
    st.text(max_size=8),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_size=4,
)  # fmt: skip


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


@settings(max_examples=150, deadline=None)
@given(messages)
def test_what_is_sent_arrives(message):
    back = unpack(pack(message))
    assert same(message, back)
    assert pack(back) == pack(message)


@pytest.mark.parametrize(
    "value", [np.float32(0.1), np.float16("nan"), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)]
)
def test_numpy_scalars_arrive(value):
    back = unpack(pack({"x": value}))["x"]
    assert type(back) is type(value) and (back == value or value != value)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1j]), np.array([object()]), np.zeros(2, "i4,f4"), np.void(b"12"), np.complex64(1), np.longdouble(1),
        {1, 2}, object(), 2**70, "\ud800", np.array(["a"], np.dtypes.StringDType()),
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(value):
    with pytest.raises(WireError, match="cannot be sent"):
        pack({"x": value})


# ---------------------------------------------------------------------------------------------------------- strangers' bytes
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (array(dtype="|O"), "no type"),
        (array(dtype="|V4"), "no type"),
        (array(dtype="<c8", data=b"\0" * 8), "no type"),
        (array(dtype="i4,i4"), "no type"),
        (array(dtype="(2,2)f4"), "no type"),
        (array(dtype="|S0", data=b"", shape=(10**15,)), "no type"),
        (array(dtype="<U0", data=b"", shape=(10**15,)), "no type"),
        (array(dtype="<i3"), "i3"),
        (array(dtype="<M8[xx]", data=b"\0" * 8), "unit"),
        (array(dtype=4), "no type"),
        (array(dtype="f4\n"), "no type"),
        (array(shape=(2,)), "4 bytes"),
        (array(shape=(-1,)), "shape"),
        (array(shape=(True,)), "shape"),
        (array(shape=(1.0,)), "shape"),
        (array(shape=(2**62, 4)), "shape"),
        (array(shape=(0, 2**62), data=b""), "too big"),
        (array(shape=[1] * 33), "shape"),
        (array(shape=[2**63] * 400), "shape"),
        (array(data="0000"), "array"),
        (array(data=[0, 0, 0, 0]), "array"),
        (array(more=1), "array"),
        (array(data=b"\xff\xff\xff\xff", dtype="<U1"), "Unicode"),
        (array(data=b"\x00\xd8\0\0", dtype="<U1"), "Unicode"),
        (array(data=b"\2", dtype="|b1"), "truth"),
        ({"a": {"__ndarray__": False, "data": b"", "dtype": "<f4", "shape": [0]}}, "array"),
        ({"a": {"__ndarray__": True}}, "no type"),
        ({"a": {"__ndarray__": True, "dtype": "<f4"}}, "array"),
        (scalar(300, "|i1"), "300"),
        (scalar(1.5, "<i4"), "1.5"),
        (scalar(float("inf"), "<i4"), "invalid"),
        (scalar(1e9, "<f2"), "overflow"),
        (scalar("1", "<i4"), "array"),
        (scalar(1, "<U1"), "1"),
        ({"a": msgpack.ExtType(5, b"x")}, "extension"),
        ({"a": msgpack.Timestamp(1)}, "extension"),
        ({"a": 1, b"a": 2}, "twice"),
        ({b"\xff": 1}, "utf-8"),
        ({"a": [0] * (MAX_VALUES + 1)}, "exceeds"),
        ({"a": [[0] * 4000] * 3}, "more than"),
        ({"a": [[{}] * 4000] * 2}, "more than"),
        ([1], "list is no map"),
        (None, "no map"),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, str) else None,
)
def test_what_is_no_message_is_refused(message, reason):
    with pytest.raises(WireError, match=reason) as refused:
        unpack(msgpack.packb(message))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\xc0\xc0", b"\x81", b"\x81\x01\x02", b"\x91" * 100_000, b"\x81\xa1a" * 100_000, b"\xdd\xff\xff\xff\xff",
     b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x81\xa1a\xa1\xff", b"\x81\x91\x02\x02"],
)  # fmt: skip
def test_broken_bytes_are_refused(data):
    with pytest.raises(WireError, match="not a message"):
        unpack(data)


def test_nesting_has_an_end():
    def nested(depth):
        return {"a": nested(depth - 1)} if depth else {}

    assert unpack(pack(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(WireError, match="nested deeper"):
        unpack(pack(nested(MAX_DEPTH + 1)))


def read(data: bytes) -> None:
    """Read a message or refuse it, in words; what was read can be written and read again."""
    try:
        message = unpack(data)
    except WireError as error:
        message = {"refused": str(error)[:1000]}
        if len(str(error)) > 1000:
            raise
    assert same(unpack(pack(message)), message)


@LIGHT
@given(st.binary(max_size=200))
@example(b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12)  # a time stamp out of range
def test_random_bytes(data):
    read(data)


VALID = pack(
    {
        "state": np.arange(3, dtype=np.float32), "images": {"cam_high": np.zeros((3, 2, 2), np.uint8)}, "prompt": "put",
        "x": np.float32(1.5), "words": np.array(["ab", "c"]), "flags": np.array([True, False]), "list": [1, None, b"b", 2.5],
    }
)  # fmt: skip


@LIGHT
@given(st.data())
def test_mutated_messages(data):
    message = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message)))
        end = at + data.draw(st.integers(0, 3))
        message[at:end] = data.draw(st.binary(max_size=3))
    read(bytes(message))


@LIGHT
@given(st.integers(0, len(VALID) - 1))
def test_truncated_messages(length):
    with pytest.raises(WireError):
        unpack(VALID[:length])


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from(["__ndarray__", b"__ndarray__", "__npgeneric__", b"__npgeneric__"]),
    st.one_of(st.booleans(), st.none()),
    st.one_of(st.binary(max_size=16), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=3)),
    st.one_of(st.from_regex(r"[<>|=]?[a-zA-Z?]\d{0,3}(\[\w{1,3}\])?", fullmatch=True), st.text(max_size=4), st.none()),
    st.one_of(st.lists(st.integers(-2, 5), max_size=4), st.lists(st.integers(0, 2**64 - 1), max_size=3), st.none()),
)
def test_hostile_arrays(marker, flag, payload, dtype, shape):
    fields = {marker: flag, "data": payload, "dtype": dtype}
    read(msgpack.packb({"a": fields | ({"shape": shape} if "array" in str(marker) else {})}))
