"""Whether each claim of params.yaml names what its arms will have: found out before anything trains.

`assay.analysis.looks` reads the numbers afterwards and refuses the same; what it refuses can be known beforehand
from the parameters and from what each method says that it produces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.config import BASELINE, LOTTERY, PARAMS_FILE, split_variant
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.core.config import Params, Run
    from assay.core.config.claim import Claim

OF_MEMBERS = ("disagreement", "total_variation")
OF_CURVES = ("best_step", "best_step_accuracy")


@dataclass(frozen=True)
class Product:
    """What a training will leave.

    Attributes:
        run: the training, with the budget that its method makes of its options.
        variants: by name, how many members each has; the first is what the bare arm stands for.
        record: the keys of the method's record, deeper ones as `a.b`, that hold a number, or one for each seed.
    """

    run: Run
    variants: Mapping[str, int]
    record: tuple[str, ...]

    @property
    def evaluations(self) -> int:
        """How often the training looks at the validation set: every `evaluate_every` steps and at the end."""
        train = self.run.train
        begin = self.run.options["rewind"] if self.run.method == LOTTERY else 0
        return (
            train.steps // train.evaluate_every
            - begin // train.evaluate_every
            + (train.steps % train.evaluate_every > 0)
        )

    @property
    def decays(self) -> bool:
        """Whether the learning rate falls to the end of the training."""
        schedule = self.run.train.schedule
        if schedule.name == "step":
            return schedule.at[0] < self.run.train.steps
        return schedule.name == "cosine" and schedule.final < 1


def check(params: Params, products: Mapping[str, Product]) -> None:
    """Refuse claims that could not be decided for want of a variant or of a number.

    Args:
        params: all of params.yaml; each claim names arms that there are.
        products: of the baseline, the arms and the rounds, by name.

    Raises:
        AssayError: there are such claims; a line each, which names the key and what is allowed.
    """
    lines = [line for claim in params.claims if claim.preset is None for line in _problems(claim, params, products)]
    if lines:
        raise AssayError("\n".join(f"{PARAMS_FILE}: claims.{line}" for line in lines))


def _problems(claim: Claim, params: Params, products: Mapping[str, Product]) -> list[str]:
    sides: dict[str, tuple[str, str]] = {}
    for key, named in claim.arms.items():
        arm, variant = split_variant(named)
        allowed = list(products[arm].variants)
        if variant is not None and variant not in allowed:
            return [f"{claim.id}.{key}: {arm} has no variant {variant!r}; {suggestion(variant, allowed)}"]
        sides[key] = arm, variant or allowed[0]
    if sides["arm"] == sides.get("against"):
        return [f"{claim.id}.against: is {'/'.join(sides['arm'])}, as arm is; name another variant"]
    seeds = [set(products[arm].run.seeds) for arm, _ in sides.values()]
    if not set.intersection(*seeds):
        return [f"{claim.id}: {claim.arm} and {claim.against} have no seed in common, so they cannot be paired"]
    found = (_lacking(str(claim.metric), products[arm], variant, params) for arm, variant in sides.values())
    return [f"{claim.id}.metric: {reason}" for reason in dict.fromkeys(found) if reason]


def _lacking(metric: str, product: Product, variant: str, params: Params) -> str | None:
    """Why a variant will not have the metric; None where it will."""
    arm = product.run.arm
    if metric.startswith(RECORD):
        key = metric.removeprefix(RECORD)
        if key in product.record:
            return None
        return f"the record of {arm} has no number {key!r} for each seed; {suggestion(key, list(product.record))}"
    if metric in OF_MEMBERS and product.variants[variant] < 2:
        return f"{metric} is between members, and {arm}/{variant} has one; choose another metric"
    if metric not in OF_CURVES:
        return None
    if not params.data.validation and params.data.name != "folder":
        return f"{metric} is read off the validation curve, and data.validation is 0; set it higher"
    watches_test = arm == BASELINE or product.run.method == LOTTERY or product.run.label_noise > 0
    if metric == "best_step_accuracy" and not watches_test:
        having = f"{BASELINE}, the pruning rounds and arms with label_noise"
        return f"{metric} needs the curve of the test set, which only {having} have, not {arm}"
    if product.evaluations < 2:
        place = product.run.place("evaluate_every").partition(": ")[2]
        return f"{metric} is read off the validation curve, and that of {arm} has one point; set {place} lower"
    if product.decays and not (
        metric == "best_step_accuracy" and product.run.label_noise
    ):  # labels may be learned by heart
        place = product.run.place("schedule").partition(": ")[2]
        return (
            f"{metric} says nothing of {arm}, whose learning rate decays ({place}): the least loss is then at the end; "
            "claim another metric, or give both arms a constant rate"
        )
    return None
