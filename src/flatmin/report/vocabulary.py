"""Vocabulary: the words and formulas of a report for each model."""

from dataclasses import dataclass, replace

from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.cone_certificate import trace_is_determined

__all__ = [
    "DETERMINED",
    "PLAIN",
    "PRODUCT",
    "SEMIDEFINITE",
    "SIGNED",
    "SPLIT",
    "Vocabulary",
    "split_vocabulary",
    "vocabulary_of",
]


@dataclass(frozen=True)
class Vocabulary:
    """The words and formulas in which a report explains a model."""

    #: The kind of matrix, in the singular.
    matrices: str = "matrix"
    #: The quantity that a flat solution minimises, and a sentence that explains it.
    trace: str = "scaled trace"
    trace_meaning: str = "The Hessian trace with the part of each factor divided by its number of rows."
    #: The minimised quantity at metric powers other than 1.
    value: str = "norm 4‖D1ᵖ X D2ᵖ‖"
    #: The matrix whose ``values`` add up to the minimised quantity.
    whitened: str = "D1 X D2"
    #: The matrix of a dual vector, and the quantity of this matrix that must not exceed 1.
    dual_matrix: str = "D1⁻¹ A*(λ) D2⁻¹"
    dual_size: str = "operator norm"
    values: str = "singular values"
    #: Meanings of two numbers of `Flatness`; empty where they are always 0.
    balance: str = "‖LᵀL − RᵀR‖ in the nuclear norm; 0 when both factors are equally large."
    excess: str = "How much larger the factors are than the smallest factors of this matrix."
    loss: str = "Mean squared residual; 0 is an exact fit."
    #: The verb phrase for a solution: it "fits the data".
    fits: str = "fits the data"
    #: The words for a solution, for one with a smaller value ("better"), and for the one with the smallest ("best").
    solution: str = "solution"
    better: str = "flatter"
    best: str = "flattest"
    #: One number of the data.
    datum: str = "measurement"
    #: Whether the data determine the trace, so that all solutions are equally flat.
    determined: bool = False
    #: Whether a solution is a low-rank matrix plus gross errors.
    splits: bool = False
    #: Whether uniqueness is decided on a symmetric core of the dual matrix.
    core: bool = True

    @property
    def rival(self) -> str:
        """Any matrix that solves the problem, without article."""
        return f"{self.matrices} that {self.fits}"

    @property
    def other(self) -> str:
        """Another solution with the same value, without article."""
        return self.rival if self.determined else f"{self.solution} this {'good' if self.splits else 'flat'}"

    @property
    def kind(self) -> str:
        """The kind of matrix as an adjective with a space after it; empty for matrices of no special kind."""
        return "" if self.matrices in ("matrix", "split") else f"{self.matrices.removesuffix(' matrix')} "


PRODUCT = Vocabulary()
SEMIDEFINITE = Vocabulary(
    matrices="positive semidefinite matrix",
    trace_meaning="8 tr(U* D U), with D the mean of the Aᵢ²: the Gauss–Newton part of the Hessian trace.",
    value="trace 8 tr(Dᵖ X)",
    whitened="√D X √D",
    dual_matrix="√D⁻¹ A*(λ) √D⁻¹",
    dual_size="largest eigenvalue",
    values="eigenvalues",
    balance="",
    excess="",
)
DETERMINED = replace(
    SEMIDEFINITE,
    determined=True,
    trace_meaning=SEMIDEFINITE.trace_meaning[:-1] + ". All exact fits have the same.",
)
SIGNED = replace(
    SEMIDEFINITE,
    matrices="symmetric matrix",
    trace_meaning="8 tr(D (U₊U₊ᵀ + U₋U₋ᵀ)), with D the mean of the Aᵢ²: the Gauss–Newton part of the Hessian trace.",
    value="norm 8‖Dᵖ X Dᵖ‖",
    dual_size="operator norm",
    balance="4‖U₊ᵀU₋‖ in the nuclear norm; 0 when positive columns are orthogonal to negative ones.",
    excess=PRODUCT.excess,
)
SPLIT = replace(
    PRODUCT,
    matrices="split",
    trace_meaning="2‖L‖² + 2‖R‖²: the Hessian trace with the part of each factor divided by its number of rows.",
    whitened="X",
    dual_matrix="W",
    loss="Squared distance from the errors to the nearest ones that the model allows.",
    fits="adds up to the data",
    solution="split",
    better="better",
    best="best",
    datum="observed cell",
    splits=True,
    core=False,
)
PLAIN = replace(
    PRODUCT,
    trace="Hessian trace",
    trace_meaning="The trace whose minimisers are called flat.",
    value="power of a norm",
    whitened="the whitened unknown",
    dual_matrix="B*(λ)",
    dual_size="size in the norm dual to the model's",
    balance="How far the factors are from being equally large; 0 when they are.",
    core=False,
)


def split_vocabulary(weight: float) -> Vocabulary:
    """Return the words for low rank plus gross errors, of which a unit costs ``weight``."""
    return replace(SPLIT, trace=f"sum ‖X‖_* + {weight:.4g} · ‖S‖₁")


def vocabulary_of(problem: Problem, certificate: Certificate | None = None, metric_power: float = 1.0) -> Vocabulary:
    """Return the words for the model of a problem and the objective of its certificate."""
    if problem.loss.has_gross_errors:
        loss, weight = problem.loss, problem.loss.weight_for(problem.shape)
        if weight is not None:
            return split_vocabulary(weight)
        limit = f"{SPLIT.fits} with errors ‖S‖₁ of at most {loss.tau:.4g}"
        return replace(SPLIT, trace="nuclear norm ‖X‖_*", fits=limit)
    model, exact = problem.parametrization, certificate is None or certificate.objective == "interpolating"
    if exact and metric_power == 1 and trace_is_determined(problem):
        return DETERMINED
    for kind, terms in ((Product, PRODUCT), (Gram, SEMIDEFINITE), (SignedGram, SIGNED)):
        if isinstance(model, kind):
            return terms
    return PLAIN
