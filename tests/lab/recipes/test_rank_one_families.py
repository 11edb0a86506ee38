"""Equal traces and different errors, against the Hessian of the loss itself."""

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.lab.recipes import rank_one_families as study
from tests.lab.quick import check_finding, quick_finding


@pytest.mark.slow
def test_the_quick_version_holds():
    finding = quick_finding("rank-one-families")
    check_finding(finding, holding=6)
    assert finding.evidence.values("certified").all()


def test_a_fit_fits_and_its_trace_is_that_of_the_hessian():
    problem = fm.families.phase_retrieval.sample(3, 1, 5, seed=1).problem
    rng = np.random.default_rng(0)
    start = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    U, misfit = study._fit(problem.measurement.left, problem.data, start, np.ones(3))
    assert misfit < study.EXACT
    model = fm.nn.FactoredModel(problem, 3)
    model.set_factors((U,))
    parameter = next(model.parameters()).detach().clone()

    def loss(flat):
        return (
            torch.func.functional_call(model, {"U": flat.reshape(parameter.shape)})
            .sub(torch.from_numpy(problem.data))
            .square()
            .mean()
        )

    H = torch.autograd.functional.hessian(loss, parameter.ravel())
    np.testing.assert_allclose(fm.flatness(problem, (U,)).gauss_newton_trace, float(H.trace()), rtol=1e-9)
