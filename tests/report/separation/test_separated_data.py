import numpy as np

from tests.report.separation.conftest import DATA


def test_names_default_to_positions_and_values_have_units(separated):
    split = separated()
    assert (split.name(2), split.label(3)) == ("2", "3")
    assert separated(names=list("abcdef")).name(2) == "c"
    np.testing.assert_allclose(split.in_units(split.data), DATA / 2)
    assert not split.are_pictures
