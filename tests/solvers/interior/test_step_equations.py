import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.interior.face import SplitBlock, symmetric
from flatmin.solvers.interior.interior_point import InteriorPoint
from flatmin.solvers.interior.schur_complement import FIRST_SHIFT
from flatmin.solvers.interior.step_equations import StepEquations

INSTANCES = [
    fm.families.matrix_completion.sample((9, 7), 1, 36),
    fm.families.quadratic_network.sample(7, (1, 1), 20),
]


def late_path(problem):
    """Return an iterate at which D has tiny eigenvalues."""
    scaled = Scaled.from_problem(problem, 1.0, 0)
    path = InteriorPoint(scaled.model, scaled.b)
    while path.gap > 1e-8:
        assert path.step()
    return path


@pytest.mark.parametrize("instance", INSTANCES, ids=["completion", "network"])
def test_a_step_fits_the_data_and_is_complementary(instance):
    path = late_path(instance.problem)
    values, Q = np.linalg.eigh(path.D)
    blocks = [SplitBlock.from_eigenvectors(*parts) for parts in zip(path.X, values, Q, strict=True)]
    assert any(len(block.slack) for block in blocks)
    equations = StepEquations.from_blocks(path.model, blocks, FIRST_SHIFT)
    target = 1e-9 * equations.inverse
    dy, dX = equations.step(path.b, path.X, target, 1e-12)
    left = np.linalg.norm(path.b - path.model.lifted_value(path.X + dX))
    assert left <= 1e-12 * np.linalg.norm(path.b)
    linear = target - path.X + symmetric(path.X @ path.model.dual_blocks(dy) @ equations.inverse) / 2
    np.testing.assert_allclose(dX, linear, atol=1e-7 * np.abs(path.X).max())


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2, 36)])
def test_the_columns_of_cells_are_those_of_the_faces(weights):
    instance = INSTANCES[0]
    A = instance.problem.measurement
    A = fm.measurements.Entries(A.rows, A.cols, A.shape, weights)
    path = late_path(fm.Problem(A, A.forward(instance.truth)))
    values, Q = np.linalg.eigh(path.D)
    block = SplitBlock.from_eigenvectors(path.X[0], values[0], Q[0])
    equations = StepEquations.from_blocks(path.model, [block], FIRST_SHIFT)
    faces = [path.model.lifted_value(block.face(C)[None]) for C in block.basis()]
    assert faces
    np.testing.assert_allclose(equations.A, np.transpose(faces), atol=1e-13 * np.abs(faces).max())


def test_the_path_goes_on_to_rounding_where_singular_values_differ_by_far():
    """The data have condition 1e5 and few cells; without the split, X loses the fit at a gap of 1e-8."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in (24, 20))
    rows, cols = np.divmod(np.sort(rng.choice(480, 300, replace=False)), 20)
    A = fm.measurements.Entries(rows, cols, (24, 20))
    path = late_path(fm.Problem(A, A.forward((U * [1.0, 3e-3, 1e-5]) @ V.T)))
    for _ in range(12):
        if path.gap < 1e-11 or not path.step():
            break
    assert path.gap < 1e-11
    assert path.misfit < 1e-12
