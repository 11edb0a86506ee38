"""The checker of exact proofs: its inequalities against dense floats, its arithmetic against exact elimination."""

import ast
import io
import json
import re
import shlex
import subprocess
import sys
import tokenize
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from benchmarks.adversary.small_proofs import PROBLEMS, proof_of

import flatmin as fm
from flatmin.proofs import checker
from tests.proofs.exact.best_witness import instance_bytes, packed
from tests.proofs.exact.elimination import inverse as exact_inverse
from tests.proofs.exact.elimination import is_semidefinite
from tests.proofs.exact.proof_file import seal
from tests.systems import needs_full_device

DRAWS = 100


@pytest.fixture(params=[True, False], ids=["numpy", "plain"])
def arithmetic(request):
    checker.use_numpy(request.param)
    yield request.param
    checker.use_numpy()


def integers(rng, shape, bits):
    """Return rows of integers of very different lengths, some of them zero."""
    lengths = rng.integers(0, bits + 1, shape)
    return [[int(rng.integers(-9, 10)) << int(k) if k else 0 for k in row] for row in lengths]


@pytest.mark.parametrize(
    ("shape", "bits"), [((70, 60, 80), 50), ((60, 64, 61), 300), ((3, 9000, 8), 70), ((1, 1, 1), 5)]
)
def test_products_of_integers_are_exact(arithmetic, shape, bits):
    rng = np.random.default_rng(0)
    A, B = integers(rng, shape[:2], bits), integers(rng, shape[1:], bits)
    exact = np.array(A, dtype=object) @ np.array(B, dtype=object)
    assert checker.product(A, B) == exact.tolist()
    assert checker.Matrix(A).gram().rows == (np.array(A, dtype=object) @ np.array(A, dtype=object).T).tolist()


def test_the_inverse_is_exact_and_a_singular_matrix_has_none():
    rng = np.random.default_rng(3)
    singular = 0
    for draw in range(DRAWS):
        n = int(rng.integers(1, 7))
        scales = 10.0 ** rng.integers(-9, 9, n * n) if draw % 2 else 1.0
        values = rng.integers(-1, 2, n * n) * scales
        T = checker.Matrix.from_rows(values.tolist(), n)
        if exact_inverse([[Fraction(x) for x in row] for row in values.reshape(n, n).tolist()]) is None:
            singular += 1
            with pytest.raises(checker.Refused, match="singular"):
                checker.inverse(T)
            continue
        product = T @ checker.inverse(T)
        assert product.unit > 0
        assert [[product.unit * x for x in row] for row in product.rows] == np.eye(n).tolist()
    assert 0 < singular < DRAWS / 2


def test_nearly_singular_matrices_are_accepted_only_if_exact_elimination_accepts_them(arithmetic):
    rng = np.random.default_rng(1)
    accepted = refused = 0
    for draw in range(3 * DRAWS):
        n, bits = int(rng.integers(2, 7)), int(rng.integers(20, 60))
        L = rng.integers(-9, 10, (n, int(rng.integers(1, n + 1))))
        S = (L @ L.T).astype(object) * 2**bits + np.diag(rng.integers(-3, 4, n)).astype(object) * 2 ** int(
            rng.integers(0, bits)
        )
        scales = np.array([2 ** int(k) for k in rng.integers(0, 80, n)], dtype=object)
        S = S * scales[:, None] * scales[None, :]
        slack = 0 if draw % 2 else int(rng.integers(0, 3))
        if checker.is_semidefinite(checker.Matrix(S.tolist()), slack):
            accepted += 1
            assert is_semidefinite(S)
        else:
            refused += not is_semidefinite(S)
    assert min(accepted, refused) > 40


