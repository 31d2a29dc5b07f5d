"""The class that takes duckframework's place."""

from __future__ import annotations

import multiprocessing as mp
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import shmemo
from shmemo import ProcessSafeLRUCache

# The documented example of the original, word for word but for the module that it imports from.
VERBATIM = """
import time
import multiprocessing

from shmemo import ProcessSafeLRUCache

# Must be called in __main__ for Windows fork support!
if __name__ == "__main__":
    manager = multiprocessing.Manager()
    cache = ProcessSafeLRUCache(maxkeys=5)

    def store_and_read(cache, key, value):
        cache.set(key, value, expiry=10)
        print("Stored", key, "got back", cache.get(key))

    ps = []
    for i in range(10):
        p = multiprocessing.Process(target=store_and_read, args=(cache, str(i), i * 2))
        p.start()
        ps.append(p)
        time.sleep(1)

    for p in ps:
        p.join()

    print("Final shared cache:", dict(cache.cache))
"""
# What runs it: the pauses last until the child has ended, so that no second of them is waited for in vain.
RUNNER = """
import multiprocessing, runpy, sys, time
multiprocessing.set_start_method("fork")
# The manager is no child of its own making, and does not end.
time.sleep = lambda _: [child.join() for child in multiprocessing.active_children() if child.name.startswith("Process-")]
runpy.run_path(sys.argv[1], run_name="__main__")
"""
# The same for all start methods: one that imports the module again does not find a function that is made only in the main
# process, whatever the cache. So it is made outside, and the pause is the end of the child.
EXAMPLE = """
import sys
import time
import multiprocessing

from shmemo import ProcessSafeLRUCache


def store_and_read(cache, key, value):
    cache.set(key, value, expiry=600)
    print("Stored", key, "got back", cache.get(key))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    manager = multiprocessing.Manager()
    cache = ProcessSafeLRUCache(maxkeys=5)

    ps = []
    for i in range(10):
        p = multiprocessing.Process(target=store_and_read, args=(cache, str(i), i * 2))
        p.start()
        ps.append(p)
        p.join()

    print("Final shared cache:", dict(cache.cache))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_documented_example(method: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLE)
    done = subprocess.run(
        [sys.executable, "-W", "error", script, method], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    *stored, final = done.stdout.splitlines()
    assert stored == [f"Stored {i} got back {i * 2}" for i in range(10)]
    assert final.startswith("Final shared cache: ")
    assert eval(final.removeprefix("Final shared cache: ")) == {str(i): i * 2 for i in range(5, 10)}


def test_the_documented_example_word_for_word(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(VERBATIM)
    done = subprocess.run([sys.executable, "-c", RUNNER, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    *stored, final = done.stdout.splitlines()
    assert sorted(stored) == [f"Stored {i} got back {i * 2}" for i in range(10)]
    assert eval(final.removeprefix("Final shared cache: ")) == {str(i): i * 2 for i in range(5, 10)}


@pytest.fixture
def lru() -> ProcessSafeLRUCache:
    return ProcessSafeLRUCache(maxkeys=3)


def test_the_least_recently_used_goes(lru: ProcessSafeLRUCache) -> None:
    for key in "abc":
        lru.set(key, key.upper())
    assert lru.get("a") == "A"
    lru.set("d", "D")
    assert [lru.has(key) for key in "abcd"] == [True, False, True, True]
    assert dict(lru.cache) == {"a": "A", "c": "C", "d": "D"} and len(lru.cache) == 3


def test_get_and_pop(lru: ProcessSafeLRUCache) -> None:
    lru.set("k", None)
    assert lru.get("k", 5) is None and lru.get("x", 5) == 5 and lru.get("x") is None
    assert lru.get("k", 5, pop=True) is None and lru.get("k", 5, pop=True) == 5
    lru.set("k", 1)
    lru.delete("k")
    lru.delete("k")
    assert not lru.has("k")
    lru.set("k", 1)
    lru.clear()
    assert not lru.has("k") and dict(lru.cache) == {}
    lru.set("k", 1)
    lru.close()
    assert not lru.has("k")
    lru.set("k", 2)
    assert lru.get("k") == 2


def test_expiry(lru: ProcessSafeLRUCache) -> None:
    lru.set("k", 1, expiry=0.02)
    lru.set("kept", 1, expiry=0.02)
    lru.set("kept", 2)
    lru.set("zero", 1, expiry=0)
    assert lru.has("k") and lru.get("k") == 1
    time.sleep(0.03)
    assert not lru.has("k") and lru.get("k", "default") == "default" and "k" not in lru.cache
    assert lru.get("kept") == 2 and lru.get("zero") == 1
    lru.set("kept", 3, expiry=-1)
    assert not lru.has("kept")


class Key:
    def __init__(self, what: Any) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.what == other.what

    def __hash__(self) -> int:
        return hash(self.what)


def test_any_hashable_key() -> None:
    lru = ProcessSafeLRUCache()
    lru.set(1, "int")
    assert lru.get(True) == lru.get(1.0) == "int" and lru.get("1") is None
    with pytest.warns(shmemo.PickledKeyWarning, match="Key") as warned:
        lru.set(Key(1), "object")
        lru.set((1, Key(2)), "tuple")
    assert len(warned) == 1
    assert lru.get(Key(1)) == "object" and lru.has((1, Key(2))) and not lru.has(Key(3))
    assert dict(lru.cache) == {1: "int", Key(1): "object", (1, Key(2)): "tuple"}
    lru.delete(Key(1))
    assert not lru.has(Key(1))
    with pytest.raises(TypeError):
        lru.set([1], 1)
    assert len(lru.cache) == 2


def test_no_key_is_taken_for_a_pickled_one() -> None:
    lru = ProcessSafeLRUCache()
    bomb = pickle.dumps(Bomb())
    lru.set(("shmemo:pickled", bomb), 1)
    lru.set(b"P" + bomb, 2)
    assert dict(lru.cache) == {("shmemo:pickled", bomb): 1, b"P" + bomb: 2}


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


def test_a_pickled_key_that_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lru = ProcessSafeLRUCache()
    lru.set("plain", 1)
    with pytest.warns(shmemo.PickledKeyWarning):
        lru.set(Key(1), 2)
    monkeypatch.setattr(lru._cache._codec, "distrust", "other users can write the file")
    with pytest.warns(shmemo.UndecodableWarning, match="other users"):
        assert dict(lru.cache) == {"plain": 1}
    assert list(lru.cache) == ["plain"] and lru.cache[Key(1)] == 2


SCRIPT = """
import multiprocessing, sys, shmemo
cache = shmemo.ProcessSafeLRUCache(3, capacity="1MB")

