"""Small networks, and data sets in parts."""

import numpy as np
import pytest
import torch

from flatmin.lab import networks


def test_signed_squares_are_a_difference_of_squares():
    model = networks.signed_squares(3, 4)
    x = torch.randn(5, 3)
    u = model[0].weight
    expected = ((x @ u[:2].T) ** 2).sum(1) - ((x @ u[2:].T) ** 2).sum(1)
    torch.testing.assert_close(model(x)[:, 0], expected)
    assert not model[2].weight.requires_grad


def test_parts_are_disjoint_and_centred_by_the_training_inputs():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    drawn = networks.parts(x, y, (5, 2), seed=0)
    assert sorted(np.concatenate([labels for _, labels in drawn])) == list(range(10))
    assert [len(labels) for _, labels in drawn] == [5, 2, 3]
    np.testing.assert_allclose(drawn[0][0].mean(0), 0, atol=1e-12)
    assert not np.array_equal(networks.parts(x, y, (5, 2), seed=1)[0][1], drawn[0][1])


def test_data_have_the_promised_shapes():
    pytest.importorskip("sklearn")
    assert [array.shape for array in networks.digits()] == [(1797, 64), (1797,)]
    assert [array.shape for array in networks.diabetes()] == [(442, 10), (442, 1)]
    assert [array.shape for array in networks.breast_cancer()] == [(569, 30), (569, 1)]
    assert networks.diabetes()[0][:, 0].max() > 70  # years
