"""The display of the loss along two directions."""

import numpy as np
import pytest

from flatmin.lab.displays.training.slices import Slice, SlicesDisplay


def _slice(label="valley", at=(0.0, 0.0)):
    H = np.diag([8.0, 2.0])
    return Slice.from_loss(label, lambda w: float(w @ H @ w) / 2, np.array(at), H, 0.5)


def test_the_curvatures_are_those_of_the_losses():
    found = _slice()
    assert found.curvatures == (8.0, 2.0)
    for row, curvature in zip(found.losses, found.curvatures, strict=True):
        assert row == pytest.approx(curvature / 2 * found.steps**2)


def test_panels_have_one_scale_and_a_title_each():
    display = SlicesDisplay(name="slices", title="Loss", slices=[_slice(), _slice("slope", (1.0, 0.0))])
    panels = display.plot().ax_.child_axes
    assert [panel.get_title() for panel in panels] == ["valley", "slope"]
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert len(display.ax_.get_legend().get_texts()) == 2
    assert display.table()[1][1] == ("slope", 8.0, 2.0, 4.0)
    assert "valley: curvature 8 along the sharpest, 2 along the flattest direction." in display.alt


def test_without_slices_it_says_so():
    empty = SlicesDisplay(name="slices", title="Loss", slices=[])
    assert empty.plot().ax_.texts[0].get_text() == "no trials yet"
    assert empty.words == []
