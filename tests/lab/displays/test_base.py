"""The base class of displays: names, sizes, and axes."""

from dataclasses import dataclass

import pytest

from flatmin.errors import InputError
from flatmin.lab.displays import Display


@dataclass(kw_only=True)
class Empty(Display):
    entries: tuple = ()

    @property
    def words(self):
        return list(self.entries)

    @property
    def alt(self):
        return "nothing"

    def table(self):
        return ["a"], []

    def paint(self, ax):
        ax.set_xlabel("x")


@pytest.mark.parametrize("name", ["", "A", "a b", "a_b", "-a"])
def test_a_name_is_made_of_small_letters_digits_and_hyphens(name):
    with pytest.raises(InputError, match="expected small letters, digits and hyphens"):
        Empty(name=name, title="T")


def test_a_long_legend_adds_to_the_height():
    low, high = (Empty(name="a", title="T", entries=("a long entry " * 4,) * count) for count in (2, 9))
    assert low.size[1] < high.size[1]
    assert Empty(name="a", title="T", wide=True).size[0] > low.size[0]


def test_it_is_drawn_into_given_axes_or_new_ones():
    first = Empty(name="a", title="T").plot()
    assert first.ax_.get_xlabel() == "x"
    assert Empty(name="b", title="T").plot(first.ax_).figure_ is first.figure_
