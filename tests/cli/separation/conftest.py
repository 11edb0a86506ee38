import numpy as np
import pytest

from flatmin.cli.separation.separable import SeparableArray, SeparableTable
from flatmin.formats.tables import Reading, read_typed_table

RNG = np.random.default_rng(1)
WRONG = RNG.random((60, 6)) < 0.03
CLEAN = RNG.standard_normal((60, 1)) @ RNG.uniform(1, 2, (1, 6)) * [1, 10, 100, 1, 1, 0.1] + [0, 5, 1000, 0, 1, 2]
NOISY = CLEAN + 0.05 * RNG.standard_normal((60, 6)) * [1, 10, 100, 1, 1, 0.1]
DATA = np.where(WRONG, NOISY + 20 * np.array([1, 10, 100, 1, 1, 0.1]), NOISY)


def write_table(path, values=DATA):
    lines = ["who,a,b,c,d,e,f", *(f"p{i}," + ",".join(f"{x:.6g}" for x in row) for i, row in enumerate(values))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(tmp_path):
    return SeparableTable(read_typed_table(write_table(tmp_path / "t.csv"), Reading()))


@pytest.fixture
def exact():
    factors = np.random.default_rng(2).standard_normal((2, 40))
    return SeparableArray(np.where(WRONG[:40], 9.0, np.outer(factors[0], factors[1, :6])))
