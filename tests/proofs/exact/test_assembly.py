import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.proofs import checker
from flatmin.proofs.exact.theorems import sealed
from tests.proofs.exact.integer_problems import PROBLEMS, completion, sensing

FLOATS = {
    "sensing": lambda: fm.families.matrix_sensing.sample((9, 7), 1, 50),
    "bilinear": lambda: fm.families.bilinear_sensing.sample((9, 7), 1, 60),
    "completion": lambda: fm.families.matrix_completion.sample((12, 10), 1, 105),
    "phases": lambda: fm.families.phase_retrieval.sample(8, 1, 60),
    "covariance": lambda: fm.families.covariance.sample(8, 2, 60),
    "network": lambda: fm.families.quadratic_network.sample(8, 2, 36),
    "table": lambda: fm.families.robust_pca.sample((24, 20), 1),
}


def proved(problem, **settings):
    return fm.prove(problem, fm.flat_minimum(problem, **settings))


def kinds(proof):
    return [statement.kind for statement in proof.statements]


def verdict(proof, text=None):
    """Return whether the checker accepts the files of a proof."""
    try:
        checker.check_files((text or proof.text).encode(), proof.instance, proof.sha256)
    except checker.Refused:
        return False
    return True


@pytest.mark.parametrize("name", FLOATS)
def test_floating_point_data_get_bounds_and_uniqueness(name):
    proof = proved(FLOATS[name]().problem)
    assert verdict(proof)
    assert {"V", "B"} <= set(kinds(proof))
    assert proof.statement("B").numbers["beta"] < 1e-14
    if name in {"phases", "covariance"}:
        assert "does not fit" in proof.absent["U"]
    else:
        assert proof.statement("gap").numbers["gap"] < 1e-12
    assert proof.statement("F").numbers["radius"] < 1e-5
    assert proof.statement("T") is None


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_truth_of_integers_is_the_unique_flat_minimum(name):
    proof = proved(PROBLEMS[name]())
    assert verdict(proof)
    assert "T" in kinds(proof)
    assert proof.statement("B").numbers["beta"] == 0
    assert "exactly" in proof.statement("T").words


def test_bounds_enclose_the_value_of_the_certificate():
    problem = sensing()
    solution = fm.flat_minimum(problem)
    proof = fm.prove(problem, solution)
    lower, upper = (proof.statement(kind).numbers[name] for kind, name in (("V", "lower"), ("U", "upper")))
    assert lower < upper
    assert abs(float(upper) / solution.certificate.value - 1) < 1e-12


def test_below_the_threshold_no_uniqueness_is_claimed():
    instance = fm.families.matrix_sensing.sample((9, 7), 1, 20)
    solution = fm.flat_minimum(instance.problem)
    proof = fm.prove(instance.problem, solution)
    assert np.linalg.norm(solution.matrix - instance.truth) > 0.1 * np.linalg.norm(instance.truth)
    assert kinds(proof) == ["V", "U", "gap"]
    assert proof.absent["B"]


def test_a_truth_that_is_not_flat_is_never_proved_flat():
    problem = sensing(m=22)
    rng = np.random.default_rng(0)
    rng.integers(-3, 4, (22, 9, 7))
    L, R = rng.integers(-3, 4, (9, 1)) + 0.0, rng.integers(-3, 4, (7, 1)) + 0.0
    solution = fm.flat_minimum(problem)
    assert np.array_equal(problem.measurement.forward(L @ R.T), problem.data)
    proof = fm.prove(problem, replace(solution, factors=(L, R)))
    assert verdict(proof)
    assert not {"B", "T"} & set(kinds(proof))
    assert proof.statement("gap").numbers["gap"] > 1e-3


@pytest.mark.parametrize(
    ("kind", "name", "factor"),
    [("V", "lower", 1.01), ("U", "upper", 0.99), ("gap", "gap", 0.5), ("B", "beta", 0.5), ("F", "radius", 0.99)],
)
def test_the_checker_refuses_stronger_claims(kind, name, factor):
    proof = proved(FLOATS["completion"]().problem)
    document = json.loads(proof.text)
    del document["seal"]
    (statement,) = (s for s in document["statements"] if s["kind"] == kind)
    assert verdict(proof, sealed(document))
    statement[name] = format(float(statement[name]) * factor, ".17g")
    assert not verdict(proof, sealed(document))


