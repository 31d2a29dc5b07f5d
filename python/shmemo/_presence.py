"""Who uses a named cache: its file goes when the last of them leaves.

Each handle holds a shared `flock` on the file through a descriptor of its own. Whoever leaves asks for the exclusive one, and
removes the file if it gets it. A killed process loses its lock and removes nothing: the next user finds the file, or the next
one who leaves removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from multiprocessing import util

from ._errors import InvalidOption, OpenFailed

# Seconds for which an opener waits for one that is about to remove the file.
PATIENCE = 10.0
ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def path_of(name: str) -> str:
    """The file of a cache with this name, which is this user's."""
    if not isinstance(name, str) or not 1 <= len(name) <= 128 or not ALLOWED.issuperset(name) or name.startswith("."):
        raise InvalidOption(f"the name is {name!r}, and must be 1 to 128 of A-Z a-z 0-9 . _ - that begin with no dot")
    return f"/dev/shm/shmemo-{os.geteuid()}-{name}"


class Presence:
    """One handle's share in a named file."""

    def __init__(self, path: str) -> None:
        """Raises FileNotFoundError if the file has gone."""
        self.path = path
        # By the thread that is about to fork.
        self.spares: dict[int, int] = {}
        self.fd = _locked(path)
        key = id(self)
        PRESENT[key] = weakref.ref(self, lambda _: PRESENT.pop(key, None))
        # Children of multiprocessing end without atexit, and with a list of finalizers that was emptied at their start.
        _finalize_at_exit(self)
        util.register_after_fork(self, _finalize_at_exit)

    def is_at(self, fd: int) -> bool:
        """Whether this descriptor is of the same file, and that file still has its name: it may have been removed while
        its lock was waited for."""
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.sameopenfile(self.fd, fd) and os.path.samestat(named, os.fstat(fd))

    def leave(self) -> None:
        """Gives up the share, and removes the file if it was the last."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever opens it now waits for this lock, and then sees that the file has gone.
            if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                os.unlink(self.path)
        except OSError:
            pass
        finally:
            os.close(fd)


def _locked(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    end = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return fd
            except BlockingIOError as error:
                # Somebody is about to remove it. That takes moments, unless it was stopped in the middle of that.
                if time.monotonic() > end:
                    words = "a process that is about to remove the file does not go on: end it, or remove the file"
                    raise OpenFailed(error.errno, words, path) from None
                time.sleep(0.001)
    except BaseException:
        os.close(fd)
        raise


# Not a WeakSet: that may not be gone through while another thread adds to it.
PRESENT: dict[int, weakref.ref[Presence]] = {}


def _all_present() -> list[Presence]:
    return [presence for reference in list(PRESENT.values()) if (presence := reference()) is not None]


def _leave(reference: weakref.ref[Presence]) -> None:
    presence = reference()
    if presence is not None:
        presence.leave()


def _finalize_at_exit(presence: Presence) -> None:
    util.Finalize(presence, _leave, args=(weakref.ref(presence),), exitpriority=0)


# A child would inherit the very lock of its parent, and either could remove the file under the other. So it is given a
# lock of its own, before it is there.
def _before_fork() -> None:
    for presence in _all_present():
        if presence.fd >= 0:
            with contextlib.suppress(OSError):
                presence.spares[threading.get_ident()] = _locked(f"/proc/self/fd/{presence.fd}")


def _in_parent() -> None:
    for presence in _all_present():
        spare = presence.spares.pop(threading.get_ident(), -1)
        if spare >= 0:
            os.close(spare)


def _in_child() -> None:
    for presence in _all_present():
        spare = presence.spares.pop(threading.get_ident(), -1)
        if presence.fd >= 0:
            # Without a spare it has no share: with its parent's it could remove the file under it.
            os.close(presence.fd)
            presence.fd = spare
        # Those of other threads that were about to fork are for children of theirs.
        while presence.spares:
            os.close(presence.spares.popitem()[1])


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
