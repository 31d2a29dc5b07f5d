"""Operations on one key are atomic: many processes do the same at once, and what they are told fits together."""

from __future__ import annotations

import collections
import itertools
import multiprocessing as mp
from collections.abc import Callable
from typing import Any

import pytest

import shmemo

PROCESSES, KEYS = 4, 300
cache: Any = None
barrier: Any = None


def start(given: shmemo.Cache, meeting: Any) -> None:
    global cache, barrier
    cache, barrier = given, meeting


def popped(_: int) -> list[Any]:
    return [value for key in range(KEYS) if (value := cache.pop(key, None)) is not None]


def popped_items(_: int) -> list[Any]:
    found = []
    while True:
        try:
            found.append(cache.popitem())
        except KeyError:
            return found


def defaults(me: int) -> list[Any]:
    return [cache.setdefault(key, (me, key)) for key in range(KEYS)]


def added(me: int) -> list[Any]:
    return [key for key in range(KEYS) if cache.add(key, me)]


def deleted(_: int) -> list[Any]:
    return [key for key in range(KEYS) if cache.delete(key)]


def counted(_: int) -> list[Any]:
    return [cache.incr("n") for _ in range(KEYS)]


def viewed(me: int) -> list[Any]:
    """Goes through the views while others take away and put back: no error, and each value is its key's."""
    for _ in range(20):
        for key in range(me, KEYS, PROCESSES):
            cache.pop(key, None)
            cache[key] = key * 2
        assert all(value == key * 2 for key, value in cache.items())
        assert set(cache.values()) <= {key * 2 for key in range(KEYS)} and set(cache.keys()) <= set(range(KEYS))
        for key in cache:
            cache.get(key)
    return []


def do(work: Callable[[int], list[Any]], me: int) -> list[Any]:
    barrier.wait(60)
    return work(me)


def at_once(work: Callable[[int], list[Any]], method: str, prepared: dict[Any, Any]) -> tuple[list[list[Any]], dict[Any, Any]]:
    """What each process was told, and what is left."""
    context = mp.get_context(method)
    with shmemo.Cache(capacity="8MB") as given:
        given.set_many(prepared)
        with context.Pool(PROCESSES, start, (given, context.Barrier(PROCESSES))) as pool:
            told = pool.starmap(do, [(work, me) for me in range(PROCESSES)], chunksize=1)
        given.verify()
        return told, dict(given.items())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_is_popped_is_popped_by_one(method: str) -> None:
    told, left = at_once(popped, method, {key: key + 1 for key in range(KEYS)})
    assert sorted(itertools.chain(*told)) == list(range(1, KEYS + 1)) and left == {}


def test_popitem_gives_each_item_to_one() -> None:
    told, left = at_once(popped_items, "fork", {key: key + 1 for key in range(KEYS)})
    assert sorted(itertools.chain(*told)) == [(key, key + 1) for key in range(KEYS)] and left == {}


def test_setdefault_gives_all_the_same_value() -> None:
    told, left = at_once(defaults, "fork", {})
    assert all(given == told[0] for given in told) and left == dict(enumerate(told[0]))


def test_one_is_told_that_it_added_and_one_that_it_deleted() -> None:
    told, left = at_once(added, "fork", {})
    assert sorted(itertools.chain(*told)) == list(range(KEYS)) == sorted(left)
    assert all(left[key] == me for me, keys in enumerate(told) for key in keys)
    told, left = at_once(deleted, "fork", dict.fromkeys(range(KEYS)))
    assert sorted(itertools.chain(*told)) == list(range(KEYS)) and left == {}


def test_counts_leave_nothing_out() -> None:
    told, left = at_once(counted, "fork", {})
    assert collections.Counter(itertools.chain(*told)) == dict.fromkeys(range(1, PROCESSES * KEYS + 1), 1)
    assert left == {"n": PROCESSES * KEYS}


def test_views_beside_writers_do_not_raise() -> None:
    _, left = at_once(viewed, "fork", {key: key * 2 for key in range(KEYS)})
    assert left == {key: key * 2 for key in range(KEYS)}