def test_numbers_are_those_of_the_text():
    proof = proved(completion())
    stated = {s["kind"]: s for s in json.loads(proof.text)["statements"]}
    for statement in proof.statements:
        assert statement.numbers == {k: Fraction(x) for k, x in stated[statement.kind].items() if k != "kind"}


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("name", ["sensing", "completion", "phases", "network"])
def test_penalised_objectives_are_enclosed(name, power):
    problem = FLOATS[name]().problem
    largest = fm.alpha_max(problem) if power == 1 else 1.0
    proof = proved(problem, alpha=0.1 * largest, metric_power=power)
    assert verdict(proof)
    assert kinds(proof)[:2] == ["V", "U"]
    assert proof.statement("gap").numbers["gap"] < 1e-9
    assert "alpha" in proof.absent["B"]


def test_a_penalty_that_makes_the_solution_zero_is_enclosed():
    problem = FLOATS["sensing"]().problem
    proof = proved(problem, alpha=2 * fm.alpha_max(problem))
    assert verdict(proof)
    assert proof.statement("gap").numbers["gap"] < 1e-12


@pytest.mark.parametrize("name", ["sensing", "completion", "phases", "network"])
def test_metric_power_zero_is_the_nuclear_norm(name):
    proof = proved(FLOATS[name]().problem, metric_power=0.0)
    assert verdict(proof)
    assert {"V", "B"} <= set(kinds(proof))


def graded(decades, seed=0):
    """Return integer sensing whose rows and columns have sizes from one to ten to this power, mixed."""
    rng = np.random.default_rng(seed)
    sizes = [np.rint(10.0 ** (decades * np.arange(d) / (d - 1))) for d in (8, 6)]
    mixing = [np.eye(d) + np.triu(rng.integers(-1, 2, (d, d)), 1) for d in (8, 6)]
    A = rng.integers(-3, 4, (40, 8, 6)) * sizes[0][:, None] * sizes[1]
    A = fm.measurements.Dense(mixing[0].T @ A @ mixing[1])
    return fm.Problem(A, A.forward(np.outer(rng.integers(-3, 4, 8), rng.integers(-3, 4, 6)) + 0.0))


@pytest.mark.parametrize("decades", [2, 6])
def test_ill_conditioned_metrics_of_integers_have_theorems(decades):
    problem = graded(decades)
    assert problem.metric[0].condition > 0.9 * 10**decades
    proof = proved(problem)
    assert verdict(proof)
    assert "T" in kinds(proof)
    assert proof.statement("gap").numbers["gap"] < 1e-12


def test_data_that_were_rounded_are_not_fitted_by_the_truth():
    problem = graded(8)
    assert np.max(np.abs(problem.data)) > 2**53
    proof = proved(problem)
    assert verdict(proof)
    assert "V" in kinds(proof)
    assert "T" not in kinds(proof)


def test_unseen_rows_are_left_out():
    rng = np.random.default_rng(0)
    rows, cols = np.divmod(rng.choice(80, 72, replace=False), 8)
    shape = (11, 9)  # the last row and column are not seen
    A = fm.measurements.Entries(rows, cols, shape)
    vectors = np.hstack([rng.integers(-3, 4, (50, 6)), np.zeros((50, 1))])
    B = fm.measurements.RankOne(vectors)
    L, R, U = rng.integers(1, 4, (11, 1)) + 0.0, rng.integers(1, 4, (9, 1)) + 0.0, rng.integers(1, 4, (7, 1)) + 0.0
    for measurement, pair, model in ((A, (L, R), fm.Product()), (B, (U, U), fm.Gram()), (B, (U, U), fm.SignedGram())):
        proof = proved(fm.Problem(measurement, measurement.forward_factors(*pair), model))
        assert verdict(proof)
        assert "T" in kinds(proof)
        assert "vanish in rows and columns that no measurement sees" in proof.statement("T").words


def test_problems_with_odd_shapes_and_scales_have_proofs_or_reasons():
    rng = np.random.default_rng(0)
    for seed in range(60):
        d1, d2, m, r = (int(rng.integers(1, top)) for top in (6, 6, 20, 3))
        scale = 10.0 ** rng.choice([-20, -8, 0, 8, 20])
        L, R, x = (rng.integers(-3, 4, shape) + 0.0 for shape in ((d1, r), (d2, r), (m, d1)))
        A = [
            fm.measurements.Dense(rng.standard_normal((m, d1, d2)) * scale),
            fm.measurements.Entries(rng.integers(0, d1, m), rng.integers(0, d2, m), (d1, d2)),
            fm.measurements.RankOne(x, rng.integers(-3, 4, (m, d2)) * scale),
            fm.measurements.RankOne(x),
        ][seed % 4]
        R, model = (L, fm.Gram()) if seed % 4 == 3 else (R, fm.Product())
        problem = fm.Problem(A, A.forward_factors(L, R), model)
        proof = proved(problem, alpha=float(rng.choice([0.0, 0.1])), metric_power=float(rng.choice([0.0, 1.0])))
        assert verdict(proof) if proof.statements else proof.absent


