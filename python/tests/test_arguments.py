"""Arguments of memoized functions as keys."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import shmemo
from shmemo import _arguments

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    calls.clear()
    yield


class Weight:
    def __init__(self, weight: int) -> None:
        self.weight = weight

    def __shmemo_key__(self) -> int:
        return self.weight


def weigh(weight: int, times: int = 1) -> int:
    return weight * times


def test_all_ways_to_write_a_call_are_one_entry(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(a: int, b: int = 2, *, c: int = 3) -> int:
        """Adds."""
        calls.append((a, b, c))
        return a + b + c

    assert {f(1), f(1, 2), f(a=1), f(b=2, a=1), f(1, c=3), f(1, 2, c=3)} == {6} and calls == [(1, 2, 3)]
    assert f(1, c=4) == 7 and f(True, 2) == 6 and len(calls) == 2
    assert f.__name__ == "f" and f.__doc__ == "Adds." and f.__wrapped__(5) == 10
    assert f.cache_info() == (6, 2, None, 2)
    for wrong in (lambda: f(), lambda: f(1, 2, 3), lambda: f(1, x=1), lambda: f(1, a=1)):
        with pytest.raises(TypeError):
            wrong()


def test_star_arguments_and_positional_only(cache: shmemo.Cache) -> None:
    @cache.memoize()
    def f(a: int, /, *rest: int, **more: int) -> str:
        calls.append(a)
        return f"{a} {rest} {sorted(more.items())}"

    assert f(1, 2, x=1, y=2) == f(1, 2, y=2, x=1) and len(calls) == 1
    assert f(1, a=5) != f(1, 5) and len(calls) == 3

    @cache.memoize()
    def g(a: int, /, b: int = 1) -> int:
        return a + b

    assert g(1, b=1) == g(1) == 2
    with pytest.raises(TypeError):
        g(a=1)


def test_arguments_of_many_types(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(a: Any) -> int:
        calls.append(a)
        return len(calls)

    different: list[Any] = [
        1,
        "1",
        b"1",
        [1],
        (1,),
        {1},
        frozenset({1}),
        {"a": 1},
        {"a": [1]},
        [[1], 2],
        [1, [2]],
        bytearray(b"1"),
        int,
        len,
    ]
    different[-1] = functools.partial(weigh, 1)
    different += [
        np.arange(3),
        np.arange(3.0),
        np.arange(4).reshape(2, 2),
        np.arange(4).reshape(2, 2).T,
        np.arange(4),
        "x" * 1000,
        b"x" * 1000,
    ]
    for i, value in enumerate(different):
        assert f(value) == i + 1
    assert [f(value) for value in different] == list(range(1, len(different) + 1))
    assert f(np.arange(6)[::2]) == len(different) + 1 and f(np.array([0, 2, 4])) == len(different) + 1
    assert len(f.cache_key("x" * 10**6)[-1]) == 33
    with pytest.raises(shmemo.UnsupportedKey, match="ignore="):
        f(object())


def test_no_argument_is_taken_for_another_ones_conversion(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(x: Any) -> str:
        return repr(x)

    class Named(NamedTuple):
        a: Any
        b: Any

    array = np.arange(3)
    values = [
        [1],
        {1},
        {"a": 1},
        bytearray(b"x"),
        int,
        weigh,
        array,
        frozenset({1}),
        Weight(3),
        functools.partial(weigh, 3),
    ]
    for value in values:
        made = _arguments._converted(value)
        forged = [made, Named(*made) if len(made) == 2 else made, ("shmemo:" + made[0], *made[1:]), [made], (made, [1])]
        # Beside something that has to be converted as well.
        forged += [[made, [1]], (Named(*made[:2]), [1])]
        assert len({f.cache_key(argument) for argument in [value, [value], *forged]}) >= 7
        assert f.cache_key(value) not in {f.cache_key(argument) for argument in forged}
    assert f.cache_key((1, [2])) == f.cache_key(Named(1, [2]))


def test_no_call_is_taken_for_another_ones_conversion(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(x: Any, y: Any) -> None: ...

    for x, y in (([1], 2), ({"a": 1}, [1])):
        assert f.cache_key(x, y) != f.cache_key(*_arguments._converted((x, y)))
