import pytest

from flatmin.report.fitted_sections import fit_section, repeat_section, shown_share


@pytest.mark.parametrize(
    ("chosen", "part"),
    [
        (None, "This fit predicts"),
        ("offsets", "held-out values several models were compared, and the best one predicts: the offsets alone"),
        ("0.3", "0.3 of the penalty"),
    ],
)
def test_the_model_that_predicts_is_named(chosen, part):
    section = fit_section("It is so.", "values", {"predicts": chosen, "rank": 2, "alpha": 0.1, "model": "d"}, None)
    assert part in section.prose[0]
    assert "in the report of its model, in d" in section.prose[1]


def test_shares():
    assert (shown_share(0.9), shown_share(None)) == ("90 %", "–")


def test_the_command_the_seed_and_the_versions_are_listed():
    section = repeat_section("flatmin impute t.csv", 3)
    facts = {fact.name: fact.value for fact in section.facts}
    assert section.code == "flatmin impute t.csv"
    assert facts["Seed"] == "3"
    assert {"flatmin", "Python", "NumPy", "SciPy", "scikit-learn"} <= facts.keys()
