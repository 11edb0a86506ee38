"""The study of real data in raw units at a small size."""

import numpy as np
import pytest

from flatmin.lab.studies import real_data
from flatmin.lab.studies import regression as study

pytest.importorskip("sklearn")


@pytest.mark.slow
def test_the_quick_study_compares_all_methods_on_all_data():
    findings = study.STUDY.run(quick=True, seed=1)
    for name in study.SOURCES:
        first = [row for row in findings.rows if row["data"] == name and row["seed"] == 0]
        assert [row["method"] for row in first if row["network"] != study.LINE] == list(study.STRENGTHS)
        assert [row["method"] for row in first if row["network"] == study.LINE] == [study.STANDARD]
    assert all(np.isfinite(row["error"]) for row in findings.rows)
    assert {ax.get_title() for ax in findings.figure().axes} == set(study.SOURCES)


def test_inputs_keep_their_ratios_and_have_a_constant():
    source = study.SOURCES["diabetes"]
    (x, y), _, (z, _) = study._draw(source, seed=0)
    raw = real_data.parts(*source.load(), source.sizes, 0)[0][0]
    np.testing.assert_allclose(x[:, :-1] / np.sqrt(np.mean(x[:, :-1] ** 2)), raw / np.sqrt(np.mean(raw**2)))
    assert np.all(x[:, -1] == 1)
    assert len(z) == 442 - sum(source.sizes)
    assert y.mean() == pytest.approx(0, abs=1e-12)
    assert y.std() == pytest.approx(1)
