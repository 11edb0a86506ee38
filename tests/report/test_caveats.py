"""Caveats: what a certificate does not say."""

from flatmin.report.caveats import caution, caveats
from flatmin.report.vocabulary import DETERMINED, SIGNED, SPLIT


def test_limits_below_and_above_the_counting_bound() -> None:
    def said(**changes):
        defaults = {
            "shape": (10, 8),
            "rank": 2,
            "n_measurements": 200,
            "exact": True,
            "metric_power": 1.0,
            "error": None,
        }
        return " ".join(caveats(**{**defaults, **changes}))

    assert "200 measurements: 6.2 for each" in said()
    assert "not a discovery" in said(n_measurements=20)
    assert "the noise" in said()
    assert "pulls the solution" in said(exact=False)
    assert "This solution is not the truth" in said(error=0.1)
    assert "The two agree" in said(error=1e-9)
    assert "not the flat one" in said(metric_power=0.5)
    assert said(rank=0).startswith("The flattest solution need not be the truth")


def test_caution_only_where_measurements_are_too_few() -> None:
    assert caution(32, 200) == ""
    assert "32 degrees" in caution(32, 20)
    assert caution(0, 1) == ""


def test_a_fit_that_is_the_only_one_needs_no_caution() -> None:
    assert "A fit need not be the truth" in caution(32, 20, DETERMINED)
    assert caution(32, 20, DETERMINED, unique=True) == ""
    assert "The flattest solution need not be the truth" in caution(32, 20, SIGNED, unique=True)


def test_gross_errors_count_as_degrees_of_freedom() -> None:
    assert caution(32, 50, SPLIT, errors=18) == ""
    said = caution(32, 49, SPLIT, errors=18)
    assert said.startswith(
        "The best split need not be the true one: a matrix of this rank with 18 errors has 50 degrees"
    )
    assert said.endswith("more than the 49 observed cells.")
