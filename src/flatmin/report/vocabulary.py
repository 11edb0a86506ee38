"""How each model is spoken of: its matrices, its trace, its dual matrix, and what a proof about it proves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flatmin.losses import Absolute
from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.conic import trace_is_determined

__all__ = ["DETERMINED", "PLAIN", "PRODUCT", "SEMIDEFINITE", "SIGNED", "SPLIT", "Vocabulary", "vocabulary_of"]


@dataclass(frozen=True)
class Vocabulary:
    """The words in which a model is explained.

    Attributes
    ----------
    matrices : str
        What kind of matrix the model makes, in the singular.
    trace : str
        What flat solutions have least of.
    trace_meaning : str
        What that is, in a sentence.
    value : str
        The formula of the smallest trace over all factors of a matrix, where other powers of the metric have a norm.
    whitened : str
        The matrix whose singular values or eigenvalues add up to it.
    dual_matrix, dual_size : str
        The matrix that a dual vector makes, and the size that must not exceed 1.
    values : str
        "singular values" or "eigenvalues" of those matrices.
    balance, excess : str
        What these two numbers of `Flatness` mean; empty where they always vanish.
    determined : bool
        Whether the data determine the trace, so that all solutions are equally flat.
    loss : str
        What the loss is.
    fits : str
        What a solution does.
    splits : bool
        Whether a solution is a matrix and its errors.
    core : bool
        Whether uniqueness is decided on a symmetric core of a dual matrix.
    """

    matrices: str = "matrix"
    trace: str = "scaled trace"
    trace_meaning: str = "Hessian trace, each factor's part over its number of rows."
    value: str = "norm 4‖D1ᵖ X D2ᵖ‖"
    whitened: str = "D1 X D2"
    dual_matrix: str = "D1⁻¹ A*(λ) D2⁻¹"
    dual_size: str = "operator norm"
    values: str = "singular values"
    balance: str = "‖LᵀL − RᵀR‖ in the nuclear norm; 0 when both factors are equally large."
    excess: str = "How much larger the factors are than the smallest of this matrix."
    determined: bool = False
    loss: str = "Mean squared residual; 0 is an exact fit."
    fits: str = "fits the data"
    splits: bool = False
    core: bool = True

    @property
    def rival(self) -> str:
        """Any other solution in one phrase, without article."""
        return f"{self.matrices} that {self.fits}"


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
    trace_meaning=SEMIDEFINITE.trace_meaning[:-1] + ". The same for everything that fits.",
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
    trace_meaning="2‖L‖² + 2‖R‖²: the Hessian trace, each factor's part over its number of rows.",
    whitened="X",
    dual_matrix="W",
    loss="Squared distance of the errors from those that the model allows.",
    fits="adds up to the data",
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
    balance="How far the factors are from equally large; 0 when they are.",
    core=False,
)


def vocabulary_of(problem: Problem, certificate: Certificate | None = None, metric_power: float = 1.0) -> Vocabulary:
    """Return how the model of a problem is spoken of, given what was asked of the solution."""
    if problem.loss.has_gross_errors:
        return _split(problem.loss, problem.shape)
    model, exact = problem.parametrization, certificate is None or certificate.objective == "interpolating"
    if exact and metric_power == 1 and trace_is_determined(problem):
        return DETERMINED
    for kind, terms in ((Product, PRODUCT), (Gram, SEMIDEFINITE), (SignedGram, SIGNED)):
        if isinstance(model, kind):
            return terms
    return PLAIN


def _split(loss: Absolute, shape: tuple[int, int]) -> Vocabulary:
    """Return the terms of robust PCA, in its form with a weight or with a limit on the errors."""
    if loss.tau is None:
        return replace(SPLIT, trace=f"sum ‖X‖_* + {loss.weight_for(shape):.4g} · ‖S‖₁")
    limit = f"{SPLIT.fits} with errors ‖S‖₁ of at most {loss.tau:.4g}"
    return replace(SPLIT, trace="nuclear norm ‖X‖_*", fits=limit)
