"""Linear and constant terms that are fitted jointly with a matrix and not penalised."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.measurements import Dense, Measurement, Projected

__all__ = ["Features", "Unpenalised", "check_size", "regressors"]

EPS = float(np.finfo(float).eps)
#: Residuals of regressors, and deviations of features from their mean, count as 0 up to this number of rounding errors.
ROUNDING_UNITS = 40
#: Nonzero numbers below this size are refused, because their fourth powers underflow.
SMALLEST = 1e-70
#: Numbers above this size are refused, because their fourth powers overflow.
LARGEST = 1e70


def check_size(values: Array, name: str) -> None:
    """Raise `InputError` for numbers whose fourth powers overflow or underflow."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest and not SMALLEST <= largest <= LARGEST:
        sizes = f"expected one from {SMALLEST:g} to {LARGEST:g}"
        raise InputError(f"the largest number of {name} is {largest:.1g}, {sizes}; scale {name}")


def regressors(X: Array, *, linear: bool, constant: bool) -> Array:
    """Return a column of ones and the features X (m, n), each only if it is wanted, shape (m, t)."""
    return np.hstack([np.ones((len(X), int(constant))), X[:, : X.shape[1] * linear]])


@dataclass(frozen=True, eq=False)
class Unpenalised:
    """Weighted samples of ``y = A(X) + T z``, with regressors T of shape (m, t) and unpenalised coefficients z.

    ``values`` is y, shape (m,). ``root`` has the square roots of the weights, by which both sides are multiplied.
    """

    regressors: Array
    values: Array
    root: Array

    @classmethod
    def from_samples(cls, X: Array, y: Array, weight: Array | None, *, linear: bool, constant: bool) -> Self:
        """Take the features as linear terms and a column of ones as constant, each only if it is wanted."""
        check_size(y, "y")
        root = np.ones(len(y)) if weight is None else np.sqrt(weight)
        return cls(regressors(X, linear=linear, constant=constant), y, root)

    def projected(self, measurement: Measurement) -> tuple[Measurement, Array]:
        """Return the weighted measurement orthogonal to the regressors, and its data.

        If the regressors explain all data, the result is a single measurement that is zero.
        """
        T, y = self.root[:, None] * self.regressors, self.root * self.values
        if T.shape[1] == 0:
            return measurement, y
        if T.shape[1] >= len(T) and np.linalg.matrix_rank(T) == len(T):
            return Dense(np.zeros((1, *measurement.shape))), np.zeros(1)
        (m, t), (d1, d2) = T.shape, measurement.shape
        require(8.0 * t * (3 * m + d1 * d2), f"fitting {t} linear and constant terms")
        found = Projected(measurement, T)
        data = found.reduced(y)
        exact = np.linalg.norm(data) <= ROUNDING_UNITS * EPS * np.linalg.norm(y)
        return found, np.zeros_like(data) if exact else data

    def coefficients(self, fitted: Array) -> Array:
        """Return the coefficients z, shape (t,), that fit the weighted values minus ``fitted`` by least squares."""
        T = self.root[:, None] * self.regressors
        sizes = np.linalg.norm(T, axis=0)
        sizes[sizes == 0] = 1
        return np.asarray(np.linalg.lstsq(T / sizes, self.root * self.values - fitted, rcond=None)[0] / sizes)


@dataclass(frozen=True, eq=False)
class Features:
    """Units in which features are fitted: ``(x − centre) / scale``.

    Centring does not change a model with linear and constant terms; it would change any other model.
    """

    centre: Array
    scale: Array
    constant: Array

    @classmethod
    def from_samples(cls, X: Array, weight: Array | None, *, centred: bool, scaled: bool) -> Self:
        """Return the mean of every feature and the root mean square around it, each only if it is wanted."""
        check_size(X, "X")
        n = X.shape[1]
        centre = np.average(X, axis=0, weights=weight) if centred else np.zeros(n)
        largest = np.max(np.abs(X - centre), axis=0)
        constant = largest <= ROUNDING_UNITS * EPS * np.abs(centre)
        scale = np.ones(n)
        if scaled:
            unit = np.where(constant | (largest == 0), 1.0, largest)
            size = unit * np.sqrt(np.average(((X - centre) / unit) ** 2, axis=0, weights=weight))
            scale = np.where(constant | (size == 0), 1.0, size)
        return cls(centre, scale, constant)

    def inside(self, X: Array) -> Array:
        """Return features in these units; constant ones are zero."""
        return np.asarray(np.where(self.constant, 0.0, (X - self.centre) / self.scale))
