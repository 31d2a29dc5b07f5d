"""Keys: equal ones have equal bytes, and come back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import random
import subprocess
import sys
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pytest

import shmemo
from shmemo._native import decode_key, encode_key


class Color(enum.Enum):
    RED = 1
    ALSO_RED = 1
    BLUE = 2


class Text(str, enum.Enum):
    A = "a"


class Number(enum.IntEnum):
    ONE = 1


class Bits(enum.Flag):
    X = 1
    Y = 2


class Point(NamedTuple):
    x: int
    y: int


class MyStr(str):
    pass


class MyInt(int):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int
    b: tuple[str, ...] = ()
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass
class Mutable:
    a: int


@dataclasses.dataclass(frozen=True)
class Single:
    only: object


@dataclasses.dataclass(frozen=True)
class Other:
    a: int
    b: tuple[str, ...] = ()


HOUR = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)

# Within a row all are one key; between rows none is.
ROWS = [
    [None],
    [0, 0.0, -0.0, False, Decimal("-0"), Fraction(0), np.int8(0), np.float32(-0.0), 0j],
    [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), np.uint64(1), np.float16(1), np.bool_(True), Number.ONE, MyInt(1)],
    [-1, -1.0, Decimal(-1)],
    [0.5, Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.longdouble(0.5)],
    [0.1, np.float64(0.1), Decimal(0.1)],
    [Decimal("0.1"), Fraction(1, 10)],
    [2**53, float(2**53), float(2**53 + 1)],
    [2**53 + 1, Decimal(2**53 + 1)],
    [10**22, 1e22],
    [10**23],
    [1e23],
    [-(2**63)],
    [2**63],
    [2**200, 2.0**200],
    [-(2**200), -(2.0**200)],
    [math.inf, Decimal("Infinity"), np.float32(math.inf)],
    [-math.inf],
    ["1"],
    [b"1", np.bytes_(b"1")],
    ["a", MyStr("a"), Text.A, np.str_("a")],
    ["\ud800"],
    [""],
    [b""],
    [()],
    [(1, 2), (True, 2.0), Point(1, 2)],
    [((1, 2),)],
    [((1,), 2)],
    [frozenset()],
    [frozenset({1, 2}), frozenset({2.0, True})],
    [frozenset({(1, "a"), "b"})],
    [Color.RED, Color.ALSO_RED],
    [Color.BLUE],
    [Bits.X | Bits.Y, Bits(3)],
    [Frozen(1), Frozen(1, note="x"), Frozen(True)],
    [Frozen(1, ("x",))],
    [Other(1)],
    [dt.date(2026, 1, 31)],
    [dt.datetime(2026, 1, 31)],
    [NOON, NOON.astimezone(HOUR)],
    [dt.time(1, 2)],
    [dt.time(1, 2, tzinfo=dt.UTC), dt.time(2, 2, tzinfo=HOUR)],
    [dt.time(0, 30, tzinfo=HOUR)],
    [dt.time(23, 30, tzinfo=dt.timezone(-dt.timedelta(hours=1)))],
    [dt.timedelta(seconds=1), dt.timedelta(milliseconds=1000)],
    [uuid.UUID(int=5)],
    [Path("/a/b"), PurePosixPath("/a//b/")],
]


def test_equal_keys_have_equal_bytes_and_others_have_others() -> None:
    seen: dict[bytes, object] = {}
    for row in ROWS:
        encoded = {encode_key(key) for key in row}
        assert len(encoded) == 1, row
        for key in row:
            assert key == row[0] and hash(key) == hash(row[0]), "the table itself"
        assert seen.setdefault(encoded.pop(), row) is row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row[0]))
def test_a_key_comes_back_equal_and_in_its_one_form(row: list[object]) -> None:
    encoded = encode_key(row[0])
    back = decode_key(encoded)
    assert back == row[0] and encode_key(back) == encoded


def test_all_nans_are_one_key() -> None:
    nans = [math.nan, -math.nan, float("nan"), Decimal("NaN"), np.float32("nan"), np.longdouble("nan")]
    assert len({encode_key(nan) for nan in nans}) == 1
    assert len({encode_key((1, nan)) for nan in nans}) == 1
    assert math.isnan(decode_key(encode_key(math.nan)))


def test_random_numbers_are_one_key_if_they_are_equal() -> None:
    source = random.Random(7)
    for _ in range(3000):
        number = source.choice(
            [source.uniform(-9, 9), source.uniform(-1e300, 1e300), source.getrandbits(source.randrange(1, 200))]
        )
        forms = [number, Fraction(number), Decimal(number)] + ([int(number)] if number == int(number) else [])
        assert len({encode_key(form) for form in forms}) == 1, number
        near = Fraction(number) + Fraction(1, 10**30)
        assert encode_key(near) != encode_key(number)


@pytest.mark.parametrize(
    "key",
    [[1], {}, {1}, bytearray(b"x"), object(), Mutable(1), 1j, (1, [2]), np.array([1]), np.datetime64("2026"), int, print]
    + [Decimal("1e999999"), PureWindowsPath("a"), frozenset({Mutable})],
    ids=repr,
)
def test_other_types_are_refused_with_their_name_and_a_remedy(cache: shmemo.Cache, key: object) -> None:
    with pytest.raises(shmemo.UnsupportedKey, match="cannot be a key: ") as raised:
        cache.get(key)
    assert isinstance(raised.value, TypeError) and isinstance(raised.value, shmemo.Error)


def test_the_depth_is_bounded(cache: shmemo.Cache) -> None:
    key: object = 1
    for _ in range(64):
        key = (key,)
    cache[key] = 1
    assert cache[key] == 1 and list(cache) == [key]
    with pytest.raises(shmemo.NestedTooDeep):
        cache.get((key,))
    inner: object = 1
    for _ in range(65):
        inner = Frozen(inner)  # type: ignore[arg-type]
    with pytest.raises(shmemo.NestedTooDeep):
        cache.get(inner)
    # A dataclass is a container without a tuple in it too, and so is a fraction.
    single: object = 1
    for _ in range(64):
        single = Single(single)
    assert cache.get(single) is None
    fraction: object = Fraction(1, 3)
    for _ in range(64):
        fraction = (fraction,)
    for too_deep in (Single(single), fraction):
        with pytest.raises(shmemo.NestedTooDeep):
            cache.get(too_deep)


def test_another_process_writes_the_same_bytes() -> None:
    code = "from shmemo._native import encode_key as e; print(e(frozenset({'a', 'b', 'c', (1, 'x')})).hex())"
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert found == {encode_key(frozenset({"a", "b", "c", (1, "x")})).hex().encode() + b"\n"}


def test_any_bytes_are_a_key_or_a_decode_error() -> None:
    source = random.Random(3)
    tags = b"NifsbtzdnuhHDUqpec\x00\x01\x02\x03\x05\xff"
    for _ in range(20_000):
        data = bytes(source.choice(tags) for _ in range(source.randrange(0, 20)))
        try:
            key = decode_key(data)
        except shmemo.DecodeError:
            continue
        encode_key(key)
