import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.interior.interior_point import InteriorPoint


def path_of(problem):
    scaled = Scaled.from_problem(problem, 1.0, 0)
    return InteriorPoint(scaled.model, scaled.b)


INSTANCES = [
    fm.families.matrix_completion.sample((9, 7), 1, 36),
    fm.families.quadratic_network.sample(7, (1, 1), 20),
]


@pytest.mark.parametrize("instance", INSTANCES, ids=["completion", "network"])
def test_a_step_solves_the_linear_equations_of_the_central_path(instance):
    """After a whole step X fits the data, for then the equations of the data are linear in the step."""
    path = path_of(instance.problem)
    misfits = [path.misfit]
    for _ in range(6):
        assert path.step()
        misfits.append(path.misfit)
        assert misfits[-1] == pytest.approx((1 - path.lengths[0]) * misfits[-2], rel=1e-3, abs=1e-11)
        np.testing.assert_allclose(path.D, (path.identity - path.model.dual_blocks(path.y)) / 2, atol=1e-14)
        assert all(np.linalg.eigvalsh(blocks).min() > 0 for blocks in (path.X, path.D))


@pytest.mark.parametrize("instance", INSTANCES, ids=["completion", "network"])
def test_the_path_ends_at_the_optimal_value(instance):
    path = path_of(instance.problem)
    while path.gap > 1e-9 and path.step():
        pass
    norm = float(path.model.lifted_canonical(path.X)[1].sum())
    assert float(path.b @ path.y) == pytest.approx(norm, rel=1e-8)
    dual = np.linalg.norm(path.model.curvature(path.model.dual_matrix(path.y)), 2)
    assert dual == pytest.approx(1, abs=1e-8)
    assert dual < 1


def test_bounds_rise_to_the_optimal_value():
    path, values = path_of(INSTANCES[0].problem), []
    for _ in range(10):
        path.step()
        values.append(float(path.b @ path.y))
    assert values == sorted(values)
