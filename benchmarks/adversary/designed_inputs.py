"""Integer problems of every model with odd inputs and hand-made duals: every claim is judged in sixty digits.

Measurements are repeated, nearly collinear, zero or of very different size; arrays are integer, in single precision, in
Fortran order, read-only, strided or sparse; alpha and metric_power vary. Factors are exact, perturbed, padded with zero
columns or those of the truth. Duals are those of the solution, scaled by up to 1e±150, reversed, zero, with huge parts
that cancel, or from another problem. No bound may exceed the objective of the truth, no value may be below that of the
factors, and no truth as good may lie beyond the radius.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from scipy import sparse

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.objectives import DIGITS, matrix_of, objective
from flatmin.errors import InputError
from flatmin.measurements import Dense, Entries, FromLinearOperator, Identity, Mask, RankOne
from flatmin.proofs.judge import judge

__all__ = ["attack"]

Random = np.random.Generator
#: Certificates of one attack.
CERTIFICATES = 8
#: Relative excess of a lower bound over the value, and of a stated value below the true one, that counts as rounding
#: where products of measurements come from an operator, whose accuracy is assumed and not proved.
ASSUMED = 1e-12
KINDS = (
    *("product", "entries", "signed", "gram", "vectors", "complex vectors", "bilinear"),
    *(
        "gross errors",
        "gross errors, limited",
        "vectors of depth 2",
        "vectors of depth 3",
        "two layers",
        "three layers",
    ),
)


def attack(seed: int) -> Verdict:
    """Certify a problem of one of the models with several pairs of factors and duals."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    problem, X = _problem(rng, kind)
    alpha = 0.0 if kind in ("three layers",) or rng.random() < 0.6 else float(10.0 ** rng.uniform(-6, 1))
    power = float(rng.choice([1.0, 1.0, 0.0, 0.5, rng.random()])) if problem.is_convex else 1.0
    options = {"alpha": alpha, "metric_power": power}
    try:
        solution = fm.flat_minimum(problem, **options)
    except InputError:  # data and alpha out of proportion
        return Verdict(0, None, 0)
    other = _problem(np.random.default_rng(seed + 1_000_000), kind)[0].data
    duals = _duals(rng, solution.certificate.dual, other)
    points = _points(rng, problem, solution.factors, X)
    with mpmath.workdps(DIGITS):
        truth = mpmath.matrix(X.tolist())
        try:
            best = objective(problem, truth, **options)
        except ArithmeticError:
            return Verdict(solution.certificate.holds)
        held = int(solution.certificate.holds)
        proofs = [(solution.certificate, solution.factors)]
        for k in range(CERTIFICATES - 1):
            factors = points[0] if k < 2 else points[int(rng.integers(len(points)))]
            dual, second = duals[0 if k < 3 else int(rng.integers(len(duals)))], solution.certificate.uniqueness_dual
            proofs.append((judge(problem, factors, dual, second, **options), factors))
        for proof, factors in proofs:
            held += proof.holds
            if fault := _fault(problem, proof, factors, truth, best, options):
                return Verdict(held, f"{kind}, {options}: {fault}", len(proofs))
    return Verdict(held, None, len(proofs))


def _fault(problem: fm.Problem, proof: Any, factors: Any, truth: Any, best: Any, options: Any) -> str | None:
    """Return a sentence about a claim that is false, or None."""
    slack = mpmath.mpf(ASSUMED if isinstance(problem.measurement, FromLinearOperator) else 0)
    if proof.bound_kind == "estimated" or proof.unseen > _unmeasured(problem):
        return None
    if mpmath.mpf(proof.lower_bound) > best * (1 + slack):
        return f"the bound {proof.lower_bound!r} exceeds the objective {mpmath.nstr(best, 20)} of the truth"
    X = matrix_of(problem, factors)
    apart = mpmath.mnorm(X - truth, "f")
    if not proof.holds:
        return None
    value, stated = objective(problem, X, **options), mpmath.mpf(proof.value)
    if value != mpmath.inf and not problem.loss.has_gross_errors and value > stated * (1 + slack):
        return f"the value is stated as {proof.value!r}, but it is {mpmath.nstr(value, 20)}"
    if best <= stated and proof.unique is True and apart > 0.02 * mpmath.mnorm(X, "f"):
        return f"called unique, the truth lies {float(apart):.3g} away"
    if proof.radius is None:
        return None
    if options["alpha"]:
        return (
            f"the truth lies {float(apart):.3g} away, the radius is {proof.radius:.3g}"
            if best <= stated and apart > proof.radius
            else None
        )
    if not stated:  # every matrix that is not zero is infinitely less flat
        return None if best or not apart else f"the truth is as flat, and lies {float(apart):.3g} away"
    excess = max(0.0, float(best / stated - 1)) * (1 + 1e-9)
    radius = proof.error_radius(0.0, excess) if excess else proof.radius
    if radius is not None and apart > mpmath.mpf(radius):
        return f"the truth, less flat by {excess:.2g}, lies {float(apart):.3g} away, the radius is {radius:.3g}"
    return None


