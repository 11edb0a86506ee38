"""The section about the certified error radius."""

from dataclasses import replace

import numpy as np
import pytest

from flatmin.report.radius import radius_section
from flatmin.report.vocabulary import DETERMINED, PRODUCT, SPLIT
from tests.report.made import CERTIFICATE, STABILITY

PROVED = replace(CERTIFICATE, radius=1e-9, stability=STABILITY)


def section(certificate, terms=PRODUCT):
    return radius_section(certificate, np.ones(4), 2.0, terms, "A sentence of the view.")


@pytest.mark.parametrize("terms", [PRODUCT, DETERMINED, SPLIT])
def test_a_radius_has_a_table_and_a_sentence_about_the_truth(terms):
    found = section(PROVED, terms)
    text = " ".join(found.prose)
    assert "within the certified error radius of this one" in text
    assert "truth" in text
    assert "A sentence of the view." in text
    assert found.table is not None
    assert found.table.rows[0][0] == ("0, as good as this one" if terms.splits else "0, exact data")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"holds": False}, "takes a complete certificate"),
        ({"unique": False}, "another solution was found"),
        ({"margin_kind": "estimated"}, "only estimated"),
        ({}, "too close to rounding error"),
    ],
)
def test_without_a_radius_the_reason_is_given(changes, expected):
    found = section(replace(CERTIFICATE, radius=None, **changes))
    assert found.table is None
    assert expected in " ".join(found.prose)


def test_unseen_directions_are_told_and_radii_are_rounded_up():
    found = section(replace(PROVED, unseen=2))
    assert "This compares matrices that vanish in 2 directions" in " ".join(found.prose)
    assert "This compares" not in " ".join(section(PROVED).prose)
    only = section(replace(PROVED, radius=1.2341, stability=None))
    assert "That is 1.24, 0.618 of ‖X‖" in " ".join(only.prose)
