"""The cache in one process."""

from __future__ import annotations

import copy
import datetime as dt
import gc
import math
import os
import pickle
import sys
import sysconfig
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

import shmemo
from shmemo import _keys


def test_it_behaves_like_a_dict(cache: shmemo.Cache) -> None:
    cache["a"] = 1
    cache[("b", 2)] = [2]
    assert cache["a"] == 1 and cache.get("a") == 1 and cache.get("x") is None and cache.get("x", 5) == 5
    assert "a" in cache and "x" not in cache and len(cache) == 2
    assert set(cache) == set(cache.keys()) == {"a", ("b", 2)}
    assert sorted(map(repr, cache.values())) == ["1", "[2]"] and dict(cache.items()) == dict(cache) == {"a": 1, ("b", 2): [2]}
    assert ("a", 1) in cache.items() and ("a", 2) not in cache.items() and [2] in cache.values() and "a" in cache.keys()
    assert len(cache.keys()) == len(cache.items()) == 2 and cache.keys() & {"a"} == {"a"}
    del cache["a"]
    for missing in (lambda: cache["a"], lambda: cache.__delitem__("a"), lambda: cache.pop("a")):
        with pytest.raises(KeyError, match="a"):
            missing()
    assert cache.pop("a", 3) == 3 and cache.pop(("b", 2)) == [2]
    with pytest.raises(KeyError):
        cache.popitem()
    cache.update({"x": 1}, y=2)
    assert sorted([cache.popitem(), cache.popitem()]) == [("x", 1), ("y", 2)] and len(cache) == 0


def test_it_is_a_mutable_mapping_true_and_equal_to_itself_only(cache: shmemo.Cache) -> None:
    assert isinstance(cache, MutableMapping) and cache and not len(cache)
    with shmemo.Cache(capacity="2MB") as other:
        assert cache != other and cache == cache and len({cache, other}) == 2
    assert not hasattr(cache, "copy") and not hasattr(cache, "__or__")


def test_none_is_a_value(cache: shmemo.Cache) -> None:
    cache["n"] = None
    assert cache.get("n", 1) is None and "n" in cache and cache.setdefault("n", 2) is None and cache.pop("n", 3) is None


def test_conditional_writes(cache: shmemo.Cache) -> None:
    assert cache.add("k", 1) and not cache.add("k", 2) and cache["k"] == 1
    assert cache.replace("k", 3) and not cache.replace("x", 3) and cache["k"] == 3
    assert cache.setdefault("k", 4) == 3 and cache.setdefault("new", 5) == 5 and cache["new"] == 5
    assert cache.delete("k") and not cache.delete("k")


def test_times_to_live(cache: shmemo.Cache) -> None:
    cache.set("k", 1, ttl=0.05)
    cache.set("d", 1, dt.timedelta(hours=1))
    cache.set("e", 1, math.inf)
    left = cache.ttl("d")
    assert left is not None and 3599 < left <= 3600 and cache.ttl("e") == math.inf and cache.ttl("x") is None
    assert cache["k"] == 1
    time.sleep(0.06)
    assert "k" not in cache and cache.get("k") is None and cache.ttl("k") is None
    assert cache.touch("e", 0.01) and not cache.touch("k", 1)
    time.sleep(0.02)
    assert "e" not in cache
    for ttl in (0, -1, math.nan):
        with pytest.raises(ValueError, match="time to live"):
            cache.set("k", 1, ttl)
    for no_time in ("1", [1], 1j, dt.datetime.now()):
        with pytest.raises(TypeError, match="timedelta"):
            cache.set("k", 1, no_time)  # type: ignore[arg-type]
    # What no float is near to.
    cache.set("k", 1, 10**400)
    assert cache.ttl("k") == math.inf
    with pytest.raises(shmemo.InvalidTtl):
        cache.set("k", 1, -(10**400))


def test_a_default_time_to_live() -> None:
    with shmemo.Cache(capacity="2MB", default_ttl=0.03) as cache:
        cache["a"], cache["b"] = 1, 2
        cache.touch("b", None)
        time.sleep(0.04)
        assert list(cache) == ["b"]


def test_counters(cache: shmemo.Cache) -> None:
    assert cache.incr("n") == 1 and cache.incr("n", 5) == 6 and cache["n"] == 6 and cache.incr("m", -1, initial=10) == 9
    cache["set"] = 41
    assert cache.incr("set") == 42
    cache["text"] = "7"
    with pytest.raises(shmemo.NotACounter) as raised:
        cache.incr("text")
    assert isinstance(raised.value, TypeError)
    cache["large"] = 2**63 - 1
    with pytest.raises(OverflowError) as overflow:
        cache.incr("large")
    assert isinstance(overflow.value, shmemo.CounterOverflow) and cache["large"] == 2**63 - 1
    for too_large in ((2**63,), (1, -(2**63) - 1)):
        with pytest.raises(shmemo.CounterOverflow, match="64 bits"):
            cache.incr("n", *too_large)
    for no_number in (1.0, "1", None):
        with pytest.raises(TypeError):
            cache.incr("n", no_number)  # type: ignore[arg-type]
    assert cache["n"] == 6


