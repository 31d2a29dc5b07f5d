"""The tree of errors: a class for each kind, which is also the built-in one that fits."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import shmemo

ROOT = Path(__file__).parents[2]
HEADER = {"version": 8, "layout": 16, "hash": 24}


def test_a_class_for_each_kind_of_the_rust_side() -> None:
    text = (ROOT / "src" / "error.rs").read_text()
    kinds: set[str] = set()
    for name in ("OpenError", "SetError", "IncrementError", "NotAttached"):
        body = re.search(rf"pub enum {name} {{\n(.*?)\n}}", text, re.DOTALL)
        assert body, name
        kinds |= set(re.findall(r"^    ([A-Z]\w+)", body[1], re.MULTILINE))
    # These are wrapped, or have a longer name where there is no enumeration around it.
    kinds = (kinds - {"Io", "Set", "Overflow"}) | {"OpenFailed", "NotAttached", "CounterOverflow", "Corruption"}
    missing = {kind for kind in kinds if not issubclass(getattr(shmemo, kind, object), shmemo.Error)}
    assert len(kinds) > 25 and missing == set()
    mapped = (ROOT / "python" / "src" / "errors.rs").read_text()
    assert {kind for kind in kinds if f'"{kind}"' not in mapped} == set()


def test_every_class_has_its_words_and_is_one_that_fits() -> None:
    errors = [kind for kind in vars(shmemo).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(errors) > 40
    for kind in errors:
        assert issubclass(kind, (shmemo.Error, shmemo.ShmemoWarning)) and kind.__doc__ and kind.__module__ == "shmemo._errors"
        leaf = not any(other is not kind and issubclass(other, kind) for other in errors)
        if leaf and issubclass(kind, shmemo.Error):
            assert issubclass(kind, (OSError, ValueError, TypeError, OverflowError)), kind


def made(path: Path) -> None:
    shmemo.Cache(path, capacity="2MB").close()


def changed(field: str) -> Callable[[Path], None]:
    """Makes a file, and changes a byte of its header."""

    def change(path: Path) -> None:
        made(path)
        with path.open("r+b") as file:
            file.seek(HEADER[field])
            byte = file.read(1)[0]
            file.seek(HEADER[field])
            file.write(bytes([byte ^ 0x7F]))

    return change


def cut(path: Path) -> None:
    made(path)
    os.truncate(path, 1 << 20)


def linked(path: Path) -> None:
    path.symlink_to("/dev/null")


def open_to_all(path: Path) -> None:
    made(path)
    path.chmod(0o666)


def nothing(_: Path) -> None:
    pass


PREPARED = [
    (nothing, {"capacity": "900TB"}, shmemo.CapacityTooLarge, ValueError, None),
    (nothing, {"capacity": "1TB"}, shmemo.NoSpace, OSError, errno.ENOSPC),
    (nothing, {"capacity": 1}, shmemo.CapacityTooSmall, ValueError, None),
    (lambda path: path.write_bytes(b"something else" * 999), {}, shmemo.NotAShmemoFile, OSError, errno.EINVAL),
    (changed("version"), {"on_mismatch": "error"}, shmemo.VersionMismatch, OSError, errno.EINVAL),
    (changed("layout"), {"on_mismatch": "error"}, shmemo.LayoutMismatch, OSError, errno.EINVAL),
    (made, {"capacity": "4MB", "on_mismatch": "error"}, shmemo.GeometryMismatch, ValueError, None),
    (cut, {}, shmemo.Truncated, OSError, errno.EIO),
    (linked, {}, shmemo.NotARegularFile, OSError, errno.EINVAL),
    (lambda path: path.mkdir(), {}, shmemo.NotARegularFile, OSError, errno.EINVAL),
    (open_to_all, {}, shmemo.WrongMode, PermissionError, errno.EPERM),
]


@pytest.mark.parametrize(
    ("prepare", "options", "kind", "built_in", "number"), PREPARED, ids=lambda item: getattr(item, "__name__", "")
)
def test_opening(
    prepare: Callable[[Path], None], options: dict[str, object], kind: type, built_in: type, number: int | None, path: Path
) -> None:
    prepare(path)
    try:
        with pytest.raises(kind) as raised:
            shmemo.Cache(path, **options)  # type: ignore[arg-type]
    finally:
        if path.is_dir():
            path.rmdir()
    error = raised.value
    assert isinstance(error, built_in) and isinstance(error, shmemo.OpenError)
    if number is not None:
        assert isinstance(error, OSError) and (error.errno, error.filename) == (number, str(path))
        assert error.strerror and str(error).startswith(f"[Errno {number}] ")


@pytest.mark.parametrize(
    ("place", "kind", "number", "named"),
    [
        ("/dev/shm/no/such/dir/file", FileNotFoundError, errno.ENOENT, "/dev/shm/no/such/dir"),
        ("/proc/self/cache", shmemo.UnsupportedFilesystem, errno.ENOTSUP, "/proc/self"),
        ("", shmemo.OpenFailed, errno.EINVAL, ""),
        ("/dev/shm/a\0b", shmemo.OpenFailed, errno.EINVAL, "/dev/shm/a\0b"),
    ],
)
def test_places_that_are_none(place: str, kind: type[OSError], number: int, named: str) -> None:
    with pytest.raises(kind) as raised:
        shmemo.Cache(place)
    assert isinstance(raised.value, shmemo.OpenError) and (raised.value.errno, raised.value.filename) == (number, named)


def test_an_anonymous_cache_has_no_file_to_name() -> None:
    with pytest.raises(shmemo.NoSpace) as raised:
        shmemo.Cache(capacity="1TB")
    assert raised.value.errno == errno.ENOSPC and raised.value.filename is None


def test_a_path_that_the_system_denies(path: Path) -> None:
    made(path)
    code = f"""if True:
        import errno, os, shmemo
        if os.geteuid() == 0:
            os.setuid(65534)
        else:
            os.chmod({str(path)!r}, 0)
        try:
            shmemo.Cache({str(path)!r})
        except PermissionError as error:
            assert isinstance(error, (shmemo.PermissionDenied, shmemo.WrongOwner)) and error.filename == {str(path)!r}
            assert error.errno in (errno.EACCES, errno.EPERM), error
            print("denied")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "denied\n", done.stderr


