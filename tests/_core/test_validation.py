"""User input becomes arrays and numbers, or one sentence."""

import numpy as np
import pytest

from flatmin._core.validation import (
    generator,
    integers,
    matrix_shape,
    nonnegative,
    numeric,
    positive,
    real_number,
    seed_number,
    shown,
    whole_number,
)
from flatmin.errors import InputError


def test_what_can_be_converted_is():
    assert numeric([1, True, 2.5], "x").dtype == float
    assert numeric([1j], "x", allow_complex=True).dtype == complex
    assert integers([1.0, 2.0], "x").dtype == np.int64
    assert matrix_shape(np.array([2, 3])) == (2, 3)
    assert (positive(2, "x"), seed_number(np.int64(3)), whole_number(4, "x", 4)) == (2.0, 3, 4)


def test_of_torch_only_tensors_need_a_conversion():
    torch = pytest.importorskip("torch")
    assert numeric(torch.ones(2, requires_grad=True), "x").tolist() == [1.0, 1.0]
    assert integers(torch.ones(3, 2).shape, "x").tolist() == [3, 2]
    with pytest.raises(InputError, match="x holds"):
        numeric(torch.float32, "x")


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


@pytest.mark.parametrize(
    "value", [10**400, 10**5000, -(10**400), np.complex128(1), np.timedelta64(1), True, None, "1"], ids=shown
)
def test_numbers_that_no_float_holds_are_refused(value):
    for check in (
        lambda: nonnegative(value, "alpha"),
        lambda: positive(value, "weight"),
        lambda: seed_number(value),
    ):
        with pytest.raises(InputError) as caught:
            check()
        assert len(str(caught.value)) < 150


def test_real_numbers_are_floats():
    assert [real_number(x) for x in (1, np.int8(2), 0.5, np.float32(0.5))] == [1.0, 2.0, 0.5, 0.5]
    assert (real_number(10**400), real_number(-(10**400))) == (np.inf, -np.inf)
    assert all(np.isnan(real_number(x)) for x in (True, np.bool_(True), 1j, "1", None, np.timedelta64(1), [1.0]))


def test_whole_numbers_must_fit_into_64_bits():
    for array in ([2.0**63], [1e300], np.array([2**64 - 1], np.uint64)):
        with pytest.raises(InputError, match="expected whole numbers below"):
            integers(array, "rows")
    assert integers([-(2**62), 2**62], "rows").tolist() == [-(2**62), 2**62]
    assert matrix_shape((2**31 - 1, 1)) == (2**31 - 1, 1)
    with pytest.raises(InputError, match="at most 2147483647"):
        matrix_shape((2**31, 1))
    with pytest.raises(InputError, match=r"shape is \(1000000.*characters\)"):
        matrix_shape((10**400, 1))


def test_values_in_messages_are_short_and_on_one_line():
    assert shown(1.5) == "1.5"
    assert shown(10**5000) == "a number of thousands of digits"
    assert shown("x" * 1000).endswith("… (1002 characters)")
    assert "\n" not in shown(np.zeros((5, 5)))


def test_a_generator_needs_a_seed():
    assert generator(3).random() == np.random.default_rng(3).random()
    for seed in (-1, "x", 1.5, object()):
        with pytest.raises(InputError, match="seed is"):
            generator(seed)
