"""Side information: kinds of input, missing features, and units."""

import numpy as np
import pandas as pd

from flatmin.estimators._pairs.side_information import SideInformation


def test_missing_features_count_as_the_mean():
    side = SideInformation.from_parameter({1: [1.0, np.nan], 2: [3.0, 5.0], 4: [9.0, 7.0]}, "row_features")
    features, spread = side.standardised(np.array([1, 2, 3, 4]), np.array([True, True, True, False]))
    np.testing.assert_allclose(features, [[-1, 0], [1, 0], [0, 0], [7, 0]])
    np.testing.assert_allclose(spread, [1, np.inf])


def test_frames_have_ids_in_their_index():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]}, index=["y", "x"])
    side = SideInformation.from_parameter(frame, "row_features")
    assert side.ids.tolist() == ["x", "y"]
    np.testing.assert_array_equal(side.values, [[np.nan, 0.0], [1.0, 1.0]])
    assert side.mapping()["y"] == [1.0, 1.0]
    assert SideInformation.from_parameter(None, "row_features") is None
