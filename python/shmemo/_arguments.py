"""Arguments of calls as keys: one form for all ways to write the same call."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ._errors import UnsupportedKey
from ._keys import class_name
from ._native import encode_key

# Encoded arguments of more bytes than this are keyed by a hash. It must not be possible to find two with the same one, since
# a result that another user is given may be worth forging.
LONGEST = 256
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = {*POSITIONAL, inspect.Parameter.KEYWORD_ONLY}
EMPTY = inspect.Parameter.empty


def name_of(function: Any) -> str:
    """What a function is called in messages."""
    return getattr(function, "__qualname__", None) or repr(function)


class Arguments:
    """Brings the arguments of a function into one order, and makes a key of them."""

    def __init__(self, function: Callable[..., Any], ignore: Iterable[str], typed: bool) -> None:
        try:
            self.signature = inspect.signature(function)
        except ValueError:
            raise TypeError(f"{name_of(function)} does not tell what it takes: memoize a function that calls it") from None
        self.typed = typed
        parameters = self.signature.parameters
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        unknown = ignored - set(parameters)
        if unknown:
            raise TypeError(f"ignore= names {', '.join(sorted(unknown))}, which {name_of(function)} does not take")
        self.ignored = frozenset(ignored)
        # Signature.bind takes microseconds: without *args and **kwargs the same is done here.
        kinds = {parameter.kind for parameter in parameters.values()}
        self.has_variable = not kinds <= NAMED
        self.names = list(parameters)
        self.positional = sum(parameter.kind in POSITIONAL for parameter in parameters.values())
        # How many arguments are in the right order already, if they are that many.
        plain = not (self.has_variable or self.ignored) and self.positional == len(self.names)
        self.in_order = self.positional if plain else -1
        self.by_name = {name for name, parameter in parameters.items() if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY}
        self.defaults = {name: parameter.default for name, parameter in parameters.items() if parameter.default is not EMPTY}

    def ordered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The values of all parameters that are not ignored, in the signature's order. Raises TypeError as the call would."""
        if len(args) == self.in_order and not kwargs:
            return args
        values = None if self.has_variable else self._fill(args, kwargs)
        if values is None:
            return self._bound(args, kwargs)
        if not self.ignored:
            return tuple(values)
        return tuple(value for name, value in zip(self.names, values, strict=True) if name not in self.ignored)

    def _fill(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        """The values of all parameters; None if the call is wrong."""
        if len(args) > self.positional:
            return None
        values, named = list(args), 0
        for name in self.names[len(args) :]:
            if name in kwargs and name in self.by_name:
                named += 1
                values.append(kwargs[name])
            elif name in self.defaults:
                values.append(self.defaults[name])
            else:
                return None
        return values if named == len(kwargs) else None

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values: list[Any] = []
        for name, value in bound.arguments.items():
            if name in self.ignored:
                continue
            if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                value = tuple(sorted((key, item) for key, item in value.items() if key not in self.ignored))
            values.append(value)
        return tuple(values)

    def encoded(self, values: Any) -> bytes:
        """What stands for these values in a key."""
        return encode_values(values, self.typed)


def encode_values(values: Any, typed: bool) -> bytes:
    """What stands for a tuple of arguments in a key: its encoding, or the hash of that if it is long."""
    if typed:
        values = _with_types(values)
    try:
        encoded = encode_key(values)
    except UnsupportedKey:
        # No encoding begins with this byte: what was converted is taken for nothing else.
        encoded = b"!" + encode_key(_converted(values))
    if len(encoded) > LONGEST:
        # Nor with this one.
        return b"#" + hashlib.blake2b(encoded, digest_size=32).digest()
    return encoded


def _with_types(value: Any) -> Any:
    """Each value with its type."""
    if type(value) in (tuple, list):
        return class_name(type(value)), tuple(map(_with_types, value))
    return class_name(type(value)), value


def _converted(value: Any) -> Any:
    """The same with what can be no key replaced by what says as much. Every tuple in it begins with what it was made from: an
    argument can look like another one's conversion, but what comes of it does not."""
    kind = type(value)
    if isinstance(value, tuple):
        return "tuple", tuple(map(_converted, value))
    if kind is list:
        return "list", tuple(map(_converted, value))
    if kind is dict:
        return "dict", frozenset((key, _converted(item)) for key, item in value.items())
    if kind is set or isinstance(value, frozenset):
        return ("set" if kind is set else "frozenset"), frozenset(map(_converted, value))
    if kind in (bytearray, memoryview):
        return "buffer", bytes(value)
    if isinstance(value, type):
        return "class", class_name(value)
    if isinstance(value, functools.partial):
        return "partial", _converted(value.func), _converted(value.args), _converted(value.keywords)
    if inspect.isfunction(value) and "<" not in value.__qualname__:
        return "function", value.__module__.replace("__mp_main__", "__main__"), value.__qualname__
    array = _as_array(value)
    if array is not None:
        return "array", array.dtype.str, array.shape, _digest(array)
    own = getattr(kind, "__shmemo_key__", None)
    if own is not None:
        return "object", class_name(kind), _converted(own(value))
    try:
        encode_key(value)
    except UnsupportedKey as error:
        words = (
            f"{error}; or leave the argument out by ignore=, make a key by key=, or give its class a method __shmemo_key__ "
            "that returns what stands for the object"
        )
        raise UnsupportedKey(words) from None
    return value


def _as_array(value: Any) -> Any:
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        try:
            value = value.detach().cpu().numpy()
        except (RuntimeError, TypeError):
            # NumPy has no such numbers, or it is sparse.
            return None
    if numpy is not None and type(value) is numpy.ndarray and value.dtype.kind in "biufcmMSU":
        return value
    return None


def _digest(array: Any) -> bytes:
    numpy = sys.modules["numpy"]
    # The elements in the order of the indices, wherever they lie.
    data = numpy.ascontiguousarray(array).reshape(-1)
    return hashlib.blake2b(data.view(numpy.uint8) if data.nbytes else b"", digest_size=32).digest()
