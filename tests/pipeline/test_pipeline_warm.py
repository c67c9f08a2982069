"""A command that begins with its imports done ends as a fresh interpreter does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clone import commands

from assay.core.errors import AssayError
from assay.pipeline import warm

MODULE = """\
import atexit, os, sys
import beside
atexit.register(print, "the end")
print(sys.argv[1:], __name__, os.getcwd(), sys.path[:2], os.environ.get("OF_THE_CALLER"), sys.stdin.read())
print("to the other stream", file=sys.stderr)
{end}
"""
ENDS = {"pass": 0, "sys.exit(3)": 3, "sys.exit('a reason')": 1, "1 / 0": 1}


def run(python: str, folder: Path, option: str, program: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "OF_THE_CALLER": "ä", "PYTHONPATH": str(folder / "elsewhere")}
    command = [python, option, program, "--some", "words"]
    return subprocess.run(command, input="in", env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("option", ["-m", "-c"])
def test_it_is_given_all_and_gives_all_back(tmp_path, option, end):
    code = MODULE.format(end=end)
    (tmp_path / "program.py").write_text(code)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/beside.py").write_text("")
    program = "program" if option == "-m" else code
    here, fresh = (run(python, tmp_path, option, program) for python in (str(commands() / "python"), sys.executable))
    assert (here.stdout, here.returncode) == (fresh.stdout, fresh.returncode)
    assert here.returncode == ENDS[end]
    assert here.stderr.splitlines()[0] == fresh.stderr.splitlines()[0] == "to the other stream"
    assert here.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]


def test_one_that_is_killed_has_failed(tmp_path):
    done = run(str(commands() / "python"), tmp_path, "-c", "import os; os.kill(os.getpid(), 9)")
    assert (done.returncode, done.stdout, done.stderr) == (137, "", "")


def test_processes_that_it_spawns_itself_are_its_own(tmp_path):
    """They are started with pipes that the server has not: by the interpreter, not by the command `python`."""
    pool = "with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool: print(*pool.map(abs, [-3]))"
    imports = "import multiprocessing; from concurrent.futures import ProcessPoolExecutor"
    done = run(str(commands() / "python"), tmp_path, "-c", f"{imports}\n{pool}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_whoever_kills_the_command_ends_what_it_stands_for(tmp_path, sent):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    command = [str(commands() / "python"), "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE) as script:
        pid = int(script.stdout.readline())
        assert alive(pid)
        assert pid != script.pid
        script.send_signal(sent)
        assert script.wait(20) != 0
    end = time.monotonic() + 20
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not alive(pid)


def test_a_command_killed_before_it_read_anything_ends_what_it_stands_for(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    ours, its = socket.socketpair()
    with ours:
        ours.sendall(b"unread")
        its.close()
        warm._end_with(ours)
    assert codes == [128 + signal.SIGKILL]


def test_a_run_starts_a_server_and_leaves_nothing(monkeypatch):
    monkeypatch.delenv(warm.MARK, raising=False)
    before = os.environ["PATH"]
    with warm.started():
        folder = Path(os.environ[warm.MARK])
        assert shutil.which("python") == str(folder / "python")
        code = "import sys; print('torch' in sys.modules, 'dvc' in sys.modules, 'assay' in sys.modules)"
        done = subprocess.run(["python", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "True True False\n"
        with warm.started():
            assert os.environ[warm.MARK] == str(folder), "one server is enough"
    assert os.environ["PATH"] == before
    assert warm.MARK not in os.environ
    assert not folder.exists()


def test_a_server_that_does_not_start_is_one_line_with_the_way_around_it(monkeypatch):
    with pytest.raises(AssayError, match=f"did not start.*{warm.MARK}=off"), warm.commands("no_such_module"):
        pass
    monkeypatch.setenv(warm.MARK, "off")
    before = os.environ["PATH"]
    with warm.started():
        assert os.environ["PATH"] == before
