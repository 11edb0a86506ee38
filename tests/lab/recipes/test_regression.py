"""The recipe of real data in raw units at a small size."""

import numpy as np
import pytest

from flatmin.lab import networks
from flatmin.lab.recipes import regression
from flatmin.lab.recipes._tuning.strengths import REGRESSION
from tests.lab.quick import quick_finding

pytest.importorskip("sklearn")


@pytest.mark.slow
def test_the_quick_version_compares_all_methods_on_all_data():
    finding = quick_finding("regression")
    for name in regression.SOURCES:
        data = finding.evidence.select(data=name)
        assert set(data.select(network=regression.QUADRATIC).levels("method")) == set(REGRESSION)
        assert data.select(network=regression.LINE).levels("method") == [regression.STANDARD]
    assert np.isfinite(finding.evidence.values("error")).all()
    assert [curve.label for curve in finding.displays[0].lines][:1] == ["breast cancer, a line"]


def test_inputs_keep_their_ratios_and_have_a_constant():
    sizes = regression.SOURCES["diabetes"]
    (x, y), _, (z, _) = regression._draw("diabetes", seed=0)
    raw = networks.parts(*networks.diabetes(), sizes, 0)[0][0]
    np.testing.assert_allclose(x[:, :-1] / np.sqrt(np.mean(x[:, :-1] ** 2)), raw / np.sqrt(np.mean(raw**2)))
    assert np.all(x[:, -1] == 1)
    assert len(z) == 442 - sum(sizes)
    assert y.mean() == pytest.approx(0, abs=1e-12)
    assert y.std() == pytest.approx(1)
