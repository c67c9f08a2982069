import shutil

from tracking_repository import curves

from assay.tracking import tags
from assay.tracking.follow import follow
from assay.tracking.store import opened
from assay.tracking.sync import sync

NAME = "digits: linear"
FOLDER = "train@line-0123456789abcdef"


class Training:
    """A training that goes on while its follower sleeps: each sleep is one of its moments."""

    def __init__(self, root, moments):
        self.file = root / ".assay/scratch" / FOLDER / "curves.csv"
        self.moments = list(moments)

    def __call__(self, _seconds):
        if not self.moments:
            return
        moment = self.moments.pop(0)
        if moment == "done":
            shutil.rmtree(self.file.parent)
        elif moment == "interrupt":
            raise KeyboardInterrupt
        else:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(curves("line", moment))


def live_runs(store):
    experiment = store.experiment(NAME)
    return [run for run in store.client.search_runs([experiment]) if tags.LIVE in run.data.tags]


def steps(store, run):
    return [metric.step for metric in store.client.get_metric_history(run.info.run_id, "validation_loss")]


def test_a_growing_file_is_followed_point_by_point(root):
    batches = []
    with opened(root) as store:
        client, log_batch = store.client, store.client.log_batch
        client.log_batch = lambda run, **given: (batches.append(len(given["metrics"])), log_batch(run, **given))
        follow(store, NAME, 1.0, 3.0, Training(root, [[0], [0, 100], [0, 100], [0, 100, 200], "done"]))
        (run,) = live_runs(store)
        assert steps(store, run) == [0, 100, 200]
        assert batches == [4, 4, 4]  # only new points: loss and accuracy of two splits
        assert run.info.run_name == "line (live)"
        assert run.info.status == "FINISHED"


def test_an_interrupted_follower_goes_on_in_the_same_run(root):
    with opened(root) as store:
        follow(store, NAME, 1.0, 3.0, Training(root, [[0, 100], [0, 100], "interrupt"]))
        (run,) = live_runs(store)
        assert (steps(store, run), run.info.status) == ([0, 100], "RUNNING")
        follow(store, NAME, 1.0, 3.0, Training(root, [[0, 100, 200], [0, 100, 200], "done"]))
        (again,) = live_runs(store)
        assert again.info.run_id == run.info.run_id
        assert steps(store, again) == [0, 100, 200]


def test_it_ends_after_the_grace_period(root):
    slept = []
    with opened(root) as store:
        follow(store, NAME, 2.0, 6.0, slept.append)
    assert slept == [2.0, 2.0, 2.0]


def test_sync_removes_the_live_run_once_its_training_is_done(root):
    with opened(root) as store:
        training = Training(root, [[0], [0], "interrupt"])
        follow(store, NAME, 1.0, 3.0, training)
        sync(store, ["line"])
        assert len(live_runs(store)) == 1  # that training still goes on: the finished run is an older one's
        training.moments = ["done"]
        training(1.0)
        sync(store, ["line"])
        assert live_runs(store) == []