def test_zero_data_have_the_zero_matrix():
    proof = proved(fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [0.0, 0.0]))
    assert verdict(proof)
    assert kinds(proof) == ["V", "U", "gap", "B", "T"]


def test_symmetric_matrices_measured_by_dense_ones():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((40, 8, 8))
    A = fm.measurements.Dense(A + A.transpose(0, 2, 1))
    U = rng.standard_normal((8, 2))
    for model, X in ((fm.Gram(), U @ U.T), (fm.SignedGram(), (U * [1, -1]) @ U.T)):
        proof = proved(fm.Problem(A, A.forward(X), model))
        assert verdict(proof)
        assert "B" in kinds(proof)


def test_coded_diffraction_is_about_the_vectors_as_rounded():
    signal = np.random.default_rng(0).standard_normal(8)
    masks = fm.families.phase_retrieval.octanary_masks(8, (8,))
    problem = fm.families.phase_retrieval.diffraction(signal, masks).problem
    proof = proved(problem)
    assert verdict(proof)
    assert "B" in kinds(proof)
    assert "as rounded to floating point" in proof.subject


def test_more_measurements_than_unknowns_have_no_exact_fit():
    proof = proved(fm.families.matrix_sensing.sample((5, 4), 1, 40).problem)
    assert verdict(proof)
    assert "have no exact fit" in proof.absent["U"]
    assert "B" in kinds(proof)


def test_the_certificate_is_exact_where_theorems_enclose_the_value():
    problem = sensing()
    solution = fm.flat_minimum(problem)
    proof = fm.prove(problem, solution)
    numbers, found = {k: x for s in proof.statements for k, x in s.numbers.items()}, proof.certificate
    assert solution.certificate.rigor == "rounded"
    assert found.rigor == "exact"
    assert found.lower_bound <= numbers["lower"] < numbers["upper"] <= found.value
    assert found.radius >= numbers["radius"]
    assert found.unique is True
    assert found.failure_probability is None


def test_the_certificate_is_the_solutions_where_they_do_not():
    problem = FLOATS["phases"]().problem
    solution = fm.flat_minimum(problem)
    assert fm.prove(problem, solution).certificate is solution.certificate
    problem = FLOATS["sensing"]().problem
    assert proved(problem).certificate.unique is None


def test_the_exact_radius_covers_all_fits_as_flat_as_a_solution_near_the_point(tmp_path):
    problem = sensing()
    solution = fm.flat_minimum(problem)
    file = tmp_path / "solution.npz"
    solution.save(file)
    with np.load(file) as stored:
        arrays = dict(stored)
    sensing_matrices = problem.measurement.tensor.reshape(problem.measurement.size, -1)
    hidden = np.linalg.svd(sensing_matrices)[2][-1].reshape(problem.shape)
    truth = np.round(solution.matrix)
    found = []
    for step in (1e-7, -1e-7):
        X = truth + step * np.linalg.norm(truth) * hidden
        np.savez(file, **(arrays | {"L": X, "R": np.eye(len(X.T)), "matrix": X}))
        found.append((X, fm.prove(problem, fm.Solution.load(file, problem)).certificate))
    (left, first), (right, second) = found
    assert first.rigor == second.rigor == "exact"
    less_flat = first if first.value > second.value else second
    assert less_flat.radius >= np.linalg.norm(left - right)


def moved(solution, size, seed=0):
    """Return a solution whose factors have relative errors of this size."""
    rng = np.random.default_rng(seed)
    errors = (size * np.linalg.norm(F) / np.sqrt(F.size) * rng.standard_normal(F.shape) for F in solution.factors)
    return replace(solution, factors=tuple(F + E for F, E in zip(solution.factors, errors, strict=True)))


@pytest.mark.parametrize("name", FLOATS)
def test_a_solution_far_from_its_theorems_is_refused(name):
    problem = FLOATS[name]().problem
    solution = fm.flat_minimum(problem)
    if name != "table":  # the distance of a table from its low-rank part is its gross errors
        with pytest.raises(InputError, match=r"of its norm away .* expected at most 0\.001: .* solve to a smaller"):
            fm.prove(problem, moved(solution, 0.02))
    if len(solution.factors) == 2 and name != "network":
        left, right = solution.factors
        with pytest.raises(InputError, match=r"the solution is 2 of its norm away"):
            fm.prove(problem, replace(solution, factors=(-left, right)))


