"""`python` and `dvc` that begin with PyTorch, DVC and MLflow imported: forks of a process in which these lie ready.

The tests of this folder start more than a hundred interpreters, and each would spend one to four seconds on the same
imports, more than on its work. Here the two commands are scripts that hand their arguments, environment, folder and
standard streams to a server; its fork does the rest, as an interpreter would. Nothing of ours is imported ahead: a
clone has its own. What shall be killed is started by `sys.executable`, and CI's jobs, by `make`, start real ones.
"""

from __future__ import annotations

import atexit
import functools
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
from pathlib import Path

AHEAD = ("torch", "safetensors.torch", "dvc.cli.parser", "dvc.repo.reproduce", "dvc.api", "mlflow", "scipy.stats")
LENGTH = 4  # bytes that say how long a request is

SCRIPT = """\
#!{python} -IS
import json, os, socket, sys
arguments = {prefix} + sys.argv[1:]
if arguments[:1] not in (["-m"], ["-c"]):
    os.execv("{python}", ["{python}", *arguments])
request = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
server = socket.socket(socket.AF_UNIX)
server.connect("{address}")
socket.send_fds(server, [len(request).to_bytes({length}, "big")], [0, 1, 2])
server.sendall(request)
code = server.recv(1)
os._exit(code[0] if code else 1)
"""


@functools.cache
def commands() -> Path:
    """The folder with the two commands, whose server lives as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="assay-"))  # a socket's path has to be short
    for name, prefix in (("python", []), ("dvc", ["-m", "dvc"])):
        script = SCRIPT.format(python=sys.executable, prefix=prefix, address=folder / "server", length=LENGTH)
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    command = [sys.executable, __file__, str(folder)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop() -> None:
        server.communicate()  # it ends when its input does
        shutil.rmtree(folder)

    atexit.register(stop)
    assert server.stdout.readline() == "ready\n"
    return folder


def serve(folder: Path) -> None:
    """Answer requests, each by a fork, until the standard input ends."""
    for name in AHEAD:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork has no thread but the one that made it"
    assert not {"assay", "stages"} & sys.modules.keys(), "a clone has its own"
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: the connection says how they ended
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "server"))
        listening.listen(64)
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([listening, sys.stdin], [], [])[0]):
            assert ready == [listening]
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                become(connection, folder / "python")
            connection.close()


def become(connection: socket.socket, executable: Path) -> None:
    """Be the process that was asked for, and never return."""
    length, streams, *_ = socket.recv_fds(connection, LENGTH, 3)
    with connection.makefile("rb") as stream:
        arguments, environment, folder = json.loads(stream.read(int.from_bytes(length, "big")))
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for action in filter(None, environment.get("PYTHONWARNINGS", "").split(",")):
        warnings.simplefilter(action)
    sys.executable = str(executable)
    first = folder if arguments[0] == "-m" else ""
    sys.path[:1] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    code = outcome(arguments)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code]))
    os._exit(code)


def outcome(arguments: list[str]) -> int:
    """Run a module or a line of code as the main program; gives its exit code."""
    option, program, *rest = arguments
    sys.argv = [program if option == "-m" else option, *rest]
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 255
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
