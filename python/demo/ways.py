"""The three ways to call the model. They differ by one line."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from pathlib import Path

from model import Array, Model

import shmemo

Embed = Callable[[str], Array]


class Way(enum.Enum):
    """Where results are kept."""

    WITHOUT = "no cache"
    PRIVATE = "functools.lru_cache"
    SHARED = "shmemo"


def embedder(way: Way, model: Model, path: Path) -> Embed:
    """The function that a worker calls for each line."""
    return {Way.WITHOUT: without, Way.PRIVATE: private, Way.SHARED: shared}[way](model, path)


def without(model: Model, _: Path) -> Embed:
    """Nothing is kept."""

    def embed(line: str) -> Array:
        return model.embed(line)

    return embed


def private(model: Model, _: Path) -> Embed:
    """Each process keeps its own results. There is room for all."""

    @functools.lru_cache(maxsize=100_000)
    def embed(line: str) -> Array:
        return model.embed(line)

    return embed


def shared(model: Model, path: Path) -> Embed:
    """All processes keep their results in one file."""
    cache = shmemo.Cache(path)

    @cache.memoize()
    def embed(line: str) -> Array:
        return model.embed(line)

    return embed
