"""Pruning rounds keep what the paper says of them: exact zeros, shrinking masks, survivors at their first values."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay import methods
from assay.core.config import SGD, Adam, Model
from assay.core.config.sections import Lottery, round_name
from assay.core.errors import AssayError
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.models import artifact

CPU = torch.device("cpu")
MLP, VGG = Model(name="mlp", hidden=[12, 8]), Model(name="vgg", widths=[[4], [6]])
CONTROLS = ("reinit", "random", "one_shot")


class Chain:
    """Rounds trained one after the other from a dense training, all kept by name."""

    def __init__(self, folder, data, make_run, **options):
        self.folder, self.data = folder, data
        self.make_run = make_run
        self.changes = {"model": options.pop("model", MLP), **options.pop("run", {})}
        defaults = {"prune_fraction": {"conv": 0.2, "linear": 0.2, "output": 0.1}, "scope": "layerwise", "rewind": 0}
        rounds = {str(n): {"after": round_name(n - 1)} for n in range(1, 5)}
        self.lottery = Lottery.model_validate({**defaults, "rounds": rounds, "controls": [2], **options})
        self.done = {"baseline": self.train(make_run(arm="baseline", **self.changes), {})}

    def train(self, run, parents, stage="round"):
        with Scratch(stage, run.model_dump(mode="json"), CPU, self.folder) as scratch:
            result, self.trained = methods.resolve(run).train(self.data, scratch, parents)
        return result

    def run(self, number):
        options = self.lottery.options(number)
        return self.make_run(arm=round_name(number), method="lottery", options=options, **self.changes)

    def parents(self, number):
        return {name: self.done[name] for name in ("baseline", round_name(number - 1))}

    def round(self, number):
        for n in range(1, number + 1):
            if round_name(n) not in self.done:
                self.done[round_name(n)] = self.train(self.run(n), self.parents(n))
        return self.done[round_name(number)]

    def start(self, number):
        """The update of a round before its first step, when the rounds before it are done."""
        self.round(number - 1) if number > 1 else None
        return methods.make_update(TrainContext(self.run(number), self.data, self.parents(number)))

    def masks(self, number, variant="ticket"):
        return self.round(number).weights[f"{variant}{artifact.MASKS}"]


@pytest.fixture
def chain(tmp_path, data, make_run):
    return lambda **options: Chain(tmp_path, data, make_run, **options)


def test_each_round_leaves_exactly_as_many_as_it_should(chain):
    rounds = chain()
    for number, (hidden, output) in enumerate([(614, 29), (491, 26), (393, 23)], start=1):
        masks = rounds.masks(number)
        assert list(masks) == ["hidden_1.weight", "hidden_2.weight", "output.weight"]
        assert masks["hidden_1.weight"].shape == (3, 1, 12, 64)
        assert masks["hidden_1.weight"].flatten(1).sum(1).tolist() == [hidden] * 3
        assert masks["output.weight"].flatten(1).sum(1).tolist() == [output] * 3
        variant = rounds.round(number).manifest.variants["ticket"]
        left = sum(int(mask[0].sum()) for mask in masks.values())
        assert variant.density == pytest.approx(left / (12 * 64 + 8 * 12 + 4 * 8))
        assert rounds.round(number).manifest.record["left"]["ticket"]["output.weight"] == [output] * 3


@pytest.mark.parametrize("scope", ["layerwise", "global"])
def test_masks_only_ever_lose_and_what_goes_is_the_smallest(chain, scope):
    rounds = chain(scope=scope)
    before = {name: torch.ones_like(mask) for name, mask in rounds.masks(1).items()}
    trained = rounds.done["baseline"].weights["last"]
    for number in (1, 2, 3):
        masks = rounds.masks(number)
        pools = [[n] for n in masks] if scope == "layerwise" else [list(masks)[:2], list(masks)[2:]]
        assert all(not (mask > before[name]).any() for name, mask in masks.items())
        for pool in pools:
            for seed in range(3):
                size = torch.cat([trained[name][seed].abs().flatten() for name in pool])
                now = torch.cat([masks[name][seed].flatten() for name in pool]).bool()
                then = torch.cat([before[name][seed].flatten() for name in pool]).bool()
                assert size[then & ~now].max() <= size[now].min()
                assert now.sum() < then.sum()
        before, trained = masks, rounds.round(number).weights["ticket"]


def test_global_pruning_leaves_the_same_number_over_all_layers_and_not_in_each(chain):
    masks = chain(scope="global", prune_fraction={"linear": 0.5, "output": 0.5}).masks(1)
    totals = sum(mask.flatten(1).sum(1) for mask in masks.values())
    assert totals.tolist() == [(12 * 64 + 8 * 12 + 4 * 8) // 2] * 3
    assert any(mask.flatten(1).sum(1).tolist() != [mask[0].numel() // 2] * 3 for mask in masks.values())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_survivors_start_from_the_first_weights_bit_for_bit(chain, number):
    rounds = chain()
    update = rounds.start(number)
    _, first, _ = TrainContext(rounds.run(number), rounds.data).fresh((0, 1, 2))
    masks = update.variants()["ticket"].masks
    for name, tensor in first.items():
        stored = update.stored[name][:3]
        mask = masks[name][:, 0].bool() if name in masks else torch.ones_like(tensor, dtype=torch.bool)
        assert torch.equal(stored[mask], tensor[mask])
        assert not stored[~mask].any()
        assert not torch.signbit(stored[~mask]).any()


def test_rewinding_goes_back_to_the_dense_networks_weights_at_that_step_bit_for_bit(chain):
    rounds = chain(rewind=5, model=VGG, controls=[1])
    context = TrainContext(rounds.make_run(arm="baseline", **rounds.changes), rounds.data)
    dense = methods.make_update(context)
    for step in range(5):
        dense.step(step)
    update = rounds.start(1)
    assert (update.first_step, update.curve_names) == (5, ("ticket", "reinit", "random"))
    masks = update.variants()["ticket"].masks
    for name, tensor in dense.stored.items():
        mask = masks[name][:, 0].bool() if name in masks else torch.ones_like(tensor, dtype=torch.bool)
        assert torch.equal(update.stored[name][:3][mask], tensor[mask])
    assert all(torch.equal(update.buffers[name][:3], tensor) for name, tensor in dense.buffers.items())
    result = rounds.round(1)
    rows = [row for row in rounds.trained.curves.rows if row[3] == "validation"]
    assert sorted({row[2] for row in rows}) == [10, 12]  # evaluated every 5 steps, from step 5 on
    steps = {name: variant.cost.optimizer_steps for name, variant in result.manifest.variants.items()}
    assert steps == {"ticket": 12 + 7, "reinit": 12 + 5 + 7, "random": 5 + 7}


OPTIMIZERS = {
    "adam": Adam(name="adam", lr=0.01, weight_decay=0.1),
    "adamw": Adam(name="adamw", lr=0.01, weight_decay=0.1),
    "sgd": SGD(name="sgd", lr=0.1),
    "nesterov": SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", [MLP, VGG], ids=["mlp", "vgg"])
def test_what_is_pruned_is_exactly_zero_after_every_step(chain, optimizer, model):
    rounds = chain(model=model, controls=[1], run={"optimizer": OPTIMIZERS[optimizer]})
    update = rounds.start(1)
    start = {name: tensor.detach().clone() for name, tensor in update.stored.items()}
    outcomes = update.variants()
    pruned = {
        name: torch.cat([outcome.masks[name][:, 0] for outcome in outcomes.values()]) == 0
        for name in outcomes["ticket"].masks
    }
    for step in range(6):
        update.step(step)
        for name, gone in pruned.items():
            assert gone.any()
            assert not update.stored[name][gone].any()
            assert not update.evaluated()[name][gone].any()
    for name, tensor in update.stored.items():
        assert (tensor != start[name]).flatten(1).any(1).all(), f"{name} was not trained"


def test_biases_and_batch_norm_are_never_pruned(chain):
    masks = chain(model=VGG).masks(1)
    assert list(masks) == ["block_1.conv_1.weight", "block_2.conv_1.weight", "output.weight"]


def test_a_kind_that_is_left_out_stays_whole(chain):
    rounds = chain(model=VGG, prune_fraction={"conv": 0.5}, scope="global")
    assert "output.weight" not in rounds.masks(1)
    convolutions = 4 * 9 + 6 * 4 * 9
    assert rounds.round(1).manifest.variants["ticket"].density == pytest.approx(
        (convolutions // 2 + 24) / (convolutions + 24)
    )


def test_controls_change_one_thing_each(chain):
    rounds = chain()
    update = rounds.start(2)
    ticket, reinit, random, one_shot = (
        {name: tensor[i : i + 3].detach() for name, tensor in update.stored.items()} for i in (0, 3, 6, 9)
    )
    masks = {name: outcome.masks for name, outcome in update.variants().items()}
    _, first, _ = TrainContext(rounds.run(2), rounds.data).fresh((0, 1, 2))
    for name, mask in masks["ticket"].items():
        counts = mask.flatten(1).sum(1).tolist()
        for control in CONTROLS:
            assert masks[control][name].flatten(1).sum(1).tolist() == counts
        assert torch.equal(masks["reinit"][name], mask)
        assert not torch.equal(masks["random"][name], mask)
        survivors = mask[:, 0].bool()
        assert not (reinit[name] == ticket[name])[survivors].any()
        torch.testing.assert_close(reinit[name][survivors].std(), ticket[name][survivors].std(), rtol=0.3, atol=0.05)
        for own, control in ((random, "random"), (one_shot, "one_shot")):
            kept = masks[control][name][:, 0].bool()
            assert torch.equal(own[name][kept], first[name][kept])
    dense = rounds.done["baseline"].weights["last"]
    for name, mask in masks["one_shot"].items():
        for seed in range(3):
            size, kept = dense[name][seed].abs(), mask[seed].bool()
            assert size[~kept].max() <= size[kept].min()


def test_random_masks_are_drawn_anew_for_each_seed_and_shrink_as_tickets_do(chain):
    rounds = chain(controls=[1, 2])
    one, two = rounds.masks(1, "random"), rounds.masks(2, "random")
    for name in one:
        assert not (two[name] > one[name]).any()
        assert not torch.equal(one[name][0], one[name][1])


def test_all_variants_and_seeds_train_as_one_stack_with_curves_of_their_own(chain):
    rounds = chain(controls=[2])
    result = rounds.round(2)
    names = {row[0] for row in rounds.trained.curves.rows}
    assert names == {f"round-2/{variant}" for variant in ("ticket", *CONTROLS)}
    assert {row[3] for row in rounds.trained.curves.rows} == {"train", "validation", "test"}
    for name, variant in result.manifest.variants.items():
        own = [row for row in rounds.trained.curves.rows if row[0] == f"round-2/{name}"]
        for index, seed in enumerate((0, 1, 2)):
            validation = [(row[4], row[2]) for row in own if row[1] == seed and row[3] == "validation"]
            assert variant.best_step[index] == min(validation)[1]
            (at_best,) = [r[5] for r in own if r[1:4] == (seed, variant.best_step[index], "test")]
            assert variant.best_step_accuracy[index] == at_best


def test_the_dense_network_has_its_early_stop_too(chain):
    (last,) = chain().done["baseline"].manifest.variants.values()
    assert len(last.best_step) == len(last.best_step_accuracy) == 3


def test_a_tickets_cost_holds_the_trainings_that_found_its_mask(chain):
    manifest = chain().round(2).manifest
    trainings = {name: variant.cost.optimizer_steps / 12 for name, variant in manifest.variants.items()}
    assert trainings == manifest.record["trainings"] == {"ticket": 3, "reinit": 3, "random": 1, "one_shot": 2}


def test_the_record_has_the_size_of_the_file_that_sparse_writes(chain, tmp_path):
    from assay.models import sparse

    result = chain(model=Model(name="mlp", hidden=[64, 32]), prune_fraction=0.6).round(2)
    for seed in range(3):
        sparse.write(tmp_path / "sparse", artifact.state_dict(result, "ticket", seed))
        assert (tmp_path / "sparse").stat().st_size == result.manifest.record["sparse_bytes"][seed]
    assert result.manifest.record["dense_bytes"] > 2 * result.manifest.record["sparse_bytes"][0]


def test_a_killed_round_goes_on_to_the_same_weights_and_masks(chain, monkeypatch):
    monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "0")
    rounds = chain(rewind=2)
    whole = rounds.round(2)
    curves = rounds.trained.curves.csv()
    save, saves = Scratch.save, []

    def save_and_die(scratch, state):
        save(scratch, state)
        saves.append(state["done"])
        if len(saves) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Scratch, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        rounds.train(rounds.run(2), rounds.parents(2), "cut")
    again = rounds.train(rounds.run(2), rounds.parents(2), "cut")
    assert saves == list(range(3, 12))  # it went on, from the step that it rewinds to
    assert again.manifest == whole.manifest
    assert rounds.trained.curves.csv() == curves
    for variant, state in whole.weights.items():
        for name, tensor in state.items():
            assert torch.equal(tensor, again.weights[variant][name])


def with_weights(made, variant, **changes):
    state = {**made.weights[variant], **changes}
    weights = {**made.weights, variant: {name: tensor for name, tensor in state.items() if tensor is not None}}
    return made.model_copy(update={"weights": weights})


def of_manifest(made, **changes):
    return made.model_copy(update={"manifest": made.manifest.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda made: of_manifest(made, seeds=[0, 1, 9]), "models/round-1: trained with other seeds"),
        (lambda made: of_manifest(made, data_digest="f" * 64), "models/round-1: trained with other data"),
        (
            lambda made: of_manifest(made, model=made.manifest.model.model_copy(update={"arguments": {"hidden": [3]}})),
            "models/round-1: trained with other model",
        ),
        (
            lambda made: with_weights(made, "ticket", **{"output.bias": None}),
            "models/round-1: its ticket does not fit the model: output.bias; ",
        ),
        (
            lambda made: with_weights(made, "ticket", strange=torch.zeros(3, 1, 2)),
            "models/round-1: its ticket does not fit the model: strange; ",
        ),
        (
            lambda made: with_weights(made, "ticket.mask", **{"output.weight": None}),
            "models/round-1: its masks do not belong to this model and lottery.prune_fraction: output.weight",
        ),
        (
            lambda made: with_weights(made, "ticket.mask", **{"output.weight": torch.zeros(3, 1, 4, 8)}),
            "models/round-1: output.weight has weights where its mask has none; run `rm -r models/round-1; chmod",
        ),
        (
            lambda made: with_weights(made, "ticket.mask", **{"output.weight": torch.ones(3, 1, 8, 8)}),
            "models/round-1: ticket.mask/output.weight has shape",
        ),
    ],
)
def test_what_does_not_belong_to_the_model_is_refused_by_name(chain, change, line):
    rounds = chain()
    rounds.done["round-1"] = change(rounds.round(1))
    with pytest.raises(AssayError) as raised:
        rounds.start(2)
    assert str(raised.value).startswith(line)


def test_a_block_names_its_own_parents(chain):
    rounds = chain()
    context = TrainContext(rounds.run(1).model_copy(update={"block": 2}), rounds.data, rounds.parents(1))
    rounds.done["baseline"] = of_manifest(rounds.done["baseline"], seeds=[0, 1, 9])
    with pytest.raises(AssayError, match=r"^models/baseline-2: trained with other seeds"):
        methods.make_update(replace(context, parents=rounds.parents(1)))


def test_masks_of_another_shape_are_not_even_read(chain, tmp_path):
    made = chain().round(1)
    odd = with_weights(made, "ticket.mask", **{"output.weight": torch.ones(3, 1, 8, 8)})
    with pytest.raises(AssayError, match=r"ticket.mask/output.weight has shape \(3, 1, 8, 8\); the model has"):
        artifact.write(tmp_path / "odd", odd)
    odd = with_weights(made, "ticket.mask", **{"nothing.weight": torch.ones(3, 1, 2)})
    with pytest.raises(AssayError, match=r"ticket.mask/nothing.weight has shape \(3, 1, 2\); the model has no such"):
        artifact.write(tmp_path / "odd", odd)


def test_global_pruning_that_empties_a_layer_is_refused_by_name(chain):
    rounds = chain(scope="global", prune_fraction={"linear": 0.5, "output": 0.5})
    small = rounds.done["baseline"].weights["last"]["output.weight"] * 1e-6
    rounds.done["baseline"] = with_weights(rounds.done["baseline"], "last", **{"output.weight": small})
    line = r"lottery.rounds.1: pruning with scope global leaves no weight of seed 0 in output.weight; ask for fewer"
    with pytest.raises(AssayError, match=line):
        rounds.start(1)


def test_warm_up_and_batches_are_those_of_the_dense_training(chain, monkeypatch):
    """A ticket that keeps everything is the dense network: same batches, same schedule, same bytes."""
    monkeypatch.delattr("assay.methods.lottery.check")  # which refuses a round that prunes nothing
    rounds = chain(prune_fraction={"output": 1e-9})
    kept, dense = rounds.round(1).weights["ticket"], rounds.done["baseline"].weights["last"]
    assert all(torch.equal(kept[name], tensor) for name, tensor in dense.items())


def test_a_ticket_is_exported_as_a_file_that_shrinks(chain, tmp_path):
    from assay.cli import export
    from assay.models import sparse

    result = chain(model=Model(name="mlp", hidden=[64, 32]), prune_fraction=0.6).round(2)
    artifact.write(tmp_path / "round-2", result)
    sizes = []
    for is_sparse in (False, True):
        out = tmp_path / f"net{is_sparse:d}.safetensors"
        export.main(tmp_path / "round-2", out, sparse=is_sparse)
        sizes.append(out.stat().st_size)
    assert sizes[1] < sizes[0] / 2
    for name, tensor in sparse.read(tmp_path / "net1.safetensors").items():
        assert torch.equal(tensor, artifact.state_dict(result, "ticket", 0)[name])