@pytest.mark.parametrize("share", [0.5, 1 - 1e-13, 1 + 1e-15, 1.01])
def test_schur_complements_agree_with_blocks(arithmetic, share):
    rng = np.random.default_rng(2)
    for _ in range(20):
        d1, d2 = rng.integers(2, 7, 2)
        Y = rng.standard_normal((d1, d2))
        G1 = np.diag(10.0 ** rng.integers(-6, 6, d1))
        G2 = np.diag(10.0 ** rng.integers(-6, 6, d2))
        Y = Y / np.linalg.norm(G1**0.5 @ Y @ G2**0.5, 2) * share
        Y = G1 @ Y @ G2
        matrices = [checker.Matrix.from_rows(M.ravel().tolist(), M.shape[1]) for M in (G1, Y, G2)]
        assert checker.dominates(*matrices) == (share < 1)
        whole = [[Fraction(x) for x in row] for row in np.block([[G1, -Y], [-Y.T, G2]])]
        assert is_semidefinite(np.array(whole, dtype=object)) or share > 1 - 1e-12


def theorem(model, arrays, point, constants=(), **duals):
    """Return the theorem of a proof without statements."""
    default = {
        "family": None,
        "complex": False,
        "metric_power": 1,
        "objective": "interpolating",
        "alpha": None,
        "weight": None,
    }
    document = {
        "model": {**default, **model},
        "point": {name: packed(M) for name, M in point.items()},
        "duals": {name: packed(dual) for name, dual in duals.items()},
        "constants": {name: float(x).hex() for name, x in dict(constants).items()},
    }
    return checker.theorem_of(document, checker.read_instance(instance_bytes(**arrays)))


def power(S, exponent):
    values, vectors = np.linalg.eigh(S)
    return (vectors * values**exponent) @ vectors.T


class RandomProduct:
    """A random matrix of random measurements, in floats: nothing is optimal, so that no inequality is tight by luck."""

    def __init__(self, seed, symmetric=False):
        rng = np.random.default_rng(seed)
        d1, d2 = (int(rng.integers(3, 6)), int(rng.integers(3, 6)))
        d2 = d1 if symmetric else d2
        m, r, metric_power = (
            int(rng.integers(d1 * d2 - 3, d1 * d2 + 4)),
            int(rng.integers(1, 3)),
            int(rng.integers(0, 2)),
        )
        A = rng.standard_normal((m, d1, d2)) * 10.0 ** rng.uniform(-2, 2)
        A = (A + A.transpose(0, 2, 1)) / 2 if symmetric else A
        n1, n2 = (m, m) if symmetric else (m * d2, m * d1)
        G = [np.einsum("mij,mkj->ik", A, A) / n1, np.einsum("mji,mjk->ik", A, A) / n2]
        G = G if metric_power else [np.eye(len(M)) * np.trace(M) / len(M) for M in G]
        self.roots, self.inverses = [power(M, 0.5) for M in G], [power(M, -0.5) for M in G]
        P, Q = (np.linalg.qr(rng.standard_normal((d, r)))[0] for d in (d1, d2))
        signs = rng.choice([-1.0, 1.0], r) if symmetric else np.ones(r)
        Q = P if symmetric else Q
        noise = 10.0 ** rng.uniform(-9, -2)
        P = P + noise * rng.standard_normal(P.shape)
        Q = P if symmetric else Q + noise * rng.standard_normal(Q.shape)
        C = np.diag(signs * rng.uniform(0.5, 2, r))
        skew = noise * rng.standard_normal((r, r))
        C = C + (skew + skew.T if symmetric else skew)
        self.L, self.R, self.C = self.inverses[0] @ P, self.inverses[1] @ Q, C
        self.Z = P @ C @ Q.T
        self.B = np.einsum("ij,mjk,kl->mil", self.inverses[0], A, self.inverses[1])
        U, s, Vt = np.linalg.svd(self.Z)
        self.U, self.V, self.smallest = U[:, :r], Vt[:r].T, s[r - 1]
        self.polar = self.U @ self.V.T
        aligned = np.linalg.lstsq(self.B.reshape(m, -1).T, self.polar.ravel(), rcond=1e-9)[0]
        self.dual = aligned * rng.uniform(0.9, 1.1) + noise * rng.standard_normal(m) * np.abs(aligned).mean()
        self.Y = np.tensordot(self.dual, self.B, 1)
        self.G, self.A, self.rng, self.symmetric = G, A, rng, symmetric
        self.model = {
            "measurement": "dense",
            "cone": "symmetric" if symmetric else "rectangular",
            "metric_power": metric_power,
        }
        self.arrays = {"A": A, "b": np.einsum("mij,ij->m", A, self.L @ C @ self.R.T)}
        self.point = {"U": self.L, "C": C} if symmetric else {"L": self.L, "C": C, "R": self.R}
        self.bounds = {"g1": 0.999 * np.linalg.eigvalsh(G[0])[0], "g2": 0.999 * np.linalg.eigvalsh(G[1])[0]}
        self.bounds["core"] = 0.99 * np.linalg.eigvalsh((C * signs + (C * signs).T) / 2)[0]

    def theorem(self, **constants):
        return theorem(self.model, self.arrays, self.point, {**self.bounds, **constants}, value=self.dual)

    def tangent(self, H):
        left = self.U @ (self.U.T @ H)
        return left + (H - left) @ self.V @ self.V.T

    def injectivity(self):
        """Return the smallest ‖B(H)‖/‖H‖ in the tangent space."""
        shape = self.Z.shape
        units = np.eye(self.Z.size).reshape(-1, *shape)
        units = units + units.transpose(0, 2, 1) if self.symmetric else units
        basis = np.array([self.tangent(E).ravel() for E in units])
        rows = np.linalg.svd(basis)[2][: np.linalg.matrix_rank(basis)]
        return (
            np.linalg.svd(self.B.reshape(len(self.B), -1) @ rows.T, compute_uv=False)[-1]
            if len(self.B) >= len(rows)
            else 0.0
        )

    def margin(self):
        return 1 - np.linalg.norm(self.Y - self.tangent(self.Y), 2)


