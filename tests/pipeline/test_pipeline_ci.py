"""The workflow as GitHub would run it, offline: its own `run:` lines, a bare origin, a directory as remote.

GitHub itself is played by a small server that keeps comments and statuses. The tests share one filled remote and run in
order, on one worker.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clone import PARAMS, ROOT, Clone, Workspace, commands, ran
from ruamel.yaml import YAML

from assay.review import comment

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
EXPERIMENT = YAML(typ="safe").load(ROOT / ".github/workflows/experiment.yml")
SMALL = {**PARAMS, "seeds": [0, 1, 2], "arms": {"long": {"method": "sgd", "steps": 80}}}
SMALL["lottery"] = {**PARAMS["lottery"], "rounds": {}, "controls": []}
SMALL["claims"] = [{**PARAMS["claims"][0], "id": "longer-is-better", "arm": "long", "verdict": "better", "margin": 0.0}]


def lines_of(job: str) -> list[str]:
    return [step["run"] for step in EXPERIMENT["jobs"][job]["steps"] if "run" in step]


class Hub:
    """What GitHub's API keeps of a pull request."""

    def __init__(self) -> None:
        self.comments: list[dict] = [{"id": 1, "body": "a person's words", "html_url": "x"}]
        self.statuses: dict[str, dict] = {}
        self.writes: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/repos/team/assay/issues/7/comments?per_page=100"
                here = f"http://127.0.0.1:{hub.server.server_port}/repos/team/assay/issues/comments"
                self.answer([{**one, "url": f"{here}/{one['id']}"} for one in hub.comments])

            def do_POST(self) -> None:
                hub.writes.append("POST")
                if self.path == "/repos/team/assay/issues/7/comments":
                    hub.comments.append({"id": len(hub.comments) + 1, **self.content(), "html_url": "x"})
                    self.answer(hub.comments[-1])
                else:
                    prefix = "/repos/team/assay/statuses/"
                    assert self.path.startswith(prefix)
                    hub.statuses[self.path.removeprefix(prefix)] = self.content()
                    self.answer({})

            def do_PATCH(self) -> None:
                hub.writes.append("PATCH")
                (found,) = (one for one in hub.comments if self.path.endswith(f"/issues/comments/{one['id']}"))
                found.update(self.content())
                self.answer(found)

            def content(self) -> dict:
                assert self.headers["Authorization"].lower() == "token secret"
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, content) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self, folder: Path) -> dict[str, str]:
        folder.mkdir(exist_ok=True)
        (folder / "event.json").write_text('{"pull_request": {"number": 7}}')
        return {
            "GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_port}",
            "GITHUB_TOKEN": "secret",
            "GITHUB_REPOSITORY": "team/assay",
            "GITHUB_RUN_ID": "8",
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        }


class Checkout(Workspace):
    """A clone from the origin, in which `make` finds the environment that these tests run in."""

    def __init__(self, folder: Path, origin: Path, branch: str, **environment: str) -> None:
        super().__init__(folder, PYTHONPATH=str(folder / "src"), BASE="main", BRANCH="experiment", **environment)
        folder.mkdir()
        self.run("git", "clone", "-q", "--branch", branch, str(origin), ".")
        (folder / ".venv").mkdir()  # which is the running one, newer than what it is made from
        (folder / ".venv/bin").symlink_to(commands())
        (folder / ".venv/.installed").touch()

    def job(self, name: str) -> list[str]:
        """Run a job's lines; gives the stages that ran."""
        return ran("".join(self.run("bash", "-euo", "pipefail", "-c", line).stdout for line in lines_of(name)))


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A bare origin whose main has results, and beside it the remote that holds them."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "first").mkdir()
    first = Clone(folder / "first")
    first.write(SMALL)
    (folder / "remote").mkdir()
    first.run("dvc", "remote", "add", "--default", "team", str(folder / "remote"))
    first.repro("compare")
    # what `track` would write but for its MLflow store: the first run of a branch brings it
    first.run("dvc", "push", "--run-cache")
    first.run("git", "init", "-q", "--bare", "-b", "main", str(folder / "origin.git"))
    for line in ("checkout -qb main", "add -A", "commit -qm first", f"remote add origin {folder / 'origin.git'}"):
        first.run("git", *line.split())
    first.run("git", "push", "-q", "origin", "main")
    shutil.rmtree(first.folder)
    return folder / "origin.git"


@pytest.fixture(scope="module")
def hub():
    made = Hub()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def branch(origin, hub) -> Checkout:
    """A person's clone, with one arm's value changed on a branch and pushed."""
    made = Checkout(origin.parent / "second", origin, "main", **hub.environment(origin.parent / "hub"))
    made.run("git", "checkout", "-qb", "experiment")
    params = (made.folder / "params.yaml").read_text()
    (made.folder / "params.yaml").write_text(params.replace("steps: 80", "steps: 70"))
    made.run("git", "commit", "-qam", "fewer steps")
    made.run("git", "push", "-q", "origin", "experiment")
    return made


