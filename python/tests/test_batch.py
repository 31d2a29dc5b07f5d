"""Memoizing functions from a list of inputs to the list of their outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shmemo

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    calls.clear()
    yield


def test_batches(cache: shmemo.Cache) -> None:
    @cache.memoize_batch(ttl=60)
    def double(inputs: list[int], factor: int = 2) -> list[int]:
        calls.append(list(inputs))
        return [x * factor for x in inputs]

    assert double([3, 1, 3, 2]) == [6, 2, 6, 4] and double([2, 5, 1]) == [4, 10, 2] and double([5, 2]) == [10, 4]
    assert double([]) == [] and double(iter([1, 7]), factor=2) == [2, 14]
    assert calls == [[3, 1, 2], [5], [7]]
    assert double([1], 3) == [3] and calls[-1] == [1]
    assert double.invalidate(1) and double([1, 2]) == [2, 4] and calls[-1] == [1]
    hits, misses, _, held = double.cache_info()
    assert (hits, misses, held) == (7, 7, 6)

    @cache.memoize_batch
    def wrong(inputs: list[int]) -> list[int]:
        return [1]

    with pytest.raises(ValueError, match="one for each"):
        wrong([1, 2])


def test_options(cache: shmemo.Cache) -> None:
    @cache.memoize_batch(key=lambda item, log=None: item["id"], ignore="log", condition=lambda output: output != 0, ttl=60)
    def f(inputs: list[dict[str, int]], log: Any = None) -> list[int]:
        calls.append(len(inputs))
        return [item["value"] for item in inputs]

    assert f([{"id": 1, "value": 5}, {"id": 2, "value": 0}, {"id": 1, "value": 7}]) == [5, 0, 5] and calls == [2]
    # The one that was not to be kept is computed again.
    assert f([{"id": 1, "value": 9}, {"id": 2, "value": 3}], log=print) == [5, 3] and calls == [2, 1]
    left = cache.ttl(f.cache_key({"id": 1}))
    assert left is not None and 59 < left <= 60


def test_inputs_by_name_and_anywhere(cache: shmemo.Cache) -> None:
    @cache.memoize_batch
    def first(texts: list[str], upper: bool = False) -> list[str]:
        calls.append(texts)
        return [text.upper() if upper else text for text in texts]

    @cache.memoize_batch(batch="texts")
    def last(model: int, /, *, texts: list[str]) -> list[str]:
        calls.append(texts)
        return [text * model for text in texts]

    assert first(texts=["a", "b"]) == first(["a", "b"]) == first(upper=False, texts=("a", "b")) == ["a", "b"]
    assert last(2, texts=["a"]) == last(2, texts=iter("a")) == ["aa"] and last(3, texts=["a"]) == ["aaa"]
    assert calls == [["a", "b"], ["a"], ["a"]]
    assert last.invalidate(2, texts="a") and first.cache_key("a") == first.cache_key(texts="a", upper=False)
    for wrong in (lambda: first(), lambda: first(["a"], 1, 2), lambda: last(["a"]), lambda: first(["a"], texts=["b"])):
        with pytest.raises(TypeError):
            wrong()
    for options in ({}, {"batch": "no"}, {"batch": "rest"}):
        with pytest.raises(TypeError, match="has not"):
            cache.memoize_batch(name="f", **options)(lambda *rest: rest)  # type: ignore[call-overload]


def test_methods(cache: shmemo.Cache) -> None:
    class Model:
        def __init__(self, weight: int) -> None:
            self.weight = weight

        def __shmemo_key__(self) -> int:
            return self.weight

        @cache.memoize_batch
        def run(self, inputs: list[int]) -> list[int]:
            calls.append(inputs)
            return [self.weight * x for x in inputs]

        @cache.memoize_batch(ignore="self")
        async def same(self, inputs: list[int]) -> list[int]:
            calls.append(inputs)
            return inputs

        @classmethod
        @cache.memoize_batch
        def make(cls, inputs: list[int]) -> list[str]:
            calls.append(inputs)
            return [f"{cls.__name__} {x}" for x in inputs]

    two, three = Model(2), Model(3)
    assert two.run([1, 2]) == [2, 4] and two.run(inputs=[2, 3]) == [4, 6] and three.run([1]) == [3] and Model(2).run([1]) == [2]
    assert calls == [[1, 2], [3], [1]] and Model.run.invalidate(two, 1) and two.run([1]) == [2]
    assert asyncio.run(two.same([1])) == asyncio.run(three.same([1])) == [1] and Model.make([5]) == Model.make([5]) == ["Model 5"]
    assert calls[3:] == [[1], [1], [5]]


def test_coroutines(cache: shmemo.Cache) -> None:
    @cache.memoize_batch
    async def double(inputs: list[int]) -> list[int]:
        calls.append(inputs)
        return [x * 2 for x in inputs]

    async def main() -> list[Any]:
        return [await double([1, 2, 1]), await double([2, 3])]

    assert asyncio.run(main()) == [[2, 4, 2], [4, 6]] and calls == [[1, 2], [3]]


def test_an_array_of_outputs_is_given_row_by_row(cache: shmemo.Cache) -> None:
    @cache.memoize_batch
    def embed(texts: list[str]) -> Any:
        calls.append(texts)
        return np.array([[len(text), 1.0] for text in texts])

    for _ in range(2):
        assert [row.tolist() for row in embed(["a", "bb"])] == [[1, 1], [2, 1]]
    assert calls == [["a", "bb"]]


def test_nothing_is_kept_of_a_call_that_failed(cache: shmemo.Cache) -> None:
    @cache.memoize_batch
    def f(inputs: list[Any]) -> Any:
        calls.append(inputs)
        if "wrong" in inputs:
            raise ValueError("wrong")
        return {"none": None, "text": "ab", "set": {1, 2}, "dict": {1: 1, 2: 2}, "few": [1]}.get(inputs[0], inputs)

    assert f(["a"]) == ["a"]
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            f(["a", "b", "wrong"])
    assert f(["b", "a"]) == ["b", "a"] and calls == [["a"], ["b", "wrong"], ["b", "wrong"], ["b"]]
    for kind in ("none", "text", "set", "dict"):
        with pytest.raises(TypeError, match="must give the list"):
            f([kind, "other"])
    with pytest.raises(ValueError, match="one for each"):
        f(["few", "other"])
