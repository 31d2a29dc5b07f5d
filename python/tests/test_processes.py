"""The cache across processes, in all the ways in which Python starts them."""

from __future__ import annotations

import concurrent.futures
import errno
import fcntl
import multiprocessing as mp
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shmemo
from shmemo import _presence

METHODS = ["fork", "spawn", "forkserver"]
KINDS = ["anonymous", "name", "path"]
inherited: shmemo.Cache | None = None


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest, path: Path, name: str) -> Any:
    arguments: dict[str, dict[str, Any]] = {"anonymous": {}, "name": {"name": name}, "path": {"path": path}}
    with shmemo.Cache(capacity="4MB", **arguments[request.param]) as cache:
        yield cache


def write(cache: shmemo.Cache, key: Any) -> None:
    assert cache["parent"] == [1]
    cache[key] = os.getpid()
    cache.incr("sum")


def read(cache: shmemo.Cache) -> int:
    return int(cache["k"])


def pid_and_value(key: str) -> tuple[int, Any]:
    assert inherited is not None
    return os.getpid(), inherited.get(key)


def keep(cache: shmemo.Cache) -> None:
    global inherited
    inherited = cache


def write_until_killed(cache: shmemo.Cache) -> None:
    i = 0
    while True:
        i += 1
        cache[i % 1000] = bytes(i % 5000)
        cache["written"] = i