def test_many_at_once(cache: shmemo.Cache) -> None:
    cache.set_many({i: str(i) for i in range(100)}, ttl=60)
    cache.set_many([("x", 1)])
    assert cache.get_many([5, "x", "none", 5]) == {5: "5", "x": 1}
    left = cache.ttl(5)
    assert left is not None and left > 50 and cache.ttl("x") == math.inf
    cache.clear()
    assert len(cache) == 0 and cache.get_many(range(100)) == {}


def test_pairs_are_given_in_all_ways_that_a_dict_takes(cache: shmemo.Cache) -> None:
    class Keyed:
        def keys(self) -> list[str]:
            return ["h"]

        def __getitem__(self, key: str) -> str:
            return key * 2

    cache.update([["a", 1], ("b", 2), "cd", iter(("e", 3))])  # type: ignore[list-item]
    cache.update(zip("fg", (4, 5), strict=True), self=6, pairs=7)
    cache.update(Keyed())
    assert dict(cache) == {"a": 1, "b": 2, "c": "d", "e": 3, "f": 4, "g": 5, "self": 6, "pairs": 7, "h": "hh"}
    cache.clear()
    for wrong, error in (([("x", 1), 5], TypeError), ([("x", 1), (1, 2, 3)], ValueError), (None, TypeError)):
        with pytest.raises(error):
            cache.set_many(wrong)  # type: ignore[arg-type]
    assert len(cache) == 0, "all are looked at before the first is stored"
    # All are tried.
    with pytest.raises(shmemo.ValueTooLarge):
        cache.set_many({"a": 1, "large": bytes(1 << 20), "b": 2})
    assert dict(cache) == {"a": 1, "b": 2}


def test_sizes_and_limits() -> None:
    for size, expected in (("2MB", 2 << 20), ("1.5 MiB", 3 << 19), ("2048k", 2 << 20), (1 << 20, 1 << 20)):
        with shmemo.Cache(capacity=size) as cache:
            assert cache.capacity == expected
    with pytest.raises(shmemo.InvalidOption, match="256MB"):
        shmemo.Cache(capacity="much")
    with pytest.raises(shmemo.CapacityTooSmall) as raised:
        shmemo.Cache(capacity=1)
    assert isinstance(raised.value, ValueError)
    with shmemo.Cache(capacity="2MB", max_entries=3) as cache:
        for i in range(10):
            cache[i] = i
        assert sorted(cache) == [7, 8, 9] and cache.max_entries == 3
        cache["k"] = 1
        with pytest.raises(shmemo.ValueTooLarge) as large:
            cache["k"] = bytes(1 << 20)
        assert isinstance(large.value, ValueError) and "k" not in cache
        with pytest.raises(shmemo.KeyTooLarge):
            cache[bytes(1 << 17)] = 1


@pytest.mark.parametrize(
    "options",
    [
        {"capacity": -1},
        {"capacity": 1.5},
        {"capacity": 1 << 70},
        {"max_entries": -1},
        {"max_value_len": "x"},
        {"capacity": "9" * 400},
        {"max_processes": 1 << 32},
        {"default_ttl": -1},
        {"default_ttl": 0},
        {"mode": "rw"},
        {"prefault": "yes"},
        {"pickle": 1},
        {"allow_unknown_filesystem": None},
        {"on_mismatch": "ask"},
        {"on_undecodable": True},
        {"serializer": 5},
        {"name": 5},
    ],
    ids=lambda options: str(options)[:40],
)
def test_an_impossible_option_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(shmemo.InvalidOption, match=next(iter(options)).replace("max_value_len", "size")):
        shmemo.Cache(**options)


def test_a_path_is_anything_that_names_a_file(path: Path) -> None:
    with shmemo.Cache(path, capacity="1MB") as cache:
        cache["k"] = 1
        for same in (str(path), os.fsencode(path), os.path.relpath(path)):
            with shmemo.Cache(same) as other:
                assert other["k"] == 1
    for wrong in (5, 1.5, ["x"]):
        with pytest.raises(TypeError):
            shmemo.Cache(wrong)  # type: ignore[arg-type]


