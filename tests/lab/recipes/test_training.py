"""Equally flat fits, and flatness over training algorithms: cells against oracles, verdicts on made-up results."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab import Evidence, Result, Store, recipes, sweep
from flatmin.lab.rank_correlation import MIN_PAIRS
from flatmin.lab.recipes import equally_flat, training
from flatmin.lab.recipes._exact_fit import exact_fit
from tests.imports import WITHOUT_TORCH
from tests.lab.recipes.test_exact_fit import drawn, measured

FREE = [name for name, model in training.MODELS.items() if not model.determined]


def null_direction(problem):
    """Return a symmetric H with A(H) = 0 which no combination of sensing matrices sees, and that is all it knows."""
    d = problem.shape[0]
    basis = [np.add(E, E.T) for E in np.eye(d * d).reshape(-1, d, d)]
    seen = np.array([problem.measurement.forward(E) for E in basis]).T
    _, s, Vh = np.linalg.svd(seen)
    return sum(c * E for c, E in zip(Vh[np.sum(s > 1e-10 * s[0])], basis, strict=True))


def evidence_of(recipe, metrics_of, repetitions=8):
    """Return what a sweep would be if every trial returned ``metrics_of(parameters, repetition)``."""
    recipe = replace(recipe, repetitions=repetitions)
    return Evidence(recipe, [Result(t, metrics_of(t.parameters, t.repetition)) for t in recipe.trials()])


def verdicts(recipe, metrics_of, repetitions=8):
    return {claim.text: claim.verdict for claim in recipe.judge(evidence_of(recipe, metrics_of, repetitions))}


def as_claimed(parameters, repetition):
    """Return metrics of `equally_flat.fits` under which the claim is true."""
    determined = equally_flat.MODELS[parameters["model"]].determined
    several = parameters["multiple"] < 3 or not determined
    return {
        "flatness_spread": 1e-15 if determined else 2.0 + 0.01 * repetition,
        "nearest": 0.3 + 0.01 * repetition if several else 1e-15,
        "error_spread": 0.5 + 0.01 * repetition if several else 1e-15,
        "largest_error": 1.0 if several else 1e-14,
        "fits": 8,
        "smallest_rank": 3,
        "largest_rank": 5 + repetition % 2 if several else 3,
        "correlation": None if determined else 0.9 + 0.001 * repetition if parameters["multiple"] < 3 else -0.9,
        "outside": 1e-15 if determined or parameters["model"] == "network" else 0.5,
    }


#: What a claim is about, the metric and the model it is made of, whether few or many measurements are meant, a value
#: just inside the limit and one just beyond.
EDGES = [
    ("flatness_spread", "covariance", True, 0.9e-10, 1.1e-10, "the largest relative difference in flatness"),
    ("nearest", "projections", True, 0.12, 0.09, "the smallest distance between these fits"),
    ("error_spread", "phase-retrieval", True, 0.12, 0.09, "by how much their relative errors differ"),
    ("largest_rank", "covariance", True, 4.1, 3.9, "by how much the ranks of fits of one instance differ"),
    ("largest_error", "covariance", False, 0.9e-6, 1.1e-6, "the largest relative error of a fit"),
    ("flatness_spread", "completion", True, 0.12, 0.09, "the relative difference in flatness"),
    ("correlation", "bilinear", True, 0.52, 0.48, "the rank correlation of flatness and error"),
    ("outside", "network", True, 0.9e-10, 1.1e-10, "The largest relative distance of D"),
    ("outside", "symmetric", True, 0.12, 0.09, "The smallest such distance in symmetric sensing"),
]


def in_model(model, text):
    return f"In {equally_flat.MODELS[model].words}," in text


def shown_fits(parameters, repetition):
    more = {"distance": 0.5, "error_of_sharpest": 2.0, "error_of_flattest": 1.0}
    return as_claimed(parameters, repetition) | more


ALGORITHMS = [name for names in training.KINDS.values() for name in names]


def rising(parameters, repetition):
    """Return metrics of `training.train` under which the claim is true: error and gap in one order, loss in none."""
    place = ALGORITHMS.index(parameters["algorithm"]) + 1
    determined = training.MODELS[parameters["family"]].determined
    return {
        "flatness_gap": 1e-15 if determined else float(place),
        "relative_error": place / 10,
        "second_gap": 1e-15 if determined else place + 0.5,
        "second_error": place / 10 + (0.05 if (place + repetition) % 8 else -0.05),
        "loss": 1e-3 + 1e-4 * ((5 * place + repetition) % 13),
        "fits": True,
        "second_fits": True,
        "diverged": False,
    }


def reversed_up_to(*blocks):
    """Return places 1 to 13 with blocks of them in reverse order; each block of k lowers rho by k (k² − 1) / 1092."""
    order, start = list(range(1, 14)), 0
    for size in blocks:
        order[start : start + size] = order[start : start + size][::-1]
        start += size
    return order


def test_what_cannot_be_fitted_is_said():
    rng, problem = np.random.default_rng(0), fm.families.sparse_regression.sample(6, 2, 4).problem
    with pytest.raises(InputError, match="expected Product, Gram or SignedGram"):
        exact_fit(problem, 2, 1.0, rng)
    with pytest.raises(InputError, match="all zero"):
        exact_fit(fm.Problem(fm.measurements.Identity((2, 2)), np.zeros(4)), 2, 1.0, rng)
    one_line = fm.Problem(fm.measurements.RankOne([[1.0, 0.0]]), [-1.0], fm.Gram())  # no square is negative
    assert exact_fit(one_line, 2, 1.0, rng)[1] > 0.1


def test_a_start_whose_linear_algebra_fails_is_no_fit(monkeypatch):
    def fails(*args, **settings):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr("flatmin.lab.recipes._exact_fit.least_squares", fails)
    problem = drawn("sensing").problem
    factors, misfit = exact_fit(problem, 4, 1.0, np.random.default_rng(0))
    assert misfit == pytest.approx(
        np.linalg.norm(measured(problem, factors) - problem.data) / np.linalg.norm(problem.data)
    )
    assert misfit > 0.1


@pytest.mark.parametrize(
    ("name", "equal"), [("covariance", True), ("projections", True), ("network", True), ("symmetric", False)]
)
def test_the_trace_is_determined_where_d_is_a_combination_and_only_there(name, equal):
    problem = drawn(name).problem
    D = np.mean([A @ A for A in problem.measurement.matrices()], axis=0)
    H = null_direction(problem)
    assert np.abs(problem.measurement.forward(H)).max() < 1e-10
    moved = abs(np.trace(D @ H)) / np.linalg.norm(D) / np.linalg.norm(H)
    assert (moved < 1e-12) == equal
    assert (equally_flat._outside(problem) < 1e-12) == equal
    if name == "network":
        return
    gram, X = problem.parametrization, np.eye(len(D)) * 10  # positive definite, and a fit of its own data
    values = [
        gram.fibre_minimum((np.linalg.cholesky(X + t * H / np.linalg.norm(H)),), problem.metric) for t in (0.0, 5.0)
    ]
    assert values[0] == pytest.approx(8 * 10 * np.trace(D))
    assert (values[1] == pytest.approx(values[0], rel=1e-12)) == equal


def test_the_cell_measures_what_it_says():
    cell = {"model": "covariance", "d": 5, "multiple": 1.0}
    metrics = equally_flat.fits(cell, 4)
    instance = equally_flat.MODELS["covariance"].draw(5, 9, 4)
    problem, truth = instance.problem, instance.truth
    rng = np.random.default_rng([4, 1])
    found = [equally_flat._fit(problem, rng) for _ in range(equally_flat.STARTS)]
    kept = [F[0] @ F[0].T for F, misfit in found if misfit <= equally_flat.EXACT]
    assert (metrics["m"], metrics["fits"]) == (9, len(kept))
    assert len(kept) > 1
    size = np.linalg.norm(truth)
    errors = [np.linalg.norm(X - truth) / size for X in kept]
    pairs = [np.linalg.norm(X - Y) / np.linalg.norm(Y) for i, X in enumerate(kept) for Y in kept[:i]]
    assert (metrics["smallest_error"], metrics["largest_error"]) == pytest.approx((min(errors), max(errors)))
    assert metrics["nearest"] == pytest.approx(min(pairs))
    x = problem.measurement.left
    value = 8 / 9 * np.sum(np.sum(x**2, axis=1) * problem.data)  # what the data alone say
    D = np.einsum("m,mi,mj->ij", np.sum(x**2, axis=1), x, x) / 9
    assert [8 * np.trace(D @ X) for X in kept] == pytest.approx([value] * len(kept), rel=1e-12)
    assert metrics["flatness_spread"] < 1e-12
    assert metrics["correlation"] is None
    assert equally_flat.fits(cell, 4) == metrics


def test_equally_flat_holds_if_it_is_as_claimed_and_is_open_without_enough():
    recipe = recipes.find("equally-flat")
    assert set(verdicts(recipe, as_claimed).values()) == {"holds"}
    assert {claim.verdict for claim in recipe.judge(Evidence(recipe, []))} == {"undecided"}
    once = verdicts(recipe, as_claimed, repetitions=1)
    one_multiple = recipe.judge(evidence_of(recipe, as_claimed, 1).select(multiple=0.8))
    assert len(once) == len(one_multiple)
    for claim in one_multiple:
        assert claim.verdict == ("undecided" if "mean over" in claim.text or "a degree of" in claim.text else "holds")


@pytest.mark.parametrize(
    ("changed", "where", "failing"),
    [
        ({"flatness_spread": 1e-9}, "covariance", "the largest relative difference in flatness"),
        ({"nearest": 0.02}, "projections", "the smallest distance between these fits"),
        ({"error_spread": 0.01}, "phase-retrieval", "by how much their relative errors differ"),
        ({"largest_error": 0.2}, "covariance", "the largest relative error of a fit"),
        ({"flatness_spread": 0.01}, "completion", "the relative difference in flatness"),
        ({"correlation": 0.1}, "bilinear", "the rank correlation of flatness and error"),
    ],
)
def test_equally_flat_fails_where_it_is_not_as_claimed(changed, where, failing):
    def metrics(parameters, repetition):
        return as_claimed(parameters, repetition) | (changed if parameters["model"] == where else {})

    found = verdicts(recipes.find("equally-flat"), metrics)
    failed = [text for text, verdict in found.items() if verdict == "fails"]
    assert failed == [text for text in found if f"In {equally_flat.MODELS[where].words}, {failing}" in text]
    assert len(failed) == 1


@pytest.mark.parametrize(("metric", "model", "few", "inside", "beyond", "words"), EDGES)
@pytest.mark.parametrize("verdict", ["holds", "fails"])
def test_equally_flat_is_judged_at_its_limits(metric, model, few, inside, beyond, words, verdict):
    def metrics(parameters, repetition):
        found, meant = as_claimed(parameters, repetition), (parameters["multiple"] < 3) == few
        value = (inside if verdict == "holds" else beyond) * (1 + 0.002 * (repetition % 2))
        return found | ({metric: value} if meant and parameters["model"] == model else {})

    found = verdicts(recipes.find("equally-flat"), metrics)
    assert [found[text] for text in found if words in text and ("In " not in text or in_model(model, text))] == [
        verdict
    ]
    assert list(found.values()).count("fails") == (verdict == "fails")


def test_correlations_of_few_fits_do_not_count():
    def metrics(parameters, repetition):
        return as_claimed(parameters, repetition) | ({"fits": 5, "correlation": -1.0} if repetition % 2 else {})

    assert set(verdicts(recipes.find("equally-flat"), metrics).values()) == {"holds"}


def test_equally_flat_has_intervals_that_hold_together():
    """Three for each of three models and two for each of five: a t-interval of 1 − 0.05 / 19 from 8 draws."""
    claims = recipes.find("equally-flat").judge(evidence_of(recipes.find("equally-flat"), as_claimed))
    claim = next(claim for claim in claims if "In bilinear sensing, the rank correlation" in claim.text)
    values = np.tile(0.9 + 0.001 * np.arange(8), 2)
    half = student.ppf(1 - 0.025 / 19, 15) * values.std(ddof=1) / 4
    assert (claim.low, claim.high) == pytest.approx((values.mean() - half, values.mean() + half))


@pytest.mark.parametrize("name", ["equally-flat", "training"])
def test_figures_take_any_part_of_the_grid(name):
    recipe, metrics = recipes.find(name), {"equally-flat": shown_fits, "training": rising}[name]
    if name == "training":  # its figures train a few algorithms
        recipe = replace(recipe, grid=[{**block, "budget": (40,)} for block in recipe.grid])
    assert recipe.show(Evidence(recipe, [])) == []
    figures = recipe.show(evidence_of(recipe, metrics))
    assert len({figure.name for figure in figures}) == len(figures) >= 3
    for figure in figures:
        assert figure.alt
        assert figure.table()[1]
    quick = recipe.quickly()
    for figure in recipe.show(evidence_of(quick, metrics, quick.repetitions)):
        assert figure.alt


def test_training_holds_if_it_is_as_claimed_and_is_open_without_enough():
    recipe = recipes.find("training")
    assert set(verdicts(recipe, rising).values()) == {"holds"}
    assert {claim.verdict for claim in recipe.judge(Evidence(recipe, []))} == {"undecided"}
    few = evidence_of(recipe, rising).select(algorithm=ALGORITHMS[: MIN_PAIRS - 1])
    assert {claim.verdict for claim in recipe.judge(few) if "correlation" in claim.text} == {"undecided"}


@pytest.mark.parametrize(
    ("changed", "failing", "count"),
    [
        (lambda m: {"relative_error": 2 - m["relative_error"]}, "In Gaussian sensing, the rank correlation", 2),
        (lambda m: {"second_error": 2 * m["relative_error"] - m["second_error"]}, "flatter run of two", 1),
        (lambda m: {"loss": m["relative_error"], "flatness_gap": m["loss"]}, "exceeds that of loss", 1),
        (lambda m: {"flatness_gap": 1e-6}, "the largest flatness gap", 2),
    ],
)
def test_training_fails_where_it_is_not_as_claimed(changed, failing, count):
    def metrics(parameters, repetition):
        found = rising(parameters, repetition)
        return found | changed(found)

    found = verdicts(recipes.find("training"), metrics)
    assert [verdict for text, verdict in found.items() if failing in text] == ["fails"] * count


@pytest.mark.parametrize(
    ("blocks", "correlation", "verdict"), [((8,), 1 - 504 / 1092, "holds"), ((8, 4), 1 - 564 / 1092, "fails")]
)
def test_training_is_judged_at_a_correlation_of_one_half(blocks, correlation, verdict):
    """Reversed blocks give 0.538 and 0.484."""
    order = reversed_up_to(*blocks)

    def metrics(parameters, repetition):
        return rising(parameters, repetition) | {"relative_error": order[ALGORITHMS.index(parameters["algorithm"])]}

    recipe = recipes.find("training")
    claims = recipe.judge(evidence_of(recipe, metrics))
    (claim,) = (c for c in claims if "In Gaussian sensing" in c.text and "begin from the same weights" not in c.text)
    assert (claim.estimate, claim.verdict) == (pytest.approx(correlation), verdict)


def test_algorithms_that_begin_from_the_same_weights_are_judged_by_themselves():
    """Smaller weights go with smaller gaps and errors, the other ten are in reverse order in seven places: rho 0.32."""
    small = set(training.KINDS["small"])
    large = [name for name in ALGORITHMS if name not in small]
    order = reversed_up_to(7)

    def metrics(parameters, repetition):
        name = parameters["algorithm"]
        if name in small:
            return rising(parameters, repetition) | {"flatness_gap": 1e-3, "relative_error": 1e-3}
        place = large.index(name)
        return rising(parameters, repetition) | {"flatness_gap": place + 1, "relative_error": order[place]}

    recipe = recipes.find("training")
    claims = recipe.judge(evidence_of(recipe, metrics).select(family="bilinear-sensing"))
    together, alike = [claim for claim in claims if claim.text.startswith("In bilinear sensing")]
    assert together.verdict == "holds"
    assert alike.verdict == "fails"
    assert alike.estimate == pytest.approx(1 - 6 * 112 / 990)


@pytest.mark.parametrize(("blocks", "verdict"), [((5,), "holds"), ((9,), "fails")])
def test_the_gap_is_judged_by_its_lead_over_the_loss(blocks, verdict):
    """The loss is in another order than the errors, with rho 0.802; that of the gap is 0.890 or 0.341."""
    order, loss = reversed_up_to(*blocks), reversed_up_to(6, 1)

    def metrics(parameters, repetition):
        place = ALGORITHMS.index(parameters["algorithm"])
        return rising(parameters, repetition) | {"flatness_gap": order[place], "loss": loss[place] * 1e-3}

    recipe = recipes.find("training")
    claims = recipe.judge(evidence_of(recipe, metrics).select(family="matrix-sensing"))
    (claim,) = (c for c in claims if "exceeds that of loss" in c.text)
    assert claim.estimate == pytest.approx((210 - blocks[0] * (blocks[0] ** 2 - 1)) / 1092)
    assert claim.verdict == verdict


@pytest.mark.parametrize(("blocks", "verdict"), [((8,), "holds"), ((9, 3), "fails")])
def test_a_correlation_that_shuffled_errors_reach_is_chance(blocks, verdict):
    """With 13 algorithms 95 of 100 orders have a correlation below 0.48: 0.538 is more, 0.319 is less."""
    order = reversed_up_to(*blocks)

    def metrics(parameters, repetition):
        return rising(parameters, repetition) | {"relative_error": order[ALGORITHMS.index(parameters["algorithm"])]}

    recipe = recipes.find("training")
    claims = recipe.judge(evidence_of(recipe, metrics).select(family="matrix-sensing"))
    (claim,) = (c for c in claims if "shuffles" in c.text)
    correlation = 1 - sum(k * (k * k - 1) for k in blocks) / 1092
    assert claim.estimate == pytest.approx(correlation - 0.48, abs=0.03)
    assert claim.verdict == verdict


@pytest.mark.parametrize(("better", "verdict"), [(7, "holds"), (6, "fails")])
def test_flatter_runs_are_judged_against_one_half(better, verdict):
    """Of thirteen algorithms seven or six err less in the flatter run, in every instance."""

    def metrics(parameters, repetition):
        found = rising(parameters, repetition)
        sign = 1 if ALGORITHMS.index(parameters["algorithm"]) < better else -1
        return found | {"second_error": found["relative_error"] + 0.05 * sign}

    recipe = recipes.find("training")
    claims = recipe.judge(evidence_of(recipe, metrics).select(family="matrix-sensing"))
    (claim,) = (c for c in claims if "flatter run of two" in c.text)
    assert (claim.estimate, claim.verdict) == (pytest.approx(better / 13), verdict)


@pytest.mark.parametrize(("gap", "verdict"), [(0.9e-9, "holds"), (1.1e-9, "fails")])
def test_gaps_where_there_is_none_are_judged_at_rounding(gap, verdict):
    def metrics(parameters, repetition):
        return rising(parameters, repetition) | {"flatness_gap": gap}

    found = verdicts(recipes.find("training"), metrics)
    assert [found[text] for text in found if "largest flatness gap" in text] == [verdict] * 2


def test_only_algorithms_that_fit_count():
    def metrics(parameters, repetition):
        found = rising(parameters, repetition)
        wrong = parameters["kind"] == "small"  # they would turn the correlation around
        return found | ({"fits": False, "relative_error": 1e-6 / found["flatness_gap"]} if wrong else {})

    claims = {
        claim.text: claim for claim in recipes.find("training").judge(evidence_of(recipes.find("training"), metrics))
    }
    for text, claim in claims.items():
        if text.startswith("In") and "correlation" in text:
            assert claim.estimate == pytest.approx(1.0)


def test_a_run_that_diverged_has_no_gap_to_judge():
    def metrics(parameters, repetition):
        return rising(parameters, repetition) | {"diverged": True, "fits": False, "flatness_gap": np.inf}

    found = verdicts(recipes.find("training"), metrics)
    assert set(found.values()) == {"undecided"}


def test_without_torch_nothing_is_begun(tmp_path):
    command = ["sweep", "training", "--quick", "--jobs", "1", "--store", str(tmp_path / "trials.db")]
    line = f"{WITHOUT_TORCH}\nfrom flatmin.cli import main; sys.exit(main())"
    found = subprocess.run([sys.executable, "-c", line, *command], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "training needs torch, which is not installed: pip install 'flatmin[torch]'" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_the_cell_needs_torch(monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["flatmin.lab.runs.sweep"], "find_spec", lambda name: None)
    recipe = recipes.find("training")
    assert recipe.judge(evidence_of(recipe, rising))
    with Store(tmp_path / "trials.db") as store:
        with pytest.raises(InputError, match="training needs torch"):
            sweep(recipe.quickly(), store)
        assert store.results(recipe) == []


def test_algorithms_are_of_the_kinds_that_are_said():
    pytest.importorskip("torch")
    from flatmin.lab.race import competitors

    known = {name: competitors.find(name) for name in competitors.names()}
    sizes = fm.lab.race.FactoredTask.sizes
    largest = max(sizes.values())
    for kind, names in training.KINDS.items():
        assert {sizes[known[name].size] == largest for name in names} == {kind != "small"}
    robust = fm.families.find("robust-pca").sample((4, 4), 1, seed=1)
    task = fm.lab.race.FactoredTask(robust.problem, robust.truth)
    cells = recipes.find("training").cells
    ran = {cell["algorithm"] for cell in cells if cell["family"] == "robust-pca"}
    assert {name for name in ALGORITHMS if known[name].objection(task) is None} == ran
    assert {cell["algorithm"] for cell in cells if cell["family"] == "matrix-sensing"} == set(ALGORITHMS)


def test_a_trial_is_a_race_of_one_from_two_starts_with_other_seeds_than_the_instance():
    pytest.importorskip("torch")
    cell = {"family": "covariance", "d": 5, "kind": "loss", "algorithm": "gradient-descent-large", "budget": 40}
    metrics = training.train(cell, 11)
    instance = fm.families.covariance.sample(5, 2, round(2.5 * 9), seed=11)
    result = fm.nn.race(
        instance.problem, ["gradient-descent-large"], 40, seeds=[12, 13], truth=instance.truth, trials=training.TRIALS
    )
    first, second = result.table
    assert metrics["relative_error"] == first["relative_error"] != second["relative_error"] == metrics["second_error"]
    assert metrics["gradients"] == 40
    assert metrics["fits"] == (first["loss"] <= result.protocol["fits"])
    assert metrics["flatness_gap"] < 1e-12


@pytest.mark.parametrize("family", FREE)
def test_flat_solutions_of_the_instances_are_right(family):
    """Where flat is not true, flatness could not be expected to go with the error."""
    model, seed = training.MODELS[family], 5
    m = None if model.multiple is None else round(model.multiple * model.rank * (32 - model.rank))
    settings = training.SETTINGS.get(family, {})
    instance = fm.families.find(family).sample((16, 16), model.rank, m, seed=seed, **settings)
    found = fm.flat_minimum(instance.problem, seed=seed)
    assert found.certificate.holds
    assert np.linalg.norm(found.matrix - instance.truth) < 1e-6 * np.linalg.norm(instance.truth)