def run(method: str, target: Callable[..., Any], *arguments: Any) -> None:
    process = mp.get_context(method).Process(target=target, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_child_shares_the_handle_that_it_is_given(method: str, shared: shmemo.Cache) -> None:
    shared["parent"] = [1]
    run(method, write, shared, (method, 1))
    run(method, write, shared, (method, 2))
    assert shared["sum"] == 2 and shared[method, 1] != os.getpid()
    if shared.path is not None:
        assert shared.is_current, "the child's end removed it"


@pytest.mark.parametrize("method", METHODS)
def test_pools(method: str, shared: shmemo.Cache) -> None:
    context = mp.get_context(method)
    shared["k"] = 42
    with context.Pool(2, keep, (shared,)) as pool:
        assert {value for _, value in pool.map(pid_and_value, ["k"] * 20)} == {42}
        # As an argument of a task, which is fetched by the worker.
        assert pool.apply(read, (shared,)) == 42
    with concurrent.futures.ProcessPoolExecutor(2, context, keep, (shared,)) as executor:
        assert {value for _, value in executor.map(pid_and_value, ["k"] * 20)} == {42}
        assert executor.submit(read, shared).result(60) == 42
    assert shared["k"] == 42


def test_threads_pass_handles_on_and_close_them(shared: shmemo.Cache) -> None:
    shared["k"] = 1

    def work(_: int) -> None:
        for _ in range(100):
            with pickle.loads(pickle.dumps(shared)) as other:
                assert other["k"] == 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as executor:
            list(executor.map(work, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert shared.closed is False and shared["k"] == 1


def test_forked_children_inherit_a_handle(shared: shmemo.Cache) -> None:
    pids = []
    for i in range(5):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                shared[i] = "x" * i
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 5
    assert dict(shared) == {i: "x" * i for i in range(5)}


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_child_leaves_everything_usable(method: str, shared: shmemo.Cache) -> None:
    for _ in range(3):
        process = mp.get_context(method).Process(target=write_until_killed, args=(shared,))
        shared.delete("written")
        process.start()
        end = time.monotonic() + 60
        while shared.get("written", 0) < 100 and time.monotonic() < end:
            time.sleep(0.005)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert shared["written"] >= 100
    shared.verify()
    for i in range(2000):
        shared["after", i] = bytes(5000)
    shared["last"] = 1
    assert shared["last"] == 1


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def files() -> set[str]:
    """Those of the package, but for what other tests (the crate's too) make and remove at the same time."""
    others = ("shmemo-test-", "shmemo-fuzz", f"shmemo-{os.geteuid()}-test-")
    return {file for file in os.listdir("/dev/shm") if file.startswith("shmemo-") and not file.startswith(others)}


@pytest.mark.parametrize("how", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()", "1 / 0"])
def test_an_anonymous_cache_leaves_nothing(how: str) -> None:
    before = files()
    python(f"import os, shmemo; c = shmemo.Cache(capacity='2MB'); c['k'] = 1; os.fork(); {how}")
    assert files() <= before


@pytest.mark.parametrize("how", ["pass", "sys.exit(3)", "1 / 0", "cache.close()"])
def test_a_named_cache_leaves_nothing(how: str, name: str) -> None:
    python(f"import sys, shmemo; cache = shmemo.Cache(name={name!r}, capacity='2MB'); cache['k'] = 1; {how}")


@pytest.mark.parametrize("method", METHODS)
def test_a_named_cache_goes_when_the_last_of_several_processes_leaves(method: str, name: str) -> None:
    cache = shmemo.Cache(name=name, capacity="2MB")
    cache["parent"] = [1]
    processes = [mp.get_context(method).Process(target=write, args=(cache, i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert cache["sum"] == 3 and cache.is_current
    cache.close()


def hold(cache: shmemo.Cache, ready: Any, done: Any) -> None:
    ready.set()
    done.wait(60)
    assert cache.is_current and cache["k"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_parent_may_leave_first(method: str, name: str) -> None:
    context = mp.get_context(method)
    ready, done = context.Event(), context.Event()
    cache = shmemo.Cache(name=name, capacity="2MB")
    cache["k"] = 1
    process = context.Process(target=hold, args=(cache, ready, done))
    process.start()
    assert ready.wait(60)
    cache.close()
    done.set()
    process.join(60)
    assert process.exitcode == 0


def test_a_named_cache_that_a_killed_process_left_is_used_and_removed(name: str) -> None:
    python(f"import os, shmemo; c = shmemo.Cache(name={name!r}, capacity='2MB'); c['k'] = 1; os.kill(os.getpid(), 9)")
    with shmemo.Cache(name=name) as cache:
        assert cache["k"] == 1


def test_a_file_that_went_while_its_lock_was_waited_for_is_made_anew(name: str) -> None:
    path = _presence.path_of(name)
    shmemo.Cache(path, capacity="1MB").close()
    # As one who leaves has it, between the lock and the removal.
    leaving = os.open(path, os.O_RDWR)
    fcntl.flock(leaving, fcntl.LOCK_EX)
    with concurrent.futures.ThreadPoolExecutor() as executor:
        opened = executor.submit(shmemo.Cache, name=name, capacity="1MB")
        time.sleep(0.2)
        os.unlink(path)
        os.close(leaving)
        with opened.result(60) as cache:
            assert cache.is_current


def test_one_that_is_stopped_while_it_removes_a_file_is_not_waited_for_for_ever(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _presence.path_of(name)
    shmemo.Cache(path, capacity="1MB").close()
    leaving = os.open(path, os.O_RDWR)
    fcntl.flock(leaving, fcntl.LOCK_EX)
    monkeypatch.setattr(_presence, "PATIENCE", 0.1)
    with pytest.raises(shmemo.OpenFailed, match="does not go on") as raised:
        shmemo.Cache(name=name)
    assert (raised.value.errno, raised.value.filename) == (errno.EAGAIN, path)
    os.close(leaving)
    with shmemo.Cache(name=name) as cache:
        assert cache.is_current


def test_a_child_that_got_no_lock_does_not_remove_the_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> int:
        raise OSError(24, "Too many open files", path)

    with shmemo.Cache(name=name, capacity="1MB") as cache:
        monkeypatch.setattr(_presence, "_locked", fail)
        pid = os.fork()
        if pid == 0:
            cache.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0 and cache.is_current
        monkeypatch.undo()


def use_named(name: str, rounds: int) -> None:
    for i in range(rounds):
        with shmemo.Cache(name=name, capacity="1MB") as cache:
            cache[i] = i
            assert cache[i] == i and cache.is_current


def test_coming_and_going_at_once(name: str) -> None:
    context = mp.get_context("fork")
    processes = [context.Process(target=use_named, args=(name, 60)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]


SCRIPT = """
import multiprocessing, sys, warnings
import shmemo

warnings.simplefilter("always")
cache = shmemo.Cache({arguments})

def child():
    cache["from child"] = 1

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
    print(process.exitcode, cache.get("from child"))
"""


@pytest.mark.parametrize("method", METHODS)
def test_an_anonymous_cache_of_a_module_warns_where_it_is_not_shared(method: str, tmp_path: Path, name: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(arguments="capacity='2MB'"))
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=60, check=True)
    if method == "fork":
        assert (done.stdout, done.stderr) == ("0 1\n", "")
    else:
        assert done.stdout == "0 None\n" and done.stderr.count("NotSharedWarning") == 1 and 'name="app"' in done.stderr
    # With a name there is nothing to warn about.
    script.write_text(SCRIPT.format(arguments=f"name={name!r}, capacity='2MB'"))
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("0 1\n", "")
