"""A command that begins with its imports done ends as a fresh interpreter does."""

import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest

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
    here, fresh = (
        run(python, tmp_path, option, program) for python in (str(preloaded.commands() / "python"), sys.executable)
    )
    assert (here.stdout, here.returncode) == (fresh.stdout, fresh.returncode)
    assert here.returncode == ENDS[end]
    assert here.stderr.splitlines()[0] == fresh.stderr.splitlines()[0] == "to the other stream"
    assert here.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]


def test_one_that_is_killed_has_failed(tmp_path):
    done = run(str(preloaded.commands() / "python"), tmp_path, "-c", "import os; os.kill(os.getpid(), 9)")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
