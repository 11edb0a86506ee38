"""The display of the loss along two directions."""

import numpy as np
import pytest

from flatmin.lab.displays.training.slices import Slice, SlicesDisplay


class Valley:
    H = np.diag([8.0, 2.0])

    def value(self, w):
        return float(w @ self.H @ w) / 2

    def gradient(self, w):
        return self.H @ w


def _slice(label="valley", at=(0.0, 0.0)):
    return Slice.from_loss(label, Valley(), np.array(at), 0.5)


def test_the_curvatures_are_those_of_the_losses():
    found = _slice()
    assert found.curvatures == pytest.approx((8.0, 2.0))
    for row, curvature in zip(found.losses, found.curvatures, strict=True):
        assert row == pytest.approx(curvature / 2 * found.steps**2)


def test_panels_have_one_scale_and_a_title_each():
    display = SlicesDisplay(name="slices", title="Loss", slices=[_slice(), _slice("slope", (1.0, 0.0))])
    panels = display.plot().ax_.child_axes
    assert [panel.get_title() for panel in panels] == ["valley", "slope"]
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert len(display.ax_.get_legend().get_texts()) == 2
    assert display.table()[1][1] == ("slope", pytest.approx(8.0), pytest.approx(2.0), 4.0)
    assert "valley: curvature 8 along the sharpest, 2 along the flattest direction." in display.alt


def test_steep_panels_are_cut_and_many_have_several_rows():
    steep = Slice("cliff", np.linspace(-0.5, 0.5, 3), np.array([[900.0, 0, 900], [0, 0, 0]]), (7200.0, 0.0))
    display = SlicesDisplay(name="slices", title="Loss", slices=[_slice(), steep, _slice(), _slice()])
    panels = display.plot().ax_.child_axes
    assert display.grid == (2, 2)
    assert {panel.get_ylim()[1] for panel in panels} == {1.05 * 4 * 1.0}
    places = [panel.get_position().bounds for panel in panels]
    assert places[0][1] == places[1][1] > places[2][1] + places[2][3]
    assert [bool(panel.get_xlabel()) for panel in panels] == [False, False, True, True]
    wide = SlicesDisplay(name="slices", title="Loss", slices=display.slices, wide=True)
    assert wide.grid == (4, 1)
    assert wide.size[1] < display.size[1]


def test_without_slices_it_says_so():
    empty = SlicesDisplay(name="slices", title="Loss", slices=[])
    assert empty.plot().ax_.texts[0].get_text() == "no trials yet"
    assert empty.words == []
