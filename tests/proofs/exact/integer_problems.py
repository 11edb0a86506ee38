"""Problems of integers, whose truth fits the data exactly, one for each model."""

import numpy as np

import flatmin as fm

M = fm.measurements


def sensing(seed=0, shape=(9, 7), rank=1, m=60):
    rng = np.random.default_rng(seed)
    A = M.Dense(rng.integers(-3, 4, (m, *shape)))
    return fm.Problem(A, A.forward(_product(rng, shape, rank)))


def bilinear(seed=0, shape=(9, 7), rank=1, m=70):
    rng = np.random.default_rng(seed)
    A = M.RankOne(rng.integers(-3, 4, (m, shape[0])), rng.integers(-3, 4, (m, shape[1])))
    return fm.Problem(A, A.forward(_product(rng, shape, rank)))


def completion(seed=0, shape=(12, 10), rank=1, m=90):
    rng = np.random.default_rng(seed)
    cells = np.sort(rng.choice(shape[0] * shape[1], m, replace=False))
    A = M.Entries(*np.divmod(cells, shape[1]), shape)
    return fm.Problem(A, A.forward(_product(rng, shape, rank)))


def phases(seed=0, d=8, m=60, rank=1, is_complex=True):
    rng = np.random.default_rng(seed)
    A = M.RankOne(_integers(rng, (m, d), is_complex))
    U = _integers(rng, (d, rank), is_complex)
    return fm.Problem(A, A.forward_factors(U, U), fm.Gram())


def covariance(seed=0):
    return phases(seed, m=70, rank=2, is_complex=False)


def network(seed=0, d=8, m=36):
    rng = np.random.default_rng(seed)
    A = M.RankOne(rng.integers(-3, 4, (m, d)))
    U = rng.integers(-3, 4, (d, 2))
    return fm.Problem(A, A.forward((U * [1.0, -1.0]) @ U.T), fm.SignedGram())


def table(seed=0, shape=(24, 20), missing=False):
    rng = np.random.default_rng(seed)
    Y = _product(rng, shape, 1) + 0.0
    wrong = rng.choice(Y.size, 24, replace=False)
    Y.reshape(-1)[wrong] += rng.choice([-1, 1], 24) * rng.integers(5, 15, 24)
    seen = rng.random(shape) < (0.9 if missing else 2.0)
    return fm.Problem(M.Mask(seen) if missing else M.Identity(shape), Y[seen], loss=fm.losses.Absolute())


PROBLEMS = {
    "sensing": sensing,
    "bilinear": bilinear,
    "completion": completion,
    "phases": phases,
    "real phases": lambda: phases(is_complex=False),
    "covariance": covariance,
    "network": network,
    "table": table,
    "table with holes": lambda: table(missing=True),
}


def _product(rng, shape, rank):
    return rng.integers(-3, 4, (shape[0], rank)) @ rng.integers(-3, 4, (shape[1], rank)).T + 0.0


def _integers(rng, shape, is_complex):
    return rng.integers(-3, 4, shape) + (1j * rng.integers(-3, 4, shape) if is_complex else 0.0)
