"""Servers that a test starts: on loopback, and ended with it."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def end_with_parent() -> None:
    """Have the kernel end this process when the one that starts it ends, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def running(command: list[str], log: Path, answers, **options):
    """A server, for as long as the context is open; it answers when it begins."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, preexec_fn=end_with_parent, **options)
    try:
        deadline = time.monotonic() + 120
        while not answers():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        process.terminate()  # of PostgreSQL and MLflow this ends their own processes too
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def connects(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
