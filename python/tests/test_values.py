"""Values come back as what they were; what cannot be read is a miss."""

from __future__ import annotations

import collections
import datetime as dt
import json
import math
import os
import pickle
import random
import types
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import shmemo
from shmemo import _cache
from shmemo._codec import Codec
from shmemo._native import LARGE, decode_value, encode_value


class Thing:
    def __init__(self, what: Any) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.what == other.what

    __hash__ = None  # type: ignore[assignment]


CODEC = Codec()
NATIVE = Codec(use_pickle=False)
FIXED = dt.timezone(dt.timedelta(hours=5, minutes=30))
BERLIN = ZoneInfo("Europe/Berlin")
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**4000, 0.0, 1.5, math.inf, 1e-320, 1 + 2j),
    *(
        "",
        "a",
        "1234567",
        "grüße 🎉",
        "\ud800",
        "x" * LARGE,
        b"",
        b"1234567",
        b"\0" * 100,
        bytes(LARGE),
        bytearray(b"ab"),
        bytearray(LARGE),
    ),
    *([], [1, "a", [None]], (), (1, (2,)), {}, {"a": 1, 2: [True], (1,): None}, set(), {1, "a"}, frozenset({(1, 2)})),
    *(dt.date.min, dt.date.max, dt.datetime.min, dt.datetime.max, dt.datetime(2026, 1, 31, 12, 5, 6, 7)),
    *(
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        dt.datetime(2026, 1, 1, tzinfo=FIXED),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ),
    *(dt.time(1, 2, 3, 4), dt.time(1, tzinfo=FIXED), dt.time(1, tzinfo=BERLIN, fold=1), dt.timedelta.min, dt.timedelta.max),
    *(UUID(int=7), Decimal("1.10"), Decimal("-Infinity"), Decimal("1E+1000")),
    *(
        np.float32(0.1),
        np.int8(-1),
        np.bool_(True),
        np.datetime64("2026-01-31"),
        np.str_("a"),
        np.bytes_(b"a"),
        np.complex64(1j),
        np.float64(2),
    ),
]
ARRAYS = [
    np.arange(6, dtype="<i4").reshape(2, 3),
    np.arange(6, dtype=">f8").reshape(3, 2, order="F"),
    np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1],
    np.array(5, "u1"),
    np.zeros((0, 3), "f4"),
    np.array(["a", "bcd"]),
    np.array([b"x"]),
    np.array(["2026-01-31", "NaT"], "M8[s]"),
    np.array([True, False]),
    np.ones(LARGE, "f2"),
]


def back(value: Any, codec: Codec = NATIVE) -> Any:
    return decode_value(encode_value(value, codec), codec)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_a_value_comes_back_without_pickle(cache: shmemo.Cache, value: Any) -> None:
    again = back(value)
    assert type(again) is type(value) and again == value
    if isinstance(value, (dt.datetime, dt.time)):
        assert (again.tzinfo, again.fold) == (value.tzinfo, value.fold)
    # Within containers too.
    assert back([value, {"x": value}]) == [value, {"x": value}]
    if not (isinstance(value, (str, bytes, bytearray)) and len(value) == LARGE):
        cache["k"] = value
        assert cache["k"] == value and type(cache["k"]) is type(value)


def test_nan_and_the_sign_of_zero_are_kept() -> None:
    assert math.isnan(back(math.nan)) and math.copysign(1, back(-0.0)) == -1
    assert back(Decimal("-0")).is_signed()


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_an_array_comes_back_writable_and_aligned(array: np.ndarray) -> None:
    again = back(array)
    assert again.dtype == array.dtype and again.shape == array.shape and again.flags.writeable and again.flags.aligned
    np.testing.assert_array_equal(again, array)
    assert again.flags.f_contiguous == array.flags.f_contiguous or not array.flags.f_contiguous
    np.testing.assert_array_equal(back([array])[0], array)


@pytest.mark.parametrize("value", [np.array([object()]), np.zeros(2, "i4,f4"), np.ma.masked_array([1, 2], [0, 1])], ids=type)
def test_other_arrays_are_pickled(value: Any) -> None:
    with pytest.raises(shmemo.UnsupportedValue):
        back(value)
    assert type(back(value, CODEC)) is type(value)