def child():
    pass

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_one_of_a_module_warns_where_it_is_not_shared(method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count("NotSharedWarning") == (method != "fork")
    # Of the line that made it, not of one in the package.
    assert method == "fork" or f"{script}:3: NotSharedWarning" in done.stderr


def test_the_mapping_of_entries(lru: ProcessSafeLRUCache) -> None:
    lru.cache["a"] = 1
    assert lru.cache["a"] == 1 and list(lru.cache) == ["a"] and repr(lru.cache) == "{'a': 1}"
    # An entry that goes away while its key is looked at.
    entries = lru.cache
    for key in entries.keys():
        lru.delete(key)
        assert entries[key] == 1
    with pytest.raises(KeyError):
        entries["a"]
    with pytest.raises(KeyError):
        del lru.cache["a"]


def test_large_values() -> None:
    lru = ProcessSafeLRUCache(maxkeys=2)
    value = b"x" * (4 << 20)
    lru.set("k", value)
    lru.set("l", value)
    assert lru.get("k") == value and lru.get("l") == value
    with pytest.raises(shmemo.ValueTooLarge):
        lru.set("k", b"x" * (5 << 20))
    for capacity, longest in (("1MB", 60_000), ("100MB", 4 << 20), ("512MB", 8 << 20)):
        other = ProcessSafeLRUCache(capacity=capacity)
        other.set("k", bytes(longest - 100))
        assert other.get("k") == bytes(longest - 100)
    for wrong in ({"capacity": "x"}, {"capacity": 0}, {"maxkeys": -1}, {"maxkeys": "5"}):
        with pytest.raises((shmemo.InvalidOption, shmemo.CapacityTooSmall)):
            ProcessSafeLRUCache(**wrong)  # type: ignore[arg-type]


def fill(lru: ProcessSafeLRUCache, start: int) -> None:
    for i in range(start, start + 200):
        lru.set(f"key {i}", {"i": i})
        assert lru.get(f"key {i}", {"i": i}) == {"i": i}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_several_processes_keep_the_bound(method: str) -> None:
    lru = ProcessSafeLRUCache(maxkeys=50)
    context = mp.get_context(method)
    processes = [context.Process(target=fill, args=(lru, i * 1000)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(lru.cache) == 50
    assert all(value == {"i": int(key.split()[1])} for key, value in dict(lru.cache).items())
