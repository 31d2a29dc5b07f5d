"""Exceptions and warnings. Each error is also the built-in one that fits."""

from __future__ import annotations


class Error(Exception):
    """The base of all errors of this package."""


class Closed(Error, ValueError):
    """The handle was closed."""


class Corruption(Error, OSError):
    """`verify` found something in the file that should not be there."""


class OpenError(Error):
    """A cache cannot be made, or attached to."""


class InvalidOption(OpenError, ValueError):
    """An option is not one that it can be."""


class CapacityTooSmall(OpenError, ValueError):
    """The capacity does not hold what was asked for."""


class CapacityTooLarge(OpenError, ValueError):
    """The capacity is more than a cache can have."""


class GeometryMismatch(OpenError, ValueError):
    """The file was made with other options."""


class NotSealed(OpenError, ValueError):
    """The descriptor is of memory that could be cut short."""


class NotFound(OpenError, FileNotFoundError):
    """Nothing is there."""


class AlreadyExists(OpenError, FileExistsError):
    """Something is there already."""


class NotAShmemoFile(OpenError, OSError):
    """The file is another program's."""


class VersionMismatch(OpenError, OSError):
    """The file has another format version."""


class LayoutMismatch(OpenError, OSError):
    """The file was made for another kind of machine."""


class HashMismatch(OpenError, OSError):
    """The file was made with another hash function."""


class CorruptHeader(OpenError, OSError):
    """The file's header is broken."""


class Truncated(OpenError, OSError):
    """The file was cut short."""


class PermissionDenied(OpenError, PermissionError):
    """The system refuses access."""


class WrongOwner(OpenError, PermissionError):
    """The file belongs to another user."""


class WrongMode(OpenError, PermissionError):
    """The file can be written by more users than `mode` allows."""


class NotARegularFile(OpenError, OSError):
    """A directory, a link or a device is there."""


class UnsupportedFilesystem(OpenError, OSError):
    """The file system is not known to work."""


class NoFileLocks(OpenError, OSError):
    """The file system has no locks of the kind that is needed."""


class NoSpace(OpenError, OSError):
    """There is less room than the capacity takes."""


class MemoryLimit(OpenError, MemoryError, OSError):
    """The memory limit of the control group is less than the capacity."""


class OpenFailed(OpenError, OSError):
    """The system failed at something else."""


class SetError(Error):
    """A value was not stored."""


class KeyTooLarge(SetError, ValueError):
    """The encoded key has more bytes than this cache takes."""


class ValueTooLarge(SetError, ValueError):
    """The encoded value has more bytes than this cache takes."""


class ZeroTtl(SetError, ValueError):
    """The time to live is zero."""


class InvalidTtl(SetError, ValueError):
    """The time to live is negative, or no number."""


class NotAttached(SetError, OSError):
    """This process has no line in the registry of the cache, and may only read."""


class RegistryFull(NotAttached):
    """As many processes are attached as the cache was made for."""


class Busy(SetError, BlockingIOError):
    """There is no room at this moment, or others keep changing this key, and nothing is changed."""


class UnsupportedKey(SetError, TypeError):
    """The type cannot be a key."""


class UnsupportedValue(SetError, TypeError):
    """The type cannot be stored without pickling, which is turned off."""


class NestedTooDeep(SetError, ValueError):
    """Containers are nested too deep."""


class IncrementError(Error):
    """A counter was not changed."""


class NotACounter(IncrementError, TypeError):
    """The value is no integer of 64 bits."""


class CounterOverflow(IncrementError, OverflowError):
    """The sum does not fit 64 bits."""


class DecodeError(Error, ValueError):
    """The bytes of a key or value cannot be read."""


class ShmemoWarning(UserWarning):
    """The base of all warnings of this package."""


class GeometryWarning(ShmemoWarning):
    """The file was made with other options, and is used as it is."""


class UndecodableWarning(ShmemoWarning):
    """A value cannot be decoded, and counts as missing."""


class NotSharedWarning(ShmemoWarning):
    """A module makes an anonymous cache anew in a child process, which then shares nothing."""


class NameCollisionWarning(ShmemoWarning):
    """Two functions are memoized under one name."""


class PickledKeyWarning(ShmemoWarning):
    """A key is pickled: keys that are equal may not meet across processes."""
