"""User input becomes arrays and numbers, or one sentence."""

import numpy as np
import pytest

from flatmin._core.validation import integers, matrix_shape, numeric, positive, seed_number, whole_number
from flatmin.errors import InputError


def test_what_can_be_converted_is():
    assert numeric([1, True, 2.5], "x").dtype == float
    assert numeric([1j], "x", allow_complex=True).dtype == complex
    assert integers([1.0, 2.0], "x").dtype == np.int64
    assert matrix_shape(np.array([2, 3])) == (2, 3)
    assert (positive(2, "x"), seed_number(np.int64(3)), whole_number(4, "x", 4)) == (2.0, 3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numeric([[1], [1, 2]], "x"), "x is ragged"),
        (lambda: numeric(["a"], "x"), "x holds .* expected numbers"),
        (lambda: numeric([1j], "x"), "x is complex"),
        (lambda: numeric([np.nan], "x"), "NaN or infinity"),
        (lambda: integers([[1]], "x"), "one dimension"),
        (lambda: integers([1.5], "x"), "contains 1.5"),
        (lambda: matrix_shape((2,)), "two positive whole numbers"),
        (lambda: matrix_shape((2, 0)), "two positive whole numbers"),
        (lambda: positive(0, "x"), "positive finite number"),
        (lambda: positive(1.0, "x", below=1.0), "between 0 and 1"),
        (lambda: seed_number(-1), "at least 0"),
        (lambda: seed_number(True), "seed is True"),
        (lambda: whole_number(1, "x", 2), "at least 2"),
    ],
)
def test_what_cannot_is_refused_in_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