@pytest.mark.parametrize("symmetric", [False, True])
def test_metrics_norms_and_spreads_bound_those_of_floats(symmetric):
    for seed in range(DRAWS):
        case = RandomProduct(seed, symmetric)
        proved = case.theorem()
        for M, G in zip((proved.G1, proved.G2), case.G, strict=True):
            np.testing.assert_allclose(
                np.array(M.rows, dtype=float) * float(M.unit), G, rtol=1e-10, atol=1e-13 * abs(G).max()
            )
        norm = np.linalg.norm(case.Z, "nuc")
        assert norm * (1 - 1e-12) <= float(proved.nuclear_norm()) <= 1.01 * norm
        assert 0.99 * norm <= float(proved.least_norm()) <= norm * (1 + 1e-12)
        spread = float(proved.spread(*proved.metric_bounds()))
        u, v = (np.linalg.qr(case.rng.standard_normal((d, 1)))[0][:, 0] for d in case.Z.shape)
        assert np.linalg.norm(np.einsum("mij,i,j->m", case.B, u, u if symmetric else v)) <= spread


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_tilt_bounds_the_distance_from_the_polar_factor(symmetric):
    ratios = []
    for seed in range(DRAWS):
        case = RandomProduct(seed, symmetric)
        proved = case.theorem()
        Y = proved.A.adjoint(proved.uniqueness_dual())
        bound = float(proved.tilt(Y, *proved.metric_bounds()))
        ratios.append(bound / np.linalg.norm(case.tangent(case.Y) - case.polar))
    assert min(ratios) >= 1
    assert np.median(ratios) < 20


@pytest.mark.parametrize("symmetric", [False, True])
def test_margins_and_injectivities_above_the_true_ones_are_refused(symmetric):
    accepted = [0, 0]
    for seed in range(DRAWS):
        case = RandomProduct(seed, symmetric)
        margin, injectivity = case.margin(), case.injectivity()
        gamma = np.trace(case.G[0]) * len(case.A)
        for share in (0.65 if symmetric else 0.9, 1.01):
            below = share < 1
            if margin > 1e-3:
                delta = margin * share if below else margin + 0.01 * (1 - margin)
                proved = case.theorem(delta=delta)
                try:
                    proved.margin(proved.A.adjoint(proved.uniqueness_dual()))
                    assert below
                    accepted[0] += 1
                except checker.Refused:
                    pass
            if injectivity > 1e-6:
                try:
                    case.theorem(sigma2=(injectivity * share) ** 2, gamma=gamma).injectivity()
                    assert below
                    accepted[1] += 1
                except checker.Refused:
                    pass
    assert accepted[0] > 20
    assert accepted[1] > 20


