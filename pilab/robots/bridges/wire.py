"""MessagePack with numpy arrays: written byte for byte as openpi's `msgpack_numpy` does, read as what strangers send.

Design choices
--------------
* **An array is a map** with the byte-string keys `__ndarray__`, `data`, `dtype`, `shape`; a numpy scalar one of three. The
  reader takes text keys as well (the vla-evaluation-harness sends those), and gives every key as text.
* **Nothing is believed**: bytes against shape and type, the letters of a type, nesting, the number of values, text that is
  text. There is no pickle behind it; objects, structures and complex numbers do not pass, as with openpi.
* **Arrays are copies**, hence writable, unlike openpi's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pilab.contracts import PilabError

MAX_DEPTH = 16  # maps and lists within each other
MAX_VALUES = 10_000  # entries of all maps and lists: an empty map is 1 byte on the wire and 64 in memory
REFUSED = "VOcT"  # kinds of dtype: structures, objects, complex; and numpy's new strings, whose bytes are pointers
DTYPE = re.compile(r"[<>|=]?[biufSUmM?]\d{0,9}(\[\d{0,9}[A-Za-z]{1,2}\])?")


class WireError(PilabError, ValueError):
    """Bytes that are no message of this protocol, or a message that cannot become bytes."""


def pack(message: Any) -> bytes:
    """Maps with text keys, lists, text, bytes, numbers and arrays, in each other → bytes. Raises `WireError`."""
    import msgpack

    try:
        return msgpack.packb(message, default=_encode)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}; send maps, lists, text, bytes, numbers or arrays") from error


def unpack(data: bytes) -> dict[str, Any]:
    """One message, which has to be a map. Raises `WireError` with the reason, and nothing else, whatever the bytes are."""
    import msgpack

    left = MAX_VALUES

    def count(values: Sequence[Any]) -> Sequence[Any]:
        nonlocal left
        left -= 1 + len(values)
        if left < 0:
            raise ValueError(f"more than {MAX_VALUES} values; send numbers as arrays")
        return values

    def mapping(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        named = {key.decode() if isinstance(key, bytes) else key: value for key, value in count(pairs)}
        if len(named) < len(pairs):
            raise ValueError("a key stands twice in a map")
        return named

    limits = {"max_array_len": MAX_VALUES, "max_map_len": MAX_VALUES}
    try:
        message = _restore(msgpack.unpackb(data, object_pairs_hook=mapping, list_hook=count, **limits), MAX_DEPTH)
        if isinstance(message, dict):
            return message
        raise ValueError(f"a {type(message).__name__} is no map")
    except (ValueError, TypeError, ArithmeticError, RecursionError, msgpack.exceptions.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise WireError(
            f"not a message: {reason}; expected one MessagePack map, packed as openpi-client does"
        ) from error


def _encode(value: Any) -> Any:
    """openpi's maps for arrays and numpy scalars; MessagePack itself refuses what else it does not know."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if value.dtype.kind in REFUSED:
        raise ValueError(f"numpy's {value.dtype} has no place in a message")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def _restore(value: Any, depth: int) -> Any:
    """Maps that stand for arrays and scalars become those; everything else is checked and kept."""
    if depth < 0:
        raise ValueError(f"maps and lists are nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [_restore(v, depth - 1) for v in value]
    if isinstance(value, dict):
        special = {"__ndarray__", "__npgeneric__"} & value.keys()
        return _numpy(value) if special else {key: _restore(v, depth - 1) for key, v in value.items()}
    if value is not None and not isinstance(value, str | bytes | int | float):
        raise ValueError(f"{type(value).__name__} is an extension of MessagePack that nobody asked for")
    return value


def _numpy(fields: dict[str, Any]) -> np.ndarray | np.generic:
    data, name, shape = (fields.get(key) for key in ("data", "dtype", "shape"))
    if not isinstance(name, str) or not DTYPE.fullmatch(name) or not (dtype := np.dtype(name)).itemsize:
        raise ValueError(f"{str(name)[:30]!r} is no type of numbers, truth values or text of some length")
    if fields == {"__npgeneric__": True, "data": data, "dtype": name} and isinstance(data, bool | int | float):
        with np.errstate(all="raise"):
            value = np.array(data).astype(dtype)[()] if dtype.kind in "biuf" else None
        if value is None or (dtype.kind != "f" and value != data):
            raise ValueError(f"{data!r} is no {dtype}")
        return value
    if fields != {"__ndarray__": True, "data": data, "dtype": name, "shape": shape} or not isinstance(data, bytes):
        raise ValueError(f"{', '.join(sorted(fields))[:80]} do not make an array")
    sizes = isinstance(shape, list) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
    if not sizes or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes of type {dtype.str} do not make an array of shape {str(shape)[:60]}")
    codes = np.frombuffer(data, f"{dtype.str[0]}u4") if dtype.kind == "U" else np.zeros(1)
    if (codes > 0x10FFFF).any() or (codes // 2048 == 0xD800 // 2048).any():  # out of range; a lone half of a pair
        raise ValueError("an array of text holds what is no Unicode")
    if dtype.kind == "b" and data.strip(b"\0\1"):
        raise ValueError("a truth value is neither 0 nor 1")
    return np.ndarray(shape, dtype, data).copy()
