"""Compare how well wrong labels are found: ours beside cleanlab's, on data whose labels were flipped.

python tests/benchmarks/labels.py [--mnist CACHE_DIR] [--seeds 5]

The digits of scikit-learn, and MNIST as a cache if it is given (one seed). Of 1 %, 5 % and 10 % of the samples the
label is changed: to any other, or to that of the nearest other class by the cosine to its centroid. Told are the
precision among as many samples as were flipped, the worst first, and the average precision.

cleanlab (pip install cleanlab; gpuvis does not need it) is given probabilities of logistic regression on the same
features, out of sample, 5-fold, as they are and standardised. Of that, of its two rankings, and of find_label_issues
filled up by these, the best is told for each number: it has no choice that we do not give it.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpuvis.backends import matrix
from gpuvis.backends.cpu import backend as cpu
from gpuvis.io import cache
from gpuvis.labels import outliers

Scores = tuple[float, float]  # precision at the number flipped, average precision
SHARES = (0.01, 0.05, 0.1)
KINDS = ("uniform", "nearest class")


def flip(X: np.ndarray, labels: np.ndarray, share: float, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a share is wrong, and which these are."""
    draw, count = np.random.default_rng(seed), int(labels.max()) + 1
    some = draw.choice(len(labels), round(share * len(labels)), replace=False)
    given, is_wrong = labels.copy(), np.zeros(len(labels), bool)
    if kind == "uniform":
        given[some] = (labels[some] + draw.integers(1, count, len(some))) % count
    else:
        U = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        near = U[some] @ np.stack([U[labels == code].mean(0) for code in range(count)]).T
        near[np.arange(len(some)), labels[some]] = -np.inf
        given[some] = near.argmax(1)
    is_wrong[some] = True
    return given, is_wrong


def ours(X: np.ndarray, given: np.ndarray, is_wrong: np.ndarray) -> Scores:
    largest = float(np.abs(X).max())
    plan = matrix.plan(X, outliers.search(), cpu, largest)
    with cpu.working(plan):
        suspicion = outliers.measure(X, given, cpu, (plan, largest)).votes.suspicion
    worst = np.argsort(-suspicion, kind="stable")[: is_wrong.sum()]
    return float(is_wrong[worst].mean()), float(average_precision_score(is_wrong, suspicion))


def cleanlabs(X: np.ndarray, given: np.ndarray, is_wrong: np.ndarray) -> Scores:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    precision, average, n = [], [], int(is_wrong.sum())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for fit in fits(len(X)):
        chances = cross_val_predict(fit, X, given, cv=folds, method="predict_proba")
        for how in ("self_confidence", "normalized_margin"):
            quality = get_label_quality_scores(given, chances, method=how)
            issues = find_label_issues(given, chances, return_indices_ranked_by=how, n_jobs=1)
            order = np.argsort(quality, kind="stable")
            filled = np.concatenate([issues, order[~np.isin(order, issues)]]).astype(int)
            precision += [is_wrong[some[:n]].mean() for some in (filled, order)]
            average.append(average_precision_score(is_wrong, -quality))
    return float(max(precision)), float(max(average))


def fits(rows: int) -> Iterator[object]:
    """Give fits of logistic regression, of many rows with fewer steps."""
    steps = 60 if rows > 10_000 else 1000
    yield LogisticRegression(max_iter=steps)
    yield make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=steps))


def mean_of(
    find: Callable[..., Scores], X: np.ndarray, labels: np.ndarray, how: tuple[float, str], seeds: int
) -> Scores:
    found = [find(X, *flip(X, labels, *how, seed)) for seed in range(seeds)]
    precision, average = np.mean(found, axis=0)
    return float(precision), float(average)


def of_mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    found = cache.read(folder)
    assert found.labels is not None, f"{folder} has no labels.pt"
    return cpu.as_array(found.embeddings), np.asarray(found.labels)


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--mnist", type=Path, metavar="CACHE_DIR")
    asked.add_argument("--seeds", type=int, default=5, help="of the digits")
    told = asked.parse_args()
    if not find_spec("cleanlab"):
        sys.exit("cleanlab is not installed here; pip install cleanlab")
    warnings.filterwarnings("ignore")  # fits that take no more steps
    digits = load_digits()
    jobs = {"digits": (digits.data.astype(np.float32) / 16, digits.target.astype(np.int64), told.seeds)}
    if told.mnist:
        jobs["MNIST"] = (*of_mnist(told.mnist), 1)
    print("| flipped | gpuvis, precision; average | cleanlab, precision; average |\n|---|---|---|")
    for name, (X, labels, seeds) in jobs.items():
        for kind in KINDS:
            for share in SHARES:
                cells = [mean_of(find, X, labels, (share, kind), seeds) for find in (ours, cleanlabs)]
                values = " | ".join(f"{100 * precision:.1f}; {100 * average:.1f}" for precision, average in cells)
                print(f"| {name}, {share:.0%}, {kind} | {values} |", flush=True)


if __name__ == "__main__":
    main()