def test_another_capacity_warns_and_uses_what_is_there(path: Path) -> None:
    with shmemo.Cache(path, capacity="2MB") as first:
        first["k"] = 1
        with pytest.warns(shmemo.GeometryWarning, match="capacity"), shmemo.Cache(path, capacity="4MB") as second:
            assert second.capacity == 2 << 20 and second["k"] == 1
        with pytest.raises(shmemo.GeometryMismatch):
            shmemo.Cache(path, capacity="4MB", on_mismatch="error")
        with shmemo.Cache(path, capacity="4MB", on_mismatch="recreate") as third:
            assert third.capacity == 4 << 20 and not first.is_current and third.is_current


def test_another_format_version_makes_the_file_anew(path: Path) -> None:
    with shmemo.Cache(path, capacity="2MB") as cache:
        cache["k"] = 1
    with path.open("r+b") as file:
        head = bytearray(file.read(64))
        head[8] ^= 0x7F
        file.seek(0)
        file.write(head)
    with shmemo.Cache(path, capacity="2MB") as cache:
        assert len(cache) == 0


def test_a_closed_handle(path: Path) -> None:
    cache = shmemo.Cache(path, capacity="2MB")
    twin = shmemo.Cache(path)
    assert repr(cache) == f"<shmemo.Cache '{path}', 2 MiB, 0 entries>" and cache.path == str(path)
    cache.close()
    cache.close()
    assert cache.closed and repr(cache) == "<shmemo.Cache closed>"
    for use in (lambda: cache.get("k"), lambda: len(cache), lambda: cache.set("k", 1), lambda: pickle.dumps(cache)):
        with pytest.raises(shmemo.Closed):
            use()
    twin["k"] = 1
    assert twin["k"] == 1
    twin.close()


def test_statistics(cache: shmemo.Cache) -> None:
    cache["k"] = 1
    cache.get("k"), cache.get("x")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.stored, stats.entries, stats.hit_ratio) == (1, 1, 1, 1, 0.5)
    assert cache.verify().entries == 1


def test_a_named_cache_goes_with_its_last_handle(name: str) -> None:
    first = shmemo.Cache(name=name, capacity="2MB")
    second = shmemo.Cache(name=name)
    first["k"] = 1
    file = Path(str(first.path))
    assert first.name == name and second["k"] == 1 and file.stat().st_mode & 0o777 == 0o600
    first.close()
    assert file.exists() and second["k"] == 1
    del second
    gc.collect()
    assert not file.exists()


def test_copies_within_a_process_share_one_mapping(cache: shmemo.Cache, path: Path) -> None:
    cache["k"] = 1
    twin = copy.copy(cache)
    assert twin is not cache and twin["k"] == 1 and twin.stats().processes == 1
    twin.close()
    assert cache["k"] == 1
    with shmemo.Cache(path, capacity="2MB", pickle=False) as one, pickle.loads(pickle.dumps(one)) as two:
        one["x"] = 5
        assert two["x"] == 5 and two._codec.use_pickle is False


def test_threads_share_a_handle(cache: shmemo.Cache) -> None:
    def work(i: int) -> None:
        for j in range(500):
            cache[i, j] = [i, j]
            assert cache[i, j] == [i, j]
            cache.incr("sum")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache["sum"] == 2000


def test_large_values_release_the_interpreter(cache: shmemo.Cache) -> None:
    data = os.urandom(100_000)
    cache["large"] = data
    assert cache["large"] == data and cache.get("large") == data
    cache["large"] = "x" * 100_000
    assert cache["large"] == "x" * 100_000


def test_iteration_beside_changes_never_raises() -> None:
    with shmemo.Cache(capacity="1MB") as cache:
        for i in range(2000):
            cache[i] = "x" * 500
        for key, value in cache.items():
            cache.delete(key)
            cache[key + 10_000] = value
        assert all(value == "x" * 500 for value in cache.values())


def test_an_interrupt_in_an_iteration_is_not_lost(cache: shmemo.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    cache[Path("/a")] = 1
    monkeypatch.setitem(_keys.READERS, ord("p"), interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(cache)


def test_keys_of_other_programs_are_passed_over(path: Path) -> None:
    with shmemo.Cache(path, capacity="2MB") as cache:
        cache["k"] = 1
        # A key of an enumeration whose module is not loaded.
        foreign = b"e" + bytes([6]) + b"sno:Ex" + bytes([2]) + b"sA"
        with pytest.raises(shmemo.DecodeError):
            shmemo._native.decode_key(foreign)
        assert list(cache) == ["k"]


def test_the_wheel_is_one_for_all_versions() -> None:
    file = str(shmemo._native.__file__)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not file.endswith(".abi3.so") and not sys._is_gil_enabled(), "it turned the lock on"  # type: ignore[attr-defined]
    else:
        assert file.endswith(".abi3.so")
    # What a type checker needs is there.
    folder = Path(shmemo.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "_native.pyi").exists()
