"""A small writer of exact proofs for the tests of the checker; it knows only floats."""

import base64
import hashlib
import io
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np

from flatmin.proofs import checker

TYPES = {"f": "f8", "c": "c16", "i": "i8"}


def pack(array):
    """Return an array in the form of a proof."""
    array = np.asarray(array)
    kind = TYPES[array.dtype.kind]
    data = np.ascontiguousarray(array, dtype="<" + kind).tobytes()
    return {"shape": list(array.shape), "dtype": kind, "base64": base64.b64encode(data).decode()}


def decimal(x, up):
    """Return a fraction as a decimal of 25 digits, rounded outward."""
    context = Context(prec=25, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return format(context.divide(Decimal(x.numerator), Decimal(x.denominator)), "f")


def archive(arrays):
    """Return the bytes of an instance."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def seal(document):
    """Return the bytes of a proof, with its seal."""
    document = {key: value for key, value in document.items() if key != "seal"}
    document["seal"] = hashlib.sha256(checker.canonical(document)).hexdigest()
    return checker.canonical(document) + b"\n"


def dense(M):
    """Return a matrix of the checker in floats."""
    return np.array(M.rows, dtype=float) * float(M.unit)


def model(measurement, cone="rectangular", objective="interpolating", **other):
    """Return the model of a proof."""
    default = {"family": None, "complex": False, "metric_power": 1, "alpha": None, "weight": None}
    return {**default, "measurement": measurement, "cone": cone, "objective": objective, **other}


def power(S, exponent):
    values, vectors = np.linalg.eigh(S)
    return (vectors * values**exponent) @ vectors.T


def unit_matrices(theorem):
    """Return the sensing matrices of a theorem, on the coordinates that are seen, as rows."""
    m, shape = theorem.m, theorem.A.shape
    if isinstance(theorem.A, checker.DenseMap):
        return dense(theorem.A.A).reshape(m, *shape)
    if isinstance(theorem.A, checker.EntryMap):
        A = np.zeros((m, *shape))
        A[np.arange(m), *zip(*theorem.A.cells, strict=True)] = dense(theorem.A.weights)[:, 0]
        return A
    left, right = (dense(X).reshape(theorem.A.copies, m, -1) for X in (theorem.A.left, theorem.A.right))
    return np.einsum("kma,kmb->mab", left, right)


class Writer:
    """A proof in progress: a model, an instance and a point, all in floats.

    Constants are guessed from floats; what is claimed is what the checker proves, rounded outward.
    """

    def __init__(self, model, arrays, point, value=None, uniqueness=None):
        self.instance = archive(arrays)
        self.arrays = checker.read_instance(self.instance)
        self.duals = {"value": value, "uniqueness": uniqueness}
        self.document = {
            "flatmin_proof": 1,
            "instance": {"sha256": hashlib.sha256(self.instance).hexdigest()},
            "model": model,
            "point": None if point is None else {name: pack(array) for name, array in point.items()},
            "duals": {},
            "constants": {},
            "statements": [],
        }

    @property
    def theorem(self):
        self.document["duals"] = {name: pack(dual) for name, dual in self.duals.items() if dual is not None}
        return checker.theorem_of(self.document, self.arrays)

    def constants(self, **values):
        self.document["constants"].update({name: float(x).hex() for name, x in values.items()})

    def state(self, *kinds, level=None):
        """Add the strongest statements that the checker proves."""
        theorem, statements = self.theorem, self.document["statements"]
        for kind in kinds:
            if kind == "V":
                claim = {"lower": decimal(theorem.lower, False)}
            elif kind == "U":
                claim = {"upper": decimal(theorem.upper, True)}
            elif kind == "gap":
                claim = {
                    "gap": decimal(
                        1 - checker.Fraction(statements[0]["lower"]) / checker.Fraction(statements[1]["upper"]), True
                    )
                }
            elif kind == "B":
                claim = {"beta": decimal(theorem.backward(), True)}
            elif kind == "F":
                name = "noise" if isinstance(theorem, checker.SemidefiniteTheorem) else "upper"
                claim = {name: level, "radius": decimal(theorem.radius(checker.Fraction(level)), True)}
            else:
                claim = {}
            statements.append({"kind": kind, **claim})
        return self

    def proof(self):
        return seal(self.document)


def rectangular(kind, arrays, X, rank, dual, **other):
    """Return a writer for ``X ≈ L Rᵀ`` with a dual vector, with all constants."""
    first = Writer(model(kind, **other), arrays, {"L": X[:, :1], "C": np.eye(1), "R": np.ones((X.shape[1], 1))}, dual)
    theorem = first.theorem  # all rows and columns are seen
    G1, G2, A = dense(theorem.G1), dense(theorem.G2), unit_matrices(theorem)
    rows, columns = (np.flatnonzero(seen) for seen in theorem.seen)
    W1, W2 = power(G1, -0.5), power(G2, -0.5)
    B = np.einsum("ab,mbc,cd->mad", W1, A, W2)
    U, s, Vt = np.linalg.svd(power(G1, 0.5) @ X[np.ix_(rows, columns)] @ power(G2, 0.5))
    U, s, V = U[:, :rank], s[:rank], Vt[:rank].T
    n = sum(theorem.A.shape)
    value = shrunk(dual, B, 6 * (n + 8) * 2**-52 * max(1, np.linalg.cond(G1), np.linalg.cond(G2)) ** 0.5)
    tangent = [project(M, U, V) for M in B]
    unique = np.linalg.lstsq(np.array(tangent).reshape(len(B), -1).T, (U @ V.T).ravel(), rcond=1e-10)[0]
    unique = (
        dual
        + np.linalg.lstsq(
            np.array(tangent).reshape(len(B), -1).T,
            (U @ V.T - project(np.tensordot(dual, B, 1), U, V)).ravel(),
            rcond=1e-10,
        )[0]
    )
    L, R = np.zeros((X.shape[0], rank)), np.zeros((X.shape[1], rank))
    L[rows], R[columns] = W1 @ U, W2 @ V
    writer = Writer(model(kind, **other), arrays, {"L": L, "C": np.diag(s), "R": R}, value, unique)
    Y = np.tensordot(unique, B, 1)
    away = Y - project(Y, U, V)
    J = np.concatenate(
        [
            np.einsum("mab,ac->mcb", A, W1 @ U).reshape(len(A), -1),
            np.einsum("mab,bc->mca", A, W2 @ V).reshape(len(A), -1),
        ],
        axis=1,
    )
    least, gamma = smallest(J.T @ J, [np.zeros_like(G2), power(G1, 0.5) @ U @ U.T @ power(G1, 0.5)], [G2, G1], rank)
    writer.constants(
        g1=0.999 * np.linalg.eigvalsh(G1)[0],
        g2=0.999 * np.linalg.eigvalsh(G2)[0],
        core=0.999 * s[-1],
        delta=0.999 * (1 - np.linalg.norm(away, 2)),
    )
    if least > 1e-12:
        writer.constants(sigma2=0.999 * least, gamma=gamma)
    if kind != "entries":
        q = min(X.size, 2 * len(A))
        flat = arrays["A"].reshape(len(A), -1) if kind == "dense" else A.reshape(len(A), -1)
        cells = [j * X.size // q for j in range(q)] if kind == "dense" else slice(None)
        range_g = np.linalg.eigvalsh(flat[:, cells] @ flat[:, cells].T)[0]
        if range_g > 1e-12:
            writer.constants(range_g=0.999 * range_g)
    return writer


def smallest(square, extra, metrics, rank):
    """Return the smallest eigenvalue of ``square + γ extra`` relative to metrics, and γ."""
    from scipy.linalg import block_diag, eigh

    metric = block_diag(*[G for G in metrics for _ in range(rank)])
    added = block_diag(*[G for G in extra for _ in range(rank)])
    gamma = np.trace(square) / np.trace(metric)
    return eigh(square + gamma * added, metric, eigvals_only=True)[0], gamma


def project(M, U, V):
    left = U @ (U.T @ M)
    return left + (M - left) @ V @ V.T


def shrunk(dual, B, extra):
    """Return a dual vector scaled to a matrix of norm a little below one."""
    return dual * ((1 - extra) / np.linalg.norm(np.tensordot(dual, B, 1), 2))
