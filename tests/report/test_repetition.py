from flatmin.report.repetition import repeat_section


def test_the_command_the_seed_and_the_versions_are_listed():
    section = repeat_section("flatmin impute t.csv", 3)
    facts = {fact.name: fact.value for fact in section.facts}
    assert section.code == "flatmin impute t.csv"
    assert facts["Seed"] == "3"
    assert {"flatmin", "Python", "NumPy", "SciPy", "scikit-learn"} <= facts.keys()
