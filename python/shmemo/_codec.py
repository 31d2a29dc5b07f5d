"""Values of the less common types, and what to do with what cannot be read."""

from __future__ import annotations

import datetime as dt
import math
import pickle
import re
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from ._errors import DecodeError, InvalidOption, UndecodableWarning, UnsupportedValue
from ._keys import DAY, EPOCH, EPOCH_ORDINAL, EPOCH_UTC, MICROSECOND, _int_item, _item
from ._native import encode_key
from ._warn import warn

DTYPE = re.compile(rb"[<>|](?:[biufcSU][0-9]{1,9}|[mM]8(?:\[[0-9a-zA-Z]{1,8}\])?)")
PICKLE_PROTOCOL = 5


class Serializer(Protocol):
    """What `serializer=` takes: `json`, for instance, with bytes instead of text.

    One that runs no code whatever the bytes are can say so by an attribute `safe = True`. Else nothing is read by it from a
    file that another user can write.
    """

    def dumps(self, value: Any, /) -> bytes:
        """A value as bytes."""

    def loads(self, data: bytes, /) -> Any:
        """The value of bytes."""


class Codec:
    """How one cache encodes and decodes. The native half calls the four public methods."""

    def __init__(self, *, use_pickle: bool = True, serializer: Serializer | None = None, raising: bool = False) -> None:
        for method in ("dumps", "loads"):
            if serializer is not None and not callable(getattr(serializer, method, None)):
                raise InvalidOption(f"the serializer is {serializer!r}, and must have the methods dumps and loads")
        self.use_pickle = use_pickle and serializer is None
        self.serializer = serializer
        # Whether there is a way to store what has no native encoding, or too long a one.
        self.falls_back = self.use_pickle or serializer is not None
        self.raising = raising
        # Why nothing whose reading may run code is read from this file, if so.
        self.distrust: str | None = None
        # Values that could not be decoded in this process.
        self.failed = 0

    def encode_other(self, value: Any) -> bytes | tuple[bytes, Any]:
        """The item of a value: bytes, or what begins it and a buffer that goes on."""
        kind = type(value)
        writer = WRITERS.get(kind)
        item: bytes | tuple[bytes, Any] | None = None
        if writer is not None:
            item = writer(value)
        elif kind.__module__ in ("numpy", "torch"):
            item = _encode_array(value)
        return item if item is not None else self.fall_back(value)

    def fall_back(self, value: Any) -> tuple[bytes, Any]:
        """An item that holds the value by the serializer, or as a pickle."""
        if self.serializer is not None:
            data = self.serializer.dumps(value)
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"the serializer's dumps gave {type(data).__name__}, and must give bytes")
            return b"X", data
        if not self.use_pickle:
            name = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UnsupportedValue(f"{name} has no native encoding and pickle is off: convert it, or give a serializer")
        return b"P", pickle.dumps(value, PICKLE_PROTOCOL)

    def decode_other(self, tag: int, content: Any) -> Any:
        """The value of an item that the native half does not know by itself."""
        if tag == ord("P"):
            if not self.use_pickle:
                raise DecodeError("it is a pickle, and this cache does not unpickle")
            if self.distrust is not None:
                raise DecodeError(f"it is a pickle, and {self.distrust}")
            return pickle.loads(content)
        if tag == ord("X"):
            if self.serializer is None:
                raise DecodeError("another program's serializer made it, and this cache was given none")
            if self.distrust is not None and not getattr(self.serializer, "safe", False):
                raise DecodeError(f"{self.distrust}, and the serializer does not say that it is safe (safe = True)")
            return self.serializer.loads(content)
        reader = READERS.get(tag)
        if reader is None:
            raise DecodeError(f"no value begins with the byte {tag:#04x}")
        return reader(content)

    def undecodable(self, error: Exception) -> None:
        """Counts a value that cannot be read. The first one is warned about."""
        if self.raising:
            raise error
        self.failed += 1
        if self.failed == 1:
            words = f"a value cannot be decoded and counts as missing, as will others: {type(error).__name__}: {error}"
            warn(words, UndecodableWarning)


