"""The caches that are measured. Each is a context manager that sets up what all processes share, and gives a function that
each process calls for its own operations.
"""

from __future__ import annotations

import functools
import multiprocessing as mp
import random
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import servers

import shmemo

COUNT = 1000
SMALL, LONG = "fourteen chars", random.Random(1).randbytes(1536)
SMALL_KEYS = [f"small:{i}" for i in range(COUNT)]
LONG_KEYS = [f"long:{i}" for i in range(COUNT)]
ROOM = 4 * COUNT


@dataclass
class Operations:
    """What is measured: a hit on either kind of value, and a store of it if there is one."""

    get_small: Callable[[str], Any]
    get_long: Callable[[str], Any]
    set_small: Callable[[str], Any] | None = None
    set_long: Callable[[str], Any] | None = None


Attach = Callable[[], Operations]


def by_get_and_set(get: Callable[[str], Any], put: Callable[[str, Any], Any]) -> Operations:
    return Operations(get, get, lambda key: put(key, SMALL), lambda key: put(key, LONG))


def by_bytes(get: Callable[[str], bytes], put: Callable[[str, bytes], Any]) -> Operations:
    """For those that hold bytes: a text is encoded and decoded."""
    return Operations(
        lambda key: get(key).decode(),
        get,
        lambda key: put(key, SMALL.encode()),
        lambda key: put(key, LONG),
    )


def by_function(decorate: Callable[[Callable[[str], Any]], Callable[[str], Any]], name: str = "compute") -> Operations:
    def compute(key: str) -> Any:
        return SMALL if key.startswith("small") else LONG

    compute.__qualname__ = name
    function = decorate(compute)
    return Operations(function, function)


@contextmanager
def shmemo_cache() -> Iterator[Attach]:
    with shmemo.Cache(capacity="64MB") as cache:
        yield lambda: by_get_and_set(cache.get, cache.set)


@contextmanager
def drop_in() -> Iterator[Attach]:
    cache = shmemo.ProcessSafeLRUCache()
    yield lambda: by_get_and_set(cache.get, cache.set)


@contextmanager
def memoize() -> Iterator[Attach]:
    with shmemo.Cache(capacity="64MB") as cache:
        yield lambda: by_function(cache.memoize)


@contextmanager
def lru_cache() -> Iterator[Attach]:
    yield lambda: by_function(functools.lru_cache(ROOM))


@contextmanager
def cachebox() -> Iterator[Attach]:
    import cachebox

    def attach() -> Operations:
        cache = cachebox.LRUCache(ROOM)
        return by_get_and_set(cache.get, cache.insert)

    yield attach


@contextmanager
def cachetools() -> Iterator[Attach]:
    import cachetools

    def attach() -> Operations:
        cache, lock = cachetools.LRUCache(ROOM), threading.Lock()

        def get(key: str) -> Any:
            with lock:
                return cache.get(key)

        def put(key: str, value: Any) -> None:
            with lock:
                cache[key] = value

        return by_get_and_set(get, put)

    yield attach


@contextmanager
def warp_cache() -> Iterator[Attach]:
    import warp_cache

    # Its file has the function's name, and stays.
    name = f"bench_{secrets.token_hex(8)}"
    operations = by_function(warp_cache.cache(max_size=ROOM, backend="shared", max_value_size=4096), name)
    try:
        yield lambda: operations
    finally:
        for file in Path("/dev/shm").glob(f"warp_cache_*{name}*"):
            file.unlink()


@contextmanager
def lmdb() -> Iterator[Attach]:
    import lmdb

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:

        def attach() -> Operations:
            # One environment for each process: it must not be inherited.
            environment = lmdb.open(directory, map_size=256 << 20, sync=False, metasync=False)

            def get(key: str) -> bytes:
                with environment.begin() as transaction:
                    return transaction.get(key.encode())

            def put(key: str, value: bytes) -> None:
                with environment.begin(write=True) as transaction:
                    transaction.put(key.encode(), value)

            return by_bytes(get, put)

        yield attach


@contextmanager
def diskcache() -> Iterator[Attach]:
    import diskcache

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:

        def attach() -> Operations:
            cache = diskcache.Cache(directory)
            return by_get_and_set(cache.get, cache.set)

        yield attach


@contextmanager
def redis() -> Iterator[Attach]:
    import redis

    with servers.running("redis-server") as socket:

        def attach() -> Operations:
            client = redis.Redis(unix_socket_path=socket)
            return by_bytes(client.get, client.set)

        yield attach


@contextmanager
def memcached() -> Iterator[Attach]:
    import pymemcache

    with servers.running("memcached") as socket:

        def attach() -> Operations:
            client = pymemcache.Client(socket)
            return by_bytes(client.get, lambda key, value: client.set(key, value, noreply=False))

        yield attach


@contextmanager
def manager() -> Iterator[Attach]:
    with mp.Manager() as manager:
        cache = manager.dict()
        yield lambda: by_get_and_set(cache.get, cache.__setitem__)


@contextmanager
def duck() -> Iterator[Attach]:
    from duck.utils.multiprocessing import ProcessSafeLRUCache

    cache = ProcessSafeLRUCache(maxkeys=ROOM)
    yield lambda: by_get_and_set(cache.get, cache.set)


@dataclass(frozen=True)
class Peer:
    name: str
    make: Callable[[], AbstractContextManager[Attach]]
    # The module that it needs, how pip calls that, and the program that it needs.
    module: str
    package: str
    shared: bool
    program: str | None = None


BASE = "cachetools.LRUCache + lock"
OURS = "shmemo.Cache"
PEERS = [
    Peer("functools.lru_cache", lru_cache, "functools", "", False),
    Peer("cachebox.LRUCache", cachebox, "cachebox", "cachebox", False),
    Peer(BASE, cachetools, "cachetools", "cachetools", False),
    Peer(OURS, shmemo_cache, "shmemo", "", True),
    Peer("shmemo.ProcessSafeLRUCache", drop_in, "shmemo", "", True),
    Peer("shmemo, @cache.memoize", memoize, "shmemo", "", True),
    Peer("warp-cache, @cache (shared)", warp_cache, "warp_cache", "warp-cache", True),
    Peer("lmdb", lmdb, "lmdb", "lmdb", True),
    Peer("diskcache", diskcache, "diskcache", "diskcache", True),
    Peer("pymemcache, memcached", memcached, "pymemcache", "pymemcache", True, "memcached"),
    Peer("redis-py, Redis", redis, "redis", "redis", True, "redis-server"),
    Peer("multiprocessing.Manager().dict()", manager, "multiprocessing", "", True),
    Peer("duckframework, the original", duck, "duck", "duckframework", True),
]
