"""What a type checker is told: `mypy` reads this file, and pytest runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any

import shmemo

if TYPE_CHECKING:
    from typing import assert_type
else:

    def assert_type(value: Any, _: Any) -> Any:
        return value


cache = shmemo.Cache(capacity="1MB")


@cache.memoize
def bare(text: str, scale: float = 1.0) -> list[float]:
    return [scale * ord(letter) for letter in text]


@cache.memoize(ttl=60, ignore=("text",))
def with_options(text: str) -> bytes:
    return text.encode()


@cache.memoize
async def coroutine(x: int) -> str:
    return str(x)


@cache.memoize_batch
def batch(texts: list[str], *, upper: bool = False) -> list[str]:
    return [text.upper() if upper else text for text in texts]


class Model:
    def __shmemo_key__(self) -> int:
        return 1

    @cache.memoize
    def run(self, x: int) -> float:
        return x / 2

    @cache.memoize_batch(batch="inputs")
    def run_all(self, inputs: list[int]) -> list[float]:
        return [x / 2 for x in inputs]

    @staticmethod
    @cache.memoize
    def plain(x: int) -> int:
        return x


def takes_a_mapping(mapping: MutableMapping[Any, Any]) -> int:
    return len(mapping)


def test_functions_keep_their_types() -> None:
    assert_type(bare("a", scale=2.0), list[float])
    assert_type(with_options("a"), bytes)
    assert_type(coroutine(1), Coroutine[Any, Any, str]).close()
    assert_type(asyncio.run(coroutine(2)), str)
    assert_type(batch(["a"], upper=True), list[str])
    assert_type(bare.invalidate("a"), bool)
    assert_type(bare.cache_info(), shmemo.CacheInfo)
    assert_type(bare.__wrapped__("a"), list[float])
    # What is wrong is found: were it not, these comments would be the error.
    for wrong in (
        lambda: bare(1),  # type: ignore[arg-type]
        lambda: bare("a", scal=1.0),  # type: ignore[call-arg]
        lambda: bare.cache_key(),  # type: ignore[call-arg]
        lambda: with_options("a", 1),  # type: ignore[call-arg]
    ):
        try:
            wrong()
        except TypeError:
            pass
        else:
            raise AssertionError("it was taken")


def test_methods_keep_their_types() -> None:
    model = Model()
    assert_type(model.run(1), float)
    assert_type(model.run_all([1]), list[float])
    assert_type(Model.plain(1), int)
    assert_type(Model.run.invalidate(model, 1), bool)


def test_the_cache_is_a_mapping() -> None:
    assert takes_a_mapping(cache) >= 0
    assert_type(cache.get_many(["a"]), dict[Any, Any])
    assert_type(cache.ttl("a"), float | None)
    with shmemo.Cache(capacity="1MB") as other:
        assert_type(other, shmemo.Cache)