def test_subclasses_come_back_as_what_they_were() -> None:
    for value in (collections.OrderedDict(a=1), collections.Counter("aab"), collections.deque([1]), Thing([1])):
        again = back(value, CODEC)
        assert again == value and type(again) is type(value)
        assert back({"in": [value]}, CODEC) == {"in": [value]}


def test_what_contains_itself_or_is_very_deep_is_pickled() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    again = back(loop, CODEC)
    assert again[0] == 1 and again[1] is again
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert back(deep, CODEC) == deep
    with pytest.raises(shmemo.UnsupportedValue):
        back(deep)


def test_what_is_contained_again_and_again_takes_no_longer_for_it() -> None:
    shared: list[Any] = [1]
    for _ in range(60):
        shared = [shared, shared]
    ring: list[Any] = ["x" * 3000]
    ring.append(ring)
    with shmemo.Cache(capacity="4MB") as cache:
        cache["shared"], cache["ring"] = shared, ring
        found = cache["shared"]
        assert found[0] is found[1] and cache["ring"][1][1][0] == ring[0]
        # A list that is simply too long is refused in any case, and what was there before is stale.
        cache["long"] = 1
        with pytest.raises(shmemo.ValueTooLarge):
            cache["long"] = ["x" * 1000] * 100 + [str(i) for i in range(30_000)]
        assert "long" not in cache
    with shmemo.Cache(capacity="4MB", pickle=False) as cache:
        cache["shared"] = 1
        with pytest.raises(shmemo.ValueTooLarge):
            cache["shared"] = shared
        assert "shared" not in cache


def test_elements_without_bytes_take_no_memory() -> None:
    # 2^32 - 1 of them, for which NumPy would make room.
    head = b"a\x03|S0C\x01\xff\xff\xff\xff\x0f"
    with pytest.raises(shmemo.DecodeError):
        decode_value(head + bytes(-len(head) % 8), Codec())


def test_without_pickle_a_type_is_refused_and_a_pickle_is_a_miss(path: Path) -> None:
    with shmemo.Cache(path, capacity="4MB") as writer, shmemo.Cache(path, pickle=False) as reader:
        writer["thing"] = Thing(1)
        with pytest.raises(shmemo.UnsupportedValue, match="Thing") as raised:
            reader["other"] = Thing(2)
        assert isinstance(raised.value, TypeError)
        with pytest.warns(shmemo.UndecodableWarning, match="does not unpickle"):
            assert reader.get("thing", "default") == "default"


def test_a_serializer_takes_the_place_of_pickle(path: Path) -> None:
    class Json:
        def dumps(self, value: Any) -> bytes:
            return json.dumps(value.what).encode()

        def loads(self, data: bytes) -> Any:
            return Thing(json.loads(data))

    with shmemo.Cache(path, capacity="4MB", serializer=Json()) as cache:
        cache["thing"] = Thing([1, "x"])
        assert cache["thing"] == Thing([1, "x"])
        with shmemo.Cache(path) as other, pytest.warns(shmemo.UndecodableWarning, match="serializer"):
            assert other.get("thing") is None


def test_a_serializer_that_gives_no_bytes_is_told(cache: shmemo.Cache) -> None:
    with shmemo.Cache(capacity="1MB", serializer=json) as other:  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must give bytes"):
            other["k"] = collections.OrderedDict(a=1)
        other["k"] = {"a": 1}
        assert other["k"] == {"a": 1}, "what has an encoding does not come to the serializer"


@pytest.mark.parametrize("safe", [True, False])
def test_a_serializer_reads_what_others_can_write_only_if_it_is_safe(safe: bool, path: Path) -> None:
    serializer: Any = types.SimpleNamespace(dumps=pickle.dumps, loads=pickle.loads, safe=safe)
    with shmemo.Cache(path, capacity="4MB", mode=0o622, serializer=serializer) as cache:
        cache["thing"] = Thing(1)
        if safe:
            assert cache["thing"] == Thing(1)
        else:
            with pytest.warns(shmemo.UndecodableWarning, match="safe = True") as warned:
                assert cache.get("thing") is None
            assert warned[0].filename == __file__


