"""Packed values: what comes back, that shared arrays are kept once, and what is refused."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest

from flatmin import InputError
from flatmin._core.packing import Packing


class Colour(Enum):
    red = 1


@dataclass(frozen=True, eq=False)
class Point:
    x: float
    names: tuple

    def __eq__(self, other):
        return vars(self) == vars(other)


class Claim:
    def unchecked(self):
        return "claimed"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**70,
        0.1 + 0.2,
        "ä",
        (1, (2, [3, None])),
        {1: "a", ("b", 2): {"c": 0.5}},
        Colour.red,
        Point(1e-300, ("a", Colour.red)),
        {"array": 1, "class": "Path"},
    ],
)
def test_values_come_back(value):
    packing = Packing((Colour, Point))
    assert packing.unpack(packing.pack(value, "it")) == value


def test_arrays_come_back_and_shared_ones_are_kept_once():
    packing, x = Packing(()), np.arange(6.0).reshape(2, 3).T
    dates = np.array(["2020-01-01"], dtype="datetime64[D]")
    ids = np.array([2**70, "a", None], dtype=object)
    first, second, day, mixed = packing.unpack(packing.pack([x, x, dates, ids], "it"))
    assert first is second
    assert len(packing.arrays) == 2
    assert day.dtype == dates.dtype
    assert list(mixed) == list(ids)
    assert packing.unpack(packing.pack(np.float64(0.5), "it")) == 0.5


def test_proofs_become_claims():
    packing = Packing(())
    assert packing.unpack(packing.pack([Claim()], "it")) == ["claimed"]


@pytest.mark.parametrize("value", [Colour.red, Point(1.0, ()), {1, 2}, [lambda: None], 1j])
def test_other_values_are_named(value):
    with pytest.raises(InputError, match=r"^it.* is a .*, which cannot be saved"):
        Packing(()).pack(value, "it")


def test_objects_in_tables_are_refused():
    with pytest.raises(InputError, match="of 2 dimensions"):
        Packing(()).pack(np.array([[None]]), "it")
