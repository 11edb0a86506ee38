"""Options that several commands share."""

from pathlib import Path

import pytest

from flatmin import InputError
from flatmin.cli.options import (
    check_confidence,
    clip_bounds,
    exclude_model,
    exclusive,
    in_options,
    pair,
    whole_numbers,
)


def test_numbers_separated_by_commas():
    assert pair("shape", "30,20") == (30, 20)
    assert whole_numbers("rank", "2") == (2,)
    with pytest.raises(InputError, match=r"--shape is '30', expected two positive whole numbers such as 30,20"):
        pair("shape", "30")
    with pytest.raises(InputError, match=r"--rank is 'two', expected a whole number, or two such as 2,1"):
        whole_numbers("rank", "two")


def test_options_that_exclude_each_other():
    exclusive(weight=1.0, tau=None)
    with pytest.raises(InputError, match="--weight and --tau exclude each other, expected one of them"):
        exclusive(weight=1.0, tau=2.0)


def test_messages_name_the_option_and_others_stay():
    for name, message in {"max_rank": "--max-rank is 0", "the number of masks": "--masks is 0"}.items():
        with pytest.raises(InputError, match=message), in_options(["max_rank", "the number of masks"]):
            raise InputError(f"{name} is 0")
    with pytest.raises(InputError, match=r"^b is complex"), in_options(["max_rank"]):
        raise InputError("b is complex")


def test_bounds_of_clip():
    assert clip_bounds(None) is None
    assert clip_bounds("observed") is None
    assert clip_bounds("1,5") == (1, 5)
    assert clip_bounds(",5", open_ended=True) == (-float("inf"), 5)
    for text in (",5", "5,1", "1", "1,inf", "a,b"):
        with pytest.raises(InputError, match=r"--clip is .*, expected LO,HI such as 1,5, or observed"):
            clip_bounds(text)


def test_options_of_a_fit_exclude_a_model():
    exclude_model(None, {"alpha": 1.0})
    exclude_model(Path("d"), {"alpha": None})
    with pytest.raises(InputError, match="--alpha and --model exclude each other"):
        exclude_model(Path("d"), {"alpha": 1.0})
    check_confidence(0.5)
    with pytest.raises(InputError, match="--confidence is 1, expected"):
        check_confidence(1)
