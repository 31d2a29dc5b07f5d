"""Classes that take another package's place."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, KeysView, MutableMapping
from dataclasses import dataclass
from math import inf
from typing import Any

from ._cache import Cache, parse_count, parse_size
from ._codec import PICKLE_PROTOCOL
from ._errors import NestedTooDeep, PickledKeyWarning, UnsupportedKey
from ._native import encode_key
from ._views import MISSING
from ._warn import warn

LONGEST_VALUE = (4 << 20) + 4096
# A value can have a sixteenth of the capacity.
CAPACITY = 72 << 20


@dataclass(frozen=True, slots=True)
class PickledKey:
    """A key that is no key of a Cache. Its class sees to it that no other key is taken for one."""

    data: bytes


class ProcessSafeLRUCache:
    """Takes the place of duckframework's class of this name: least recently used entries go when there are more than `maxkeys`.

    The order is exact for up to 64 entries, and close to it for more. There is no manager process: an instance works in the
    processes that this one forks, and in those it is passed to. `capacity` in bytes (or "256MB") is taken at once.
    """

    def __init__(self, maxkeys: int | None = None, *, capacity: int | str = CAPACITY) -> None:
        size = parse_count("capacity", parse_size(capacity))
        size = CAPACITY if size is None else size
        # As long as with the default capacity, if there is room.
        largest = max(min(LONGEST_VALUE, size // 16), size // 64, 1)
        self.maxkeys = maxkeys
        self._cache = Cache(capacity=size, max_entries=maxkeys or None, max_value_len=largest)
        self._warned = False

    def set(self, key: Any, value: Any, expiry: float | None = None) -> None:
        """Stores a value, which expires after `expiry` seconds; None (or 0) for never."""
        key = self._key(key)
        if expiry is not None and expiry < 0:
            self._cache.delete(key)
        else:
            self._cache.set(key, value, expiry or inf)

    def get(self, key: Any, default: Any = None, pop: bool = False) -> Any:
        """The value of a key, or `default` if there is none or it has expired. `pop` removes it."""
        key = self._key(key)
        return self._cache.pop(key, default) if pop else self._cache.get(key, default)

    def has(self, key: Any) -> bool:
        """Whether the key has a value that has not expired."""
        return self._key(key) in self._cache

    def delete(self, key: Any) -> None:
        """Removes a key, if it is there."""
        self._cache.delete(self._key(key))

    def clear(self) -> None:
        """Removes everything, for all processes."""
        self._cache.clear()

    def close(self) -> None:
        """The same as `clear`. The memory is given back when the last process lets go of its instance."""
        self.clear()

    @property
    def cache(self) -> Entries:
        """The entries as a mapping, which `dict` takes."""
        return Entries(self)

    def __repr__(self) -> str:
        return f"<shmemo.ProcessSafeLRUCache maxkeys={self.maxkeys}, {len(self._cache)} entries>"

    def _key(self, key: Any) -> Any:
        if type(key) is str:
            return key
        try:
            encode_key(key)
        except (NestedTooDeep, UnsupportedKey):
            hash(key)
            data = pickle.dumps(key, PICKLE_PROTOCOL)
            if not self._warned:
                self._warned = True
                kind = f"{type(key).__module__}.{type(key).__qualname__}"
                words = f"keys of {kind} are pickled: equal ones whose pickles differ do not meet across processes"
                warn(words, PickledKeyWarning)
            return PickledKey(data)
        return key

    def _original(self, key: Any) -> Any:
        """What a key was before it was pickled; MISSING if that cannot be read."""
        if type(key) is not PickledKey:
            return key
        codec = self._cache._codec
        try:
            return codec.decode_other(ord("P"), key.data)
        except Exception as error:
            codec.undecodable(error)
            return MISSING


class Entries(MutableMapping[Any, Any]):
    """The entries of a ProcessSafeLRUCache."""

    def __init__(self, owner: ProcessSafeLRUCache) -> None:
        self._owner = owner
        # The entry that the iteration of `keys` is at, in case it goes away before its value is asked for.
        self._at: tuple[Any, Any] = (MISSING, MISSING)

    def __getitem__(self, key: Any) -> Any:
        value = self._owner.get(key, MISSING)
        if value is MISSING and self._at[0] is key:
            value = self._at[1]
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._owner.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if self._owner.get(key, MISSING, pop=True) is MISSING:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._owner.has(key)

    def __len__(self) -> int:
        return len(self._owner._cache)

    def __iter__(self) -> Iterator[Any]:
        owner = self._owner
        return (original for key in owner._cache if (original := owner._original(key)) is not MISSING)

    def keys(self) -> KeysView[Any]:
        """The keys; while they are gone through, the value of each can be had."""
        return _EntryKeys(self)

    def __repr__(self) -> str:
        return repr(dict(self))


class _EntryKeys(KeysView[Any]):
    _mapping: Entries

    def __iter__(self) -> Iterator[Any]:
        entries = self._mapping
        owner = entries._owner
        try:
            for key, value in owner._cache.items():
                original = owner._original(key)
                if original is not MISSING:
                    entries._at = (original, value)
                    yield original
        finally:
            entries._at = (MISSING, MISSING)
