"""The benchmarks' own rules: what the referee measures, when a wish is met, what tables and exponents say."""

import json
import math

import numpy as np
import pytest
from benchmarks import growth, markdown, plan, ratios, referee, report, runs
from benchmarks.wishes import Wish

import flatmin as fm


def test_an_answer_without_duals_is_judged_by_the_data_alone():
    instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    judged = referee.verdict(instance.problem, instance.truth, instance.truth)
    assert judged["holds"]
    assert judged["error"] == 0
    wrong = referee.verdict(instance.problem, instance.truth, 1.001 * instance.truth)
    assert not wrong["holds"]
    assert wrong["residual"] == pytest.approx(1e-3, rel=1e-6)
    assert wrong["error"] == pytest.approx(1e-3, rel=1e-6)


def test_tables_with_gross_errors_are_judged_by_their_objective(monkeypatch):
    instance = fm.families.robust_pca.sample((30, 25), 1, corruption=0.1, seed=0)
    problem, truth = instance.problem, instance.truth
    monkeypatch.setattr(referee, "reference", lambda problem: None)
    found = fm.flat_minimum(problem).matrix
    for given in (truth, found):
        judged = referee.verdict(problem, truth, given)
        assert judged["residual"] == 0
        assert judged["gap"] is None
        assert not judged["holds"]
        assert judged["gap size"] < 1e-8
    wrong = 1.01 * truth
    judged = referee.verdict(problem, truth, wrong)
    weight, data = problem.loss.weight_for(problem.shape), problem.data
    value, best = (
        np.linalg.svd(X, compute_uv=False).sum() + weight * np.abs(data - problem.measurement.forward(X)).sum()
        for X in (wrong, truth)
    )
    assert judged["gap size"] == pytest.approx(value / best - 1, rel=1e-6)
    assert judged["gap size"] > 1e-3
    assert judged["error"] == pytest.approx(0.01)


def test_without_a_dual_vector_the_fit_counts_and_the_gap_is_open(monkeypatch):
    instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    monkeypatch.setattr(referee, "reference", lambda problem: None)
    judged = referee.verdict(instance.problem, instance.truth, 1.001 * instance.truth)
    assert judged["residual"] == pytest.approx(1e-3, rel=1e-6)
    assert judged["gap size"] == pytest.approx(1e-3, rel=1e-6)
    assert (judged["gap"], judged["holds"]) == (None, False)
    assert referee.verdict(instance.problem, instance.truth, instance.truth)["gap size"] == 0


def test_a_solution_that_claims_to_be_certified_is_judged_by_its_factors():
    instance = fm.families.matrix_completion.sample((20, 15), 1, 200)
    solution = fm.flat_minimum(instance.problem)
    assert referee.verdict(instance.problem, instance.truth, solution)["holds"]
    object.__setattr__(solution, "factors", tuple(1.001 * F for F in solution.factors))
    assert solution.certificate.holds
    lying = referee.verdict(instance.problem, instance.truth, solution)
    assert not lying["holds"]
    assert lying["residual"] > 1e-3


def test_distances_of_factors_are_those_of_their_matrices():
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((8, 2)), rng.standard_normal((6, 2))
    other = (L + 1e-9 * rng.standard_normal(L.shape), R)
    expected = np.linalg.norm((other[0] - L) @ R.T) / np.linalg.norm(L @ R.T)
    problem = fm.Problem(fm.measurements.Entries([0], [0], (8, 6)), [1.0])
    assert referee.distance(problem, (L, R), other) == pytest.approx(expected, rel=1e-5)
    assert referee.distance(problem, (L, R), other[0] @ R.T) == pytest.approx(expected, rel=1e-5)


def test_signals_are_measured_up_to_the_phase():
    instance = fm.families.phase_retrieval.sample(10, 1, 80, real=False, seed=1)
    z = np.exp(0.7j) * instance.truth
    assert referee.distance(instance.problem, instance.truth, (z.reshape(-1, 1),)) < 1e-14
    assert referee.distance(instance.problem, instance.truth, z[::-1]) > 0.1


