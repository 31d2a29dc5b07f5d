"""Keys of the less common types. Those that equal a key of a common type are encoded as that."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import os
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath, PurePosixPath
from typing import Any

from . import _native
from ._errors import DecodeError, UnsupportedKey

EPOCH = dt.datetime(1970, 1, 1)
EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
EPOCH_ORDINAL = 719_163
MICROSECOND = dt.timedelta(microseconds=1)
MINUTE = 60_000_000
DAY = 86_400_000_000
# Decimals beyond this power of ten would become integers of more bytes than a key can have.
LARGEST_EXPONENT = 100_000

# The units of NumPy's times that are of one length.
ATTOSECONDS = {"as": 1, "fs": 10**3, "ps": 10**6, "ns": 10**9, "us": 10**12, "ms": 10**15, "s": 10**18, "m": 60 * 10**18}
ATTOSECONDS |= {"h": 3600 * 10**18, "D": 86_400 * 10**18, "W": 604_800 * 10**18}
# What may make the default of a field that is not part of a key.
PLAIN = (list, dict, set, frozenset, tuple, str, bytes, int, float)

REMEDIES = {
    list: "use a tuple",
    dict: "use a tuple of its items, or a frozenset of them",
    set: "use a frozenset",
    bytearray: "use bytes",
    memoryview: "use bytes",
}


def encode_other(key: Any, depth: int) -> bytes:
    """The bytes of a key that lies in `depth` containers and whose type is none that the native half knows."""
    encode = _native.encode_key
    # A subclass is equal to what it derives from: the exact value is what counts.
    if isinstance(key, str):
        return encode(str.__str__(key))
    if isinstance(key, int):
        return encode(int.__add__(key, 0))
    if isinstance(key, float):
        return encode(float.__float__(key))
    if isinstance(key, bytes):
        return encode(bytes.__getitem__(key, slice(None)))
    if isinstance(key, tuple):
        return encode(tuple.__getitem__(key, slice(None)), depth)
    if isinstance(key, frozenset):
        return encode(frozenset(frozenset.__iter__(key)), depth)
    if isinstance(key, (Decimal, Fraction)):
        return _number(key, depth)
    if isinstance(key, complex):
        return encode(key.real) if key.imag == 0 else _refuse(key, "use a tuple of its parts")
    if isinstance(key, (dt.date, dt.time, dt.timedelta)):
        return _time(key)
    if isinstance(key, uuid.UUID):
        return b"U" + key.bytes
    if isinstance(key, PurePath):
        if not isinstance(key, PurePosixPath):
            _refuse(key, "use str() of it")
        return b"p" + os.fsencode(key)
    if isinstance(key, enum.Enum):
        member = key.value if isinstance(key, enum.Flag) else key.name
        _check_depth(depth)
        return b"e" + _item(encode(class_name(type(key)))) + _item(encode(member, depth + 1))
    if type(key).__module__ == "numpy" or hasattr(key, "__array_interface__"):
        return _numpy(key, depth)
    if dataclasses.is_dataclass(key) and not isinstance(key, type):
        return _dataclass(key, depth)
    return _refuse(key)


def _refuse(key: Any, remedy: str | None = None) -> Any:
    if remedy is None:
        found = (words for kind, words in REMEDIES.items() if isinstance(key, kind))
        remedy = next(found, "use a str, bytes, a number or a tuple that says the same")
    raise UnsupportedKey(f"{type(key).__module__}.{type(key).__qualname__} cannot be a key: {remedy}")


def class_name(cls: type) -> str:
    """Names a class in every process: a spawned child has the main module under another name."""
    module = "__main__" if cls.__module__ == "__mp_main__" else cls.__module__
    return f"{module}:{cls.__qualname__}"


def _item(encoded: bytes) -> bytes:
    """An item of a container: its length, and the item."""
    length, head = len(encoded), bytearray()
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + encoded


def _check_depth(depth: int) -> None:
    """For what is a container although it is no tuple. Raises NestedTooDeep if it lies too deep."""
    _native.encode_key((), depth)


def _number(key: Decimal | Fraction, depth: int) -> bytes:
    if isinstance(key, Decimal):
        if not key.is_finite():
            return _native.encode_key(math.nan if key.is_nan() else float(key))
        if not key.is_zero() and abs(key.adjusted()) > LARGEST_EXPONENT:
            _refuse(key, f"its exponent is beyond {LARGEST_EXPONENT}: use str() of it")
    numerator, denominator = key.as_integer_ratio()
    if denominator == 1:
        return _native.encode_key(int(numerator))
    try:
        quotient = numerator / denominator
        if quotient.as_integer_ratio() == (numerator, denominator):
            return _native.encode_key(quotient)
    except OverflowError:
        pass
    _check_depth(depth)
    return b"q" + _item(_native.encode_key(int(numerator))) + _item(_native.encode_key(int(denominator)))


def _int_item(tag: bytes, value: int) -> bytes:
    return tag + _native.encode_key(value)[1:]


def _time(key: dt.date | dt.time | dt.timedelta) -> bytes:
    if getattr(key, "nanosecond", 0) or getattr(key, "nanoseconds", 0):
        _refuse(key, "it has nanoseconds: use str() of it")
    if isinstance(key, dt.datetime):
        if key.utcoffset() is None:
            return _int_item(b"n", (key.replace(tzinfo=None) - EPOCH) // MICROSECOND)
        return _int_item(b"u", (key - EPOCH_UTC) // MICROSECOND)
    if isinstance(key, dt.date):
        return _int_item(b"d", key.toordinal() - EPOCH_ORDINAL)
    if isinstance(key, dt.timedelta):
        return _int_item(b"D", key // MICROSECOND)
    micros = ((key.hour * 60 + key.minute) * 60 + key.second) * 1_000_000 + key.microsecond
    offset = key.utcoffset()
    return _int_item(b"h", micros) if offset is None else _int_item(b"H", micros - offset // MICROSECOND)


def _numpy(key: Any, depth: int) -> bytes:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(key, numpy.generic):
        _refuse(key, "use a tuple, or a hash of its bytes")
    kind = key.dtype.kind
    if kind in "biu" or (kind in "fc" and type(key.item()) in (float, complex)):
        item = key.item()
        return encode_other(item, depth) if type(item) is complex else _native.encode_key(item, depth)
    if kind == "f":
        # A long double, which may be equal to no float.
        if not numpy.isfinite(key):
            return _native.encode_key(float(key))
        return _number(Fraction(*map(int, key.as_integer_ratio())), depth)
    if kind in "mM":
        return _numpy_time(key)
    return _refuse(key, "use .item() or str() of it")


def _numpy_time(key: Any) -> bytes:
    """Scalars of NumPy that are equal are one key, whatever their units: a date is its midnight."""
    numpy: Any = sys.modules["numpy"]
    unit, count = numpy.datetime_data(key.dtype)
    ticks, is_date = int(key.astype("i8")) * count, key.dtype.kind == "M"
    try:
        if numpy.isnat(key):
            raise ValueError(unit)
        if is_date and unit in ("Y", "M"):
            years, month = divmod(ticks * (12 if unit == "Y" else 1), 12)
            micros, rest = (dt.datetime(1970 + years, 1 + month, 1) - EPOCH) // MICROSECOND, 0
        else:
            micros, rest = divmod(ticks * ATTOSECONDS[unit], ATTOSECONDS["us"])
        span = micros * MICROSECOND
        if rest == 0:
            return _time(EPOCH + span if is_date else span)
    except (ArithmeticError, LookupError, ValueError):
        pass
    return _refuse(key, "it is no whole number of microseconds, or none that datetime has: use str() of it")


def _dataclass(key: Any, depth: int) -> bytes:
    params = type(key).__dataclass_params__
    if not (params.frozen and params.eq):
        _refuse(key, "make the dataclass frozen=True, or use a tuple of its fields")
    _check_depth(depth)
    out = bytearray(b"c" + _item(_native.encode_key(class_name(type(key)))))
    for field in dataclasses.fields(key):
        if field.compare:
            out += _item(_native.encode_key(field.name))
            out += _item(_native.encode_key(getattr(key, field.name), depth + 1))
    return bytes(out)


def decode_other(tag: int, content: Any) -> Any:
    """The key of an item that the native half does not know by itself. `content` is what its payload says: an int, bytes,
    or a tuple of items."""
    reader = READERS.get(tag)
    if reader is None:
        raise DecodeError(f"no key begins with the byte {tag:#04x}")
    try:
        return reader(content)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DecodeError(f"a key with the tag {chr(tag)!r} cannot be read: {error}") from error


def find_class(name: str) -> Any:
    """The class of this name, if its module is loaded. Nothing is imported."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    if module == "__main__":
        found = sys.modules.get("__mp_main__", found)
    if found is None:
        raise DecodeError(f"the module of {name} is not loaded")
    for part in path.split("."):
        # Not getattr: a module may make its attributes when they are asked for, and import others for it.
        found = vars(found)[part]
    return found


