"""The study of digits at a small size; the data it is made of."""

import sys

import numpy as np
import pytest
import torch

from flatmin.errors import InputError
from flatmin.lab.studies import digits as study
from flatmin.lab.studies import real_data

pytest.importorskip("sklearn")


@pytest.mark.slow
def test_the_quick_study_compares_all_methods_on_all_networks():
    findings = study.STUDY.run(quick=True, seed=1)
    for name, network in study.NETWORKS.items():
        methods = [row["method"] for row in findings.rows if row["network"] == name and row["seed"] == 0]
        assert methods == list(network.strengths)
    assert {row["tried"] for row in findings.rows} == {2}
    assert {len(tried) for network in study.NETWORKS.values() for tried in network.strengths.values()} == {7}
    assert all(np.isfinite(row["trace"]) and 0 <= row["error"] <= 100 for row in findings.rows)
    assert len({claim.text for claim in findings.claims}) == len(findings.claims)
    assert findings.figure().axes


def test_wrong_images_are_counted():
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    labels = torch.tensor([[0, 1, 0, 1]])
    assert study._percent_wrong(outputs, labels).tolist() == [25.0]
    assert study._percent_wrong(outputs, torch.nn.functional.one_hot(labels).float()).tolist() == [25.0]


def test_parts_are_disjoint_and_centred_by_the_training_inputs():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    drawn = real_data.parts(x, y, (5, 2), seed=0)
    assert sorted(np.concatenate([labels for _, labels in drawn])) == list(range(10))
    assert [len(labels) for _, labels in drawn] == [5, 2, 3]
    np.testing.assert_allclose(drawn[0][0].mean(0), 0, atol=1e-12)
    for z, labels in drawn:
        np.testing.assert_allclose(z - x[labels], drawn[0][0][0] - x[drawn[0][1][0]] + np.zeros_like(z))
    other = real_data.parts(x, y, (5, 2), seed=1)
    assert not np.array_equal(other[0][1], drawn[0][1])


def test_data_have_the_shapes_that_are_promised():
    assert [array.shape for array in real_data.digits()] == [(1797, 64), (1797,)]
    assert [array.shape for array in real_data.diabetes()] == [(442, 10), (442, 1)]
    assert [array.shape for array in real_data.breast_cancer()] == [(569, 30), (569, 1)]
    assert real_data.diabetes()[0][:, 0].max() > 70  # years


def test_without_scikit_learn_the_study_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        study.STUDY.run(quick=True)