def _unmeasured(problem: fm.Problem) -> int:
    """Return the number of rows and columns that no measurement sees."""
    M = problem.measurement.matrices()
    return int((~M.any(axis=(0, 2))).sum() + (~M.any(axis=(0, 1))).sum())


def _duals(rng: Random, own: Any, other: Any) -> list[Any]:
    """Return a solution's dual vector and hand-made ones."""
    size = float(np.max(np.abs(own), initial=0.0)) or 1.0
    pair, one = np.zeros(len(own)), np.zeros(len(own))
    pair[rng.permutation(len(own))[:2]] = 1
    pair[np.flatnonzero(pair)[:1]] = -1
    one[int(rng.integers(len(own)))] = size
    random = rng.standard_normal(len(own))
    foreign = np.resize(other, len(own))
    return [
        own,
        own * (1 + 10.0 ** -rng.uniform(1, 16) * random),
        own * 10.0 ** rng.uniform(-150, 150),
        -own,
        0 * own,
        own + 2.0 ** rng.integers(10, 60) * size * pair,
        one,
        size * random,
        foreign * (size / (float(np.max(np.abs(foreign))) or 1.0)),
        foreign * 1e150,
        random * 1e-150,
    ]


def _points(rng: Random, problem: fm.Problem, factors: Any, X: Any) -> list[Any]:
    """Return a solution's factors and other ones."""
    moved = tuple(F * (1 + 10.0 ** -rng.uniform(6, 17) * rng.standard_normal(F.shape)) for F in factors)
    found = [factors, moved]
    model = problem.parametrization
    if isinstance(model, fm.Hadamard | fm.Chain):
        return found
    found.append(tuple(np.hstack([F, np.zeros((len(F), 2))]) for F in factors))
    if isinstance(model, fm.Product):
        found += [(X, np.eye(problem.shape[1])), (np.eye(problem.shape[0]), np.ascontiguousarray(X.T))]
    return found


