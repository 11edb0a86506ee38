"""The recipe of digits at a small size, and the data that it uses."""

import sys

import numpy as np
import pytest
import torch

from flatmin.errors import InputError
from flatmin.lab import networks
from flatmin.lab.recipes import digits
from tests.lab.quick import quick_finding

pytest.importorskip("sklearn")


@pytest.mark.slow
def test_the_quick_version_compares_all_methods_on_all_networks():
    finding = quick_finding("digits")
    for name, strengths in digits.NETWORKS.items():
        assert set(finding.evidence.select(network=name).levels("method")) == set(strengths)
    assert set(finding.evidence.values("tried")) == {2}
    assert {len(tried) for strengths in digits.NETWORKS.values() for tried in strengths.values()} == {7}
    errors = finding.evidence.values("error")
    assert len(errors) == 3 * len(finding.evidence)
    assert np.isfinite(finding.evidence.values("trace")).all()
    assert 0 <= errors.min() <= errors.max() <= 100
    assert len({claim.text for claim in finding.claims}) == len(finding.claims)


def test_wrong_images_are_counted():
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    labels = torch.tensor([[0, 1, 0, 1]])
    assert digits._percent_wrong(outputs, labels).tolist() == [25.0]
    assert digits._percent_wrong(outputs, torch.nn.functional.one_hot(labels).float()).tolist() == [25.0]


def test_parts_are_disjoint_and_centred_by_the_training_inputs():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    drawn = networks.parts(x, y, (5, 2), seed=0)
    assert sorted(np.concatenate([labels for _, labels in drawn])) == list(range(10))
    assert [len(labels) for _, labels in drawn] == [5, 2, 3]
    np.testing.assert_allclose(drawn[0][0].mean(0), 0, atol=1e-12)
    for z, labels in drawn:
        np.testing.assert_allclose(z - x[labels], drawn[0][0][0] - x[drawn[0][1][0]] + np.zeros_like(z))
    other = networks.parts(x, y, (5, 2), seed=1)
    assert not np.array_equal(other[0][1], drawn[0][1])


def test_data_have_the_shapes_that_are_promised():
    assert [array.shape for array in networks.digits()] == [(1797, 64), (1797,)]
    assert [array.shape for array in networks.diabetes()] == [(442, 10), (442, 1)]
    assert [array.shape for array in networks.breast_cancer()] == [(569, 30), (569, 1)]
    assert networks.diabetes()[0][:, 0].max() > 70  # years


def test_without_scikit_learn_a_cell_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        digits.train(digits.RECIPE.quickly().cells[0], 0)
