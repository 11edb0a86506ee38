"""A second checker of proof files for small and medium instances, which shares no line and no method with `checker.py`.

It decides by exact elimination over the rational numbers where the first checker guesses a factorization. It derives
each statement by another route:

- T, the tangent space at X̂, has an explicit basis, so that its metric is a matrix and no gauge term is needed.
- The polar factor of ``D1 X̂ D2`` is the geometric mean of two small matrices, found to 400 bits by the
  arithmetic-harmonic mean; its error is bounded exactly.
- With J the measurements of the basis and g the pairing of ``Y − UVᵀ`` with it, ``κ² = gᵀ (JᵀJ)⁻¹ g`` is the least
  number with ``|⟨UVᵀ − Y, H_T⟩| ≤ κ ‖A(H_T)‖``. X̂ is unique if ``δ > κ · spread``. The first checker bounds κ by ε/σ.
- Exact fits are completed by the correction of least Frobenius norm, ``‖E‖² = resᵀ (A A*)⁻¹ res``.

Its reach: seconds to half a minute for d1 + d2 = 40, some twenty seconds for completion of 40 × 40, and minutes beyond.

All bounds are at least as strong as those of the first checker, so a claim that it accepts and that fails here is false
or unproved. Complex matrices become real ones of twice the size, ``[[Re, −Im], [Im, Re]]``, whose inner products are
twice as large.
"""

import hashlib
import io
from fractions import Fraction

import numpy as np

from tests.proofs.exact.elimination import exact
from tests.proofs.exact.hermitian import Semidefinite, Symmetric
from tests.proofs.exact.products import Rectangular
from tests.proofs.exact.proof_file import Refused, number, opened, require
from tests.proofs.exact.sensing import measured
from tests.proofs.exact.splits import Robust


def check(proof_bytes, instance_bytes, sha256=None):
    """Return the decided statements of a proof, or raise `Refused`."""
    proof = opened(proof_bytes)
    found = hashlib.sha256(instance_bytes).hexdigest()
    require(found == proof["instance"]["sha256"] and sha256 in {None, found}, "another instance")
    with np.load(io.BytesIO(instance_bytes), allow_pickle=False) as arrays:
        evidence = evidence_of(proof, dict(arrays))
    require(proof["statements"], "nothing is claimed")
    for statement in proof["statements"]:
        require(is_proved(evidence, statement, proof["statements"]), f"{statement} is not proved")
    return proof["statements"]


def evidence_of(proof, arrays):
    """Return the evidence in a proof about an instance."""
    A, b = measured(proof, arrays)
    model = proof["model"]
    is_robust = model["objective"] == "robust"
    require(is_robust == (model["measurement"] == "cells"), "objective and measurement do not go together")
    require(type(model["metric_power"]) is int and model["metric_power"] in {0, 1}, "metric_power")
    require(model["cone"] == "semidefinite" or not model["complex"], "a complex model of this cone")
    kinds = {"rectangular": Robust if is_robust else Rectangular, "symmetric": Symmetric, "semidefinite": Semidefinite}
    require(not is_robust or model["cone"] == "rectangular", "gross errors in this cone")
    kind = kinds[model["cone"]]
    return nothing(kind, proof, A, b) if proof["point"] is None else kind(proof, A, b)


def nothing(kind, proof, A, b):
    """Return the evidence that zero is flat for zero data: nothing else has the value 0 if the metric is definite."""
    require(not b.any(), "zero does not fit")
    known, (d1, d2) = object.__new__(kind), A.shape
    L, R = (exact(np.zeros((d, 0), int)) for d in (d1, d2))
    known.__dict__.update(proof=proof, model=proof["model"], A=A, b=b, counts=(A.size, d1, d2), L=L, R=R)
    known.__dict__.update(X=exact(np.zeros((d1, d2), int)), residual=b, lower=Fraction(0), upper=Fraction(0))
    if kind is not Robust:
        known.is_unique = lambda: min(Rectangular.seen.func(known).floors) > 0
    else:
        known.__dict__.update(slack=Fraction(1), errors=(b, b.astype(bool)))
    return known


def is_proved(evidence, statement, statements=()):
    """Decide whether the evidence proves one of the statements; raise `Refused` where a step of its proof fails.

    The gap is that between the bounds which the statements V and U claim, or else between the best ones.
    """
    match statement:
        case {"kind": "V", "lower": lower, **rest} if not rest:
            return number(lower) <= evidence.lower
        case {"kind": "U", "upper": upper, **rest} if not rest:
            return number(upper) >= evidence.upper
        case {"kind": "gap", "gap": gap, **rest} if not rest:
            kinds = {s["kind"]: s for s in statements}
            upper = number(kinds["U"]["upper"]) if "U" in kinds else evidence.upper
            lower = number(kinds["V"]["lower"]) if "V" in kinds else evidence.lower
            return number(gap) * upper >= upper - lower
        case {"kind": "B", "beta": beta, **rest} if not rest:
            return evidence.is_unique() and is_near(evidence, number(beta))
        case {"kind": "T", **rest} if not rest:
            return evidence.is_unique() and is_near(evidence, Fraction(0))
        case {"kind": "F", "radius": radius}:
            require(set(statement) in ({"kind", "radius", "upper"}, {"kind", "radius", "noise"}), "keys of F")
            return number(radius) >= evidence.radius(statement)
    raise Refused("an unknown statement")


def is_near(evidence, beta):
    """Decide whether the data for which X̂ is exact differ from the data by at most a share β."""
    residual = evidence.residual
    if isinstance(evidence, Robust):
        residual = residual - evidence.errors[0]
    return beta >= 0 and residual @ residual <= beta * beta * (evidence.b @ evidence.b)
