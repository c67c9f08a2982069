"""`deploy/slurm.sh` in a cluster of SLURM of one node, this machine; Debian's slurm-wlm.

`make test-services` installs it and sets ASSAY_SERVICES. SLURM wants to be root, and ends with the tests.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from servers import free_port, running

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/pipeline"))
import shell_pipeline  # noqa: E402
from clone import ran  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        "ASSAY_SERVICES" not in os.environ or not shutil.which("slurmctld") or os.getuid() != 0,
        reason="needs Debian's slurm-wlm, and root: `make test-services`",
    ),
    pytest.mark.timeout(600),
]
CONFIG = """\
ClusterName=one
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName={name} NodeAddr=127.0.0.1 CPUs={processors}
PartitionName=all Nodes=ALL Default=YES
"""
# of the tiny pipeline `assay repro --on ray` runs what it does without the check and without MLflow
ASSAY = f"""\
#!/bin/sh
test "$*" = "repro --on ray" || exit 9
exec {sys.executable} -u -c 'from pathlib import Path; from assay.core.errors import one_line_errors
with one_line_errors():
    from assay.pipeline import on_ray; on_ray.reproduce(Path.cwd())'
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment in which SLURM's commands reach the cluster."""
    assert not left(), "Ray runs on this machine already, and the script would stop it"
    folder = Path("/tmp") / f"assay-slurm-{os.getpid()}"  # the path of a socket has 107 characters at most
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge/key").write_bytes(os.urandom(128))
    (folder / "munge/key").chmod(0o400)
    name = socket.gethostname().partition(".")[0]
    ports = {"controller": free_port(), "node": free_port()}
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, name=name, processors=os.cpu_count(), **ports))
    environment = {**os.environ, "SLURM_CONF": str(config)}
    place = folder / "munge"
    files = [f"--{what}={place / what}" for what in ("socket", "pid-file", "log-file", "seed-file")]
    munge = ["munged", "--foreground", "--force", f"--key-file={place / 'key'}", *files]
    logs = tmp_path_factory.mktemp("slurm")

    def idle() -> bool:
        asked = ["sinfo", "--noheader", "--format=%t"]
        return "idle" in subprocess.run(asked, env=environment, capture_output=True, text=True).stdout

    with (
        running(munge, logs / "munge", (place / "socket").exists),
        running(["slurmctld", "-D"], logs / "slurmctld", lambda: True, env=environment),
        running(["slurmd", "-D"], logs / "slurmd", idle, env=environment),
    ):
        yield environment
        subprocess.run(["ray", "stop", "--force"], env=with_path(environment), capture_output=True, check=True)
    shutil.rmtree(folder)


def with_path(environment):
    return {**environment, "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])}


@pytest.fixture
def made(slurm, tmp_path):
    """A clone with the script in it, at a commit whose results nobody has."""
    (tmp_path / "remote").mkdir()
    tiny, _ = shell_pipeline.create(tmp_path, str(tmp_path / "remote"), SLURM_CONF=slurm["SLURM_CONF"])
    for name in ("requirements.lock", "pyproject.toml", "deploy/slurm.sh"):
        (tiny.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tiny.folder / name)
    (tiny.folder / ".venv/bin").mkdir(parents=True)
    (tiny.folder / ".venv/bin/assay").write_text(ASSAY)
    (tiny.folder / ".venv/bin/assay").chmod(0o755)
    (tiny.folder / ".venv/.gitignore").write_text("*\n")
    tiny.change("code.txt", "x", "y")
    return tiny


def submit(tiny, *options, check=True):
    return tiny.run(
        "sbatch", "--nodes=1", "--cpus-per-task=2", "--output=log", *options, "deploy/slurm.sh", check=check
    )


def left() -> list[int]:
    return [each.pid for each in psutil.process_iter(["name"]) if each.info["name"] in ("raylet", "gcs_server")]


def test_a_job_that_was_cancelled_goes_on_from_its_checkpoint_when_it_is_submitted_again(made):
    scratch = ".assay/scratch/train@${key}-0123456789abcdef"
    begin = "mkdir -p models/${key} metrics/timings;"
    wait = f'if test ${{key}} = a; then mkdir -p {scratch}; c={scratch}/checkpoint.pt; test -e $c && echo "goes on" || '
    made.change("dvc.yaml", begin, f"{wait}{{ echo x > $c; sleep 600; }}; rm -r {scratch}; fi; {begin}")
    submit(made)
    saved, deadline = made.folder.parent / "remote/checkpoints/train@a", time.monotonic() + 120
    while not list(saved.glob("*/checkpoint.pt")):
        assert time.monotonic() < deadline, (made.folder / "log").read_text()
        time.sleep(0.2)
    made.run("scancel", "--user=root")
    submit(made, "--wait")
    log = (made.folder / "log").read_text()
    assert "goes on" in log
    assert {"train@a", "compare", "track"} <= {*ran(log)}
    assert "up to date" in made.run("dvc", "status").stdout
    assert left() == []


def test_a_job_whose_pipeline_fails_has_failed_and_says_why(made):
    made.change(
        "dvc.yaml",
        "mkdir -p data/predictions",
        "test ${key} = a || { echo 'error: no' >&2; exit 1; }; mkdir -p data/predictions",
    )
    assert submit(made, "--wait", check=False).returncode != 0
    log = (made.folder / "log").read_text()
    assert "error: train@b: no" in log
    assert "Traceback" not in log
    assert left() == []
