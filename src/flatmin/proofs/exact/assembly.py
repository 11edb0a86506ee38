"""The prover: it finds a witness in floating point, and states what the checker proves from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.linalg.forward_error import gamma, rounded_up
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs import checker
from flatmin.proofs.certificate import Certificate, ratio
from flatmin.proofs.exact.duals import ROOM, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.integers import exact_fit
from flatmin.proofs.exact.point import polished
from flatmin.proofs.exact.robust_witness import robust_witness
from flatmin.proofs.exact.semidefinite_witness import semidefinite_witness
from flatmin.proofs.exact.theorems import ExactStatement, Proof, as_decimal, as_float, encoded, reasons, sealed
from flatmin.proofs.exact.witness import Witness, rectangular_witness, zero_witness
from flatmin.proofs.objective import Objective

__all__ = ["prove", "prove_point"]

#: Largest number of doublings of the room for rounding in the test of the lower bound.
DOUBLINGS = 12
#: Norm of the noise for which a radius of positive semidefinite solutions is stated, relative to the norm of the data.
NOISE = 1e-10
#: Theorems about a point that is farther from the solution, relative to its Frobenius norm, are refused.
FARTHEST = 1e-3
#: Theorems enter the certificate of a solution whose relative distance from their point is at most this.
LARGEST_DISTANCE = 1e-6


def prove(problem: Problem, solution: Any) -> Proof:
    """Prove theorems about a solution in exact arithmetic.

    Every floating-point number of the problem and of the solution is taken as the rational number that it represents.
    Each theorem is one that ``flatmin/proofs/checker.py`` accepts: a program of one file that needs nothing but Python,
    forms all matrices of the proof in integers, and trusts neither flatmin nor its floating-point arithmetic. See
    docs/theory/exact.md.

    Parameters
    ----------
    problem : Problem
        A `Product`, `Gram` or `SignedGram` model with `Dense`, `RankOne`, `Entries` or `CodedDiffraction` measurements,
        and ``d1 + d2 ≤ 5000``; robust PCA with a weight. For coded diffraction, the theorems are about the vectors of
        the Fourier transform after they are rounded to floating point.
    solution : Solution
        A solution of this problem, for alpha ≥ 0 and metric_power 0 or 1.

    Returns
    -------
    Proof
        Its ``statements`` are the theorems: a lower bound (V) and an upper bound (U) on the flattest value, uniqueness
        for data that differ by rounding (B), the distance of all other solutions (F), and for exact fits that the
        solution is the unique flat minimum (T). Its ``absent`` says why other theorems are missing. The theorems are
        about its ``matrix``, which fits the data better than the solution, and is at most ``distance`` away from it.

    Raises
    ------
    InputError
        If there are no theorems for such a problem, a loaded solution was not checked against its problem, or the
        solution is farther than 1e-3 of its norm from the matrix of the theorems.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_completion.sample((8, 6), 1, 40)
    >>> proof = fm.prove(instance.problem, fm.flat_minimum(instance.problem))
    >>> [statement.kind for statement in proof.statements]
    ['V', 'U', 'gap', 'B', 'F']
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
    certificate, settings = solution.checked_certificate, solution.settings
    objective = Objective.from_problem(problem, settings.get("alpha", 0.0), settings.get("metric_power", 1.0))
    claims, distance = _proved(problem, solution.factors, certificate.dual, certificate.uniqueness_dual, objective)
    if certificate.holds and distance <= LARGEST_DISTANCE * float(np.linalg.norm(solution.matrix)):
        certificate = _exact(certificate, claims, distance)
    return replace(claims.proof(), distance=distance, certificate=certificate)


def prove_point(
    problem: Problem, factors: Factors, dual: Array, uniqueness_dual: Array | None, objective: Objective
) -> Proof:
    """Return the theorems that dual vectors prove about factors, which may come from any program; see `prove`."""
    claims, distance = _proved(problem, factors, dual, uniqueness_dual, objective)
    return replace(claims.proof(), distance=distance)


