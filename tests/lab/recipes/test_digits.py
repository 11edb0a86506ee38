"""The recipe of digits at a small size, and the data that it uses."""

import sys

import numpy as np
import pytest
import torch

from flatmin.errors import InputError
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


def test_without_scikit_learn_a_cell_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        digits.train(digits.RECIPE.quickly().cells[0], 0)