def _read_enum(content: tuple[Any, ...]) -> Any:
    name, member = content
    cls = find_class(name)
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        raise DecodeError(f"{name} is no enumeration")
    return cls(member) if issubclass(cls, enum.Flag) else cls[member]


def _read_dataclass(content: tuple[Any, ...]) -> Any:
    name, *rest = content
    cls = find_class(name)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise DecodeError(f"{name} is no dataclass")
    values = dict(zip(rest[::2], rest[1::2], strict=True))
    # Its own constructor may run any code, and may not take what the fields hold.
    key = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            object.__setattr__(key, field.name, values.pop(field.name))
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(key, field.name, field.default)
        elif not field.compare and field.default_factory in PLAIN:
            object.__setattr__(key, field.name, field.default_factory())
        else:
            raise DecodeError(f"{name} has a field {field.name} that the key does not have")
    if values:
        raise DecodeError(f"{name} has no fields {', '.join(map(str, values))}")
    return key


def _read_fraction(content: tuple[Any, ...]) -> Fraction:
    # Of a text it would make a number, however large.
    if list(map(type, content)) != [int, int] or content[1] < 2:
        raise DecodeError("a fraction is no pair of integers")
    return Fraction(*content)


def _read_time(micros: int) -> dt.time:
    if not 0 <= micros < DAY:
        raise DecodeError("a time of day is not within a day")
    return (EPOCH + micros * MICROSECOND).time()


def _read_zoned_time(micros: int) -> dt.time:
    # What is not within the day in UTC is in a zone where it is.
    minutes = 0
    if micros < 0:
        minutes = -(micros // MINUTE)
    elif micros >= DAY:
        minutes = -((micros - DAY) // MINUTE + 1)
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    return _read_time(micros + minutes * MINUTE).replace(tzinfo=zone)


READERS: dict[int, Callable[[Any], Any]] = {
    ord("q"): _read_fraction,
    ord("e"): _read_enum,
    ord("c"): _read_dataclass,
    ord("d"): lambda days: dt.date.fromordinal(days + EPOCH_ORDINAL),
    ord("n"): lambda micros: EPOCH + micros * MICROSECOND,
    ord("u"): lambda micros: EPOCH_UTC + micros * MICROSECOND,
    ord("h"): _read_time,
    ord("H"): _read_zoned_time,
    ord("D"): lambda micros: micros * MICROSECOND,
    ord("U"): lambda content: uuid.UUID(bytes=content),
    ord("p"): lambda content: PurePosixPath(os.fsdecode(content)),
}
