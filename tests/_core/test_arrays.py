"""The library of an array, and the order of cells."""

import sys
from types import ModuleType

import numpy as np
import pytest

from flatmin._core.arrays import in_row_major_order, namespace


def test_arrays_of_numpy_belong_to_numpy():
    assert namespace(np.ones(2)) is np
    assert namespace([1.0]) is np


def test_tensors_belong_to_torch(monkeypatch):
    module = ModuleType("torch")
    monkeypatch.setitem(sys.modules, "torch", module)
    assert namespace(type("Tensor", (), {"__module__": "torch"})()) is module


@pytest.mark.parametrize("step", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("rows", "cols", "sorted_"),
    [
        ([0, 0, 1, 3], [1, 2, 0, 1], True),
        ([0, 0, 1, 1], [1, 2, 2, 1], False),
        ([0, 2, 1, 3], [0, 0, 0, 0], False),
        ([1, 1], [2, 2], True),
        ([4], [0], True),
        ([], [], True),
    ],
)
def test_order_is_found_across_pieces(rows, cols, sorted_, step):
    assert in_row_major_order(np.array(rows), np.array(cols), step) is sorted_