def test_the_best_dual_vector_is_kept_for_the_judgement_of_others(tmp_path, monkeypatch):
    monkeypatch.setenv(referee.DUALS, str(tmp_path))
    instance = fm.families.matrix_completion.sample((20, 15), 1, 200)
    solution = fm.flat_minimum(instance.problem)
    referee.verdict(instance.problem, instance.truth, solution)
    np.testing.assert_array_equal(referee.reference(instance.problem), solution.certificate.dual)
    worse = fm.certify(instance.problem, solution.factors, np.zeros(200))
    referee.keep(instance.problem, worse)
    np.testing.assert_array_equal(referee.reference(instance.problem), solution.certificate.dual)


def test_negative_eigenvalues_of_an_answer_are_dropped_where_the_model_has_none():
    problem = fm.families.covariance.sample(5, 2, 40).problem
    (U,) = referee.semidefinite(problem, np.diag([1.0, 2.0, 0.0, -1e-6, 0.0]))
    np.testing.assert_allclose(U @ U.T, np.diag([1.0, 2.0, 0, 0, 0]), atol=1e-15)


def test_uniqueness_that_the_truth_contradicts_is_not_honest():
    instance = fm.families.covariance.sample(6, 2, 60)
    solution = fm.flat_minimum(instance.problem)
    assert solution.certificate.unique
    assert referee.honest(instance.problem, solution, solution.certificate, 1e-9)
    assert not referee.honest(instance.problem, solution, solution.certificate, 0.5)


def test_the_worst_of_several_draws_counts():
    one = {"seconds": 1.0, "gap": -1e-9, "gap size": 1e-9, "unique": True, "margin": 0.2, "margin kind": "dense"}
    two = {"seconds": 0.5, "gap": 1e-12, "gap size": 1e-12, "unique": True, "margin": 0.1, "margin kind": "dense"}
    assert ratios.worst([one, two]) == one | {"margin": 0.1}
    assert ratios.worst([one, two | {"unique": None}])["unique"] is None
    assert ratios.worst([one, two | {"unique": False}])["unique"] is False


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


def judged(seconds, accuracy, seed=0, **more):
    known = {"target": 1e-7, "gap": accuracy, "gap size": accuracy, "residual": 0.0, "error": accuracy, "holds": True}
    return {"seconds": seconds, "accuracy": accuracy, "seed": seed, "repetition": 0, "memory": 10.0, **known, **more}


def test_time_is_that_of_the_first_run_that_meets_the_target():
    rows = [judged(1.0, 1e-5), judged(4.0, 1e-8), judged(3.0, 1e-8, repetition=1)]
    found = ratios.judgement({"rows": rows})
    assert (found["seconds"], found["reached"]) == (3.0, True)
    assert ratios.judgement({"rows": rows[:1]})["reached"] is False
    both = ratios.judgement({"rows": [*rows, judged(5.0, 1e-9, seed=1)]})
    assert both["seconds"] == 5.0
    assert [one["seconds"] for one in both["each"]] == [3.0, 5.0]


def test_a_sweep_costs_what_more_sweeps_cost_more():
    rows = [judged(2.0, 1.0, sweeps=1), judged(3.0, 0.5, sweeps=3), judged(6.5, 0.1, sweeps=10)]
    assert ratios.judgement({"rows": rows})["seconds a sweep"] == pytest.approx(0.5)
    assert "seconds a sweep" not in ratios.judgement({"rows": rows[:1]})


@pytest.fixture
def book(tmp_path):
    return runs.Book(tmp_path / "runs.jsonl")


CASE = plan.Case(
    "small", "robust PCA", "robust_pca", "gross", {"d1": 9}, (Wish("seconds", "≤", 1),), {"pyrpca": 80.0, "scs": None}
)


