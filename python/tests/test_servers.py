"""The cache under the real servers: each has several workers that share one."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import shmemo

WSGI = """
import os, time, shmemo
cache = shmemo.Cache({arguments})

def app(environ, start_response):
    time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{os.getpid()}} {{cache.incr('requests')}}".encode()]
"""

ASGI = """
import asyncio, os, shmemo
cache = shmemo.Cache({arguments})

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.005)
    body = f"{{os.getpid()}} {{cache.incr('requests')}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}})
    await send({{"type": "http.response.body", "body": body}})
"""

TASKS = """
import os, time, celery, shmemo
cache = shmemo.Cache({arguments})
folder = {folder!r}
app = celery.Celery("tasks", broker="filesystem://", backend="file://" + folder + "/results")
app.conf.broker_transport_options = {{"data_folder_in": folder + "/q", "data_folder_out": folder + "/q"}}
app.conf.broker_connection_retry_on_startup = False

@app.task
def count():
    time.sleep(0.02)
    return os.getpid(), cache.incr("requests")
"""


class UnixConnection(http.client.HTTPConnection):
    """HTTP through a socket in the file system, so that no port can be taken."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self.path))


@contextmanager
def running(directory: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=directory,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path_of_shmemo()},
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def path_of_shmemo() -> str:
    """The tests may run on a package that is not installed."""
    return str(Path(shmemo.__file__).parents[1])


def ask(directory: Path, process: subprocess.Popen[bytes]) -> None:
    """Asks until two workers have answered: each answer has another number, and none is left out."""
    workers, numbers = set(), []
    end = time.monotonic() + 60
    while time.monotonic() < end and (len(workers) < 2 or len(numbers) < 30):
        connection = UnixConnection(directory / "socket")
        try:
            connection.request("GET", "/")
            worker, number = connection.getresponse().read().split()
        except OSError:
            assert process.poll() is None, (directory / "log").read_text()
            time.sleep(0.05)
            continue
        finally:
            connection.close()
        workers.add(worker)
        numbers.append(int(number))
    assert len(workers) == 2, (directory / "log").read_text()
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("kind", ["name", "name and preload", "anonymous and preload"])
def test_gunicorn(kind: str, tmp_path: Path, name: str) -> None:
    arguments = "capacity='2MB'" if kind.startswith("anonymous") else f"name={name!r}, capacity='2MB'"
    (tmp_path / "app.py").write_text(WSGI.format(arguments=arguments))
    options = ["--preload"] if "preload" in kind else []
    with running(tmp_path, "gunicorn", "-w", "2", "-b", f"unix:{tmp_path}/socket", *options, "app:app") as process:
        ask(tmp_path, process)


def test_uvicorn(tmp_path: Path, name: str) -> None:
    (tmp_path / "app.py").write_text(ASGI.format(arguments=f"name={name!r}, capacity='2MB'"))
    with running(tmp_path, "uvicorn", "--workers", "2", "--uds", f"{tmp_path}/socket", "app:app") as process:
        # One of its workers may take all connections that come one after the other.
        workers: set[bytes] = set()
        end = time.monotonic() + 60
        while time.monotonic() < end and len(workers) < 2:
            connections = [UnixConnection(tmp_path / "socket") for _ in range(16)]
            try:
                for connection in connections:
                    connection.request("GET", "/")
                workers |= {connection.getresponse().read().split()[0] for connection in connections}
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)
            finally:
                for connection in connections:
                    connection.close()
        assert len(workers) == 2, (tmp_path / "log").read_text()
        with shmemo.Cache(name=name) as cache:
            assert cache["requests"] >= 16
    # Its workers end by the signal itself, and so leave the file. The next to use it, here this process, removes it.
    with shmemo.Cache(name=name) as cache:
        assert cache["requests"] >= 16


@pytest.mark.parametrize("kind", ["name", "anonymous"])
def test_celery(kind: str, tmp_path: Path, name: str) -> None:
    arguments = "capacity='2MB'" if kind == "anonymous" else f"name={name!r}, capacity='2MB'"
    for directory in ("q", "results"):
        (tmp_path / directory).mkdir()
    (tmp_path / "tasks.py").write_text(TASKS.format(arguments=arguments, folder=str(tmp_path)))
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    with running(tmp_path, "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", "2", *quiet):
        code = "import tasks; results = [tasks.count.delay() for _ in range(30)]; print([r.get(timeout=60) for r in results])"
        environment = {**os.environ, "PYTHONPATH": path_of_shmemo()}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
        )
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    answers = eval(done.stdout)
    assert sorted(number for _, number in answers) == list(range(1, 31))
    assert len({worker for worker, _ in answers}) == 2
