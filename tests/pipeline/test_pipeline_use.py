"""A model in use: the same image files have the same probabilities in evaluation, `predict`, the served model and ONNX.

The tests of this module share one clone, on one worker.
"""

from __future__ import annotations

import base64
import csv
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from clone import PARAMS, Clone
from PIL import Image

from assay.data.decoding import read_image
from assay.data.sets.images import Preparation
from assay.scoring import record

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("crow, black", "wren")  # a comma, for CSV
OWN = {
    **PARAMS,
    "data": {"name": "folder", "validation": 8, "side": [12, 20], "fit": "pad"},
    "model": {"name": "small_cnn", "width": 2},
    "train": {**PARAMS["train"], "steps": 12, "evaluate_every": 6, "batch_size": 8},
    "arms": {"pair": {"method": "deep_ensemble", "members": 2}},
    "lottery": {**PARAMS["lottery"], "rounds": {}, "controls": []},
    "claims": [],
}
WITHOUT_US = """\
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "assay" and not any("code" in place for place in sys.path):
            raise ModuleNotFoundError("assay")
sys.meta_path.insert(0, Hidden())
sys.path[:] = [place for place in sys.path if not place.endswith("/src")]
import mlflow.pyfunc, pandas, pathlib
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/folder-small_cnn@champion")
files = [pathlib.Path(name).read_bytes() for name in sys.argv[1:]]
print(model.predict(pandas.DataFrame({"image": files})).to_json(orient="split"))
import assay
assert "mlflow" not in assay.__file__ or "code" in assay.__file__, assay.__file__
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made, noise = Clone(tmp_path_factory.mktemp("clone")), np.random.default_rng(0)
    made.write(OWN)
    for split, count in (("train", 16), ("test", 5)):
        for place, name in enumerate(CLASSES):
            folder = made.folder / "data/own" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 150, (15 + number, 40 - number, 3)) + 90 * place
                ending = ("png", "jpg", "webp")[number % 3]
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.{ending}")
    made.repro()
    return made


def rows(clone: Clone, *arguments: str) -> list[dict[str, str]]:
    clone.run("assay", "predict", *arguments, "--out", "out.csv")
    with (clone.folder / "out.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def shares(found: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[f"probability.{name}"]) for name in CLASSES] for row in found])


def paths(clone: Clone) -> list[Path]:
    return sorted((clone.folder / "data/own/test").rglob("*.*"))


@pytest.mark.parametrize(("model", "arm", "variant"), [("baseline", "baseline", "last"), ("pair", "pair", "members_2")])
def test_predictions_of_the_test_images_are_those_that_were_scored(clone, model, arm, variant):
    found = rows(clone, "data/own/test", "--model", model)
    assert [row["path"] for row in found] == [str(path).partition("own/test/")[2] for path in paths(clone)]
    scored = record.read(clone.folder, arm).predictions[variant]
    labels = [CLASSES.index(row["path"].partition("/")[0]) for row in found]
    predicted = [CLASSES.index(row["class"]) for row in found]
    confidence = shares(found).max(1)
    seed = int(np.abs(scored.confidence - confidence).max(1).argmin())  # that of the highest validation accuracy
    np.testing.assert_allclose(scored.confidence[seed], confidence, atol=1e-5)
    assert scored.correct[seed].tolist() == [one == other for one, other in zip(labels, predicted, strict=True)]


def test_what_is_served_needs_nothing_of_ours_and_answers_the_same(clone):
    expected = shares(rows(clone, "data/own/test"))
    done = clone.run("python", "-c", WITHOUT_US, *map(str, paths(clone)), PYTHONPATH="")
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["columns"] == ["class", *(f"probability.{name}" for name in CLASSES)]
    np.testing.assert_allclose([row[1:] for row in answer["data"]], expected, atol=1e-5)
    assert [row[0] for row in answer["data"]] == [CLASSES[best] for best in expected.argmax(1)]


def test_a_server_answers_the_same(clone):
    expected = shares(rows(clone, "data/own/test"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "--model-uri", "models:/folder-small_cnn@champion", "--port", str(port)]
    environment = {**clone.environment, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    options = {"cwd": clone.folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    images = [[base64.b64encode(path.read_bytes()).decode()] for path in paths(clone)]
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": images}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with subprocess.Popen([*command, "--env-manager", "local"], start_new_session=True, **options) as server:
        try:
            answer = _asked(request, server)
        finally:
            server.terminate()
    np.testing.assert_allclose(
        [[row[f"probability.{name}"] for name in CLASSES] for row in answer["predictions"]], expected, atol=1e-5
    )


def _asked(request: urllib.request.Request, server: subprocess.Popen) -> dict:
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) or server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_the_champion_is_there_as_onnx_and_answers_the_same(clone):
    expected = shares(rows(clone, "data/own/test"))
    (file,) = (clone.folder / "mlartifacts").rglob("model.onnx")
    preparation = Preparation(12, 20, "pad", 3)
    pixels = np.stack([read_image(path, preparation).pixels for path in paths(clone)])
    (found,) = onnxruntime.InferenceSession(str(file)).run(None, {"images": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    file.unlink()
    clone.run("assay", "track")
    assert file.is_file()


def test_one_file_and_a_folder_with_others_are_taken(clone, tmp_path):
    (tmp_path / ".hidden").mkdir()
    image = clone.folder / "data/own/test/wren/0.png"
    for place in ("a.png", "no_ending", ".hidden/b.png", ".c.png"):
        (tmp_path / place).write_bytes(image.read_bytes())
    (tmp_path / "notes.txt").write_text("no image")
    found = rows(clone, str(tmp_path))
    assert [row["path"] for row in found] == ["a.png", "no_ending"]
    (one,) = rows(clone, "data/own/test/wren/0.png")
    assert one == {**found[0], "path": "data/own/test/wren/0.png"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent: no such file or folder; name an image, or a folder of images"),
        (["docs"], "docs: no image in it"),
        (["data/own", "--model", "bas"], "--model: no arm 'bas'; did you mean baseline? "),
        (
            ["data/own", "--model", "pair/members_3"],
            "--model: pair has no variant 'members_3'; did you mean members_2? ",
        ),
        (["README.md"], "README.md: not a readable image: "),
    ],
)
def test_what_cannot_be_predicted_is_one_line_and_nothing_is_written(clone, arguments, said):
    (clone.folder / "out.csv").unlink(missing_ok=True)
    done = clone.run("assay", "predict", *arguments, "--out", "out.csv", check=False)
    assert done.returncode
    assert done.stderr.startswith(f"error: {said}")
    assert not (clone.folder / "out.csv").exists()


def test_each_file_that_cannot_be_read_has_a_line(clone, tmp_path):
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    done = clone.run("assay", "predict", str(tmp_path), "--out", "out.csv", check=False)
    assert [line.partition(": not a")[0][-5:] for line in done.stderr.splitlines()] == ["a.png", "b.jpg"]
