"""What scikit-learn does for the checks: neighbours, and probabilities by models that never saw the row."""

from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np

from lepton_ai.cleaning.columns import Array
from lepton_ai.core import load_extra
from lepton_ai.rng import derive, permutation

Model = Literal["linear", "trees", "kernel"]
WORDS: dict[Model, str] = {"linear": "logistic regression", "trees": "boosted trees", "kernel": "a kernel model"}

FOLDS = 5
WAVES = 1000
RIDGE = 300.0
MOST_PAIRS = 200_000


def pairs_within(points: Array, others: Array, reach: float) -> Array:
    """Pairs (P, 2): rows of `points` and of `others` within `reach`. The same array twice gives each pair once."""
    sklearn = load_extra("sklearn.neighbors", extra="data", purpose="comparing rows")
    tree = sklearn.KDTree(others)
    found: list[Array] = []
    total = 0
    for start in range(0, len(points), 1024):
        near = tree.query_radius(points[start : start + 1024], reach)
        rows = np.repeat(np.arange(start, start + len(near)), [len(each) for each in near])
        pairs = np.stack([rows, np.concatenate(near).astype(np.int64)], axis=1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]] if points is others else pairs)
        total += len(found[-1])
        if total > MOST_PAIRS:  # a lump of points without end would fill the memory
            break
    return np.concatenate(found)[:MOST_PAIRS]


def distance_to_crowd(points: Array, rows: Array, neighbours: int) -> Array:
    """How far (R,) each of `rows` is from its so many-th neighbour among `points`."""
    if not len(rows):
        return np.zeros(0)
    sklearn = load_extra("sklearn.neighbors", extra="data", purpose="comparing rows")
    distances = sklearn.KDTree(points).query(points[rows], k=min(neighbours + 1, len(points)))[0]
    return np.asarray(distances[:, -1])


def fold_of(classes: Array, seed: int, folds: int = FOLDS) -> Array:
    """Each row's fold (N,), every class spread evenly."""
    order = np.asarray(permutation(derive(seed, "cleaning folds"), 0, len(classes)))
    order = order[np.argsort(classes[order], kind="stable")]
    found = np.empty(len(classes), np.int64)
    found[order] = np.arange(len(classes)) % folds
    return found


def out_of_fold(features: Array, classes: Array, *, model: Model, seed: int) -> Array:
    """The probability (N, C) of each class by a model that was fitted without the row: "linear" is logistic regression
    over standardised features, "trees" boosted trees over features with gaps (NaN), "kernel" least squares over random
    features of a Gaussian kernel, for images."""
    with _one_thread():
        return _out_of_fold(features, classes, model, seed)


def _out_of_fold(features: Array, classes: Array, model: Model, seed: int) -> Array:
    folds = fold_of(classes, seed)
    found = np.zeros((len(classes), int(classes.max()) + 1))
    inputs = random_features(features, seed) if model == "kernel" else features
    for fold in range(FOLDS):
        train, held = folds != fold, folds == fold
        if not held.any():
            continue
        if model == "kernel":
            found[held] = _least_squares(inputs[train], classes[train], inputs[held], found.shape[1])
            continue
        told = _told(inputs, train)
        fitted = _classifier(model, seed).fit(told[train], classes[train])
        found[np.ix_(held, fitted.classes_)] = fitted.predict_proba(told[held])
    return found


def out_of_fold_amounts(features: Array, amounts: Array, *, seed: int) -> Array:
    """The amount (N,) that boosted trees expect which were fitted without the row, by absolute error: wrong amounts
    among those learnt from shall not move it."""
    ensemble = load_extra("sklearn.ensemble", extra="data", purpose="checking labels")
    folds = fold_of(np.zeros(len(amounts), np.int64), seed)
    found = np.zeros(len(amounts))
    for fold in range(FOLDS):
        train, held = folds != fold, folds == fold
        model = ensemble.HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=60,
            learning_rate=0.15,
            max_leaf_nodes=15,
            early_stopping=False,
            random_state=0,
        )
        with _one_thread():
            told = _told(features, train)
            found[held] = model.fit(told[train], amounts[train]).predict(told[held])
    return found


def _told(features: Array, train: Array) -> Array:
    """The columns in which the rows `train` hold something: trees cannot learn from one that is all gaps."""
    columns = np.nonzero(~np.isnan(features[train]).all(axis=0))[0]
    return features[:, columns] if len(columns) else np.zeros((len(features), 1))


def _one_thread() -> AbstractContextManager[object]:
    """Several threads would wait for each other longer than they work: on small data always, on large where others
    work beside them."""
    threadpools = load_extra("threadpoolctl", extra="data", purpose="checking labels")
    limits: AbstractContextManager[object] = threadpools.threadpool_limits(1)
    return limits


def random_features(features: Array, seed: int) -> Array:
    """Waves (N, W) whose products are, on average, a Gaussian kernel as wide as two rows usually lie apart.

    Rahimi, Recht: Random Features for Large-Scale Kernel Machines, 2007.
    """
    rows = np.asarray(features, np.float32)
    generator = np.random.default_rng(derive(seed, "cleaning waves"))
    pairs = generator.integers(0, len(rows), (2, 2000))
    width = float(np.median(np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1))) or 1.0
    directions = generator.normal(0, 2.0 / width, (rows.shape[1], WAVES)).astype(np.float32)
    return np.asarray(np.cos(rows @ directions + generator.uniform(0, 2 * np.pi, WAVES).astype(np.float32)))


def _least_squares(inputs: Array, classes: Array, asked: Array, number: int) -> Array:
    """Least squares to a 1 for the class and 0 for the others estimates its probability."""
    wanted = np.eye(number)[classes]
    mean, middle = inputs.mean(axis=0), wanted.mean(axis=0)
    centred = inputs - mean
    square = (centred.T @ centred).astype(np.float64)
    square[np.diag_indices_from(square)] += RIDGE
    weights = np.linalg.solve(square, centred.T @ (wanted - middle))
    found = ((asked - mean) @ weights + middle).clip(1e-3, None)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _classifier(model: Model, seed: int) -> Any:
    if model == "linear":
        linear = load_extra("sklearn.linear_model", extra="data", purpose="checking labels")
        pipeline = load_extra("sklearn.pipeline", extra="data", purpose="checking labels")
        scaling = load_extra("sklearn.preprocessing", extra="data", purpose="checking labels")
        return pipeline.make_pipeline(
            scaling.StandardScaler(), linear.LogisticRegression(C=0.1, max_iter=300, tol=1e-3)
        )
    ensemble = load_extra("sklearn.ensemble", extra="data", purpose="checking labels")
    return ensemble.HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.15, max_leaf_nodes=15, early_stopping=False, random_state=derive(seed, "trees")
    )
