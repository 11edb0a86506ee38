"""The second checker on witnesses that were written without the package's prover: what is true, false and altered."""

import dataclasses
import json
from functools import cache

import numpy as np
import pytest

import flatmin as fm
from tests.proofs.exact.best_witness import Witness, instance_bytes
from tests.proofs.exact.proof_file import Refused, opened, seal
from tests.proofs.exact.second_checker import check, evidence_of, is_proved

RNG = np.random.default_rng
DEFAULTS = {"family": None, "complex": False, "metric_power": 1, "objective": "interpolating", "alpha": None}


@dataclasses.dataclass(frozen=True)
class Case:
    """An instance in all the forms in which a test needs it."""

    problem: fm.Problem
    A: np.ndarray
    rank: int
    model: dict
    arrays: dict

    @property
    def power(self):
        return self.model["metric_power"]

    @property
    def is_determined(self):
        return self.model["cone"] == "semidefinite" and self.model["measurement"] == "vectors" and self.power == 1

    @property
    def factor(self):
        return self.problem.parametrization.trace_factor


def case(A, X, rank, parametrization, measurement, cone, kind, arrays, **options):
    b = np.einsum("mij,ij->m", A.conj(), X).real
    model = DEFAULTS | {"measurement": kind, "cone": cone, "weight": None} | options
    problem = fm.Problem(measurement, b, parametrization)
    return Case(problem, A, rank, model, {**arrays, "b": b})


def low_rank(rng, d1, d2, r):
    return rng.standard_normal((d1, r)) @ rng.standard_normal((r, d2))


def sensing(power=1, integers=False):
    rng = RNG(1)
    A = rng.integers(-3, 4, (26, 6, 5)).astype(float) if integers else rng.standard_normal((26, 6, 5))
    X = np.outer(np.arange(-2.0, 4), [1, 2, -1, 1, 3.0]) if integers else low_rank(rng, 6, 5, 1)
    measurement = fm.measurements.Dense(A)
    return case(
        A, X, 1, fm.parametrizations.Product(), measurement, "rectangular", "dense", {"A": A}, metric_power=power
    )


def bilinear():
    rng = RNG(4)
    x, y = rng.standard_normal((26, 6)), rng.standard_normal((26, 5))
    A, arrays = np.einsum("mi,mj->mij", x, y), {"left": x, "right": y}
    measurement, model = fm.measurements.RankOne(x, y), fm.parametrizations.Product()
    return case(A, low_rank(rng, 6, 5, 1), 1, model, measurement, "rectangular", "vectors", arrays)


def completion(d1=8, d2=6, m=40, rank=1, seed=3):
    rng = RNG(seed)
    rows, cols = np.divmod(np.sort(rng.choice(d1 * d2, m, replace=False)), d2)
    A = np.zeros((m, d1, d2))
    A[np.arange(m), rows, cols] = 1
    arrays = {"rows": rows, "cols": cols, "shape": np.array([d1, d2])}
    measurement, model = fm.measurements.Entries(rows, cols, (d1, d2)), fm.parametrizations.Product()
    return case(A, low_rank(rng, d1, d2, rank), rank, model, measurement, "rectangular", "entries", arrays)


def network():
    rng = RNG(5)
    A = rng.standard_normal((19, 6, 6))
    A, u = (A + A.transpose(0, 2, 1)) / 2, rng.standard_normal((6, 2))
    measurement, model = fm.measurements.Dense(A), fm.parametrizations.SignedGram()
    return case(A, u @ np.diag([1, -1]) @ u.T, 2, model, measurement, "symmetric", "dense", {"A": A})


def covariance(vectors=True):
    rng = RNG(6)
    x, u = rng.standard_normal((22, 5)), rng.standard_normal((5, 2))
    A = np.einsum("mi,mj->mij", x, x)
    if vectors:
        measurement, arrays, kind = fm.measurements.RankOne(x), {"left": x}, "vectors"
    else:
        A = rng.standard_normal((14, 5, 5))
        A = A + A.transpose(0, 2, 1)
        measurement, arrays, kind = fm.measurements.Dense(A), {"A": A}, "dense"
    return case(A, u @ u.T, 2, fm.parametrizations.Gram(), measurement, "semidefinite", kind, arrays)


def phase_retrieval():
    rng = RNG(7)
    x, v = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((24, 4), (4, 1)))
    A, measurement = np.einsum("mi,mj->mij", x, x.conj()), fm.measurements.RankOne(x)
    model, arrays = fm.parametrizations.Gram(), {"left": x}
    return case(A, v @ v.conj().T, 1, model, measurement, "semidefinite", "vectors", arrays, complex=True)


CASES = {
    "sensing": sensing,
    "metric power 0": lambda: sensing(0),
    "bilinear": bilinear,
    "completion": completion,
    "network": network,
    "covariance": covariance,
    "dense semidefinite": lambda: covariance(False),
    "phase retrieval": phase_retrieval,
}


