"""Linear and logistic regression in closed form, or as near to it as the model allows."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.data import as_array, check_finite, check_lengths

Floats = npt.NDArray[Any]


class _Linear:
    """Shared: rows of numbers in, coefficients kept as `coef` (D, outputs) and `intercept` (outputs,)."""

    coef: Floats | None = None
    intercept: Floats | None = None

    def _design(self, x: Any) -> Floats:
        array = np.asarray(as_array(x, "x"), dtype=np.float64)
        if array.ndim != 2:
            raise ShapeError(at=f"{type(self).__name__}: x", got=array.shape, expected="(rows, features)")
        check_finite(array, "x")
        return array

    def _scores(self, x: Any) -> Floats:
        if self.coef is None or self.intercept is None:
            raise UsageError(f"{type(self).__name__} is not fitted", fix="Call fit(x, y) first.")
        array = self._design(x)
        if array.shape[1] != self.coef.shape[0]:
            raise ShapeError(at="x", got=array.shape, expected=f"(rows, {self.coef.shape[0]}) as in fit")
        return array @ self.coef + self.intercept


class LinearRegression(_Linear):
    """Least squares in closed form; where `x'x` is singular, the solution of minimum norm.

    The intercept is not part of the norm: x and y are centred first. `l2` adds a ridge penalty `l2 * |coef|^2`.
    Solved by singular value decomposition in float64 (Golub and Van Loan, Matrix Computations, 5.5).

    Example:
        >>> fit = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> fit.coef.round(6).tolist(), fit.intercept.round(6).tolist()
        ([[2.0]], [1.0])
    """

    def __init__(self, *, l2: float = 0.0, fit_intercept: bool = True) -> None:
        if not l2 >= 0:
            raise ConfigError(at="LinearRegression.l2", got=l2, expected="a number >= 0")
        self.l2, self.fit_intercept = float(l2), fit_intercept

    def fit(self, x: Any, y: Any) -> Self:
        """Fit on `x` (N, D) and `y` (N,) or (N, outputs); sets `coef`, `intercept`, `rank`.

        Raises: ShapeError, DataError.
        """
        array, target = self._design(x), np.asarray(as_array(y, "y"), dtype=np.float64)
        check_lengths(array, target)
        check_finite(target, "y")
        self._flat = target.ndim == 1
        target = target.reshape(len(target), -1)
        centre = array.mean(0) if self.fit_intercept else np.zeros(array.shape[1])
        level = target.mean(0) if self.fit_intercept else np.zeros(target.shape[1])
        u, s, vt = np.linalg.svd(array - centre, full_matrices=False)
        # Centring rounds in proportion to the raw values, however small what is left may be.
        kept = s > np.linalg.norm(array) * max(array.shape) * np.finfo(np.float64).eps
        gain = np.divide(s, s**2 + self.l2, out=np.zeros_like(s), where=kept)
        self.rank = int(kept.sum())
        self.coef = vt.T @ (gain[:, None] * (u.T @ (target - level)))
        self.intercept = level - centre @ self.coef
        return self

    def predict(self, x: Any) -> Floats:
        """Fitted values, shaped as `y` was."""
        scores = self._scores(x)
        return scores[:, 0] if self._flat else scores


class LogisticRegression(_Linear):
    """Maximum likelihood for two or more classes, by Newton's method with the exact Hessian.

    `l2` is the ridge penalty `l2/2 * |coef|^2` on the summed log-likelihood; a small one keeps separable data
    finite. The Newton step takes the minimum norm where the Hessian is singular and is halved until the
    objective falls, so it ends for every input (Hastie, Tibshirani and Friedman, 4.4).

    Example:
        >>> fit = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        >>> fit.predict([[0.2], [2.7]]).tolist()
        [0, 1]
    """

    def __init__(self, *, l2: float = 1.0, max_iterations: int = 100, tolerance: float = 1e-10) -> None:
        if not l2 >= 0:
            raise ConfigError(at="LogisticRegression.l2", got=l2, expected="a number >= 0")
        self.l2, self.max_iterations, self.tolerance = float(l2), max_iterations, tolerance

    def fit(self, x: Any, y: Any) -> Self:
        """Fit on `x` (N, D) and labels `y` (N,); sets `classes`, `coef`, `intercept`, `iterations`.

        Raises: DataError if there is only one class.
        """
        array, labels = self._design(x), np.asarray(y)
        check_lengths(array, labels)
        if labels.dtype.kind == "f":
            check_finite(labels, "y")
        if labels.ndim != 1:
            raise ShapeError(at="y", got=labels.shape, expected="(rows,) of labels", fix="From one-hot: y.argmax(1).")
        self.classes, codes = np.unique(labels, return_inverse=True)
        if len(self.classes) < 2:
            raise DataError(f"y holds one class only: {self.classes.tolist()}", at="LogisticRegression")
        # Standardising makes the Hessian well conditioned; the penalty is on the coefficients of the raw x.
        centre, scale = array.mean(0), array.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        design = np.column_stack([np.ones(len(array)), (array - centre) / scale])
        ridge = self.l2 / np.concatenate([[np.inf], scale]) ** 2
        # Two classes need one score; the others are measured against the last class of a softmax.
        targets = np.eye(len(self.classes))[codes][:, 1:]
        weights = np.zeros((design.shape[1], targets.shape[1]))
        value = self._objective(design, targets, ridge, weights)
        for iteration in range(1, self.max_iterations + 1):
            self.iterations = iteration
            step = self._newton(design, targets, ridge, weights)
            size = 1.0
            while size > 1e-10:
                new = self._objective(design, targets, ridge, weights - size * step)
                if new <= value:
                    break
                size /= 2
            weights = weights - size * step
            done = value - new <= self.tolerance * (abs(value) + self.tolerance)
            value = new
            if done:
                break
        coef = weights[1:] / scale[:, None]
        self.coef = np.column_stack([np.zeros(len(coef)), coef])
        self.intercept = np.concatenate([[0.0], weights[0] - centre @ coef])
        return self

    def predict_proba(self, x: Any) -> Floats:
        """The probability of each class (N, classes), in the order of `classes`."""
        return _softmax(self._scores(x))

    def predict(self, x: Any) -> Floats:
        """The most probable label of each row."""
        best = self._scores(x).argmax(1)
        labels: Floats = self.classes[best]
        return labels

    @staticmethod
    def _objective(design: Floats, targets: Floats, ridge: Floats, weights: Floats) -> float:
        scores = design @ weights
        top = np.maximum(scores.max(1), 0.0)
        log_sum = top + np.log(np.exp(-top) + np.exp(scores - top[:, None]).sum(1))
        return float((log_sum - (scores * targets).sum(1)).sum() + 0.5 * (ridge[:, None] * weights**2).sum())

    @staticmethod
    def _newton(design: Floats, targets: Floats, ridge: Floats, weights: Floats) -> Floats:
        rows, columns = weights.shape
        p = _softmax(np.column_stack([np.zeros(len(design)), design @ weights]))[:, 1:]
        gradient = design.T @ (p - targets) + ridge[:, None] * weights
        hessian = np.empty((columns, rows, columns, rows))
        for i in range(columns):
            for j in range(i, columns):
                block = (design * (p[:, i] * ((i == j) - p[:, j]))[:, None]).T @ design
                hessian[i, :, j] = hessian[j, :, i] = block
            hessian[i, :, i] += np.diag(ridge)
        flat = hessian.reshape(rows * columns, rows * columns)
        step: Floats = np.linalg.lstsq(flat, gradient.T.reshape(-1), rcond=None)[0]
        return step.reshape(columns, rows).T


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares: Floats = powers / powers.sum(1, keepdims=True)
    return shares
