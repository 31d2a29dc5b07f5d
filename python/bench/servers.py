"""Servers that the benchmark starts for itself, at a socket of its own, and stops at its end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMANDS = {
    "redis-server": ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"],
    "memcached": ["-u", "root", "-m", "256", "-s"],
}


def is_there(program: str) -> bool:
    return shutil.which(program) is not None


@contextmanager
def running(program: str) -> Iterator[str]:
    """Runs a server and gives the path of its socket."""
    command = COMMANDS[program]
    if program == "memcached" and os.geteuid() != 0:
        command = command[2:]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "socket")
        server = subprocess.Popen([program, *command, str(path)], cwd=directory, stdout=subprocess.DEVNULL)
        try:
            _wait(server, path)
            yield str(path)
        finally:
            server.terminate()
            server.wait(30)


def _wait(server: subprocess.Popen[bytes], path: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{server.args!r} did not come up")