@cache
def solved(name):
    """Return a case, its solution, the best witness and the bytes of the instance."""
    found = CASES[name]()
    solution = fm.flat_minimum(found.problem, metric_power=found.power)
    proof = solution.certificate
    dual = proof.uniqueness_dual if found.is_determined else proof.dual
    witness = Witness(
        found.A,
        found.problem.data,
        solution.matrix,
        found.rank,
        dual,
        found.model["cone"],
        found.power,
        found.is_determined,
    )
    return found, solution, witness, instance_bytes(**found.arrays)


@cache
def evidence(name):
    found, solution, witness, instance = solved(name)
    text = witness.document(found.model, instance, [], value_dual=solution.certificate.dual * (1 - 1e-10))
    return evidence_of(opened(text), found.arrays)


def proves(known, **statement):
    try:
        return is_proved(known, statement)
    except Refused:
        return False


@pytest.mark.parametrize("name", CASES)
def test_bounds_of_witnesses_are_those_of_floating_point(name):
    found, solution, witness, _ = solved(name)
    value, known = solution.certificate.value, evidence(name)  # counts rounding, so it lies above the trace
    assert float(known.lower) == pytest.approx(value, rel=1e-9)
    assert float(known.lower) <= value
    assert proves(known, kind="V", lower=str(value * (1 - 1e-9)))
    assert not proves(known, kind="V", lower=str(value * (1 + 1e-9)))
    if found.model["cone"] != "semidefinite":  # there U needs an exact fit
        assert float(known.upper) == pytest.approx(value, rel=1e-9)
        assert float(known.upper) >= found.factor * np.sum(abs(witness.C)) * (1 - 1e-14)
        assert proves(known, kind="U", upper=str(value * (1 + 1e-9)))
        assert not proves(known, kind="U", upper=str(value * (1 - 1e-9)))
        assert proves(known, kind="gap", gap="2e-9")
        assert not proves(known, kind="gap", gap="1e-16")


@pytest.mark.parametrize("name", CASES)
def test_uniqueness_and_radius_are_proved(name):
    found, solution, _, _ = solved(name)
    known = evidence(name)
    assert proves(known, kind="B", beta="1e-12")
    assert not proves(known, kind="B", beta="1e-30")
    assert not proves(known, kind="T")
    weak = {"noise": "0.1"} if found.is_determined else {"upper": str(solution.certificate.value * 1.01)}
    radius = float(known.radius(weak))
    assert 0 < radius < 1e4
    assert proves(known, kind="F", radius=str(radius * 1.001), **weak)
    assert not proves(known, kind="F", radius=str(radius * 0.99), **weak)


@pytest.mark.parametrize("name", CASES)
def test_a_radius_contains_other_fits_of_the_same_quality(name):
    """Matrices near X̂ whose measurements differ from the data by the noise, or whose data are other flat minima."""
    found, _, witness, _ = solved(name)
    if not found.is_determined:
        pytest.skip("exact fits are unique here")
    known, rng = evidence(name), RNG(0)
    for size in (1e-6, 1e-3):
        U = witness.L + size * rng.standard_normal(witness.L.shape)
        other, X = U @ U.conj().T, witness.L @ witness.L.conj().T
        noise = np.linalg.norm(np.einsum("mij,ij->m", found.A.conj(), other).real - found.problem.data)
        assert np.linalg.norm(other - X) <= float(known.radius({"noise": str(float(noise) * (1 + 1e-9))}))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("constant", ["delta", "t", "sigma2", "g1", "g2"])
def test_constants_a_percent_above_the_truth_are_refused(name, constant):
    found, _, witness, instance = solved(name)
    proof = opened(witness.document(found.model, instance, []))
    used = {"t", "sigma2"} if found.model["cone"] == "semidefinite" else {"delta", "sigma2", "g1"}
    used |= {"g2"} if found.model["cone"] == "rectangular" else set()
    if constant not in used:
        pytest.skip("this model has no such constant")
    proof["constants"][constant] = (float.fromhex(proof["constants"][constant]) * 1.01).hex()
    loose = (
        {"noise": "1"}
        if found.is_determined
        else {"upper": str(2 * float(evidence(name).norm_bounds[1] * found.factor))}
    )
    assert proves(evidence(name), kind="F", radius="1e9", **loose)
    assert not proves(evidence_of(proof, found.arrays), kind="F", radius="1e9", **loose)


def test_an_integer_truth_is_the_unique_flat_minimum():
    found = sensing(integers=True)
    solution = fm.flat_minimum(found.problem)
    X = np.outer(np.arange(-2.0, 4), [1, 2, -1, 1, 3])
    witness = Witness(found.A, found.problem.data, X, 1, solution.certificate.dual)
    witness.L, witness.C, witness.R = np.arange(-2.0, 4)[:, None], np.eye(1), np.array([[1.0, 2, -1, 1, 3]]).T
    instance = instance_bytes(**found.arrays)
    text = witness.document(found.model, instance, [{"kind": "T"}, {"kind": "B", "beta": "0"}])
    assert check(text, instance)
    witness.L = witness.L * 2
    with pytest.raises(Refused):
        check(witness.document(found.model, instance, [{"kind": "T"}]), instance)