def _problem(rng: Random, kind: str) -> tuple[fm.Problem, Any]:
    """Return a problem whose integer truth fits exactly, and the truth."""
    if kind.startswith("gross errors"):
        return _split(rng, limited=kind.endswith("limited"))
    if kind.startswith("vectors of depth"):
        return _deep(rng, int(kind[-1]))
    d1, d2 = (int(d) for d in rng.integers(2, 5, 2))
    if kind in ("signed", "gram", "vectors", "complex vectors"):
        d2 = d1
    m = int(rng.integers(2, d1 * d2 + 3))
    u, v = rng.integers(-5, 6, d1), rng.integers(-5, 6, d2)
    X, model = np.outer(u, v), fm.Product()
    if kind in ("product", "two layers"):
        A: Any = _form(rng, _designed(rng, rng.integers(-5, 6, (m, d1, d2))), Dense, (d1, d2))
    elif kind == "three layers":
        A = Identity((d1, d2))
    elif kind == "entries":
        cells = rng.integers(0, d1 * d2, m)
        A = Entries(*np.divmod(cells, d2), (d1, d2), 2.0 ** rng.integers(-18, 18, m) if rng.random() < 0.5 else None)
    elif kind == "bilinear":
        A = RankOne(*(_form(rng, _designed(rng, rng.integers(-5, 6, (m, d))), np.asarray, None) for d in (d1, d2)))
    else:
        X = np.outer(u, u) - (kind == "signed") * np.outer(v, v)
        model = fm.SignedGram() if kind == "signed" else fm.Gram()
        if kind in ("signed", "gram"):
            T = rng.integers(-5, 6, (m, d1, d1))
            A = _form(rng, _designed(rng, T + T.transpose(0, 2, 1)), Dense, None)
        else:
            x = _designed(rng, rng.integers(-9, 10, (m + d1, d1)))
            if kind == "complex vectors":
                u, v = u[:, None], v[:, None]
                X = (u + 1j * v) @ (u + 1j * v).conj().T
                x = x + 1j * rng.integers(-9, 10, x.shape)
            A = RankOne(x)
    layers = int(rng.integers(1, 5))
    if kind == "two layers":
        model = fm.Chain((layers,))
    if kind == "three layers":
        model = fm.Chain((layers, layers))
    M = A.matrices()
    X = (
        X * M.any(axis=(0, 2))[:, None] * M.any(axis=(0, 1))
    )  # claims compare matrices that vanish where nothing is seen
    data = np.einsum("mij,ij->m", M.conj(), X.astype(M.dtype)).real
    return fm.Problem(A, data if rng.random() < 0.5 else np.asfortranarray(data), model), X


def _split(rng: Random, limited: bool) -> tuple[fm.Problem, Any]:
    """Return robust PCA of an integer matrix of rank one with gross errors."""
    d1, d2 = (int(d) for d in rng.integers(2, 7, 2))
    X = np.outer(rng.integers(-4, 5, d1), rng.integers(-4, 5, d2))
    S = rng.integers(-50, 51, X.shape) * (rng.random(X.shape) < 0.2)
    whole = rng.random() < 0.3
    seen = whole | (rng.random(X.shape) < 0.9) | (np.arange(X.size).reshape(X.shape) == 0)
    limit = float(np.abs(S[seen]).sum())
    loss = fm.losses.Absolute(tau=limit) if limited else fm.losses.Absolute(weight=float(rng.uniform(0.05, 1)))
    return fm.Problem(Identity(X.shape) if whole else Mask(seen), (X + S)[seen].astype(float), loss=loss), X


def _deep(rng: Random, depth: int) -> tuple[fm.Problem, Any]:
    n = int(rng.integers(2, 7))
    A = _designed(rng, rng.integers(-9, 10, (int(rng.integers(1, n + 1)), n)))
    x = (rng.integers(-9, 10, n) * A.any(axis=0))[:, None]
    return fm.Problem(_form(rng, A, Dense, None), (A @ x).ravel(), fm.Hadamard(depth)), x


def _designed(rng: Random, rows: Any) -> Any:
    """Return whole numbers of which some rows are repeated, zero, almost collinear, or of another size."""
    rows = np.array(rows)
    change = int(rng.integers(6))
    if len(rows) > 1:
        if change == 0:
            rows[-1] = rows[0]
        elif change == 1:
            rows[0] = 0
        elif change == 2:
            rows[-1] = rows[0] * 2 ** int(rng.integers(1, 20)) + (rows[-1] > 2)
        elif change == 3:
            rows[0] *= 2 ** int(rng.integers(1, 20))
    return rows


def _form(rng: Random, rows: Any, build: Callable[[Any], Any], shape: tuple[int, int] | None) -> Any:
    """Return a measurement from an array of another type or order that has the same numbers."""
    if np.abs(rows).max(initial=0) < 2**24 and rng.random() < 0.2:
        return build(rows.astype(np.float32))
    way = int(rng.integers(6))
    if way == 0:
        return build(rows)
    plain = rows.astype(float)
    if way == 1:
        plain.flags.writeable = False
    elif way == 2:
        plain = np.asfortranarray(plain)
    elif way == 3:
        plain = np.repeat(plain, 2, axis=-1)[..., ::2]
    elif way == 4 and shape is not None:
        return FromLinearOperator(sparse.csr_matrix(plain.reshape(len(plain), -1)), shape)
    return build(plain)