def test_no_exact_fit_is_flatter_than_the_bound_or_farther_than_the_radius():
    checked = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        problem = fm.families.matrix_sensing.sample((6, 5), 1, int(rng.integers(20, 28)), seed=seed).problem
        solution = fm.flat_minimum(problem, tol=1e-12)
        proof = fm.prove(problem, solution)
        proved = checker.theorem_of(json.loads(proof.text), checker.read_instance(proof.instance))
        if proof.statement("F") is None:
            continue
        A = problem.measurement.tensor.reshape(problem.measurement.size, -1)
        directions = np.linalg.svd(A)[2][len(A) :]
        D1, D2 = (np.asarray(D) for D in problem.metric)
        for _ in range(25):
            H = (rng.standard_normal(len(directions)) @ directions).reshape(6, 5) * 10.0 ** rng.uniform(-6, 1)
            level = 4 * np.linalg.norm(D1 @ (solution.matrix + H) @ D2, "nuc")
            assert level >= float(proved.lower) * (1 - 1e-12)
            assert np.linalg.norm(H) <= float(proved.radius(Fraction(level * (1 + 1e-12))))
            checked += 1
    assert checked >= 100


def claims(name):
    text, instance = proof_of(name)
    return json.loads(text), instance


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_answers_without_numpy_are_the_same(name):
    text, instance = proof_of(name)
    found = []
    for wanted in (True, False):
        checker.use_numpy(wanted)
        found.append(checker.check_files(text.encode() if isinstance(text, str) else text, instance))
    checker.use_numpy()
    assert found[0] == found[1]


@pytest.mark.parametrize("name", PROBLEMS)
def test_claims_one_percent_too_strong_are_refused(name):
    proof, instance = claims(name)
    for k, statement in enumerate(proof["statements"]):
        changes = {"lower": 1.01, "upper": 0.99, "gap": 0.99, "beta": 0.99, "radius": 0.99, "noise": 1.01}
        for key in statement.keys() - {"kind"}:
            changed = json.loads(json.dumps(proof))
            number = Fraction(statement[key])
            factor = Fraction(1.01) if statement["kind"] == "F" and key == "upper" else Fraction(changes[key])
            if number == 0 or (statement["kind"] == "F" and key == "noise"):
                continue
            changed["statements"][k][key] = f"{float(number * factor)!r}"
            with pytest.raises(checker.Refused):
                checker.check_files(seal(changed), instance)


def test_the_command_runs_alone_and_says_what_fails(tmp_path):
    text, instance = proof_of(next(iter(PROBLEMS)))
    proof, pin = json.loads(text), json.loads(text)["instance"]["sha256"]
    (tmp_path / "proof.json").write_bytes(seal(proof))
    (tmp_path / "instance.npz").write_bytes(instance)
    command = [sys.executable, "-I", checker.__file__, "proof.json", "instance.npz"]

    def run(*options, status):
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    assert "scaled trace at least" in run("--sha256", pin, status=0)
    assert "standard library alone" in run("--no-numpy", status=0)
    assert "expected 00" in run("--sha256", "00", status=1)
    assert "usage" in run("--unknown", status=2)
    command[-2] = "absent.json"
    assert "absent.json" in run(status=2)
    command[-2] = "changed.json"
    proof["statements"][0]["lower"] = "1e9"
    (tmp_path / "changed.json").write_text(json.dumps(proof))
    assert "canonical" in run(status=1)
    (tmp_path / "changed.json").write_bytes(seal(proof))
    assert "statement V fails" in run(status=1)