def test_a_table_has_ratios_wishes_and_reasons(book):
    empty = ratios.family_table("robust PCA", [CASE], book)
    assert "not run" in empty
    assert "MISSED" not in empty
    book.write(CASE.run("flatmin"), {"rows": [judged(0.5, 1e-9)]})
    book.write(CASE.run("pyrpca"), {"rows": [judged(20.0, 1e-8)]})
    book.write(CASE.run("scs"), {"failure": "not installed: scs"})
    lines = ratios.family_table("robust PCA", [CASE], runs.Book(book.file)).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| 0.5 |" in lines[2]
    assert "seconds ≤ 1 ok" in lines[2]
    assert "| 40 | ≥ 80 **MISSED** |" in lines[3]
    assert "not installed: scs" in lines[4]
    assert len(ratios.misses([CASE], book)) == 1
    book.write(CASE.run("pyrpca"), {"rows": [judged(60.0, 1e-3)]})
    assert "| 60 (to 1e-03) | > 120 | ≥ 80 ok |" in ratios.family_table("robust PCA", [CASE], book)


def test_two_threads_are_compared_with_one(book):
    alone = plan.Case("one", "sweeps", "penalised", "noisy").run("flatmin")
    fields = {"wishes": (Wish("speed-up", "≥", 1.8),), "threads": 2, "beside": {"speed-up": alone}}
    case = plan.Case("two", "sweeps", "penalised", "noisy", **fields)
    book.write(case.run("flatmin"), {"rows": [judged(0.5, 1e-9)]})
    assert "speed-up ≥ 1.8 **MISSED**" in ratios.family_table("sweeps", [case], book)
    book.write(alone, {"rows": [judged(0.95, 1e-9)]})
    assert "speed-up ≥ 1.8 ok" in ratios.family_table("sweeps", [case], book)
    book.write(alone, {"rows": [judged(0.8, 1e-9)]})
    assert "speed-up ≥ 1.8 **MISSED**" in ratios.family_table("sweeps", [case], book)


def test_ratios_are_of_the_time_to_fit_where_the_proof_comes_after_it(book):
    soon = Wish("seconds / seconds to fit", "≤", 3)
    fields = {"wishes": (soon,), "others": CASE.others, "measure": "seconds to fit"}
    case = plan.Case("fit", "robust PCA", "robust_pca", "gross", **fields)
    book.write(case.run("flatmin"), {"rows": [judged(0.4, 1e-9) | {"seconds to fit": 0.2}]})
    book.write(case.run("pyrpca"), {"rows": [judged(16.0, 1e-9)]})
    lines = ratios.family_table("robust PCA", [case], book).splitlines()
    assert "| 0.2 |  | seconds / seconds to fit ≤ 3 ok | 0.4 |" in lines[2]
    assert "| 16 | 80 | ≥ 80 ok | 16 |" in lines[3]
    book.write(case.run("flatmin"), {"rows": [judged(0.7, 1e-9) | {"seconds to fit": 0.2}]})
    assert "≤ 3 **MISSED**" in ratios.family_table("robust PCA", [case], book)


def test_of_a_sweep_no_accuracy_is_asked(book):
    case = plan.Case("sweep", "sweeps", "penalised", "noisy", others={"cmfrec": None}, measure="seconds a sweep")
    for solver, seconds in (("flatmin", 1.0), ("cmfrec", 3.0)):
        rows = [judged(count * seconds, 0.9) | {"sweeps": count} for count in (1, 4)]
        book.write(case.run(solver), {"rows": rows})
    table = ratios.family_table("sweeps", [case], book)
    assert "| cmfrec | 3 | 3 |" in table
    assert ">" not in table


def test_sweeps_are_the_least_of_each_length():
    rows = [
        judged(9.0, 1.0, sweeps=1),
        judged(9.5, 1.0, sweeps=4),
        judged(1.0, 1.0, sweeps=1),
        judged(7.0, 1.0, sweeps=4),
    ]
    assert ratios.judgement({"rows": rows})["seconds a sweep"] == pytest.approx(2.0)


def test_who_misses_the_target_wins_nothing_and_loses_nothing(book):
    book.write(CASE.run("flatmin"), {"rows": [judged(0.5, 1e-3)]})
    book.write(CASE.run("pyrpca"), {"rows": [judged(60.0, 1e-9)]})
    assert "| 120 | ≥ 80 **MISSED** |" in ratios.family_table("robust PCA", [CASE], book)
    book.write(CASE.run("flatmin"), {"rows": [judged(0.5, 1e-9)]})
    book.write(CASE.run("pyrpca"), {"rows": [judged(20.0, 1e-3)]})
    assert "| > 40 | ≥ 80 open |" in ratios.family_table("robust PCA", [CASE], book)