def test_two_flat_minima_are_never_proved_unique():
    """The diagonal of [[1, t], [t, 1]] is seen: all t from −1 to 1 are flat."""
    A = np.zeros((2, 2, 2))
    A[0, 0, 0] = A[1, 1, 1] = 1
    arrays = {"rows": np.arange(2), "cols": np.arange(2), "shape": np.array([2, 2]), "b": np.ones(2)}
    model = DEFAULTS | {"measurement": "entries", "cone": "rectangular", "weight": None}
    for rank, X in ((1, np.ones((2, 2))), (2, np.eye(2))):
        witness = Witness(A, arrays["b"], X, rank, np.full(2, 0.5))
        witness.constants = lambda w=witness: {"g1": 0.2, "g2": 0.2, "delta": 0.5, "sigma2": 1e-20, "gamma": 1.0}
        known = evidence_of(opened(witness.document(model, b"", [], np.full(2, 0.25))), arrays)
        assert proves(known, kind="V", lower="2")
        assert not proves(known, kind="B", beta="1")


@pytest.mark.parametrize("seed", range(12))
def test_truths_below_the_threshold_are_never_proved_unique(seed):
    found = completion(6, 6, 18, 2, seed)
    X = np.zeros((6, 6))
    X[found.arrays["rows"], found.arrays["cols"]] = found.problem.data
    rng = RNG(seed)
    for dual in (np.zeros(18), rng.standard_normal(18), fm.flat_minimum(found.problem).certificate.dual):
        witness = Witness(found.A, found.problem.data, X, 2, dual)
        known = evidence_of(opened(witness.document(found.model, b"", [])), found.arrays)
        assert not proves(known, kind="B", beta="1")


def test_any_other_text_of_a_proof_is_refused():
    found, _, witness, instance = solved("completion")
    text = witness.document(found.model, instance, [{"kind": "B", "beta": "1e-12"}])
    assert check(text, instance)
    proof = json.loads(text)
    claimed = [{**proof, "statements": [{"kind": "B", "beta": "1e-30"}]}]
    claimed += [{**proof, "statements": []}, {**proof, "statements": [{"kind": "V", "lower": "Infinity"}]}]
    for changed in [text[:-1], b" " + text, text.replace(b"1e-12", b"1e-13"), *map(seal, claimed)]:
        with pytest.raises(Refused):
            check(changed, instance)
    other = instance_bytes(**found.arrays | {"b": found.problem.data * (1 + 1e-15)})
    with pytest.raises(Refused):
        check(text, other)


@pytest.mark.parametrize("name", ["sensing", "completion", "network", "phase retrieval"])
def test_zero_is_the_unique_flat_minimum_of_zero_data_only(name):
    found, _, witness, _ = solved(name)
    proof = {**opened(witness.document(found.model, b"", [])), "point": None}
    known = evidence_of(proof, found.arrays | {"b": np.zeros(len(found.problem.data))})
    assert proves(known, kind="V", lower="0")
    assert not proves(known, kind="V", lower="1e-99")
    assert proves(known, kind="U", upper="0")
    assert proves(known, kind="T")
    with pytest.raises(Refused):
        evidence_of(proof, found.arrays)


@pytest.mark.parametrize("name", ["sensing", "metric power 0", "bilinear", "completion", "network"])
def test_no_fit_of_nearly_the_same_flatness_lies_outside_the_radius(name):
    """Exact fits X + tH along random and steep directions, as far as their scaled trace allows."""
    found, solution, witness, _ = solved(name)
    known, X, rng = evidence(name), solution.matrix, RNG(0)
    flat = found.A.reshape(len(found.A), -1)
    if found.model["cone"] == "symmetric":
        d = len(X)
        skew = [np.eye(d)[:, [i]] * np.eye(d)[j] for i in range(d) for j in range(i)]
        flat = np.vstack([flat, *[(E - E.T).ravel() for E in skew]])
    blind = np.linalg.svd(flat)[2][np.linalg.matrix_rank(flat) :]
    assert len(blind)
    D1, D2 = (np.linalg.cholesky(G).T for G in witness.G)

    def trace(Y):
        return found.factor * np.linalg.norm(D1 @ Y @ D2.T, "nuc")

    for share in (1e-9, 1e-3, 0.3):
        upper = float(known.upper) * (1 + share)
        radius = float(known.radius({"upper": str(upper)}))
        for _ in range(20):
            H = (rng.standard_normal(len(blind)) @ blind).reshape(X.shape)
            low, high = 0.0, 1e6
            for _ in range(80):
                middle = (low + high) / 2
                low, high = (middle, high) if trace(X + middle * H) <= upper else (low, middle)
            assert np.linalg.norm(low * H) <= radius
