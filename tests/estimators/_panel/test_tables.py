"""Tables of panels are read as numbers, with their labels."""

import numpy as np
import pandas as pd
import pytest

from flatmin import InputError
from flatmin.estimators._panel.tables import expect_labels, labels_of, numbers_of


def test_frames_have_numbers_and_labels():
    frame = pd.DataFrame([[1.0, None], [3.0, 4.0]], index=["a", "b"], columns=[1990, 1991])
    np.testing.assert_array_equal(numbers_of(frame, "Y"), [[1.0, np.nan], [3.0, 4.0]])
    units, periods = labels_of(frame)
    assert (units.tolist(), periods.tolist()) == (["a", "b"], [1990, 1991])
    assert labels_of(frame.to_numpy()) is None
    expect_labels(frame.to_numpy(), (units, periods), "treated")
    with pytest.raises(InputError, match="the periods of treated are not those of Y"):
        expect_labels(frame[[1991, 1990]], (units, periods), "treated")
    with pytest.raises(InputError, match="the units of treated are not those of Y"):
        expect_labels(frame.iloc[:1], (units, periods), "treated")


def test_text_is_no_table_of_numbers():
    with pytest.raises(InputError, match="Y is no table of real numbers"):
        numbers_of(np.array([["x", "y"]]), "Y")