def test_what_was_measured_of_other_data_does_not_count(book, tmp_path, monkeypatch):
    run = runs.Run("folder", "gross[d1=9]", "soft-one[tol=1]")
    folder = tmp_path / "benchmarks" / "folder"
    for place, name in (("datasets", "gross"), ("solvers", "soft-one")):
        (folder / place).mkdir(parents=True)
        (folder / place / "file.py").write_text(f'name = "{name}"')
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    book.write(run, {"rows": []})
    assert run in runs.Book(book.file)
    (folder / "solvers" / "other.py").write_text('name = "other"')
    assert run in book
    (folder / "solvers" / "file.py").write_text('name = "soft-one"\ntol = 2')
    assert run not in book
    assert book[run] == {"failure": "not run"}


def test_a_book_goes_on_where_it_stopped(book, monkeypatch):
    made = []

    def performed(run):
        made.append(run)
        return {"rows": [judged(1.0, 1e-9)]}

    monkeypatch.setattr(runs, "perform", performed)
    report.carry_out([CASE.run("flatmin")], book)
    report.carry_out(CASE.runs().values(), runs.Book(book.file))
    assert [run.solver for run in made] == ["flatmin", "pyrpca", "scs"]
    again = runs.Book(book.file)
    report.forget(again, ["scs"], [CASE])
    assert CASE.run("flatmin") in again
    assert CASE.run("scs") not in again


def test_how_a_process_ended_is_told():
    said = runs.outcome(0, 'words\n{"rows": []}\n', "")
    assert said == {"rows": []}
    assert runs.outcome(1, "    Reason: too large\n", "RuntimeError: failed") == {"skipped": "too large"}
    assert runs.outcome(1, "", "Traceback\nValueError: no") == {"failure": "ValueError: no"}
    assert runs.outcome(-9, "", "") == {"failure": "killed by signal 9"}


def test_exponents_are_fitted_with_their_error():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    power, error, constant = growth.exponent(x, 3 * x**1.5)
    assert (power, constant) == (pytest.approx(1.5), pytest.approx(3))
    assert error < 1e-12
    noise = np.random.default_rng(0).standard_normal(200) * 0.1
    x = np.linspace(1, 100, 200)
    power, error, _ = growth.exponent(x, x**2 * np.exp(noise))
    design = np.c_[np.log(x), np.ones(200)]
    covariance = np.linalg.inv(design.T @ design)[0, 0]
    assert error == pytest.approx(np.sqrt(covariance) * 0.1, rel=0.15)
    assert abs(power - 2) < 4 * error
    assert math.isnan(growth.exponent([1.0], [1.0])[0])
    assert math.isnan(growth.exponent([1.0, 2.0], [1.0, 2.0])[1])


def test_growth_is_drawn_with_its_exponents(book, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "IMAGES", tmp_path)
    assert "growth-" not in growth.draw(book)
    first = growth.lines()[0]
    for value, run in zip(first.values, first.runs(), strict=True):
        book.write(run, {"rows": [judged(value**1.25, 1e-9, memory=2 * value)]})
    section = growth.draw(book)
    assert "| 1.25 ± 0.00 |" in section
    assert "(images/growth-completion.svg)" in section
    assert (tmp_path / "growth-completion.svg").read_text().startswith("<?xml")


def test_a_block_of_a_document_is_replaced_in_place(tmp_path):
    file = tmp_path / "a.md"
    file.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    assert markdown.replace_block(file, "t", "new")
    assert markdown.replace_block(file, "t", "newer")
    assert file.read_text() == "before\n<!-- t -->\nnewer\n<!-- /t -->\nafter\n"
    assert not markdown.replace_block(file, "other", "new")
    assert not markdown.replace_block(tmp_path / "none.md", "t", "new")


