"""Solution: the result of every solver, with a status whose value is advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flatmin import parametrizations
from flatmin._core.arrays import Array
from flatmin._core.facts import as_html, as_text, rounded
from flatmin._core.stored_arrays import read_described, write_described
from flatmin._core.validation import matrix_shape, nonnegative, numeric, whole_number
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.parametrizations import Gram, Product
from flatmin.parametrizations.base import Factors, Parametrization
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.flatness import Flatness, flatness
from flatmin.proofs.judge import judge
from flatmin.proofs.objective import Objective
from flatmin.proofs.radius import Stability
from flatmin.proofs.robust.certificate import gross_errors

__all__ = ["FORMAT_VERSION", "Noise", "RecoveryError", "Solution", "Status"]

#: The version of the format of solution files.
FORMAT_VERSION = 1

#: The keys of dual vectors in a file.
DUALS = ("dual", "uniqueness_dual")
#: Largest number of entries of a matrix that is saved together with its factors.
LARGEST_SAVED_MATRIX = 4_000_000


class RecoveryError(RuntimeError):
    """Raised by `Solution.raise_if_failed`."""


class Status(Enum):
    """How a solve ended; the value of each status is its advice.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.Status.unique_flat_minimum.certified, fm.Status.low_rank_interpolant.certified
    (True, False)
    >>> fm.Status.regularized_minimum.value
    'Certified: this minimises loss + alpha · scaled trace.'
    """

    unique_flat_minimum = (
        "Certified: this is the flattest solution; any other solution this flat lies within about 1 % of it."
    )
    flat_minimum = (
        "Certified: no solution is flatter. It is not proved to be the only flattest one; "
        "more measurements would settle the question."
    )
    regularized_minimum = "Certified: this minimises loss + alpha · scaled trace."
    low_rank_interpolant = (
        "Fits the data at the lowest rank found. That no lower rank fits is not proved; "
        "its certificate says how far it is from flattest."
    )
    inconsistent_data = (
        "No matrix fits the data exactly, so this fits the nearest data that some matrix fits; "
        "check repeated measurements, or set alpha > 0 to allow for noise."
    )
    not_certified = (
        "No proof was found; compare relative_gap and relative_residual with what you need, "
        'raise max_rank if it was set, lower tol, or set stop="gap" if it was "objective".'
    )
    rank_limit = (
        "The largest rank is reached: the objective has stopped falling at max_rank, and would fall further at a "
        "higher rank, by at most the share relative_gap (unless bound_kind is estimated); raise max_rank."
    )
    iteration_limit = "The iteration limit was reached; raise max_iter, loosen tol, or continue with warm_start."
    time_limit = "The time limit was reached; raise time_limit, loosen tol, or continue with warm_start."
    not_checked = (
        "Read from a file, whose statements are in `claimed`, and not checked; "
        "Solution.load(file, problem) certifies it for its problem."
    )

    @property
    def certified(self) -> bool:
        """Whether the solution is proved to be what was asked for."""
        return self in (Status.unique_flat_minimum, Status.flat_minimum, Status.regularized_minimum)

    @property
    def succeeded(self) -> bool:
        """Whether the solver succeeded: certified, or of lowest rank, for which no proof is known."""
        return self.certified or self is Status.low_rank_interpolant

    @classmethod
    def proved(cls, proof: Certificate) -> Status | None:
        """Return the certified status that a certificate proves, None if it does not hold."""
        if not proof.holds:
            return None
        if proof.objective == "penalised":
            return cls.regularized_minimum
        return cls.unique_flat_minimum if proof.unique else cls.flat_minimum


@dataclass(frozen=True, eq=False)
class Noise:
    """Estimates of the noise from ``flat_minimum(problem, alpha="auto")``.

    For the loss `Absolute` the threshold is divided by ``√m``, and the noise is that of the cells without gross errors.
    For `Hadamard` models rank and freedom are the size of the support.

    Attributes
    ----------
    sigma, std_error : float or None
        Standard deviation of the noise in one measurement, and the standard error of this estimate, in the units of the
        data. They follow from the residual of the refit and its degrees of freedom. None if matrices of this rank fit
        any data.
    alpha : float
        The alpha that the rule chose.
    threshold, unevenness : float
        ``threshold`` is the 95 % quantile of ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over random g, which is the effect of noise
        alone. ``unevenness`` is the ratio of this quantile to that for Gaussian noise; it exceeds 1 for heavy tails or
        uneven noise. For exact data, with alpha 0, they are 0 and 1.
    refit : tuple of ndarray
        Factors of the least-squares fit at `rank`: without the bias of the penalty, and **not certified**, since
        least squares at a fixed rank may have local minima.
    rank, penalised_rank : int
        ``rank`` is the rank of the refit: the smallest rank near `penalised_rank` whose residual passes for noise.
        ``penalised_rank`` is the rank of the penalised solution.
    freedom : int
        Degrees of freedom of matrices of the refit's rank.
    selects : bool
        Whether the penalty selects a rank. It does not if the data determine the trace (alpha then follows from the
        noise in the refit's residual), nor if many gross errors enlarge the rank of the penalised solution.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 100, noise=0.3)
    >>> noise = fm.flat_minimum(instance.problem, alpha="auto").noise
    >>> noise.rank, noise.agrees
    (1, True)
    """

    sigma: float | None
    std_error: float | None
    alpha: float
    threshold: float
    unevenness: float
    refit: Factors
    rank: int
    penalised_rank: int
    freedom: int
    selects: bool = True

    @property
    def agrees(self) -> bool:
        """Whether the penalty, if it selects a rank, agrees with the test of residuals."""
        return self.rank == self.penalised_rank or not self.selects

    def __repr__(self) -> str:
        return as_text("Noise", rounded(self.scalars()))

    def scalars(self) -> Mapping[str, Any]:
        """Return all estimates except the factors."""
        return {name: value for name, value in vars(self).items() if name != "refit"}


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a solver.

    Attributes
    ----------
    factors : tuple of ndarray
        The flattest factors; for a product (L, R) of shapes (d1, rank) and (d2, rank).
    status : Status
        How the solve ended; ``status.value`` is advice.
    certificate : Certificate or None
        The proof, or its failure in numbers. It is None, with the status not_checked, if the solution was loaded from a
        file without its problem.
    flatness : Flatness
        The exact flatness of the factors; if certificate is None, what the file states about it.
    history : dict of str to ndarray
        One entry a round of the solver: ``iteration``, ``seconds``, ``residual``, ``gap``, ``rank``.
    seconds, iterations : float and int
        Time spent and Newton steps taken.
    undetermined : tuple of ndarray
        Rows and columns that no measurement sees; the solution is zero there.
    parametrization : Parametrization
        How the factors make the matrix.
    settings : dict
        The arguments that repeat the solve.
    parts : dict of str to ndarray
        Further parts of the solution, by name: "sparse" for robust PCA, "signal" for phase retrieval.
    noise : Noise or None
        The estimates of ``alpha="auto"``.
    claimed : dict
        What the file of a loaded solution states about it: ``status``, and every attribute of `Certificate` by name.
        Nobody has checked these statements. Empty for solutions that were not loaded.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.Problem(fm.measurements.Entries([0, 0, 1], [0, 1, 0], (2, 2)), [2.0, 4.0, 1.0])
    >>> solution = fm.flat_minimum(problem).raise_if_failed()
    >>> solution.matrix.round(6)
    array([[2., 4.],
           [1., 2.]])
    >>> solution.rank, solution.status.name, solution.certificate.holds
    (1, 'unique_flat_minimum', True)
    """

    factors: tuple[Array, ...]
    status: Status
    certificate: Certificate | None
    flatness: Flatness
    history: Mapping[str, Array]
    seconds: float
    iterations: int
    undetermined: tuple[Array, Array]
    parametrization: Parametrization = field(default_factory=Product)
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Array] = field(default_factory=dict)
    noise: Noise | None = None
    claimed: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """Return status, size and what is proved, as a few words for each part."""
        rows, columns = self.parametrization.pair(self.factors)
        kept = ("proved", "among", "value", "lower bound", "residual", "unique", "radius")
        proved = {"proved": "nothing"} if self.certificate is None else self.certificate.facts()
        return {
            "status": f"{self.status.name}: {self.status.value}",
            "matrix": f"{len(rows)} × {len(columns)} of rank {self.rank}, made by {self.parametrization!r}",
            **{name: text for name, text in proved.items() if name in kept},
            "effort": f"{self.iterations} iterations, {self.seconds:.2g} s",
        }

    def __repr__(self) -> str:
        return as_text("Solution", self.facts())

    def _repr_html_(self) -> str:
        return as_html("Solution", self.facts())

    @property
    def rank(self) -> int:
        """The rank of the matrix."""
        return self.parametrization.width(self.factors)

    @property
    def signature(self) -> list[int] | None:
        """How many columns count positive and negative, ``[r₊, r₋]``, or None for models without signs."""
        return self.parametrization.signature(self.factors)

    @property
    def low_rank(self) -> Array:
        """The low-rank part of robust PCA: the recovered matrix."""
        return self.matrix

    @property
    def sparse(self) -> Array:
        """The gross errors of robust PCA, of the shape of the matrix; zero in missing cells."""
        return self._part("sparse", "robust PCA")

    @property
    def signal(self) -> Array:
        """The signal s of the matrix ``s s*`` nearest to X, up to a global phase; an image has its own shape."""
        if "signal" in self.parts or not isinstance(self.parametrization, Gram):
            return self._part("signal", "phase retrieval")
        U, sizes, _ = np.linalg.svd(self.factors[0], full_matrices=False)
        return U[:, 0] * sizes[0] if len(sizes) else np.zeros(len(U), U.dtype)

    @cached_property
    def matrix(self) -> Array:
        """The recovered matrix (d1, d2), formed when first asked for."""
        return self.parametrization.matrix(self.factors)

    @property
    def checked_certificate(self) -> Certificate:
        """The certificate. It raises `InputError` if the solution was loaded and not checked."""
        if self.certificate is None:
            raise InputError(f"the solution is {Status.not_checked.name}. {Status.not_checked.value}")
        return self.certificate

    @property
    def duals(self) -> tuple[Array, Array | None]:
        """The dual vector, and the uniqueness dual or None; those that the file states if there is no certificate.

        A certificate need not trust them: any dual vector gives a valid bound.
        """
        return self.statements["dual"], self.statements["uniqueness_dual"]

    @property
    def statements(self) -> Mapping[str, Any]:
        """The status and the attributes of the certificate by name; if there is none, those that the file states."""
        return self.claimed if self.certificate is None else {"status": self.status.name, **vars(self.certificate)}

    def _part(self, name: str, model: str) -> Array:
        if name not in self.parts:
            raise InputError(f"the solution has no part {name!r}, expected one of {model}")
        return self.parts[name]

    def raise_if_failed(self) -> Solution:
        """Return the solution, or raise `RecoveryError` with the status's advice if the solver did not succeed."""
        if not self.status.succeeded:
            raise RecoveryError(f"{self.status.name}: {self.status.value}")
        return self

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of a solution file: factors, duals and, if small, the matrix."""
        out = dict(zip(self.parametrization.names, self.factors, strict=True))
        statements = self.statements
        out |= {name: dual for name in DUALS if (dual := statements[name]) is not None}
        if statements["alternative"] is not None:
            names = (f"alternative_{name}" for name in self.parametrization.names)
            out |= dict(zip(names, statements["alternative"], strict=True))
        if self.noise is not None:
            out |= dict(zip((f"refit_{name}" for name in self.parametrization.names), self.noise.refit, strict=True))
        rows, columns = self.parametrization.pair(self.factors)
        if len(rows) * len(columns) <= LARGEST_SAVED_MATRIX:
            out["matrix"] = self.matrix
        return out | dict(self.parts)

    def unchecked(self) -> Solution:
        """Return the solution as a file states it: without a certificate, whose statements become `claimed`."""
        return replace(self, status=Status.not_checked, certificate=None, claimed=dict(self.statements))

    def save(self, file: str | Path) -> None:
        """Write the solution as an ``.npz`` file without pickle, whole or not at all, or raise `InputError`."""
        statements = self.statements
        stability = statements["stability"]
        description = {
            "parametrization": type(self.parametrization).__name__,
            "parametrization_settings": vars(self.parametrization),
            "status": statements["status"],
            "certificate": {name: s for name, s in statements.items() if name not in ("status", *Certificate.PARTS)},
            "stability": None if stability is None else vars(stability),
            "parts": list(self.parts),
            "noise": None if self.noise is None else self.noise.scalars(),
            "shape": [len(side) for side in self.parametrization.pair(self.factors)],
            "flatness": vars(self.flatness),
            "seconds": self.seconds,
            "iterations": self.iterations,
            "settings": dict(self.settings),
            "version": __version__,
        }
        contents: dict[str, Any] = {**self.arrays()}
        contents |= {f"history_{name}": np.asarray(values) for name, values in self.history.items()}
        contents |= dict(zip(("undetermined_rows", "undetermined_cols"), self.undetermined, strict=True))
        write_described(file, contents, description, FORMAT_VERSION)

    @classmethod
    def load(
        cls,
        file: str | Path,
        problem: Problem | None = None,
        *,
        alpha: float = 0.0,
        metric_power: float = 1.0,
        as_claimed: bool = False,
    ) -> Solution:
        """Read a solution written by `save`, and check it if its problem is given.

        A file can state anything. So without its problem a solution has no certificate, its status is not_checked, and
        the statements of the file are in `claimed`. With its problem, certificate, status and flatness are computed
        from the problem, the factors and the dual vectors. That a search found no lower rank cannot be checked, so the
        status low_rank_interpolant becomes not_certified. ``parts`` are then those that follow from the factors
        ("sparse", "signal"); ``noise``, ``settings`` and the effort stay statements of the file.

        Parameters
        ----------
        file : str or Path
            An ``.npz`` file.
        problem : Problem, optional
            The problem that the solution solves.
        alpha, metric_power : float
            The objective that it minimises, as in `flat_minimum`.
        as_claimed : bool
            Whether to take alpha and metric_power from the file instead.

        Raises
        ------
        InputError
            If the file is missing, invalid or too new, does not fit the problem, or states that it minimises another
            objective.
        """
        loaded = cls._read(file)
        if problem is None:
            return loaded
        if not isinstance(problem, Problem):
            raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
        try:
            stated = Objective.stated(loaded.settings, problem)
        except InputError as error:
            raise InputError(f"{file} has a damaged key 'description': its setting {error}") from error
        if as_claimed:
            if (alpha, metric_power) != (0.0, 1.0):
                raise InputError("as_claimed=True was passed together with alpha or metric_power, expected one of them")
            alpha, metric_power = stated.alpha, stated.metric_power
        different = stated.differences(Objective.from_problem(problem, alpha, metric_power))
        if different:
            name, phrase = next(iter(different.items()))
            remedy = f"give the problem this {name} to check the file"
            if name in ("alpha", "metric_power"):
                remedy = (
                    f"pass {name}={getattr(stated, name)!r} to check it, or as_claimed=True to trust the file in this"
                )
            raise InputError(f"{file} {phrase}; {remedy}")
        return loaded._checked(problem, alpha, metric_power)

    def _checked(self, problem: Problem, alpha: float, metric_power: float) -> Solution:
        """Return a loaded solution with its certificate for a problem."""
        model = problem.parametrization
        if type(model) is not type(self.parametrization):
            raise InputError(
                f"the solution has the model {self.parametrization!r}, expected that of the problem: {model!r}"
            )
        factors, (D1, D2) = problem.within_range(problem.check(self.factors)), problem.metric
        proof = judge(problem, factors, *self.duals, alpha=alpha, metric_power=metric_power)
        status = Status.proved(proof) or Status.not_certified
        parts = {"sparse": gross_errors(problem, factors, alpha)} if problem.loss.has_gross_errors else {}
        checked = replace(
            self,
            factors=factors,
            status=status,
            certificate=proof,
            flatness=flatness(problem, factors),
            undetermined=(D1.undetermined, D2.undetermined),
            parametrization=model,
            parts=parts,
        )
        signal = self.parts.get("signal")
        if signal is None or not isinstance(model, Gram) or signal.size != problem.shape[0]:
            return checked
        return replace(checked, parts={"signal": checked.signal.reshape(signal.shape)})

    @classmethod
    def _read(cls, file: str | Path) -> Solution:
        data, about = read_described(file, FORMAT_VERSION, "a solution")
        try:
            return cls._from_arrays(data, about)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
            raise InputError(f"{file} is not a solution saved by this version of flatmin: {reason}") from error

    @classmethod
    def _from_arrays(cls, data: Mapping[str, Array], about: Mapping[str, Any]) -> Solution:
        parametrization = parametrizations.find(about["parametrization"])(**about["parametrization_settings"])
        factors = tuple(data[name] for name in parametrization.names)
        other, refit = (
            tuple(data[k] for k in (f"{prefix}_{name}" for name in parametrization.names) if k in data)
            for prefix in ("alternative", "refit")
        )
        duals = {name: numeric(data[name], f"the key {name!r}") for name in DUALS if name in data}
        claimed = Certificate(
            dual=duals["dual"],
            uniqueness_dual=duals.get("uniqueness_dual"),
            alternative=other or None,
            stability=None if about["stability"] is None else Stability(**about["stability"]),
            **about["certificate"],
        )
        return cls(
            factors=parametrization.check(factors, matrix_shape(about["shape"])),
            status=Status.not_checked,
            certificate=None,
            flatness=Flatness(**about["flatness"]),
            history={k.removeprefix("history_"): v for k, v in data.items() if k.startswith("history_")},
            seconds=nonnegative(about["seconds"], "seconds"),
            iterations=whole_number(about["iterations"], "iterations", 0),
            undetermined=(data["undetermined_rows"], data["undetermined_cols"]),
            parametrization=parametrization,
            settings=dict(about["settings"]),
            parts={name: data[name] for name in about["parts"]},
            noise=Noise(refit=refit, **about["noise"]) if about.get("noise") else None,
            claimed={"status": Status[about["status"]].name, **vars(claimed)},
        )