def output_of(branch: Checkout) -> str:
    return Path(branch.environment["GITHUB_OUTPUT"]).read_text().splitlines()[-1]


def test_the_plan_is_commented_before_anything_runs(branch, hub):
    assert branch.job("plan") == []
    assert output_of(branch) == "stages=5"
    assert not (branch.folder / "data/prepared").exists()  # it needed no data
    (comment,) = hub.comments[1:]
    assert "| `arms.long.steps` | 80 | 70 |" in comment["body"]
    assert "- **train@long**, about " in comment["body"]  # nothing was timed with these parameters
    assert "- **evaluate@long**: train@long reruns" in comment["body"]


def test_exactly_the_expected_stages_run_and_the_results_are_committed(branch, origin):
    before = branch.run("git", "rev-parse", "HEAD").stdout
    assert branch.job("repro") == ["register", "train@long", "evaluate@long", "compare", "track"]
    assert branch.run("git", "ls-remote", "origin", "experiment").stdout.split()[0] != before.strip()
    author, subject = branch.run("git", "log", "-1", "--format=%an%n%s").stdout.splitlines()
    assert author == "assay"
    assert subject == "Results: register, train@long, evaluate@long, compare, track [skip ci]"
    changed = set(branch.run("git", "diff", "--name-only", "HEAD~1").stdout.split())
    assert {"dvc.lock", "metrics/seeds.csv", "metrics/metrics.json", "metrics/summary.csv"} <= changed
    folders = {name.rpartition("/")[0] for name in changed}
    assert folders == {"", "metrics", "metrics/report"}
    timings = json.loads((branch.folder / "metrics/timings.json").read_text())
    assert all(timings["long"][fact] for fact in comment.FACTS)
    lines = branch.run("git", "diff", "--numstat", "HEAD~1").stdout.split("\n")
    assert sum(int(line.split()[0]) for line in lines if line) < 300  # for a change of one arm


def test_the_report_says_so_in_the_one_comment(branch, hub):
    reported = "".join(branch.run("bash", "-c", line).stdout for line in lines_of("report"))
    assert "MLflow has it all" in reported  # no model is fetched for a second look
    assert ran(reported) == []
    assert len(hub.comments) == 2
    assert hub.writes == ["POST", "PATCH", "POST"]  # the comment, the comment again, the status
    body = hub.comments[1]["body"]
    first = branch.run("git", "rev-parse", "main").stdout[:12]
    assert f"Compared with {first} `first`, which is `main` (refs/remotes/origin/main)." in body
    assert f"Compared with {first} 'first'" in reported
    assert "Trained on another machine" not in body
    assert "| `arms.long.steps` | 80 | 70 |" in body
    assert "`train@long`, `evaluate@long`, `compare`, `track`. " in body
    assert "s were training" in body
    assert re.search(r"\| long/last \| [\d.]+ \| [+−]?[\d.]+ \[", body), body
    assert "baseline/last" not in body  # nothing of it changed
    head = branch.run("git", "rev-parse", "HEAD").stdout.strip()
    pages = f"https://github.com/team/assay/blob/{head}/metrics/report/"
    assert f"]({pages}claims.svg?raw=true)" in body
    assert (
        f"[The whole report]({pages}report.md) · [page and charts](https://github.com/team/assay/actions/runs/8" in body
    )
    assert hub.statuses[head]["state"] == "success"
    assert "regress" in hub.statuses[head]["description"]
    assert "regressed; " in Path(branch.environment["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_second_run_executes_nothing_and_commits_nothing(branch, hub):
    head = branch.run("git", "rev-parse", "HEAD").stdout
    assert branch.job("plan") == []
    assert output_of(branch) == "stages=0"
    assert EXPERIMENT["jobs"]["repro"]["if"] == "needs.plan.outputs.stages != '0'"  # so GitHub stops here; go on anyway
    assert branch.run("assay", "ci-commit", "--branch", "experiment").stdout.startswith("Nothing")
    assert branch.run("git", "rev-parse", "HEAD").stdout == head
    assert len(hub.comments) == 2


def test_a_third_clone_reproduces_without_training(branch, origin):
    third = Checkout(origin.parent / "third", origin, "experiment")
    assert third.job("repro") == []
    third.run("dvc", "pull", "--allow-missing", "train", "evaluate")
    assert third.bytes_of("models/long") == branch.bytes_of("models/long")
    assert third.bytes_of("data/predictions")["data/predictions/long.safetensors"]
    assert json.loads(third.run("assay", "plan", "--json").stdout)["steps"] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid(branch, path):
    done = branch.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path))
    assert "ok" in done.stdout
    if shutil.which("actionlint"):
        branch.run("actionlint", str(path))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_thin_and_take_nothing_of_a_stranger_into_a_shell(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in YAML(typ="safe").load(path)["jobs"].values():
        assert job.get("permissions") or YAML(typ="safe").load(path).get("permissions")
        for step in job["steps"]:
            line = step.get("run", "make test")
            assert "${{" not in line  # expressions go through the environment
            assert "\n" not in line
            assert line.startswith("git clean ") or line.split()[1] in targets