def test_what_sets_others_apart_is_said():
    assert ratios.label("pymanopt") == "pymanopt (given the rank)"
    assert ratios.label("implicit[method=cg]") == "implicit[method=cg] (another loss)"
    assert ratios.label("scs") == "scs"
    assert ratios.label("softimpute-als", "completion") == "softimpute-als (another norm, given twice the rank)"
    assert ratios.label("softimpute-als", "sweeps") == "softimpute-als (another norm)"


def test_headlines_fit_in_the_readme():
    assert 5 <= sum(case.headline for case in plan.CASES) <= 12


KEPT = {"rows", "failure", "skipped", "text"}


def whole(file):
    """Return whether every line of a book says what became of a run."""
    records = [json.loads(line) for line in file.read_text().splitlines()]
    return all(record.keys() >= {"benchmark", "date", "processor"} and record.keys() & KEPT for record in records)


def test_results_that_are_kept_are_whole(book):
    canned = [{"rows": [judged(1.0, 1e-9)]}, {"failure": "not installed: scs"}, {"skipped": "too large"}]
    for run, result in zip([*CASE.runs().values()], canned, strict=True):
        book.write(run, result)
    book.write(plan.PRINTED[0], {"text": "| loop |"})
    book.tidy()
    assert whole(book.file)
    assert len(runs.Book(book.file).records) == 4
    book.file.write_text(book.file.read_text() + json.dumps({"benchmark": "penalised"}) + "\n")
    assert not whole(book.file)
    if runs.BOOK.exists():
        assert whole(runs.BOOK)


def test_memory_is_that_of_the_first_repetition():
    rows = [judged(2.0, 1e-9, memory=30.0), judged(1.0, 1e-9, memory=90.0, repetition=1)]
    found = ratios.judgement({"rows": rows})
    assert (found["seconds"], found["memory"]) == (1.0, 30.0)
    assert ratios.judgement({"rows": [judged(2.0, 1e-9, memory=None)]})["memory"] is None


def test_documents_have_what_loops_reach_of_the_machine(book, tmp_path, monkeypatch):
    short, long = tmp_path / "README.md", tmp_path / "performance.md"
    short.write_text("<!-- performance -->\n<!-- /performance -->\n")
    markers = ("headlines", "kernels", "performance")
    long.write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in markers))
    monkeypatch.setattr(report, "SHORT", short)
    monkeypatch.setattr(report, "LONG", long)
    monkeypatch.setattr(growth, "IMAGES", tmp_path)
    book.write(plan.PRINTED[0], {"text": "| loop | 0.5 |"})
    report.write(book)
    before, _, after = long.read_text().partition("<!-- /kernels -->")
    assert "| loop | 0.5 |" in before
    assert "kernels --large`: not run" in before
    assert "### Completion" in after
    headlines = [line for line in before.partition("<!-- /headlines -->")[0].splitlines() if line.startswith("| ")]
    front = [line for line in short.read_text().splitlines() if line.startswith("| ")]
    assert len(front) == 1 + len(report.FRONT)
    assert set(front) < set(headlines)
    assert report.printed(book) in before


def test_small_problems_come_before_what_is_timed(monkeypatch):
    pytest.importorskip("benchopt")
    made = []
    monkeypatch.setattr(runs, "repetition", lambda run, folder, count: made.append(run.dataset) or [])
    for benchmark, data, solver in (
        ("penalised", "movielens[reg=0.1]", "flatmin"),
        ("penalised", "noisy[d=9]", "cmfrec[method=cg]"),
        ("penalised", "noisy[d=9]", "spark-als"),
        ("dense", "phase[d=9]", "amplitude-flow"),
    ):
        runs.warm_up(runs.Run(benchmark, data, solver), runs.ROOT / "benchmarks" / benchmark)
    small, large, alike, phase = made
    assert small == alike == "noisy[d=40,d2=70,m=900,k=2,reg=0.1,noise=0.5,seed=0]"
    assert large == runs.LARGE_ENOUGH["movielens"]
    assert phase.startswith("phase[d=8,m=80,real=True")
