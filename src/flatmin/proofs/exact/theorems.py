"""Proof: theorems about a solution, and the two files from which anybody can check them."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.facts import as_html, as_text
from flatmin._core.files import atomic_path, refused_if_unwritable
from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL, Certificate
from flatmin.proofs.exact.explicit_problem import ExplicitProblem

__all__ = ["ExactStatement", "Proof", "as_decimal", "as_float", "encoded", "files_of", "reasons", "sealed"]

#: Significant digits of a number in a statement.
DIGITS = 25
#: Significant digits of a number where a proof is printed.
SHOWN = 10
#: Numbers with more zeros than this before their first nonzero digit are written with an exponent.
LONGEST_ZEROS = 6
#: The kinds of theorems of which a missing one needs a reason.
KINDS = ("V", "U", "B", "F", "T")
#: Pairs of a fragment of a refusal of the checker and the reason that it stands for.
PLAIN = (
    ("range_g", "the zero matrix does not fit the data, and no matrix that fits them exactly is known"),
    ("⟨A_i, A_j⟩", "the measurements are too nearly dependent to prove that some matrix fits the data exactly"),
    ("measured twice", "a cell is measured twice, and X̂ does not fit both values exactly"),
    ("semidefinite matrices needs", "X̂ does not fit the data exactly, and a corrected X̂ need not be semidefinite"),
    ("'g1'", "the metric is singular up to rounding: the measurements hardly see some rows or combinations of rows"),
    ("'g2'", "the metric is singular up to rounding: the measurements hardly see some columns or combinations of them"),
    ("G1 ⪰ g1 I", "the metric is singular up to rounding: the measurements hardly see some directions"),
    ("orthonormal", "the metric is so ill-conditioned that its factors are not orthonormal in floating point"),
    ("core", "X̂ has a lower rank, up to rounding, than its factors"),
    ("growth", "the dual vector is not accurate enough: its error outweighs its margin"),
    ("[[(1−δ)", "the dual vector has no margin that survives the rounding of its test"),
    ("W + c UU*", "the dual vector has no margin that survives the rounding of its test"),
    ("JᵀJ", "the measurements hardly tell some directions of the tangent space apart"),
    ("does not vanish", "X̂ is not zero in rows or columns that no measurement sees"),
    ("[[G1", "the dual vector does not pass its test in exact arithmetic"),
    ("G − Λ", "the dual vector does not pass its test in exact arithmetic"),
    ("|λ_i|", "the dual vector does not pass its test in exact arithmetic"),
)


@dataclass(frozen=True)
class ExactStatement:
    """A theorem about a solution.

    Attributes
    ----------
    kind : str
        "V" (a lower bound), "U" (an upper bound), "gap", "B" (unique for nearby data), "F" (a radius) or "T" (the
        truth is the unique flat minimum).
    numbers : dict of str to Fraction
        The numbers in the theorem, exactly: "lower", "upper", "gap", "beta", "radius" or "noise".
    words : str
        The theorem as a sentence.
    """

    kind: str
    numbers: Mapping[str, Fraction]
    words: str

    @property
    def floats(self) -> dict[str, float]:
        """The numbers in floating point, rounded to the safe side."""
        return {name: as_float(x, up=name != "lower") for name, x in self.numbers.items()}

    @property
    def short_words(self) -> str:
        """The theorem as a sentence with numbers of fewer digits, rounded to the safe side."""
        words = self.words
        for name, x in self.numbers.items():
            up = name != "lower"
            words = words.replace(as_decimal(x, up), as_decimal(x, up, SHOWN))
        return words


@dataclass(frozen=True, eq=False)
class Proof:
    """Theorems about a solution of one problem, which a short program checks in exact arithmetic.

    Attributes
    ----------
    subject : str
        What the theorems are about, in words.
    statements : tuple of ExactStatement
        The theorems, each of which the checker has accepted.
    absent : dict of str to str
        The reason for each kind of statement that could not be proved.
    text : str
        The contents of the file of the proof.
    instance : bytes
        The contents of the file of the data: the numbers that the theorems are about.
    matrix : ndarray, shape (d1, d2)
        The matrix X̂ that the theorems are about, rounded to floating point. The text has its factors, exactly.
    distance : float
        An upper bound on the Frobenius distance of X̂ from the solution that was given.
    certificate : Certificate or None
        The certificate of the solution. If theorems V and U enclose the value of the solution, value and bound are the
        numbers of the theorems, ``rigor`` is "exact", and ``unique`` is True only with theorem T.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.Problem(fm.measurements.Entries([0, 0, 1], [0, 1, 0], (2, 2)), [2.0, 4.0, 1.0])
    >>> proof = fm.prove(problem, fm.flat_minimum(problem))
    >>> [statement.kind for statement in proof.statements]
    ['V', 'U', 'gap', 'B', 'F', 'T']
    >>> proof.statement("T").words[:26]
    'X̂ fits the data exactly, '
    """

    subject: str
    statements: tuple[ExactStatement, ...]
    absent: Mapping[str, str]
    text: str
    instance: bytes
    matrix: Array
    distance: float = 0.0
    certificate: Certificate | None = None

    @property
    def sha256(self) -> str:
        """The hash of the data, which pins what the theorems are about."""
        return sha256(self.instance).hexdigest()

    def statement(self, kind: str) -> ExactStatement | None:
        """Return the first statement of a kind, or None."""
        return next((found for found in self.statements if found.kind == kind), None)

    def facts(self) -> dict[str, str]:
        """Return the theorems, and the reasons for those that are missing."""
        theorems = {s.kind: s.short_words for s in self.statements}
        facts = {"subject": self.subject} | theorems | self._weakness()
        size = float(np.linalg.norm(self.matrix))
        facts["X̂"] = f"within {self.distance:.2g} of the solution that was given, in Frobenius norm; ‖X̂‖ = {size:.4g}"
        return facts | {f"not {kind}": reason for kind, reason in self.absent.items()}

    def _weakness(self) -> dict[str, str]:
        """Return what theorems with large numbers leave open."""
        floats = {name: x for statement in self.statements for name, x in statement.floats.items()}
        gap, beta, weak = floats.get("gap", 0.0), floats.get("beta", 0.0), []
        if gap > LARGEST_GAP:
            weak.append(
                f"the bounds in V and U differ by {gap:.2g} of U, and a certificate needs {LARGEST_GAP:g}: another "
                "matrix may be better by that share, or a better dual vector may be missing"
            )
        if beta > LARGEST_RESIDUAL:
            weak.append(f"B is about data that differ from the given ones by up to {beta:.2g} of their norm")
        return {"weak": "; ".join(weak)} if weak else {}

    def __repr__(self) -> str:
        return as_text("Proof", self.facts())

    def _repr_html_(self) -> str:
        return as_html("Proof", self.facts())

    def save(self, file: str | Path) -> Path:
        """Write the proof, and its data to a second file, and return the path of the second one.

        The data of ``proof.json`` are ``instance.npz``; those of another ``NAME.json`` are ``NAME-instance.npz``.

        Raises
        ------
        InputError
            If a file cannot be written.
        """
        target, data = files_of(file)
        for path, content in ((data, self.instance), (target, self.text.encode("ascii"))):
            with refused_if_unwritable(path), atomic_path(path) as temporary:
                temporary.write_bytes(content)
        return data

    def command(self, proof: str = "proof.json", instance: str = "instance.npz") -> str:
        """Return the command that checks the proof, with the hash of the data."""
        return f"python checker.py {shlex.quote(proof)} {shlex.quote(instance)} --sha256 {self.sha256}"


def reasons(
    explicit: ExplicitProblem, claims: Mapping[str, Mapping[str, Any]], refusals: Mapping[str, str], is_zero: bool
) -> dict[str, str]:
    """Return the reason for each kind of theorem that is not among the claims.

    Parameters
    ----------
    explicit : ExplicitProblem
        The problem.
    claims : mapping
        The numbers of the theorems that are proved, by kind.
    refusals : mapping
        Why others are not, as the witness or the checker said it.
    is_zero : bool
        Whether the theorems are about the zero matrix.
    """
    found = {kind: _plain(reason) for kind, reason in refusals.items()}
    if explicit.objective == "penalised":
        about = (
            "alpha is positive, and the exact minimum of a penalised objective is no matrix of floating-point numbers"
        )
        found |= {"B": f"{about}; V and U enclose its value", "F": about, "T": about}
    if explicit.trace_is_determined and "U" in found:
        found["U"] += "; all semidefinite matrices that fit have the same scaled trace, the number in V"
    needed = {"F": "B" if explicit.trace_is_determined else "BU", "T": "B"}
    for kind, others in needed.items():
        lacking = [other for other in others if other not in claims]
        if lacking and kind not in found:
            found[kind] = (
                f"it rests on {' and '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not proved"
            )
    if "F" not in found and is_zero:
        found["F"] = "no other matrix is as flat as the zero matrix, so that there is no distance to bound"
    if "T" not in found and claims.get("B", {}).get("beta", Fraction(0)):
        fit = "X̂ + Ŝ is Y" if explicit.objective == "robust" else "X̂ fits the data"
        found["T"] = f"{fit} only up to rounding, and T needs an exact fit; data of integers can have one"
    return {kind: found.get(kind, "no proof was found") for kind in KINDS if kind not in claims}


def _plain(refusal: str) -> str:
    """Return a reason in plain words for a refusal."""
    return next((reason for fragment, reason in PLAIN if fragment in refusal), refusal)


def files_of(file: str | Path) -> tuple[Path, Path]:
    """Return the paths of the proof and of its data for the name of a proof."""
    target = Path(file)
    return target, target.with_name("instance.npz" if target.stem == "proof" else f"{target.stem}-instance.npz")


def sealed(content: Mapping[str, Any]) -> str:
    """Return the text of a proof with these contents: canonical JSON that ends with its own hash."""
    seal = sha256(_canonical(content).encode("ascii")).hexdigest()
    return _canonical({**content, "seal": seal}) + "\n"


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encoded(array: Array) -> dict[str, Any]:
    """Return an array as an object of JSON.

    Examples
    --------
    >>> encoded(np.array([1.0]))
    {'shape': [1], 'dtype': 'f8', 'base64': 'AAAAAAAA8D8='}
    """
    kinds = {"f": "f8", "c": "c16", "i": "i8"}
    kind = kinds[array.dtype.kind]
    data = np.ascontiguousarray(array).astype(f"<{kind}").tobytes()
    return {"shape": list(array.shape), "dtype": kind, "base64": base64.b64encode(data).decode("ascii")}


def as_decimal(number: Fraction, up: bool, digits: int = DIGITS) -> str:
    """Return a rational number with so many significant digits, rounded up or down.

    Examples
    --------
    >>> as_decimal(Fraction(2, 3), up=True)
    '0.6666666666666666666666667'
    >>> as_decimal(Fraction(1, 10**9), up=False)
    '1e-9'
    """
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    quotient = context.divide(Decimal(number.numerator), Decimal(number.denominator)).normalize(context)
    return format(quotient, "f" if not quotient or -LONGEST_ZEROS <= quotient.adjusted() < DIGITS else "e")


def as_float(number: Fraction, up: bool) -> float:
    """Return the nearest floating-point number on one side.

    Examples
    --------
    >>> as_float(Fraction(1, 3), up=True) > Fraction(1, 3) > as_float(Fraction(1, 3), up=False)
    True
    """
    value = float(number)
    if (value < number) if up else (value > number):
        value = math.nextafter(value, math.inf if up else -math.inf)
    return value
