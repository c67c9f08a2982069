"""Metrics of classes: the confusion matrix, and what balanced accuracy, macro F1 and the worst class make of it.

The numbers of an example are influence values about the metric (Hampel 1974), so their mean over examples is the metric
of the seed, and their variance is that of the delta method, which takes the sizes of classes as drawn at random too.
Each seed's numbers follow from its own predictions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

    from assay.scoring.predictions import Array, Predictions

FOLDS = 5  # of the test set, for the worst class


def confusion(predictions: Predictions) -> Int64[Array, "seed class class"]:
    """Examples of each seed by label, then by predicted class, up to the greatest class that occurs."""
    labels, predicted = _integers(predictions)
    count = 1 + max(labels.max(), predicted.max())
    cells = [np.bincount(labels * count + row, minlength=count**2) for row in predicted]
    return np.stack(cells).reshape(-1, count, count)


def balanced_accuracy(confusion: Int64[Array, "seed class class"]) -> Float64[Array, " seed"]:
    """Mean recall of the classes that the test set has, as in scikit-learn."""
    right, labelled, _ = _counts(confusion)
    return (right / labelled).mean(1)  # type: ignore[no-any-return]


def macro_f1(confusion: Int64[Array, "seed class class"]) -> Float64[Array, " seed"]:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), as in scikit-learn; 0 for a class that is never predicted."""
    right, labelled, predicted = _counts(confusion)
    return (2 * right / (labelled + predicted)).mean(1)  # type: ignore[no-any-return]


def weights(predictions: Predictions) -> Float64[Array, " example"]:
    """What a right answer counts in balanced accuracy: N / (C n) in a class of n of the N examples."""
    labels, _ = _integers(predictions)
    sizes = np.bincount(labels)
    return len(labels) / np.count_nonzero(sizes) / sizes[labels]


def balanced_accuracy_influence(predictions: Predictions) -> Float64[Array, "seed example"]:
    """Balanced accuracy plus each example's influence on it: its weight times right or wrong minus its class's recall.

    A plain weighted mean would take the spread of the weights themselves for an error.
    """
    labels, _ = _integers(predictions)
    own, sizes = weights(predictions), np.maximum(np.bincount(labels), 1)
    found = np.empty(predictions.correct.shape)
    for row, correct in zip(found, predictions.correct, strict=True):
        recall = np.bincount(labels, correct) / sizes
        row[:] = recall[np.bincount(labels) > 0].mean() + own * (correct - recall[labels])
    return found


def macro_f1_influence(predictions: Predictions) -> Float64[Array, "seed example"]:
    """Macro F1 plus each example's influence on it.

    F1 of a class is the ratio 2 TP / (labelled + predicted) of two sums over examples. Its derivative gives an example
    (2 [right] - F1 [label] - F1 [prediction]) N / (labelled + predicted), where each bracket is 1 for the class
    in question and else 0.
    """
    labels, predicted = _integers(predictions)
    found, number = np.empty(predictions.correct.shape), len(labels)
    for row, answers, correct in zip(found, predicted, predictions.correct, strict=True):
        count = 1 + max(labels.max(), answers.max())
        there = np.bincount(labels, minlength=count) > 0
        both = np.bincount(labels, minlength=count) + np.bincount(answers, minlength=count)
        # classes without a label in the test set do not count, as in `macro_f1`
        each = np.where(there, number / np.maximum(both, 1) / np.count_nonzero(there), 0.0)
        f1 = 2 * np.bincount(labels, correct, count) / np.maximum(both, 1)
        of_class = each * f1
        row[:] = f1[there].mean() + 2 * each[labels] * correct - of_class[labels] - of_class[answers]
    return found


def worst_class_influence(predictions: Predictions) -> Float64[Array, "seed example"]:
    """Recall of the worst class, cross-fitted, plus each example's influence on it.

    The least of several measured recalls lies below the least true one, since noise helps to choose it. So the
    test set is dealt into `FOLDS` parts, class by class; for each part, the class with the least recall in all the
    others is measured in this one, and the parts are averaged. Classes with fewer than `FOLDS` examples do not take
    part; without two others, the smaller ones do, and nothing is held apart.
    """
    labels, _ = _integers(predictions)
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    fold = np.empty(len(labels), np.int64)
    fold[order] = (np.arange(len(labels)) - starts[labels[order]]) % FOLDS
    enough = sizes >= FOLDS
    parts = [fold == part for part in range(FOLDS)] if np.count_nonzero(enough) > 1 else [np.ones(len(labels), bool)]
    found = np.zeros(predictions.correct.shape)
    for row, correct in zip(found, predictions.correct, strict=True):
        for inside in parts:
            others = ~inside if len(parts) > 1 else inside
            worst = _least_recall(labels[others], correct[others], enough if len(parts) > 1 else sizes > 0)
            measured = inside & (labels == worst)
            recall = correct[measured].mean()
            row += recall / len(parts)
            row[measured] += len(labels) / np.count_nonzero(measured) / len(parts) * (correct[measured] - recall)
    return found


def _least_recall(labels: Int64[Array, " example"], correct: Array, among: Bool[Array, " class"]) -> int:
    sizes = np.bincount(labels, minlength=len(among))
    return int(np.where(among, np.bincount(labels, correct, len(among)) / np.maximum(sizes, 1), np.inf).argmin())


def _counts(confusion: Int64[Array, "seed class class"]) -> tuple[Array, Array, Array]:
    """Correct, labelled and predicted examples `(seed, class)` of the classes that the test set has."""
    there = confusion.sum(2)[0] > 0
    right = np.diagonal(confusion, axis1=1, axis2=2)
    return right[:, there], confusion.sum(2)[:, there], confusion.sum(1)[:, there]


def _integers(predictions: Predictions) -> tuple[Array, Array]:
    """Labels `(example)` and predicted classes `(seed, example)`, wide enough to compute with."""
    return np.asarray(predictions.labels, np.int64), np.asarray(predictions.predicted, np.int64)
