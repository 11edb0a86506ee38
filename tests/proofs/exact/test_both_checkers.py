"""The two checkers on the same proofs: all models, altered files, singular matrices, and claims 1 % above the truth."""

import io
import json
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from benchmarks.adversary.proofs import VARIANTS, attack, decimal, is_accepted, is_true
from benchmarks.adversary.small_proofs import PROBLEMS, completion, proof_of

import flatmin as fm
from flatmin.proofs import checker
from tests.proofs.exact import integer_problems
from tests.proofs.exact.best_witness import Witness, instance_bytes
from tests.proofs.exact.elimination import exact, is_semidefinite
from tests.proofs.exact.proof_file import Refused, seal
from tests.proofs.exact.second_checker import evidence_of

#: Statements that the proof of a problem has at least, if not those of ALL.
KINDS = {
    "noisy sensing": {"V", "B"},
    "penalised sensing": {"V", "U", "gap"},
    "penalised network": {"V", "U", "gap"},
    "completion below the threshold": {"V", "U", "gap"},
    "completion with unseen rows": {"V", "U", "gap", "B", "F"},
    "covariance": {"V", "B", "F"},
    "dense semidefinite": {"V", "B"},
    "phase retrieval": {"V", "B", "F"},
    "real phase retrieval": {"V", "B", "F"},
    "zero": {"V", "U", "gap", "B", "T"},
}
ALL = {"V", "U", "gap", "B", "F"}


def arrays_of(instance):
    with np.load(io.BytesIO(instance)) as stored:
        return dict(stored)


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_accept_the_proofs_of_the_package(name):
    text, instance = proof_of(name)
    kinds = {s["kind"] for s in json.loads(text)["statements"]}
    integers = {"T"} if name.startswith("integer") else set()
    assert kinds >= KINDS.get(name, ALL | integers)
    assert is_accepted(text, instance)
    assert is_true(text, instance)


@pytest.mark.parametrize("name", PROBLEMS)
def test_their_numbers_agree(name):
    text, instance = proof_of(name)
    proof = json.loads(text)
    first = checker.theorem_of(proof, checker.read_instance(instance))
    second = evidence_of(proof, arrays_of(instance))
    claims = {s["kind"]: s for s in proof["statements"]}
    if "V" in claims:
        assert first.lower == second.lower
    if "U" in claims:
        assert second.upper <= first.upper <= second.upper + abs(second.upper) / 10**9
    if "F" in claims:
        level = claims["F"].get("upper", claims["F"].get("noise"))
        theirs, ours = first.radius(Fraction(level)), second.radius(claims["F"])
        assert ours <= theirs <= 3 * ours


#: Problems of every model of order d1 + d2 = 40 (phases of floats: 24).
MEDIUM = {
    "sensing": partial(integer_problems.sensing, shape=(20, 20), m=250),
    "bilinear": partial(integer_problems.bilinear, shape=(20, 20), m=220),
    "completion": partial(integer_problems.completion, shape=(20, 20), m=300),
    "phases": partial(integer_problems.phases, d=20, m=160),
    "covariance": partial(integer_problems.phases, d=20, m=160, rank=2, is_complex=False),
    "network": partial(integer_problems.network, d=20, m=160),
    "table": partial(integer_problems.table, shape=(20, 20)),
    "completion of floats": lambda: fm.families.matrix_completion.sample((20, 20), 2, 340).problem,
    "phases of floats": lambda: fm.families.phase_retrieval.sample(12, 1, 96).problem,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEDIUM)
def test_both_accept_proofs_of_medium_size(name):
    problem = MEDIUM[name]()
    proof = fm.prove(problem, fm.flat_minimum(problem))
    assert (proof.statement("T") is None) == ("floats" in name)
    assert proof.statement("F") is not None
    document = json.loads(proof.text)
    assert is_accepted(proof.text.encode(), proof.instance)
    assert is_true(proof.text.encode(), proof.instance)
    (lower,) = (s for s in document["statements"] if s["kind"] == "V")
    lower["lower"] = decimal(Fraction(proof.statement("V").numbers["lower"]) * (1 + Fraction(1, 10**9)))
    assert not is_accepted(seal(document), proof.instance)
    assert not is_true(seal(document), proof.instance)