def _proved(
    problem: Problem, factors: Factors, dual: Array, uniqueness_dual: Array | None, objective: Objective
) -> tuple[_Claims, float]:
    """Return what is proved, and the distance of its point from the factors, or raise `InputError` if it is large."""
    explicit = ExplicitProblem.from_problem(problem, objective.alpha, objective.metric_power)
    duals, factors = (dual, uniqueness_dual), problem.check(factors)
    claims = _Claims.from_witness(explicit, _witness(explicit, factors, *duals))
    if not claims.fits_as_expected:
        claims = _Claims.from_witness(explicit, _witness(explicit, factors, *duals, exactly=False))
    distance, size = _distance(problem, factors, claims.witness)
    if size > 0 and distance > FARTHEST * size:
        raise InputError(
            f"the solution is {distance / size:.2g} of its norm away from the matrix nearby that fits the data best, "
            f"expected at most {FARTHEST:g}: theorems would be about that matrix; solve to a smaller tolerance or, if "
            "the data have noise, with alpha > 0"
        )
    claims.collect()
    return claims, distance


def _distance(problem: Problem, factors: Factors, witness: Witness) -> tuple[float, float]:
    """Return the distance of the point of the theorems from factors, rounded up, and the norm of their product."""
    left, right = problem.parametrization.pair(factors)
    P, Q = witness.factors(problem.shape)
    difference = P @ Q.conj().T - left @ right.conj().T
    sizes = float(np.linalg.norm(P) * np.linalg.norm(Q) + np.linalg.norm(left) * np.linalg.norm(right))
    rounding = gamma(8 * (P.shape[1] ** 2 + left.shape[1] + 4), np.iscomplexobj(difference)) * sizes
    distance = rounded_up(float(np.linalg.norm(difference)) * (1 + gamma(difference.size)) + rounding)
    return distance, float(np.linalg.norm(left @ right.conj().T))


def _witness(
    explicit: ExplicitProblem, factors: Factors, dual: Array, other: Array | None, exactly: bool = True
) -> Witness:
    """Return the best witness for factors; ``exactly`` asks for integers that fit the data exactly."""
    if explicit.kind == "cells":
        return robust_witness(explicit, factors, dual) or zero_witness(explicit, dual)
    point = polished(explicit, factors)
    if point is None:
        return zero_witness(explicit, dual)
    whole = exact_fit(explicit, point) if exactly and explicit.objective == "interpolating" else None
    if explicit.cone == "semidefinite":
        return semidefinite_witness(explicit, point.L, whole, dual, other)
    return rectangular_witness(explicit, point, whole, dual)


