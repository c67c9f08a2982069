"""Units on a cluster of three nodes of Ray on this machine, which share a directory as the remote."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from clone import ROOT, ran
from shell_pipeline import clone

from assay.pipeline import bundle, on_ray

pytest.importorskip("ray", reason="Ray is an extra: pip install 'assay[ray]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on loopback")

HEAD, WORKERS = "127.0.0.2", ("127.0.0.3", "127.0.0.4")
ON_RAY = """
from pathlib import Path
from assay.core.errors import one_line_errors
from assay.cli.repro import costs
from assay.pipeline import on_ray
with one_line_errors():
    on_ray.reproduce(Path.cwd(), costs)
"""
UNITS = ["evaluate@a", "evaluate@b", "train@a", "train@b"]


class Cluster:
    """Nodes of a processor each, in processes of this one that end with it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind((HEAD, 0))
            self.address = f"{HEAD}:{free.getsockname()[1]}"
        self._folder, self._nodes = folder, dict[str, subprocess.Popen[bytes]]()
        self.start(HEAD)
        for place in WORKERS:
            self.start(place)

    def start(self, place: str) -> None:
        if place in self._nodes and self._nodes[place].poll() is None:
            return
        own = ["--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false"]
        command = [
            *("ray", "start", f"--node-ip-address={place}", "--num-cpus=1", "--object-store-memory=80000000"),
            *("--block", "--disable-usage-stats", f"--temp-dir={self._folder}"),
            *(own if place == HEAD else [f"--address={self.address}"]),
        ]
        if place != HEAD:
            command.remove(f"--temp-dir={self._folder}")  # it is the head's
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ASSAY", "RAY"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment |= {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PATH": path, "ASSAY_DEVICE": "cpu"}
        with (self._folder / f"{place}.log").open("wb") as log:
            self._nodes[place] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while b"Ray runtime started" not in (text := (self._folder / f"{place}.log").read_bytes()):
            assert time.monotonic() < deadline, text.decode()
            assert self._nodes[place].poll() is None, text.decode()
            time.sleep(0.1)

    def kill(self, place: str) -> None:
        """End a node as a power cut does."""
        for process in psutil.Process(self._nodes[place].pid).children(recursive=True):
            if process.name() == "raylet":
                process.kill()

    def stop(self) -> None:
        for node in self._nodes.values():
            node.terminate()
        for node in self._nodes.values():
            node.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = Path("/tmp") / f"assay-test-{os.getpid()}"  # the path of a socket has 107 characters at most
    folder.mkdir()
    running = Cluster(folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def team(filled, cluster, tmp_path):
    """A maker of clones at a commit whose results nobody has; the remote is the test's own."""
    for place in WORKERS:
        cluster.start(place)
    shutil.copytree(filled[0].folder.parent / "remote", tmp_path / "remote")
    made = []

    def make(*changes):
        made.append(clone(filled[1], tmp_path / f"clone {len(made)}", RAY_ADDRESS=cluster.address))
        made[-1].run("dvc", "remote", "modify", "team", "url", str(tmp_path / "remote"))
        for name in ("requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, made[-1].folder)
        for change in changes or [("code.txt", "x", "y")]:
            made[-1].change(*change)
        return made[-1]

    return make


def repro(tiny, check=True, **environment):
    return tiny.run("python", "-c", ON_RAY, check=check, **environment)


def in_training(what):
    return "dvc.yaml", "mkdir -p models/${key} metrics/timings;", f"{what}mkdir -p models/${{key}} metrics/timings;"


def counting(at: Path, then: str) -> tuple[str, str, str]:
    """Have the training of `a` leave a checkpoint, note its process and wait; one that finds a checkpoint goes on."""
    folder = ".assay/scratch/train@${key}-0123456789abcdef"
    return in_training(
        f'if test ${{key}} = a; then mkdir -p {folder}; c={folder}/checkpoint.pt; test -e $c && echo "goes on" || '
        f"{{ echo x > $c; echo $$ >> {at}/pids; {then}; }}; sleep 2.5; rm -r {folder}; fi; "
    )


def node_of(log: str) -> str:
    return re.findall(r"train@a: runs on (\S+),", log)[-1]


def begun(tiny, tmp_path):
    """Start a head, and wait until the checkpoint of `a` is in the remote."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_RAY],
            cwd=tiny.folder,
            env=tiny.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # whatever the tests were started from
        )
    deadline = time.monotonic() + 90
    while not list((tmp_path / "remote").glob("checkpoints/train@a/*/checkpoint.pt")):
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    return process


def test_units_run_on_nodes_once_each_and_the_head_restores_what_they_wrote(team, tmp_path):
    first, here = team(), team()
    done = repro(first)
    assert sorted(ran(done.stdout)) == sorted([*UNITS, "compare", "track"])
    assert done.stdout.count(": runs on 127.0.0.") == 2
    assert len(re.findall(r"train@[ab]: on 127\.0\.0\.\d, pull [\d.]+ s, run [\d.]+ s, push", done.stdout)) == 2
    here.side_by_side(ASSAY_JOBS="2")
    for place in ("dvc.lock", "models", "data/predictions", "metrics"):
        assert first.bytes_of(place) == here.bytes_of(place), place
    assert "up to date" in first.run("dvc", "status").stdout
    assert ran(repro(first).stdout) == []
    other = team()
    assert sorted(ran(repro(other, RAY_ADDRESS="127.0.0.9:1").stdout)) == ["compare", "track"]  # no node is asked


def test_nodes_train_on_what_the_head_has_prepared_since(team):
    made = team(("raw.txt", "2", "3"))
    done = repro(made)
    assert sorted(ran(done.stdout)) == sorted(["prepare", *UNITS, "compare", "track"])
    assert sorted(ran(done.stdout.rpartition("; 0 of 2 left")[2])) == ["compare", "track"]  # the head trains nothing
    assert b"3" in made.bytes_of("models/a")["models/a/weights"]


def test_nodes_train_where_nothing_was_ever_computed(team):
    made = team(("code.txt", "x", "of this test alone"))  # nodes keep what others had them compute
    (made.folder / "dvc.lock").unlink()
    assert sorted(ran(repro(made).stdout)) == sorted([*UNITS, "compare", "track"])


def test_uncommitted_and_untracked_files_go_along(team):
    made = team(
        ("code.txt", "x", "z"), ("dvc.yaml", "data/prepared/sorted.txt code.txt;", "data/prepared/sorted.txt new;")
    )
    (made.folder / "new").write_text("of this clone alone\n")
    repro(made)
    assert b"of this clone alone" in made.bytes_of("models/a")["models/a/weights"]


def test_a_unit_that_fails_stops_nothing_else_and_is_named(team):
    made = team(in_training("test ${key} = b || { echo 'error: no space left on device: models/a' >&2; exit 1; }; "))
    done = repro(made, check=False)
    assert done.returncode == 2
    assert "error: train@a: no space left on device: models/a" in done.stderr
    assert "Traceback" not in done.stderr
    assert ran(done.stdout).count("train@a") == 1  # it is not tried again
    assert "evaluate@b" in ran(done.stdout)
    assert "compare" not in ran(done.stdout)


def test_what_a_lost_node_was_training_goes_on_elsewhere_from_its_checkpoint(team, cluster, tmp_path):
    made = team(counting(tmp_path, "sleep 600"))
    process = begun(made, tmp_path)
    lost = node_of((tmp_path / "log").read_text())
    if lost == HEAD:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        pytest.fail("units run on the head's node, which cannot be lost")
    cluster.kill(lost)
    assert process.wait(120) == 0, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert f"train@a: lost on {lost}; it runs again on" in log
    assert "goes on" in log
    assert not [pid for pid in (tmp_path / "pids").read_text().split() if psutil.pid_exists(int(pid))]
    assert not list((tmp_path / "remote").glob("checkpoints/train@a/*/checkpoint.pt"))


def test_an_interrupt_ends_units_in_seconds_and_a_second_start_goes_on(team, tmp_path):
    made = team(counting(tmp_path, "sleep 600"))
    process = begun(made, tmp_path)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert time.monotonic() - before < 15
    time.sleep(1)
    assert not [pid for pid in (tmp_path / "pids").read_text().split() if psutil.pid_exists(int(pid))]
    done = repro(made)
    assert "goes on" in done.stdout
    assert "up to date" in made.run("dvc", "status", *UNITS, "compare").stdout


def test_two_heads_at_once_end_with_the_same(team):
    slow = in_training("sleep 2; ")
    first, second = team(slow), team(slow)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ON_RAY], cwd=one.folder, env=one.environment, stdout=subprocess.PIPE, text=True
        )
        for one in (first, second)
    ]
    for one in both:
        one.communicate(timeout=120)
        assert one.returncode == 0
    assert first.bytes_of("models") == second.bytes_of("models")
    assert first.bytes_of("dvc.lock") == second.bytes_of("dvc.lock")


def test_why_ray_made_no_environment_is_a_line():
    from ray.exceptions import RuntimeEnvSetupError

    said = "[Node 10.0.0.2] Traceback:\n  File 'pip.py'\nERROR: No matching distribution: x==9\n"
    reason = "Ray could not make its environment: ERROR: No matching distribution: x==9"
    assert on_ray._reason(RuntimeEnvSetupError(said)) == reason


def lock(tiny, text):
    (tiny.folder / "requirements.lock").write_text(text)


@pytest.mark.parametrize(
    ("environment", "change", "said"),
    [
        ({"RAY_ADDRESS": f"{HEAD}:9"}, None, f"RAY_ADDRESS={HEAD}:9: no cluster of Ray answers there"),
        ({"RAY_ADDRESS": "nonsense"}, None, "RAY_ADDRESS=nonsense: no cluster of Ray answers there"),
        ({"ASSAY_UNIT_GPUS": "0.5"}, None, "ASSAY_UNIT_GPUS=0.5: no node has as much; the most is 1 CPUs and 0 GPUs"),
        ({"ASSAY_UNIT_CPUS": "9"}, None, "ASSAY_UNIT_CPUS=9, ASSAY_UNIT_GPUS=0: no node has as much"),
        ({"ASSAY_UNIT_CPUS": "half"}, None, "ASSAY_UNIT_CPUS=half: it should be a whole number of processors"),
        ({"ASSAY_UNIT_GPUS": "1.5"}, None, "ASSAY_UNIT_GPUS=1.5: it should be a share of a GPU"),
        ({}, lambda tiny: lock(tiny, "dvc==0.1\n"), f"node {WORKERS[0]}: it has dvc 3"),
        (
            {},
            lambda tiny: tiny.run("dvc", "remote", "modify", "team", "url", "/proc/self/cwd/remote of the head"),
            f"node {WORKERS[0]}: DVC remote: ",
        ),
        ({}, lambda tiny: tiny.run("dvc", "remote", "default", "--unset"), "no remote specified in"),
    ],
    ids=["no cluster", "no address", "no GPU", "too few CPUs", "CPUs", "GPUs", "version", "remote", "none"],
)
def test_what_cannot_work_is_refused_in_a_line_before_anything_runs(team, environment, change, said):
    made = team()
    if change:
        (made.folder / "remote of the head").mkdir()
        change(made)
    done = repro(made, check=False, **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert ran(done.stdout) == []


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of a library of DVC's
def test_the_bundle_is_the_tree_and_the_remote_goes_without_its_secrets(team, tmp_path, monkeypatch):
    made = team()
    (made.folder / "weights").mkdir()
    (made.folder / "weights/own.safetensors").write_bytes(b"own")
    with (made.folder / ".gitignore").open("a") as ignored:
        ignored.write("/weights/*\n")
    made.run("dvc", "remote", "modify", "team", "url", "s3://bucket/assay")
    made.run("dvc", "remote", "modify", "team", "endpointurl", "http://127.0.0.1:9")
    made.run("dvc", "remote", "modify", "--local", "team", "access_key_id", "secret")
    status = made.run("git", "status", "--porcelain").stdout
    job, content = bundle.packed(made.folder)
    assert bundle.packed(made.folder)[0] == job
    assert "secret" not in job.config
    assert "url = s3://bucket/assay" in job.config
    assert "endpointurl = http://127.0.0.1:9" in job.config
    assert made.run("git", "status", "--porcelain").stdout == status
    assert made.run("git", "for-each-ref", "refs/assay").stdout == ""
    (tmp_path / "bundle").write_bytes(content)
    other = tmp_path / "other"
    for command in (["init", "-q", "other"], ["-C", "other", "fetch", "-q", str(tmp_path / "bundle"), job.commit]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    subprocess.run(["git", "checkout", "-q", job.commit], cwd=other, check=True)
    found = {path.relative_to(other).as_posix() for path in other.rglob("*") if ".git/" not in path.as_posix()}
    assert {"weights/own.safetensors", "code.txt", "dvc.lock", "pyproject.toml"} <= found
    assert not any(name.startswith(("models", ".dvc/cache")) for name in found)
    assert (other / "code.txt").read_text() == "y\n"
