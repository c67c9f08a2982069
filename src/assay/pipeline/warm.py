"""`python`, `dvc` and `assay` that begin with PyTorch and DVC imported: forks of a process in which these lie ready.

A run of the default starts some 140 interpreters, each of which would spend three seconds on the same imports. Here
the commands are scripts, first on the `PATH`, that hand their arguments, environment, folder and standard streams to a
server; its fork does the rest, as an interpreter would. Nothing of ours is imported ahead: a stage reads the code anew.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# `side_by_side` tells a running DVC by this word in the command line, which forks have from here
AHEAD = (
    *("torch", "torch.utils.flop_counter", "safetensors.torch", "dvc.cli.parser", "dvc.repo.reproduce"),
    *("dvc.dvcfile", "networkx", "psutil", "ruamel.yaml", "scmrepo.git"),
)
LENGTH = 4  # bytes that say how long a request is
READY, MARK = "ready\n", "ASSAY_WARM"
NODE = "ASSAY_NODE"  # `on_ray` sets it for units: each ends with the worker that runs it

# It lives as long as its fork does and hands on what it is told to do; the fork ends when it is gone.
SCRIPT = """\
#!{python} -IS
import json, os, signal, socket, sys
if "{node}" in os.environ:  # a unit ends with the worker that runs it, however that one ends
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
arguments = {prefix} + sys.argv[1:]
if arguments[:1] not in (["-m"], ["-c"]):
    os.execv("{python}", ["{python}", *arguments])
signal.signal(signal.SIGINT, signal.SIG_IGN)
request = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
server = socket.socket(socket.AF_UNIX)
server.connect("{address}")
socket.send_fds(server, [len(request).to_bytes({length}, "big")], [0, 1, 2])
server.sendall(request)
fork = int.from_bytes(server.recv({length}), "big")
if fork:
    signal.signal(signal.SIGTERM, lambda *_: os.kill(fork, signal.SIGTERM))
code = server.recv(1)
os._exit(code[0] if code else 128 + signal.SIGKILL)
"""


@contextmanager
def commands(*more: str) -> Iterator[Path]:
    """A folder with the commands `python`, `dvc` and, for tests, `assay`; their server imports `more` ahead.

    Raises:
        AssayError: the server does not start.
    """
    from assay.core.errors import AssayError  # the server, which is this file too, has nothing of ours

    folder = Path(tempfile.mkdtemp(prefix="assay-"))  # a socket's path has to be short, and nobody else's to open
    for name, prefix in (("python", []), ("dvc", ["-m", "dvc"]), ("assay", ["-m", "assay.cli"])):
        script = SCRIPT.format(
            python=sys.executable, prefix=prefix, address=folder / "server", length=LENGTH, node=NODE
        )
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    command = [sys.executable, "-P", __file__, str(folder), *AHEAD, *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            if server.stdout and server.stdout.readline() != READY:
                raise AssayError(
                    "the process that stages are forked from did not start, its own lines above say why; "
                    f"{MARK}=off runs without it"
                )
            yield folder
        finally:
            server.communicate()  # it ends when its input does
            shutil.rmtree(folder)


@contextmanager
def started() -> Iterator[None]:
    """What is begun inside by the names `python` and `dvc` is warm, on Linux, where a fork is safe.

    Raises:
        AssayError: the server does not start.
    """
    if sys.platform != "linux" or MARK in os.environ:
        yield
        return
    with commands() as folder:
        before = os.environ["PATH"]
        os.environ.update({"PATH": os.pathsep.join([str(folder), before]), MARK: str(folder)})
        try:
            yield
        finally:
            os.environ["PATH"] = before
            del os.environ[MARK]


def _serve(folder: Path, ahead: Sequence[str]) -> None:
    """Answer requests, each by a fork, until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: forks end by it, and then this does
    for name in ahead:
        importlib.import_module(name)
    if threading.active_count() > 1 or {"assay", "stages"} & sys.modules.keys():
        sys.exit("error: a fork has no thread but the one that made it, and reads our own code as it is then")
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: the connection says how they ended
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "server"))
        listening.listen(64)
        print(READY, end="", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                _become(connection, folder / "python")
            connection.close()


def _become(connection: socket.socket, executable: Path) -> None:
    """Be the process that was asked for, and never return."""
    length, streams, *_ = socket.recv_fds(connection, LENGTH, 3)
    with connection.makefile("rb") as stream:
        arguments, environment, folder = json.loads(stream.read(int.from_bytes(length, "big")))
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for action in filter(None, environment.get("PYTHONWARNINGS", "").split(",")):
        warnings.simplefilter(action)
    sys.executable = str(executable)
    first = folder if arguments[0] == "-m" else ""
    sys.path[:0] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    connection.sendall(os.getpid().to_bytes(LENGTH, "big"))
    threading.Thread(target=_end_with, args=[connection], daemon=True).start()
    code = _outcome(arguments)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code]))
    os._exit(code)


def _end_with(connection: socket.socket) -> None:
    with suppress(ConnectionResetError):  # it was killed with something of ours unread
        connection.recv(1)  # the script that stands for this process never sends: this returns when it is gone
    if NODE in os.environ:
        import psutil

        for child in psutil.Process().children(recursive=True):  # a shell that runs a stage ends with it too
            with suppress(psutil.Error):
                child.kill()
    os._exit(128 + signal.SIGKILL)


def _outcome(arguments: list[str]) -> int:
    """Run a module or a line of code as the main program; gives its exit code."""
    option, program, *rest = arguments
    sys.argv = [program if option == "-m" else option, *rest]
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 255
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])
