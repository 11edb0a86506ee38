"""The recipe of the quadratic teacher: the same data in several units."""

import numpy as np
import pytest
import torch

from flatmin.lab.recipes import quadratic_teacher as study
from flatmin.lab.recipes._tuning.tuned import mean_squared_error_over_variance
from tests.lab.quick import quick_finding


@pytest.mark.slow
def test_the_quick_version_shows_the_effect_of_units():
    finding = quick_finding("quadratic-teacher")
    error = {
        (inputs, method): finding.evidence.select(method=method, inputs=inputs).values("error").mean()
        for inputs in (study.ISOTROPIC, study.SCALED, study.ROTATED)
        for method in study.METHODS
    }
    decay, trace, white = "weight decay", "trace penalty", "whitened + decay"
    assert error[study.ISOTROPIC, decay] < 1.5 * error[study.ISOTROPIC, trace]
    for bad in (study.SCALED, study.ROTATED):
        assert error[bad, decay] > 1.5 * error[bad, trace]
        assert error[bad, white] < error[bad, trace]
        assert error[bad, white] < 1.3 * error[study.ISOTROPIC, white]
    standard = "standardized + decay"
    assert error[study.SCALED, standard] < error[study.ROTATED, standard] / 3
    assert len({claim.text for claim in finding.claims}) == len(finding.claims)


def test_targets_are_those_of_a_teacher_in_weak_directions():
    train, validation, test = study._draw(12, 400, seed=3)
    x, y = test
    coordinates = np.einsum("ni,nj->nij", x, x)[:, :4, :4].reshape(len(x), -1)
    fit, *_ = np.linalg.lstsq(coordinates, y, rcond=None)
    np.testing.assert_allclose(coordinates @ fit, y, atol=1e-9)
    assert np.var(y) == pytest.approx(1, rel=0.3)
    noise = train[1] - np.einsum("ni,nj->nij", train[0], train[0])[:, :4, :4].reshape(400, -1) @ fit
    assert noise.std() == pytest.approx(study.NOISE, rel=0.15)
    assert not np.array_equal(train[0], validation[0])


def test_units_change_the_scales_alone():
    for name, matrix in study._units(6, seed=0).items():
        values = np.linalg.svd(matrix, compute_uv=False)
        expected = np.ones(6) if name == study.ISOTROPIC else np.geomspace(10, 1, 6)
        np.testing.assert_allclose(values, expected)


def test_the_error_of_the_mean_is_one():
    y = torch.randn(2, 50, 1)
    torch.testing.assert_close(mean_squared_error_over_variance(y.mean(1, keepdim=True), y), torch.full((2,), 49 / 50))