def test_what_cannot_be_decoded_is_a_counted_miss_with_one_warning(cache: shmemo.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache["a"], cache["b"], cache["c"] = Thing(1), Thing(2), 3
    monkeypatch.delitem(globals(), "Thing")
    with pytest.warns(shmemo.UndecodableWarning, match="counts as missing"):
        assert cache.get("a", "none") == "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.get("b") is None
        with pytest.raises(KeyError):
            cache["b"]
        assert list(cache.items()) == [("c", 3)] and cache.get_many(["a", "c"]) == {"c": 3}
        assert cache.pop("a", 7) == 7 and "a" not in cache
        assert cache.setdefault("b", 9) == 9 and cache["b"] == 9 and cache.setdefault("b", 10) == 9
    assert cache.stats().undecodable >= 5


def test_it_raises_if_that_is_asked_for(path: Path) -> None:
    with shmemo.Cache(path, capacity="4MB") as writer, shmemo.Cache(path, pickle=False, on_undecodable="raise") as reader:
        writer["a"] = Thing(1)
        with pytest.raises(shmemo.DecodeError):
            reader.get("a")


def test_nothing_is_unpickled_from_a_file_that_others_can_write(path: Path) -> None:
    with shmemo.Cache(path, capacity="4MB", mode=0o622) as cache:
        cache["native"], cache["thing"] = [1], Thing(1)
        assert cache["native"] == [1]
        with pytest.warns(shmemo.UndecodableWarning, match="other users can write"):
            assert cache.get("thing") is None


def test_nothing_is_unpickled_from_a_file_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with shmemo.Cache(capacity="4MB") as cache, monkeypatch.context() as patch:
        cache["native"], cache["thing"] = [1], Thing(1)
        # As another user who was handed the descriptor. (A path that is another user's is not opened at all.)
        if os.geteuid() == 0:
            os.fchown(cache.fileno(), 65534, 65534)
        else:
            patch.setattr(os, "geteuid", lambda: 0)
        patch.setattr(_cache, "ATTACHED", {})
        with shmemo.Cache.__new__(shmemo.Cache) as other:
            other._set_up(None, None, *cache._arguments[2:], cache.fileno())
            assert other["native"] == [1]
            with pytest.warns(shmemo.UndecodableWarning, match="belongs to the user"):
                assert other.get("thing") is None


def test_a_path_of_another_user_is_not_opened(path: Path) -> None:
    shmemo.Cache(path, capacity="1MB").close()
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        with pytest.raises(shmemo.WrongOwner) as raised:
            shmemo.Cache(path)
        assert isinstance(raised.value, PermissionError)


def test_any_bytes_are_a_value_or_an_exception_and_run_no_code() -> None:
    source = random.Random(5)
    tags = b"NifsbtzdnuhDUTFylmSxMokagrX\0\x01\x02\x03\x04\x08C<f48\xff"
    for _ in range(30_000):
        data = bytes(source.choice(tags) for _ in range(source.randrange(0, 28)))
        try:
            decode_value(data, NATIVE)
        except Exception as error:
            assert not isinstance(error, (MemoryError, SystemError, RecursionError)), data


def test_a_pickle_error_leaves_the_key_alone(cache: shmemo.Cache) -> None:
    cache["k"] = 1
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        cache["k"] = lambda: None
    assert cache["k"] == 1


def _vectors(heading: str) -> list[tuple[str, str]]:
    text = (Path(__file__).parents[2] / "docs" / "encoding.md").read_text()
    section = text.split(heading)[1].split("\n## ")[0]
    rows = [line[3:-3].split("` | `") for line in section.splitlines() if line.startswith("| `")]
    return [(shown, data) for shown, data in rows]


NAMES: dict[str, Any] = {}
exec("import datetime as dt, math, uuid; from decimal import Decimal; from fractions import Fraction", NAMES)
exec("from pathlib import Path; from zoneinfo import ZoneInfo; import numpy as np", NAMES)


@pytest.mark.parametrize(("shown", "data"), _vectors("## Test vectors: keys"))
def test_vectors_of_keys(shown: str, data: str) -> None:
    assert shmemo._native.encode_key(eval(shown, NAMES)).hex(" ") == data


@pytest.mark.parametrize(("shown", "data"), _vectors("## Test vectors: values"))
def test_vectors_of_values(shown: str, data: str) -> None:
    assert encode_value(eval(shown, NAMES), NATIVE).hex(" ") == data