@pytest.mark.parametrize("setting", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("valid", [True, False])
def test_the_status_does_not_depend_on_the_encoding_of_the_output(tmp_path, setting, valid):
    text, instance = proof_of("integer sensing")
    proof = json.loads(text)
    proof["statements"][0]["lower"] = proof["statements"][0]["lower"] if valid else "1e9"
    proof |= {} if valid else {"∞\ud800": 1}
    (tmp_path / "proof.json").write_bytes(seal(proof))
    (tmp_path / "instance.npz").write_bytes(instance)
    command = [sys.executable, checker.__file__, "proof.json", "instance.npz"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONCOERCECLOCALE": "0", **setting}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == (0 if valid else 1), done.stderr
    assert done.stderr == b""
    assert done.stdout.startswith(b"Theorem" if valid else b"Refused: ")
    assert done.stdout.isascii()


@needs_full_device
def test_an_output_that_cannot_be_written_is_no_verdict(tmp_path):
    text, instance = proof_of("integer sensing")
    (tmp_path / "proof.json").write_bytes(text)
    (tmp_path / "instance.npz").write_bytes(instance)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-I", checker.__file__, "proof.json", "instance.npz"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path)
        closed = subprocess.run(f"{shlex.join(command)} >&-", shell=True, cwd=tmp_path)
    assert closed.returncode == 0  # the caller wants the status alone
    assert done.returncode not in {0, 1}


def test_bounds_on_the_norm_are_of_second_order_in_the_error_of_the_bases():
    """Bases that are orthonormal up to η, and a core that is symmetric up to η, cost some η² of the norm."""
    for seed in range(20):
        case = RandomProduct(seed)
        proved = case.theorem()
        eta, norm = float(max(proved.defects())), np.linalg.norm(case.Z, "nuc")
        skew = np.linalg.norm(case.C - case.C.T) / case.smallest
        room = 20 * (eta + skew) ** 2 + 1e-13
        assert proved.nuclear_norm() - proved.least_norm() <= room * norm


def output(name):
    """Return the sentences about what is proved, the lines about proved inequalities, and those about their symbols."""
    text, instance = proof_of(name)
    printed = "\n".join(checker.check_files(text, instance))
    theorem, _, rest = printed.partition("\n\nInstance: ")
    steps, _, symbols = rest.partition("Symbols in these lines:\n")
    return theorem, steps, symbols


#: What stands in a statement or a definition, and how its definition begins.
DEFINED = {
    "A(X)": "where A(X) is",
    "A_i": "A_i",
    "scaled trace": "The scaled trace of X is",
    "flat minimum": "A flat minimum of the data is",
    "objective": "The objective of X is",
    "X̂": "X̂ is",
    "Ŝ": "Ŝ are the errors",
    "D1": "D1 and D2 are",
    "G1": "G1 =",
    "fits the data": "X fits the data exactly if",
    "split": "A split of Y is",
    "‖·‖_*": "is the sum of the singular values",
    "‖b̂ − b‖": "‖·‖ is the Euclidean norm of vectors",
    "columns that no measurement sees": "all A_i are zero: no measurement sees them",
    "d1 ×": "Let m = ",
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_theorem_defines_its_terms(name):
    theorem, steps, symbols = output(name)
    for term, definition in DEFINED.items():
        assert term not in theorem or definition in theorem, f"{term} is not defined in: {theorem}"
    assert not set("{}") & set(theorem + symbols)
    letters = re.compile(r"[A-ZΛα-ω][12]?|(?<![a-z])[a-z][12]?(?![a-z])")
    used, known = (set(letters.findall(text)) for text in (steps.partition("integers:")[2], symbols + theorem))
    assert used - set("eij") <= known, f"{sorted(used - known)} are not defined in:\n{steps}\n{symbols}"


def test_sentences_that_were_stripped_are_no_verdict(tmp_path):
    text, instance = proof_of("sensing")
    (tmp_path / "proof.json").write_bytes(text)
    (tmp_path / "instance.npz").write_bytes(instance)
    command = [sys.executable, "-I", "-OO", checker.__file__, "proof.json", "instance.npz"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "without the option -OO" in done.stdout


@pytest.mark.parametrize("family", ["matrix-completion", "", {}, ["x"], 0, False])
def test_a_proof_names_no_family(family):
    proof, instance = claims("sensing")
    proof["model"]["family"] = family
    with pytest.raises(checker.Refused, match="family is"):
        checker.check_files(seal(proof), instance)


def test_the_program_is_short_enough_to_be_read():
    source = Path(checker.__file__).read_text()
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {k for t in tokens if t.type not in layout for k in range(t.start[0], t.end[0] + 1)}
    assert len(lines - documented) <= 800