@dataclass(eq=False)
class _Claims:
    """The statements that the checker proves from a witness, each rounded to the safe side."""

    explicit: ExplicitProblem
    witness: Witness
    theorem: checker.Theorem
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_witness(cls, explicit: ExplicitProblem, witness: Witness) -> _Claims:
        """Return an object without claims, or raise `InputError` if the checker has no theorem for such a problem."""
        checker.use_numpy()
        try:
            theorem = checker.theorem_of(_document(explicit, witness), checker.read_instance(explicit.file))
        except checker.Refused as refusal:
            raise InputError(f"a proof was asked for a problem that the checker cannot read: {refusal}") from refusal
        return cls(explicit, witness, theorem, absent=dict(witness.absent))

    @property
    def fits_as_expected(self) -> bool:
        """Whether integers that fit the data in floating point fit them exactly."""
        return not self.witness.is_whole or not self.theorem.residual.dot(self.theorem.residual)

    def collect(self) -> None:
        """State everything that is proved."""
        theorem, objective = self.theorem, self.explicit.objective
        self._state_lower()
        self._state("U", lambda: {"upper": theorem.upper})
        if {"V", "U"} <= self.claims.keys():
            self._state("gap", self._gap)
        if objective == "penalised":
            return
        self._state("B", lambda: {"beta": theorem.backward()})
        if "B" not in self.claims:
            return
        if self.explicit.trace_is_determined:
            noise = NOISE * float(np.linalg.norm(self.explicit.problem.data))
            self._state_radius("noise", Fraction(as_decimal(Fraction(noise), up=True)))
        elif "U" in self.claims and self.witness.point is not None:
            self._state_radius("upper", self.claims["U"]["upper"])
        if self.claims["B"]["beta"] == 0:
            self._state("T", dict)

    def _state_lower(self) -> None:
        """State the lower bound; double the room for rounding in its test until the checker accepts the dual vector."""
        room, dual = ROOM, self.witness.duals.get("value")
        if dual is not None and not np.any(dual) and np.any(self.explicit.problem.data):
            self.absent["V"] = "no multiple of the dual vector passes its test: the metric is singular up to rounding"
            return
        for _ in range(DOUBLINGS):
            self._state("V", lambda: {"lower": self.theorem.lower})
            if "V" in self.claims or not self.witness.candidates:
                return
            room *= 2
            dual = value_dual(self.explicit, self.witness.candidates, room)
            self.witness.duals["value"] = dual
            self.theorem.duals["value"] = checker.Matrix.from_rows(dual.tolist())

    def _gap(self) -> dict[str, Fraction]:
        """Return the relative difference of the two bounds as they are stated."""
        lower, upper = self.claims["V"]["lower"], self.claims["U"]["upper"]
        return {"gap": (upper - lower) / upper if upper else Fraction(0)}

    def _state_radius(self, name: str, level: Fraction) -> None:
        """State the radius for a level of noise or of the objective that is rounded before it is used."""
        stated = Fraction(as_decimal(level, up=True))
        self._state("F", lambda: {"radius": self.theorem.radius(stated), name: stated})

    def _state(self, kind: str, prove: Callable[[], dict[str, Fraction]]) -> None:
        """State what is proved, or note why the checker refuses it."""
        if kind in self.witness.absent:
            return
        try:
            proved = prove()
            text = {name: as_decimal(x, up=name != "lower") for name, x in proved.items()}
            claim = {"text": {"kind": kind, **text}, **{name: Fraction(x) for name, x in text.items()}}
            self.words[kind] = checker.prove(self.theorem, kind, claim, {**self.claims, kind: claim})
            self.claims[kind] = claim
            self.absent.pop(kind, None)
        except checker.Refused as refusal:
            self.absent[kind] = str(refusal)

    def proof(self) -> Proof:
        """Return the proof of all claims."""
        statements = [claim["text"] for claim in self.claims.values()]
        document = {**_document(self.explicit, self.witness), "statements": statements}
        theorems = tuple(
            ExactStatement(kind, {name: x for name, x in claim.items() if name != "text"}, self.words[kind])
            for kind, claim in self.claims.items()
        )
        subject = checker.introduction(self.theorem).removeprefix("Theorem. ")
        if self.explicit.transformed:
            subject += " The vectors are those of the Fourier transform, as rounded to floating point."
        absent = reasons(self.explicit, self.claims, self.absent, self.witness.point is None)
        matrix = self.witness.matrix(self.explicit.shape)
        return Proof(subject, theorems, absent, sealed(document), self.explicit.file, matrix)


def _document(explicit: ExplicitProblem, witness: Witness) -> dict[str, Any]:
    """Return the contents of a proof without its statements."""
    point = None if witness.point is None else {name: encoded(array) for name, array in witness.point.items()}
    if point is not None and witness.sparse is not None:
        point["S"] = {name: encoded(array) for name, array in witness.sparse.items()}
    return {
        "flatmin_proof": 1,
        "instance": {"sha256": explicit.sha256},
        "model": explicit.model,
        "point": point,
        "duals": {name: encoded(array) for name, array in witness.duals.items()},
        "constants": {name: float(value).hex() for name, value in witness.constants.items()},
    }


def _exact(certificate: Certificate, claims: _Claims, distance: float) -> Certificate:
    """Return the certificate with what the theorems say about the solution, whose distance from their point is given.

    The radius is that of theorem F for matrices as flat as the solution, which may be less flat than the point.
    """
    known = {name: x for claim in claims.claims.values() for name, x in claim.items() if name != "text"}
    if not {"lower", "upper"} <= known.keys():
        return certificate
    lower = as_float(known["lower"], up=False)
    value = max(certificate.value, as_float(known["upper"], up=True))
    radius = None
    if "radius" in known and "noise" not in known:
        radius = rounded_up(as_float(claims.theorem.radius(Fraction(value)), up=True) + distance)
    unknown: dict[str, Any] = dict.fromkeys(("q", "injectivity", "margin", "margin_kind", "alternative", "stability"))
    return replace(
        certificate,
        value=value,
        lower_bound=lower,
        relative_gap=ratio(value - lower, value),
        dual_norm=1.0,
        bound_kind="exact",
        failure_probability=None,
        unique=True if "T" in claims.claims else None,
        radius=radius,
        **unknown,
    )
