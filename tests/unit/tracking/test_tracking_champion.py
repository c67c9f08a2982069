"""The best model by validation: which it is, and what becomes of its versions and of its alias."""

from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pytest
import torch
from tracking_repository import IMAGES, SEEDS, write_arm, write_lock

from assay.core import files
from assay.data.sets.images import Images
from assay.data.sets.prepared import Split
from assay.models import artifact, build, predictor
from assay.scoring import predict
from assay.tracking import champion, tags
from assay.tracking.records import read_arm, read_meta
from assay.tracking.store import opened
from assay.tracking.sync import RECORD, sync

NAME = "digits-linear"
LINE = {"midpoint": 1, "ensemble": 2}


def validated(root, **figures):
    """The baseline and the arm `line`, with these validation figures: (accuracy, loss) of each variant's two seeds."""
    records = []
    for name in ("baseline", "line"):
        arm = read_arm(root, name, read_meta(root))
        both = {}
        for side in ("manifest", "evaluation"):
            variants = {
                variant: record.model_copy(
                    update=dict(zip(("validation_accuracy", "validation_loss"), figures[variant], strict=True))
                )
                for variant, record in getattr(arm, side).variants.items()
            }
            both[side] = getattr(arm, side).model_copy(update={"variants": variants})
        records.append(replace(arm, **both))
    return records


POOR = ([0.5, 0.5], [1.0, 1.0])
NAN = float("nan")


@pytest.mark.parametrize(
    ("figures", "name", "seed"),
    [
        ({"last": ([0.9, 0.8], [0.3, 0.2]), "midpoint": POOR, "ensemble": POOR}, "baseline/last", 0),
        # the mean over seeds decides, not the best of them
        ({"last": ([0.9, 0.5], [0.1, 0.1]), "midpoint": ([0.8, 0.9], [0.3] * 2), "ensemble": POOR}, "line/midpoint", 1),
        # of equal accuracies the lower loss, of equal losses the first
        ({"last": POOR, "midpoint": POOR, "ensemble": ([0.5, 0.5], [0.9, 0.9])}, "line/ensemble", 0),
        ({"last": POOR, "midpoint": POOR, "ensemble": POOR}, "baseline/last", 0),
        # a variant that diverged in one seed, and one that nobody validated
        ({"last": POOR, "midpoint": ([0.99, 0.99], [NAN, 0.1]), "ensemble": ([], [])}, "baseline/last", 0),
    ],
)  # fmt: skip
def test_the_champion_is_the_best_on_the_validation_set(root, figures, name, seed):
    arm, variant = champion.choose(validated(root, **figures))
    assert (f"{arm.name}/{variant}", arm.best_seed(variant)) == (name, seed)


def test_without_validation_there_is_none(root):
    assert champion.choose(validated(root, last=([], []), midpoint=([], []), ensemble=([], []))) is None


def crowned(root, arms=("line",)):
    """The version, arm and variant under the alias after a sync, and how many versions there are."""
    with opened(root) as store:
        sync(store, arms)
        version = store.client.get_model_version_by_alias(NAME, champion.ALIAS)
        count = len(store.client.search_model_versions(f"name = '{NAME}'"))
    return str(version.version), f"{version.tags[tags.ARM]}/{version.tags[tags.VARIANT]}", count


def test_the_alias_moves_to_a_new_best_and_back_and_history_stays(root):
    assert crowned(root) == ("1", "line/ensemble", 1)
    assert crowned(root) == ("1", "line/ensemble", 1)
    write_arm(root, "better", {"last": 1}, accuracy=[0.1, 0.1], validation=(0.99, 0.99))  # the test set has no say
    write_lock(root)
    assert crowned(root, ["line", "better"]) == ("2", "better/last", 2)
    assert files.read_json(root / RECORD)["champion"] == {"model": NAME, "variant": "better/last"}
    assert crowned(root) == ("1", "line/ensemble", 2)
    with opened(root) as store:
        (second,) = (one for one in store.client.search_model_versions(f"name = '{NAME}'") if str(one.version) == "2")
        assert mlflow.pytorch.load_model(f"models:/{NAME}/2")
    assert second.description.startswith("`better/last`, seed 1. ")


