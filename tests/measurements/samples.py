"""One random instance of every measurement, by the name of its class."""

import numpy as np
from scipy.sparse.linalg import aslinearoperator

from flatmin import measurements


def draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def dense(rng, shape, m, dtype):
    return measurements.Dense(draw(rng, (m, *shape), dtype))


def rank_one(rng, shape, m, dtype):
    return measurements.RankOne(draw(rng, (m, shape[0]), dtype), draw(rng, (m, shape[1]), dtype))


def coded_diffraction(rng, shape, m, dtype):
    """Masks of a signal, or of an image where ``shape`` is not square; the unknown is always square."""
    q = 1 + m % 3
    return measurements.CodedDiffraction(draw(rng, (q, shape[0]) if shape[0] == shape[1] else (q, *shape), complex))


def entries(rng, shape, m, dtype):
    """Unsorted, with duplicates where m is large, and with weights every other time."""
    rows, cols = (rng.integers(0, d, m) for d in shape)
    return measurements.Entries(rows, cols, shape, weights=rng.uniform(0.5, 2, m) if m % 2 else None)


def identity(rng, shape, m, dtype):
    return measurements.Identity(shape)


def mask(rng, shape, m, dtype):
    return measurements.Mask(rng.permutation(shape[0] * shape[1]).reshape(shape) < m)


def linear_operator(rng, shape, m, dtype):
    return measurements.FromLinearOperator(aslinearoperator(rng.standard_normal((m, shape[0] * shape[1]))), shape)


def projected(rng, shape, m, dtype):
    """Of three regressors one is the sum of the others."""
    regressors = rng.standard_normal((m + 2, 2))
    inner = rank_one(rng, shape, m + 2, dtype) if m % 2 else dense(rng, shape, m + 2, dtype)
    return measurements.Projected(inner, np.column_stack([regressors, regressors.sum(axis=1)]))


SAMPLES = {
    "Dense": dense,
    "RankOne": rank_one,
    "CodedDiffraction": coded_diffraction,
    "Entries": entries,
    "Identity": identity,
    "Mask": mask,
    "FromLinearOperator": linear_operator,
    "Projected": projected,
}

COMPLEX = {"Dense", "RankOne", "CodedDiffraction", "Projected"}
#: Maps that are complex whatever is asked for.
ALWAYS_COMPLEX = {"CodedDiffraction"}


def sample(name, rng, shape, m, dtype):
    """Return an instance; a class from outside has the class method ``sample(rng, shape, m)``, of real measurements."""
    return SAMPLES[name](rng, shape, m, dtype) if name in SAMPLES else measurements.find(name).sample(rng, shape, m)
