"""Keys: equal ones have equal bytes, and come back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import math
import os
import random
import subprocess
import sys
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import NamedTuple
from zoneinfo import ZoneInfo

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


# Of what test_versions_and_hash_seeds_write_the_same_bytes encodes.
KNOWN = "cc4a58d9656205667bfa2f6c318ff4bc6354f57c4f9f9eb799e71751a997b17a"


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


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (dt.datetime(2026, 1, 31), [np.datetime64("2026-01-31", unit) for unit in ("D", "h", "15m", "s", "ms", "us", "ns")]),
        (dt.datetime(2026, 2, 1), [np.datetime64("2026-02", unit) for unit in ("M", "D", "us")]),
        (dt.datetime(1969, 1, 1), [np.datetime64("1969", unit) for unit in ("Y", "M", "D", "ns")]),
        (dt.datetime(1, 1, 1), [np.datetime64("0001-01-01", "us")]),
        (dt.timedelta(seconds=1), [np.timedelta64(1, "s"), np.timedelta64(1000, "ms"), np.timedelta64(10**9, "ns")]),
        (dt.timedelta(weeks=-1), [np.timedelta64(-1, "W"), np.timedelta64(-7, "D")]),
        (dt.timedelta(microseconds=3), [np.timedelta64(3, "us"), np.timedelta64(3 * 10**12, "as")]),
    ],
    ids=repr,
)
def test_times_of_numpy_are_one_key_in_all_units(kind: object, row: list[object]) -> None:
    assert all(key == row[0] for key in row), "the table itself"
    assert {encode_key(key) for key in row} == {encode_key(kind)}


def test_the_two_passes_of_an_hour_are_two_keys() -> None:
    first, second = (dt.datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=ZoneInfo("Europe/Berlin")) for fold in (0, 1))
    assert first == second, "within one zone Python looks at the clock only"
    assert encode_key(first) != encode_key(second) and encode_key(first) == encode_key(first.astimezone(dt.UTC))


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
    [[1], {}, {1}, bytearray(b"x"), object(), Mutable(1), 1j, (1, [2]), np.array([1]), np.void(b"x"), int, print]
    + [
        np.datetime64("NaT", "us"),
        np.datetime64("2026-01-31T00:00:00.000000001"),
        np.datetime64("20000-01-01"),
        np.timedelta64("NaT", "s"),
    ]
    + [np.datetime64(2**62, "Y"), np.timedelta64(2**62, "D"), np.timedelta64(1, "Y"), np.clongdouble(1j)]
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


def test_versions_and_hash_seeds_write_the_same_bytes() -> None:
    code = """if True:
        import enum, dataclasses, uuid, datetime, decimal, fractions, pathlib
        from shmemo._native import encode_key
        class Color(enum.Enum):
            RED = 1
        class Bits(enum.Flag):
            X = 1
            Y = 2
        @dataclasses.dataclass(frozen=True)
        class Point:
            x: int
            y: frozenset
        many = frozenset(map(str, range(50))) | frozenset(range(50)) | {(1, frozenset("abc")), None, b"x"}
        key = (many, Color.RED, Bits.X | Bits.Y, Point(1, many), uuid.UUID(int=1), datetime.date(2026, 1, 1), 0.1,
               decimal.Decimal("0.1"), fractions.Fraction(1, 3), pathlib.Path("/a"), 2**70, "\\ud800")
        print(encode_key(key).hex())
    """
    found = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout)
    assert {hashlib.sha256(text.strip()).hexdigest() for text in found} == {KNOWN}


def test_a_fraction_that_is_a_text_is_none() -> None:
    # Fraction("1e99999999") takes minutes and gigabytes.
    for text in ("1e99999999", "1/3"):
        item = b"s" + text.encode()
        with pytest.raises(shmemo.DecodeError):
            decode_key(b"q" + bytes([len(item)]) + item)


def test_to_read_a_key_asks_no_module_for_what_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy, asked = ModuleType("lazy"), []
    lazy.__getattr__ = asked.append  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    with pytest.raises(shmemo.DecodeError):
        decode_key(b"e" + bytes([7]) + b"slazy:E" + bytes([2]) + b"sA")
    assert asked == []


@dataclasses.dataclass(frozen=True)
class WithNotes:
    a: int
    notes: list[str] = dataclasses.field(default_factory=list, compare=False)


@dataclasses.dataclass(frozen=True)
class WithId:
    a: int
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4, compare=False)


def test_fields_that_are_not_compared_come_back_as_their_defaults(cache: shmemo.Cache) -> None:
    cache[WithNotes(1, ["x"])] = cache[WithId(1)] = 1
    assert cache[WithNotes(1)] == cache[WithId(1)] == 1
    # What else makes a default is not called: its key cannot be read, and is passed over.
    assert repr(list(cache)) == "[WithNotes(a=1, notes=[])]"


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