def _encode_datetime(value: dt.datetime) -> bytes | None:
    zone = value.tzinfo
    if zone is dt.UTC and not value.fold:
        return _int_item(b"u", (value - EPOCH_UTC) // MICROSECOND)
    micros = (value.replace(tzinfo=None, fold=0) - EPOCH) // MICROSECOND
    if zone is None and not value.fold:
        return _int_item(b"n", micros)
    return _encode_clock(b"o", micros, value.fold, zone)


def _encode_time(value: dt.time) -> bytes | None:
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if value.tzinfo is None and not value.fold:
        return _int_item(b"h", micros)
    return _encode_clock(b"k", micros, value.fold, value.tzinfo)


def _encode_clock(tag: bytes, micros: int, fold: int, zone: dt.tzinfo | None) -> bytes | None:
    """None for a zone that has no encoding."""
    if zone is None:
        where = b"N"
    elif type(zone) is dt.timezone and str(zone) == str(dt.timezone(zone.utcoffset(None))):
        where = _int_item(b"D", zone.utcoffset(None) // MICROSECOND)
    elif type(zone).__module__ == "zoneinfo" and getattr(zone, "key", None):
        where = encode_key(zone.key)  # type: ignore[attr-defined]
    else:
        return None
    return tag + _item(encode_key(micros)) + _item(encode_key(fold)) + _item(where)


def _decode_clock(content: Any) -> tuple[int, int, dt.tzinfo | None]:
    micros, fold, zone = content
    if isinstance(zone, dt.timedelta):
        zone = dt.timezone(zone)
    elif isinstance(zone, str):
        import zoneinfo

        zone = zoneinfo.ZoneInfo(zone)
    if type(micros) is not int or type(fold) is not int or not (zone is None or isinstance(zone, dt.tzinfo)):
        raise DecodeError("a date or time has parts that it cannot have")
    return micros, fold, zone


def _decode_datetime(content: Any) -> dt.datetime:
    micros, fold, zone = _decode_clock(content)
    return (EPOCH + micros * MICROSECOND).replace(fold=fold, tzinfo=zone)


def _decode_plain_time(micros: int) -> dt.time:
    if not 0 <= micros < DAY:
        raise DecodeError("a time of day is not within a day")
    return (EPOCH + micros * MICROSECOND).time()


def _decode_zoned_time(content: Any) -> dt.time:
    micros, fold, zone = _decode_clock(content)
    return _decode_plain_time(micros).replace(fold=fold, tzinfo=zone)


def _numpy() -> Any:
    import numpy

    return numpy


def _encode_array(value: Any) -> bytes | tuple[bytes, Any] | None:
    """None for what NumPy or torch has and the encoding has not."""
    torch = sys.modules.get("torch")
    if torch is not None and type(value) is torch.Tensor:
        plain = value.device.type == "cpu" and value.layout is torch.strided and not value.requires_grad
        try:
            return _array_item(b"r", value.numpy()) if plain else None
        except (RuntimeError, TypeError):
            # NumPy has no such numbers, or the tensor is a view that conjugates.
            return None
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if type(value) is numpy.ndarray:
        return _array_item(b"a", value)
    if isinstance(value, numpy.generic):
        dtype = value.dtype.str.encode()
        if DTYPE.fullmatch(dtype) and value.dtype.names is None:
            return b"g" + bytes([len(dtype)]) + dtype + value.tobytes()
    return None


def _array_item(tag: bytes, array: Any) -> tuple[bytes, Any] | None:
    numpy = _numpy()
    dtype = array.dtype.str.encode()
    if not DTYPE.fullmatch(dtype) or not array.dtype.itemsize or array.dtype.names is not None or array.dtype.metadata:
        return None
    order = "C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F"
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        array = numpy.ascontiguousarray(array)
    head = bytearray(tag + bytes([len(dtype)]) + dtype + order.encode() + bytes([array.ndim]))
    for length in array.shape:
        # A length is what goes before an item, and here there is none.
        head += _length(length)
    head += bytes(-len(head) % 8)
    data = array.reshape(-1, order=order).view(numpy.uint8) if array.nbytes else b""
    return bytes(head), data


def _length(length: int) -> bytes:
    out = bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def _decode_array(item: bytearray) -> Any:
    numpy = _numpy()
    at = 2 + item[1]
    dtype = bytes(item[2:at])
    if not DTYPE.fullmatch(dtype):
        raise DecodeError("an array has elements of an unknown kind")
    order, dimensions = chr(item[at]), item[at + 1]
    if order not in "CF":
        raise DecodeError("an array has an unknown order")
    at += 2
    shape = []
    for _ in range(dimensions):
        length = shift = 0
        while True:
            byte = item[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        shape.append(length)
    at += -at % 8
    kind = numpy.dtype(dtype.decode())
    # Of elements without bytes there could be any number, and NumPy would make room for them.
    if not kind.itemsize or math.prod(shape) * kind.itemsize != len(item) - at:
        raise DecodeError("an array has not as many bytes as it says")
    if len(item) == at:
        return numpy.empty(shape, kind, order)
    return numpy.frombuffer(item, kind, offset=at).reshape(shape, order=order)


def _decode_tensor(item: bytearray) -> Any:
    import torch

    return torch.from_numpy(_decode_array(item))


def _decode_scalar(payload: bytes) -> Any:
    dtype, data = payload[1 : 1 + payload[0]], payload[1 + payload[0] :]
    if not DTYPE.fullmatch(dtype):
        raise DecodeError("a scalar is of an unknown kind")
    numpy = _numpy()
    kind = numpy.dtype(dtype.decode())
    if kind.itemsize != len(data):
        raise DecodeError("a scalar has not as many bytes as it says")
    if not data:
        return numpy.zeros((), kind)[()]
    return numpy.frombuffer(data, kind)[0]


WRITERS: dict[type, Callable[[Any], bytes | tuple[bytes, Any] | None]] = {
    dt.datetime: _encode_datetime,
    dt.date: lambda value: _int_item(b"d", value.toordinal() - EPOCH_ORDINAL),
    dt.time: _encode_time,
    dt.timedelta: lambda value: _int_item(b"D", value // MICROSECOND),
    uuid.UUID: lambda value: b"U" + value.bytes,
    Decimal: lambda value: b"M" + str(value).encode("ascii"),
    memoryview: lambda value: b"b" + value.tobytes(),
}

READERS: dict[int, Callable[[Any], Any]] = {
    ord("d"): lambda days: dt.date.fromordinal(days + EPOCH_ORDINAL),
    ord("n"): lambda micros: EPOCH + micros * MICROSECOND,
    ord("u"): lambda micros: EPOCH_UTC + micros * MICROSECOND,
    ord("h"): _decode_plain_time,
    ord("o"): _decode_datetime,
    ord("k"): _decode_zoned_time,
    ord("D"): lambda micros: micros * MICROSECOND,
    ord("U"): lambda payload: uuid.UUID(bytes=payload),
    ord("M"): lambda payload: Decimal(payload.decode("ascii")),
    ord("a"): _decode_array,
    ord("r"): _decode_tensor,
    ord("g"): _decode_scalar,
}
