"""The benchmarks' own rules: who competes where, what the referee measures, when a wish is met."""

import numpy as np
import pytest
from benchmarks import referee, report
from benchmarks.competitors import amplitude_flow, wirtinger_flow
from benchmarks.instances import CASES, Wish

import flatmin as fm


def test_every_competitor_serves_families_that_have_cases():
    families = {case.family for case in CASES.values()}
    competitors = report.competitors()
    assert {"scs", "clarabel", "amplitude_flow", "wirtinger_flow", "pyrpca", "tensorly"} <= set(competitors)
    for module in competitors.values():
        assert set(module.FAMILIES) <= families
        assert callable(module.solve)
    for case in CASES.values():
        assert set(case.slower) <= set(competitors)
        assert case.wishes or case.slower


def test_quick_leaves_out_the_slow_ones():
    assert not {"clarabel", "tensorly"} & set(report.competitors(quick=True))


@pytest.mark.parametrize("flow", [amplitude_flow, wirtinger_flow])
@pytest.mark.parametrize("real", [True, False])
def test_flows_find_the_signal_and_the_referee_measures_it_up_to_the_phase(flow, real):
    instance = fm.families.phase_retrieval.sample(30, 1, 300, real=real, seed=1)
    z = flow.solve(instance.problem, 1e-12)
    assert referee.distance(instance, z) < 1e-10
    assert referee.distance(instance, (np.exp(0.7j) * z[:, None],)) < 1e-10
    assert referee.distance(instance, z[::-1]) > 0.1


def test_an_answer_without_duals_is_judged_by_the_data_alone():
    instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    case = CASES["sensing 60x50 r2 m880"]
    judged = referee.verdict(case, instance, instance.truth)
    assert judged["holds"]
    assert judged["error"] == 0
    wrong = referee.verdict(case, instance, 1.001 * instance.truth)
    assert not wrong["holds"]
    assert wrong["residual"] == pytest.approx(1e-3, rel=1e-6)
    assert wrong["error"] == pytest.approx(1e-3, rel=1e-6)


def test_negative_eigenvalues_of_an_answer_are_dropped_where_the_model_has_none():
    problem = fm.families.covariance.sample(5, 2, 40).problem
    (U,) = referee.semidefinite(problem, np.diag([1.0, 2.0, 0.0, -1e-6, 0.0]))
    np.testing.assert_allclose(U @ U.T, np.diag([1.0, 2.0, 0, 0, 0]), atol=1e-15)


def test_the_worst_of_several_draws_counts():
    one = {"seconds": 1.0, "gap": -1e-9, "gap size": 1e-9, "unique": True, "margin": 0.2, "margin kind": "dense"}
    two = {"seconds": 0.5, "gap": 1e-12, "gap size": 1e-12, "unique": True, "margin": 0.1, "margin kind": "dense"}
    assert referee.worst([one, two]) == one | {"margin": 0.1}
    assert referee.worst([one, two | {"unique": None}])["unique"] is None
    assert referee.worst([one, two | {"unique": False}])["unique"] is False


@pytest.mark.parametrize(
    ("wish", "good", "bad"),
    [
        (Wish("seconds", "≤", 1), 1.0, 1.1),
        (Wish("margin", "≥", 0.08), 0.09, 0.07),
        (Wish("margin", "≥", 0.08), 0.09, None),
        (Wish("error", "≤", 1e-12), 1e-12, np.inf),
        (Wish("unique", "=", True), True, None),
        (Wish("unique", "=", True), True, False),
        (Wish("rank", "=", 5), 5, 6),
    ],
)
def test_a_wish_is_met_or_missed(wish, good, bad):
    assert wish.met({wish.name: good})
    assert not wish.met({wish.name: bad})
    assert not wish.met({})


def test_uniqueness_that_the_truth_contradicts_is_not_honest():
    instance = fm.families.covariance.sample(6, 2, 60)
    solution = fm.flat_minimum(instance.problem)
    assert solution.certificate.unique
    assert referee.honest(instance.problem, solution, solution.certificate, 1e-9)
    assert not referee.honest(instance.problem, solution, solution.certificate, 0.5)


def test_a_missing_package_is_a_line_of_the_table(monkeypatch, capsys):
    failure = {"failure": "not installed: 'pyrpca'"}
    monkeypatch.setattr(report, "run", lambda solver, case: failure)
    report.table([case for case in CASES.values() if case.family == "robust-pca"], report.competitors())
    out = capsys.readouterr().out
    assert out.count("failed: not installed: 'pyrpca'") == 6
    assert out.count("MISSED") == 6
