"""The cache."""

from __future__ import annotations

import datetime as dt
import operator
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterable, MutableMapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar, overload

from ._codec import Codec, Serializer
from ._errors import Closed, GeometryWarning, InvalidOption, NotSharedWarning, OpenFailed
from ._memoized import BatchMemoizer, Memoized, MemoizedBatch, Memoizer
from ._native import NativeCache
from ._report import Report, Stats
from ._views import MISSING, CacheItems, CacheKeys, CacheValues
from ._warn import caller, warn

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    _Pairs: TypeAlias = SupportsKeysAndGetItem[Any, Any] | Iterable[tuple[Any, Any]]

Seconds: TypeAlias = float | dt.timedelta
P = ParamSpec("P")
R = TypeVar("R")

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", re.IGNORECASE)
# How often a named file may vanish between being opened and being held.
ATTEMPTS = 64
# The open caches of this process by their files, so that a handle that arrives by pickle maps none twice.
ATTACHED: weakref.WeakValueDictionary[tuple[int, int], Cache] = weakref.WeakValueDictionary()


def parse_size(size: int | str) -> int:
    """A number of bytes: an int, or a text like "256MB", where K, M, G and T are powers of 1024."""
    if isinstance(size, str):
        match = SIZE.fullmatch(size)
        if match is None:
            raise InvalidOption(f'the size is {size!r}, and must be a number of bytes, or like "256MB"')
        return int(Fraction(match[1]) * UNITS[match[2].upper()])
    return size


def parse_count(option: str, given: Any, bits: int = 63) -> int | None:
    """A whole number that fits so many bits, or None. Whether it makes sense is for the native half to say."""
    if given is None:
        return None
    try:
        number = operator.index(given)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << bits:
        raise InvalidOption(f"the option {option} is {given!r}, and must be a whole number, not negative and below 2**{bits}")
    return number


