import numpy as np
import pytest

from flatmin.cli.rating.rating_model import RatingModel
from flatmin.formats.tables import PairTable

RNG = np.random.default_rng(0)
ROWS, COLUMNS = (part.ravel() for part in np.meshgrid(range(25), range(12), indexing="ij"))
TRUTH = RNG.standard_normal((25, 1)) @ RNG.uniform(0.5, 2, (1, 12)) + RNG.standard_normal(12)
KEPT = RNG.permutation(300)[:200]
PAIRS = np.array([[f"r{i}", f"c{j}"] for i, j in zip(ROWS, COLUMNS, strict=True)])[KEPT]
VALUES = TRUTH[ROWS, COLUMNS][KEPT] + 0.2 * RNG.standard_normal(200)
TABLE = PairTable(("who", "what", "stars"), PAIRS, VALUES)


@pytest.fixture(scope="session")
def model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flatmin.estimators._pairs.pair_comparison.ALL_FOLDS", 0)
        return RatingModel.fit(TABLE, 0.9, {"alpha": 0.1, "random_state": 0}, lambda done, total: None)