@pytest.mark.parametrize("block", range(8))
def test_altered_proofs_are_refused_or_true(block):
    """Of 200 altered files, each one that the checker accepts proves its claims by exact elimination too."""
    start = block * VARIANTS * len(PROBLEMS)  # the seeds of the proofs that the other tests here have read
    verdicts = [attack(seed) for seed in range(start, start + len(PROBLEMS))]
    assert not [v.false_claim for v in verdicts if v.false_claim]
    assert sum(v.held for v in verdicts) < 12  # most are refused


def test_every_changed_character_is_refused():
    text, instance = proof_of("integer completion")
    for at in range(len(text)):
        assert not is_accepted(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :], instance)
        assert not is_accepted(text[:at] + text[at + 1 :], instance)


def test_another_instance_is_refused_by_its_hash():
    text, instance = proof_of("completion")
    pin = json.loads(text)["instance"]["sha256"]
    assert is_accepted(text, instance, pin)
    assert not is_accepted(text, instance, "0" * 64)
    for bit in range(0, 8 * len(instance), 97):
        changed = bytearray(instance)
        changed[bit // 8] ^= 1 << bit % 8
        assert not is_accepted(text, bytes(changed), pin)


def near_singular(rng):
    """Draw a singular matrix of binary fractions, and the same with one eigenvalue moved by 1e-16 to 1e-7."""
    n = int(rng.integers(2, 9))
    F = np.round(rng.standard_normal((n, int(rng.integers(1, n + 1)))) * 2**12) / 2**12
    M = F @ F.T
    v = rng.standard_normal(n)
    moved = M + rng.choice([-1, 1]) * 10.0 ** rng.uniform(-16, -7) * np.outer(v, v)
    return M, (moved + moved.T) / 2


def test_no_matrix_is_accepted_that_elimination_rejects():
    rng, accepted, definite = np.random.default_rng(0), 0, 0
    for _ in range(300):
        for M in near_singular(rng):
            truth = is_semidefinite(exact(M))
            found = checker.is_semidefinite(checker.Matrix.from_rows(M.ravel().tolist(), len(M)))
            assert truth or not found
            definite, accepted = definite + truth, accepted + found
    assert accepted > 50
    assert definite < 500


@pytest.mark.parametrize("with_numpy", [True, False])
def test_no_block_matrix_is_accepted_that_elimination_rejects(with_numpy):
    """``[[G1, −Y], [−Yᵀ, G2]]`` with diagonal blocks and a norm of the scaled Y of 1 ± 1e-16 to 1e-7."""
    rng, found = np.random.default_rng(1), []
    checker.use_numpy(with_numpy)
    for _ in range(200):
        d1, d2 = (int(n) for n in rng.integers(1, 6, 2))
        q = rng.integers(1, 9, d2) / 2.0 ** rng.integers(0, 20, d2)
        G1, G2 = np.diag(rng.integers(1, 9, d1) / 4.0), np.diag(q)
        if rng.random() < 0.5:
            F = rng.integers(-4, 5, (d1, d1)) / 4.0
            G1 = F @ F.T + np.eye(d1)
        Y = rng.standard_normal((d1, d2))
        size = np.linalg.norm(np.linalg.inv(np.linalg.cholesky(G1)) @ Y / np.sqrt(q), 2)
        Y *= (1 + rng.choice([-1, 1]) * 10.0 ** rng.uniform(-16, -7)) / size
        blocks = [checker.Matrix.from_rows(M.ravel().tolist(), M.shape[1]) for M in (G1, Y, G2)]
        truth = is_semidefinite(exact(np.block([[G1, -Y], [-Y.T, G2]])))
        found.append((truth, checker.dominates(*blocks)))
    checker.use_numpy(True)
    assert (False, True) not in found
    assert found.count((False, False)) > 50
    assert found.count((True, True)) > 50


@pytest.mark.parametrize("seed", range(8))
def test_truths_below_the_threshold_are_never_proved_unique(seed):
    """Rank-2 truths, and random matrices, that are not flat: twelve attempts each with the best duals for them."""
    problem = completion(seed, m=22 + seed % 8, rank=2)
    A, b = problem.measurement, problem.data
    dense = A.matrices()
    arrays = {"rows": A.rows, "cols": A.cols, "shape": np.array(A.shape), "b": b}
    instance = instance_bytes(**arrays)
    model = {"family": None, "measurement": "entries", "cone": "rectangular", "complex": False, "metric_power": 1}
    model |= {"objective": "interpolating", "alpha": None, "weight": None}
    solution, rng = fm.flat_minimum(problem), np.random.default_rng(seed)
    L, R = (rng.standard_normal((d, 2)) for d in A.shape)
    other = L @ R.T
    truth = truth_of(seed, b)
    assert np.linalg.norm(solution.matrix - truth) > 1e-2 * np.linalg.norm(truth)
    duals = [np.zeros(len(b)), rng.standard_normal(len(b)), solution.certificate.dual]
    for X in (truth, other):
        for dual in duals:
            data = A.forward(X)
            witness = Witness(dense, data, X, 2, dual)
            for claims in ([{"kind": "B", "beta": "1e99"}], [{"kind": "B", "beta": "0"}, {"kind": "T"}]):
                text = witness.document(model, instance, claims)
                assert not is_accepted(text, instance)


def truth_of(seed, b):
    """Return the matrix that `completion` measures."""
    m = len(b)
    rng = np.random.default_rng(seed)
    rng.choice(48, m, replace=False)
    return rng.standard_normal((8, 2)) @ rng.standard_normal((6, 2)).T


CONSTANTS = [
    ("sensing", "delta", lambda known: known.delta),
    ("sensing", "sigma2", lambda known: known.sigma),
    ("sensing", "g1", lambda known: known.floors),
    ("sensing", "g2", lambda known: known.floors),
    ("bilinear", "delta", lambda known: known.delta),
    ("completion", "sigma2", lambda known: known.sigma),
    ("network", "delta", lambda known: known.delta),
    ("network", "sigma2", lambda known: known.sigma),
    ("network", "g1", lambda known: known.floors),
    ("covariance", "t", lambda known: known.delta),
    ("covariance", "sigma2", lambda known: known.sigma),
    ("phase retrieval", "t", lambda known: known.delta),
    ("phase retrieval", "sigma2", lambda known: known.sigma),
    ("gross errors", "delta", lambda known: known.delta),
    ("gross errors", "sigma2", lambda known: known.sigma),
]


@pytest.mark.parametrize(("name", "constant", "tested"), CONSTANTS, ids=lambda x: x if isinstance(x, str) else "")
def test_constants_a_percent_above_the_truth_are_refused(name, constant, tested):
    text, instance = proof_of(name)
    proof, arrays = json.loads(text), arrays_of(instance)

    def is_right(value):
        proof["constants"][constant] = float(value).hex()
        try:
            tested(evidence_of(proof, arrays))
        except Refused:
            return False
        return True

    low = float.fromhex(proof["constants"][constant])
    high = 2 * low
    assert is_right(low)
    while is_right(high):
        high *= 2
    while high > low * 1.004:
        middle = (low + high) / 2
        low, high = (middle, high) if is_right(middle) else (low, middle)
    proof["constants"][constant] = (1.01 * high).hex()
    with pytest.raises(checker.Refused):
        checker.theorem_of(proof, checker.read_instance(instance)).backward()
