import numpy as np
import pytest

from flatmin import RobustPCA
from flatmin.report import SeparatedData

RNG = np.random.default_rng(0)
WRONG = RNG.random((50, 6)) < 0.04
DATA = RNG.standard_normal((50, 1)) @ RNG.uniform(1, 2, (1, 6)) + 0.1 * RNG.standard_normal((50, 6)) + 9 * WRONG


def fields(**changes):
    """Return the fields of a summary."""
    return {
        "shape": [50, 6],
        "unit": "cell",
        "n_known": 300,
        "n_errors": int(WRONG.sum()),
        "error_share": float(WRONG.mean()),
        "rank": 1,
        "sigma": 0.1,
        "alpha": 1e-3,
        "weight": 0.14,
        "treatment": "noisy",
        "converged": True,
        "model": None,
        "seconds": 1.5,
        "seed": 0,
    } | changes


@pytest.fixture(scope="session")
def fit():
    return RobustPCA(alpha=1e-3, refit=True).fit(DATA)


@pytest.fixture
def separated(fit):
    def separated(data=DATA, mask=WRONG, certificate=fit.certificate_, changes=(), **more):
        low_rank = np.where(mask, 0.0, data)
        units = (np.zeros(data.shape[1]), np.full(data.shape[1], 2.0 if "frames" not in more else 1.0))
        parts = (data, low_rank, data - low_rank, mask, *units)
        known = fields(**dict(changes))
        return SeparatedData(*parts, known, certificate, "t.csv", "flatmin separate t.csv", notes=["note"], **more)

    return separated