class Cache(NativeCache):
    """A cache that processes share: one mapped file, no server.

    `Cache(path)` attaches to the file or makes it; `Cache(name="app")` does so with a file of this user's under /dev/shm, which
    goes when its last process leaves; `Cache()` is anonymous, for this process and the children it forks or hands it to.

    It behaves like a dict from which any entry may vanish at any moment. Handles can be passed to other processes as
    arguments, the anonymous ones too. Two handles are equal only if they are the same object.

    The options hold for a file that is made: `capacity` in bytes or as "256MB" (with powers of 1024; default "64MB", or
    half of what is free if that is less), everything included; `max_entries`; `max_value_len` (default: 1/64 of the
    capacity); `expected_entry_size` in bytes (default 256); `default_ttl` in seconds; `max_processes`; `mode`, the permission
    bits. If the file was made with others, `on_mismatch` says what to do: "warn" and use it (the default), "error", or
    "recreate" it.

    `pickle=False` refuses values that have no native encoding; `serializer=`, an object with `dumps` and `loads`, takes
    them instead of pickle. A value that cannot be decoded is a miss with one warning, or with `on_undecodable="raise"` an
    error. Nothing is unpickled from a file that another user can write.

    Raises the subclasses of OpenError.
    """

    _name: str | None = None

    def __init__(
        self,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        name: str | None = None,
        capacity: int | str | None = None,
        max_entries: int | None = None,
        max_value_len: int | str | None = None,
        expected_entry_size: int | None = None,
        default_ttl: Seconds | None = None,
        max_processes: int | None = None,
        mode: int = 0o600,
        prefault: bool = False,
        allow_unknown_filesystem: bool = False,
        on_mismatch: Literal["warn", "error", "recreate"] = "warn",
        pickle: bool = True,
        serializer: Serializer | None = None,
        on_undecodable: Literal["miss", "raise"] = "miss",
    ) -> None:
        if path is not None and name is not None:
            raise InvalidOption("give a path or a name, not both")
        for option, given, allowed in (
            ("on_mismatch", on_mismatch, ("warn", "error", "recreate")),
            ("on_undecodable", on_undecodable, ("miss", "raise")),
            ("prefault", prefault, (False, True)),
            ("allow_unknown_filesystem", allow_unknown_filesystem, (False, True)),
            ("pickle", pickle, (False, True)),
        ):
            if not any(type(given) is type(one) and given == one for one in allowed):
                raise InvalidOption(f"the option {option} is {given!r}, and must be one of {', '.join(map(repr, allowed))}")
        options = {
            "capacity": parse_count("capacity", None if capacity is None else parse_size(capacity)),
            "max_entries": parse_count("max_entries", max_entries),
            "max_value_len": parse_count("max_value_len", None if max_value_len is None else parse_size(max_value_len)),
            "expected_entry_size": parse_count("expected_entry_size", expected_entry_size),
            "default_ttl": default_ttl,
            "max_processes": parse_count("max_processes", max_processes, 32),
            "mode": parse_count("mode", mode, 32),
            "prefault": prefault,
            "allow_unknown_filesystem": allow_unknown_filesystem,
            "on_mismatch": on_mismatch,
        }
        coding = {"use_pickle": pickle, "serializer": serializer, "raising": on_undecodable == "raise"}
        if path is None and name is None:
            _warn_if_not_shared()
        self._set_up(None if path is None else os.fsdecode(path), name, options, coding)

    def _set_up(self, path: str | None, name: str | None, options: dict[str, Any], coding: dict[str, Any], fd: int = -1) -> None:
        """Opens a path, a name, a descriptor, or a new anonymous cache."""
        self._name = name
        self._arguments = (path, name, options, coding)
        self._codec = Codec(**coding)
        # By name and version, what tells those apart that are memoized here.
        self._functions: dict[Any, Any] = {}
        warning = None
        if fd >= 0:
            status = os.fstat(fd)
            other = ATTACHED.get((status.st_dev, status.st_ino))
            try:
                if other is not None:
                    self._share(other, self._codec)
            except Closed:
                # By another thread perhaps, at this moment.
                other = None
            if other is None:
                self._open(fd, options, self._codec)
        elif name is not None:
            warning = self._open_named(name, options)
        else:
            warning = self._open(path, options, self._codec)
        if warning is not None:
            words = f"{warning.split(': open it')[0]}: the file is used as it is"
            warn(words, GeometryWarning)
        status = os.fstat(self.fileno())
        ATTACHED[status.st_dev, status.st_ino] = self
        if status.st_uid not in (os.geteuid(), 0):
            self._codec.distrust = f"the file belongs to the user {status.st_uid}"
        elif self.path is not None and status.st_mode & 0o022:
            self._codec.distrust = "other users can write the file"

    def _open_named(self, name: str, options: dict[str, Any]) -> str | None:
        from ._presence import Presence, path_of

        path = path_of(name)
        for _ in range(ATTEMPTS):
            warning = self._open(path, options, self._codec)
            try:
                presence = Presence(path)
            except FileNotFoundError:
                continue
            if presence.is_at(self.fileno()):
                self._presence = presence
                self._leave = weakref.finalize(self, presence.leave)
                return warning
            presence.leave()
        self._close()
        raise OpenFailed(11, "others keep removing the file and making it anew", path)

    # Single keys

    def pop(self, key: Any, default: Any = MISSING) -> Any:
        """Removes a key and gives its value, in one atomic step: of several processes that do so at once, one gets it.

        Raises KeyError if the key has no value and no default is given.
        """
        value = self._pop(key, MISSING)
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Removes some key and gives it with its value. Raises KeyError if the cache is empty."""
        for key in self:
            value = self._pop(key, MISSING)
            if value is not MISSING:
                return key, value
        raise KeyError("the cache is empty")

    # Many keys

    def set_many(self, pairs: _Pairs, ttl: Seconds | None = None) -> None:
        """Stores all pairs. Each set is atomic, the whole is not. All are tried; raises the first error that a set gave."""
        given: Any = pairs
        if hasattr(given, "items"):
            given = given.items()
        elif hasattr(given, "keys"):
            given = [(key, given[key]) for key in list(given.keys())]
        self._set_many(given, ttl)

    def update(self, pairs: _Pairs = (), /, **more: Any) -> None:
        """Stores all pairs, as a dict does. Each set is atomic, the whole is not."""
        self.set_many(pairs)
        if more:
            self.set_many(more)

    def keys(self) -> CacheKeys:
        """A view of the keys."""
        return CacheKeys(self)

    def values(self) -> CacheValues:
        """A view of the values."""
        return CacheValues(self)

    def items(self) -> CacheItems:
        """A view of keys and values."""
        return CacheItems(self)

    # Functions

    @overload
    def memoize(self, function: Callable[P, R], /) -> Memoized[P, R]: ...
    @overload
    def memoize(
        self,
        function: None = None,
        /,
        *,
        ttl: Seconds | None = None,
        name: str | None = None,
        version: Any = None,
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        typed: bool = False,
        condition: Callable[[Any], bool] | None = None,
    ) -> Memoizer: ...
    def memoize(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        ttl: Seconds | None = None,
        name: str | None = None,
        version: Any = None,
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        typed: bool = False,
        condition: Callable[[Any], bool] | None = None,
    ) -> Any:
        """A decorator: results of a function or an `async def` are kept for all processes. Exceptions are not.

        A result is found by the function's `name` (default: module and qualified name), its `version` and its arguments, as the
        signature orders them; `key` makes what stands for the arguments from them, `ignore` leaves some out by their names,
        `typed` tells `1` from `1.0`. Results for which `condition(result)` is false are not kept, nor are those that cannot be
        stored, of which the first is warned about.

        The function gets `cache_key(...)`, `invalidate(...)`, `cache_clear()`, `cache_info()` and `__wrapped__`.
        """
        from ._memoize import memoize

        wrap = memoize(self, ttl=ttl, name=name, version=version, key=key, ignore=ignore, typed=typed, condition=condition)
        return wrap if function is None else wrap(function)

    @overload
    def memoize_batch(self, function: Callable[P, R], /) -> MemoizedBatch[P, R]: ...
    @overload
    def memoize_batch(
        self,
        function: None = None,
        /,
        *,
        batch: str | None = None,
        ttl: Seconds | None = None,
        name: str | None = None,
        version: Any = None,
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        typed: bool = False,
        condition: Callable[[Any], bool] | None = None,
    ) -> BatchMemoizer: ...
    def memoize_batch(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        batch: str | None = None,
        ttl: Seconds | None = None,
        name: str | None = None,
        version: Any = None,
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        typed: bool = False,
        condition: Callable[[Any], bool] | None = None,
    ) -> Any:
        """A decorator for a function from a list of inputs to the list of their outputs, say a model.

        It is called once with those inputs whose output is not known, in their order, each only once; not at all if there
        are none. `batch` names the parameter that takes the inputs; by default it is the first, or the one after `self`.
        The other options and the attributes are those of `memoize`, for one input instead of the list.
        """
        from ._batch import memoize_batch

        options = {"name": name, "version": version, "key": key, "ignore": ignore, "typed": typed, "condition": condition}
        wrap = memoize_batch(self, batch, ttl=ttl, **options)
        return wrap if function is None else wrap(function)

    # The whole

    def stats(self) -> Stats:
        """Counts and sizes. Not for the fast path."""
        return Stats(**self._stats(), undecodable=self._codec.failed)

    def verify(self) -> Report:
        """Reads the whole file and checks it. Raises Corruption if something is there that should not be."""
        return Report(**self._verify())

    def close(self) -> None:
        """Gives up this handle; others of this and of other processes go on. More calls do nothing."""
        self._close()
        if self._name is not None:
            self._leave()

    @property
    def name(self) -> str | None:
        """The name that the cache was opened by, if it was."""
        return self._name

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<shmemo.Cache closed>"
        where = repr(self.path) if self.path is not None else "anonymous"
        return f"<shmemo.Cache {where}, {self.capacity / (1 << 20):g} MiB, {len(self)} entries>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.closed:
            raise Closed("the cache is closed: it cannot be passed on")
        if self.path is not None:
            path, *rest = self._arguments
            return _reopen, (type(self), path and os.path.abspath(path), *rest)
        # While a child is started its descriptor goes along with it; otherwise it is fetched from here by who unpickles.
        from multiprocessing.reduction import DupFd

        return _attach, (type(self), DupFd(self.fileno()), *self._arguments[2:])


def _reopen(cls: type[Cache], path: str | None, name: str | None, options: dict[str, Any], coding: dict[str, Any]) -> Cache:
    cache = cls.__new__(cls)
    cache._set_up(path, name, options, coding)
    return cache


def _attach(cls: type[Cache], descriptor: Any, options: dict[str, Any], coding: dict[str, Any]) -> Cache:
    fd = descriptor.detach()
    try:
        cache = cls.__new__(cls)
        cache._set_up(None, None, options, coding, fd)
    finally:
        os.close(fd)
    return cache


def _warn_if_not_shared() -> None:
    """Warns if a module makes an anonymous cache in a child of multiprocessing: each child makes one of its own then."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return
    # A spawned child imports the main module, or any module makes one when it is imported later.
    imports_main = getattr(process.current_process(), "_inheriting", False)
    if imports_main or (process.parent_process() is not None and caller()[0].f_code.co_name == "<module>"):
        words = (
            "this anonymous cache is made anew in each child process, and shares nothing with the others: "
            'give it a name (shmemo.Cache(name="app")), or pass it to the children as an argument'
        )
        warn(words, NotSharedWarning)


MutableMapping.register(Cache)