@pytest.mark.parametrize("moment", ["create_registered_model", "create_model_version", "set_registered_model_alias"])
def test_a_sync_that_was_killed_makes_no_second_version(root, monkeypatch, moment):
    class Killed(BaseException):
        """What no handler takes for an error."""

    real = getattr(mlflow.MlflowClient, moment)

    def kill(*arguments, **options):
        real(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch, opened(root) as store:
        patch.setattr(mlflow.MlflowClient, moment, kill)
        with pytest.raises(Killed):
            sync(store, ["line"])
    assert crowned(root) == ("1", "line/ensemble", 1)


def test_where_nothing_is_validated_the_alias_goes(root):
    crowned(root)
    write_arm(root, "baseline", {"last": 1}, accuracy=[0.9, 0.8], validation=())
    write_arm(root, "line", LINE, accuracy=[0.9, 0.8], validation=())
    write_lock(root)
    with opened(root) as store:
        assert sync(store, ["line"]).champion == ""
        registered = store.client.get_registered_model(NAME)
    assert registered.aliases == {}
    assert files.read_json(root / RECORD)["champion"] is None


def test_a_champion_that_has_no_onnx_is_tracked_and_the_reason_is_told(root, monkeypatch):
    def refuse(network, images, path):
        raise predictor.NoOnnxError(f"{path.name}: PyTorch cannot export this network to ONNX: no such operator")

    monkeypatch.setattr(predictor, "write_onnx", refuse)
    with opened(root) as store:
        done = sync(store, ["line"])
    assert done.champion == "line/ensemble"
    assert done.no_onnx == "model.onnx: PyTorch cannot export this network to ONNX: no such operator"
    assert files.read_json(root / RECORD)["champion"] == {"model": NAME, "variant": "line/ensemble"}


@pytest.mark.parametrize("how", ["mean_probability", "majority_vote"])
def test_the_loaded_champion_has_the_accuracy_that_the_evaluation_says(root, how):
    """Seeds and members differ here by far more than an example, and all images go through the real evaluation."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (200, 1, 4, 4), generator=generator, dtype=torch.uint8)
    trained = artifact.read(root / "models/line")
    variants = dict(trained.manifest.variants)
    variants["ensemble"] = variants["ensemble"].model_copy(update={"combine": how})
    trained = trained.model_copy(update={"manifest": trained.manifest.model_copy(update={"variants": variants})})
    artifact.write(root / "models/line", trained)
    meta, network = read_meta(root), build("linear", Images(**IMAGES))
    labels = torch.randint(0, 3, (200,), generator=generator)
    path = root / "metrics/evaluate/line.json"
    evaluation = files.read_json(path)
    for name in LINE:
        data = SimpleNamespace(
            test=Split(images, labels), validation=Split(images[:0], labels[:0]), mean=meta.mean, std=meta.std
        )
        found, _ = predict.of_variant(trained, name, network, data)
        evaluation["variants"][name]["accuracy"] = found.correct.mean(1).tolist()
    files.write_json(path, evaluation)
    write_lock(root)
    _, name, _ = crowned(root)
    assert name == "line/ensemble"
    with opened(root) as store:
        version = store.client.get_model_version_by_alias(NAME, champion.ALIAS)
        loaded = mlflow.pytorch.load_model(f"models:/{NAME}@{champion.ALIAS}")
    accuracies = evaluation["variants"]["ensemble"]["accuracy"]
    assert len(set(accuracies)) == 2
    own = accuracies[SEEDS.index(int(version.tags[tags.SEED]))]
    assert (loaded(images).argmax(-1) == labels).double().mean().item() == pytest.approx(own, abs=1e-12)
    assert float(version.tags[tags.ACCURACY]) == own
    assert f"Its own test accuracy is {own:.4f}" in version.description