def test_a_solution_near_its_theorems_has_its_distance_printed():
    problem = FLOATS["sensing"]().problem
    solution = fm.flat_minimum(problem)
    proof = fm.prove(problem, other := moved(solution, 1e-5))
    exact = np.linalg.norm(proof.matrix - other.matrix)
    assert exact <= proof.distance <= 1.01 * exact
    assert proof.distance > 1e-6 * np.linalg.norm(proof.matrix)
    assert f"within {proof.distance:.2g} of the solution" in repr(proof)
    assert np.linalg.norm(problem.residual(other.factors)) > 1e6 * np.linalg.norm(
        problem.data - problem.measurement.forward(proof.matrix)
    )


def test_penalised_solutions_are_not_moved():
    problem = FLOATS["sensing"]().problem
    solution = moved(fm.flat_minimum(problem, alpha=0.01), 0.1)
    proof = fm.prove(problem, solution)
    assert proof.distance < 1e-12 * np.linalg.norm(proof.matrix)


def test_the_matrix_of_a_proof_is_that_of_its_text():
    for problem in (completion(), FLOATS["phases"]().problem, PROBLEMS["table"](), PROBLEMS["network"]()):
        proof = proved(problem)
        document = json.loads(proof.text)
        theorem = checker.theorem_of(document, checker.read_instance(proof.instance))
        (d1, d2), X = problem.shape, theorem.L @ theorem.C @ theorem.R.T
        stored = float(X.unit) * np.array(X.rows, float)
        if document["model"]["complex"]:
            stored = 2 * (stored[:d1, :d2] + 1j * stored[d1:, :d2])
        np.testing.assert_allclose(proof.matrix, stored, rtol=0, atol=1e-12 * np.abs(stored).max())


def test_dense_semidefinite_integers_have_a_radius():
    rng = np.random.default_rng(3)
    A = rng.integers(-3, 4, (20, 6, 6))
    A = fm.measurements.Dense(A + A.transpose(0, 2, 1))
    U = rng.integers(-3, 4, (6, 1)) + 0.0
    proof = proved(fm.Problem(A, A.forward(U @ U.T), fm.Gram()))
    assert verdict(proof)
    assert kinds(proof) == ["V", "U", "gap", "B", "F", "T"]
    assert proof.statement("F").numbers["radius"] < 1e-10


def test_splits_that_cost_little_more_are_within_the_radius():
    """Random splits of a table, in which X has other values in cells with and without gross errors."""
    problem = FLOATS["table"]().problem
    solution = fm.flat_minimum(problem)
    proof = fm.prove(problem, solution)
    theorem = checker.theorem_of(json.loads(proof.text), checker.read_instance(proof.instance))
    rng, Y, weight = (
        np.random.default_rng(0),
        problem.data.reshape(problem.shape),
        problem.loss.weight_for(problem.shape),
    )
    left, _, right = np.linalg.svd(proof.matrix)
    wrong = np.abs(Y - proof.matrix) > 1e-6
    ratios = []
    for size in 10.0 ** rng.uniform(-9, 0, 60):
        H = rng.standard_normal(problem.shape) * wrong
        H = (np.outer(left[:, 0], right.T @ rng.standard_normal(len(right))) + H) * size
        X = proof.matrix + H
        cost = np.linalg.norm(X, "nuc") + weight * np.abs(Y - X).sum()
        radius = float(theorem.radius(Fraction(cost * (1 + 1e-13))))
        assert np.linalg.norm(H) <= radius
        ratios.append(radius / np.linalg.norm(H))
    assert min(ratios) < 1e4


def test_a_table_without_gross_errors_has_all_theorems():
    rng = np.random.default_rng(0)
    Y = np.outer(rng.integers(1, 3, 8), rng.integers(1, 3, 7)) + 0.0
    proof = proved(fm.Problem(fm.measurements.Identity((8, 7)), Y.ravel(), loss=fm.losses.Absolute()))
    assert verdict(proof)
    assert kinds(proof) == ["V", "U", "gap", "B", "F", "T"]


def test_what_has_no_theorem_is_refused(tmp_path):
    problem = sensing()
    solution = fm.flat_minimum(problem)
    with pytest.raises(InputError, match="problem is a str"):
        fm.prove("problem", solution)
    with pytest.raises(InputError, match=r"metric_power 0.5, expected 0 or 1"):
        fm.prove(problem, fm.flat_minimum(problem, metric_power=0.5))
    solution.save(tmp_path / "solution.npz")
    with pytest.raises(Exception, match="load"):
        fm.prove(problem, fm.Solution.load(tmp_path / "solution.npz"))