def test_a_process_too_many(path: Path) -> None:
    with shmemo.Cache(path, capacity="2MB", max_processes=1) as cache:
        cache["k"] = 1
        pid = os.fork()
        if pid == 0:
            told = 0
            for write in (
                lambda: cache.set("k", 2),
                lambda: cache.add("x", 1),
                lambda: cache.incr("n"),
                lambda: cache.set_many({"k": 3}),
            ):
                try:
                    write()
                except shmemo.RegistryFull as error:
                    told += (error.errno, error.filename) == (errno.EUSERS, str(path)) and isinstance(error, shmemo.SetError)
            # It reads all the same, and what it memoizes it computes.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", shmemo.ShmemoWarning)
                told += cache["k"] == 1 and cache.memoize(name="f")(abs)(-5) == 5
            os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_writes() -> None:
    with shmemo.Cache(capacity="1MB") as cache:
        cache["text"] = "x"
        for write, kind, built_in in (
            (lambda: cache.set("k", bytes(1 << 20)), shmemo.ValueTooLarge, ValueError),
            (lambda: cache.set(bytes(1 << 20), 1), shmemo.KeyTooLarge, ValueError),
            (lambda: cache.set("k", 1, 0), shmemo.ZeroTtl, ValueError),
            (lambda: cache.set("k", 1, -1), shmemo.InvalidTtl, ValueError),
            (lambda: cache.set([], 1), shmemo.UnsupportedKey, TypeError),
            (lambda: cache.incr("text"), shmemo.NotACounter, TypeError),
        ):
            with pytest.raises(kind) as raised:
                write()
            assert isinstance(raised.value, built_in) and isinstance(raised.value, shmemo.Error) and str(raised.value)


def test_no_descriptors_left(path: Path) -> None:
    code = f"""if True:
        import errno, resource, shmemo
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            shmemo.Cache({str(path)!r}, capacity="1MB")
        except shmemo.OpenFailed as error:
            assert error.errno == errno.EMFILE, error
            print("told")
    """
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 3
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "told\n", done.stderr
