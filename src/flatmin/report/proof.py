"""The certificate in words: what it proves, what it does not, in the order of the argument."""

from __future__ import annotations

from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL, LARGEST_WHITENED_RESIDUAL, Certificate
from flatmin.report.page import Statement
from flatmin.report.vocabulary import PRODUCT, SPLIT, Vocabulary
from flatmin.report.words import counted, except_for, measure, number, unique_phrase

__all__ = ["NORM_PROOF", "proof"]

#: The title where uniqueness is undecided.
OPEN = "Whether it is the only one is open"
#: What proves the operator norm behind a lower bound.
NORM_PROOF = {
    "dense": "It is known from the full singular value decomposition of that matrix, rounding included.",
    "cholesky": "It is proved by a Cholesky factorization, with its rounding errors counted against the proof.",
    "proven": "It is proved, rounding included.",
    "probabilistic": "It follows from iterations with random starts that have nothing to do with the matrix.",
    "estimated": "It is only estimated, from below, which proves nothing; so the certificate cannot hold.",
}
#: What proves a margin.
MARGIN_PROOF = {
    "dense": "all eigenvalues of W were computed, rounding included",
    "cholesky": "a Cholesky factorization proves it, with its rounding errors counted against the proof",
    "proven": "it is proved, rounding included",
    "probabilistic": "it follows from iterations with random starts",
}


def proof(
    c: Certificate,
    n_measurements: int,
    metric_power: float = 1.0,
    terms: Vocabulary = PRODUCT,
    distance: float | None = None,
) -> list[Statement]:
    """Return what the certificate proved, and what it did not, in the order of the argument.

    Parameters
    ----------
    c : Certificate
        The proof.
    n_measurements : int
        Their number.
    metric_power : float
        1 where the norm is the flat one.
    terms : Vocabulary
        How the model is spoken of.
    distance : float, optional
        Relative distance of the other solution, where one is in hand.
    """
    fit = _split_fit(c, terms) if terms.splits else _fit(c, n_measurements)
    if terms.determined:
        return [fit, _equally_flat(c, terms), _only_one(c, terms, distance), *_margin(c)]
    bound = _bound(c, measure(c, metric_power, terms), terms)
    return [fit, bound, _norm(c, terms), _uniqueness(c, terms, distance)]


def _fit(c: Certificate, n_measurements: int) -> Statement:
    given = "one given" if n_measurements == 1 else f"{n_measurements} given ones"
    misfit = (
        f"Its measurements and the {given} differ by a relative residual of {number(c.relative_residual)}, or "
        f"{number(c.whitened_residual)} of the matrix with each measurement in units of its own size"
    )
    if c.objective == "penalised":
        text = f"{misfit}. With alpha > 0 an exact fit is not asked for, to allow for noise."
        return Statement(None, "The fit is a compromise", text)
    fits = c.relative_residual <= LARGEST_RESIDUAL and c.whitened_residual <= LARGEST_WHITENED_RESIDUAL
    needed = f"{number(LARGEST_RESIDUAL, 1)} and {number(LARGEST_WHITENED_RESIDUAL, 1)}"
    text = f"{misfit}; a proof needs at most {needed}."
    return Statement(fits, "It fits the data" if fits else "It does not fit the data exactly", text)


def _split_fit(c: Certificate, terms: Vocabulary) -> Statement:
    if c.objective == "penalised":
        text = (
            "What the low-rank part X and the gross errors S leave of the data counts as noise, and costs its square."
        )
        return Statement(None, "The fit is a compromise", text)
    text = "The gross errors S are what the low-rank part X leaves of the data, so both add up to them exactly."
    if terms.fits == SPLIT.fits:
        return Statement(True, "The two parts add up to the data", text)
    text += (
        f" Above their limit the errors have a share of {number(c.relative_residual)} of the data; a proof needs at "
        f"most {number(LARGEST_RESIDUAL, 1)}."
    )
    if c.relative_residual <= LARGEST_RESIDUAL:
        return Statement(True, "The two parts add up to the data, with errors within their limit", text)
    return Statement(False, "The errors exceed their limit", text)


def _bound(c: Certificate, measured: str, terms: Vocabulary) -> Statement:
    penalised = c.objective == "penalised"
    if c.value == 0:
        title = "It is the best split" if terms.splits else "It is flattest"
        return Statement(True, title, f"Its {measured} is 0, and no {measured} is negative.")
    rival = f"no {terms.matrices} at all" if penalised else f"no {terms.rival}"
    each = "observed cell" if terms.splits else "measurement"
    text = (
        f"A dual vector, one number for each {each}, proves that {rival} has a {measured} below "
        f"{number(c.lower_bound, 10)}. This solution has {number(c.value, 10)}. The relative gap between them is "
        f"{number(c.relative_gap)}; a proof needs at most {number(LARGEST_GAP, 1)}. "
    )
    if c.relative_gap < 0:
        text += "It is negative because the fit is not perfectly exact; its size is what counts. "
    if c.bound_kind == "estimated":
        return Statement(
            None, "Flattest, if the bound were proved", text + "But the bound is only an estimate, see below."
        )
    if abs(c.relative_gap) <= LARGEST_GAP:
        text += "A poor dual vector can fail to prove this but never mislead: the bound holds for any."
        least = "No split is better" if terms.splits else "No solution is flatter"
        return Statement(True, "It is the minimum" if penalised else least, text)
    better = "better" if terms.splits else "flatter"
    if c.relative_gap > 0:
        text += f"So something {better}, by {number(100 * c.relative_gap)} % at the very most, is not ruled out."
    else:
        text += "So far below the bound, it is no solution yet: the data are not fitted."
    return Statement(False, "It may not be the best split" if terms.splits else "It may not be the flattest", text)


def _norm(c: Certificate, terms: Vocabulary) -> Statement:
    if terms.splits:
        limits = "the operator norm of the dual matrix W exceeds 1, or an entry of W the price of an error"
        divides = f"The bound divides by the factor by which {limits}"
    else:
        divides = (
            f"The bound divides by the {terms.dual_size} of the dual matrix {terms.dual_matrix} wherever it exceeds 1"
        )
    text = (
        f"{divides}, here {number(c.dual_norm, 12)} at most. "
        f"{NORM_PROOF.get(c.bound_kind, f'It is proved by: {c.bound_kind}.')}"
    )
    if c.bound_kind == "probabilistic":
        text += f" Everything that is proved here holds {except_for(c)}."
    title = {"estimated": "The bound is only an estimate", "probabilistic": f"The bound is rigorous, {except_for(c)}"}
    return Statement(c.bound_kind != "estimated", title.get(c.bound_kind, "The bound is rigorous"), text)


def _equally_flat(c: Certificate, terms: Vocabulary) -> Statement:
    """Return that flatness selects nothing: rank-one measurements determine the trace."""
    text = (
        f"Flatness says nothing here: every {terms.rival} has the same trace, {number(c.value, 10)}, because the data "
        "determine it. The dual vector |xᵢ|²/m proves this, and proves no more. So a flat solution is just one that "
        "fits, and what needs a proof is that there is only one."
    )
    if c.holds:
        return Statement(True, "It is as flat as every solution", text)
    return Statement(False, "Nothing is said about flatness before it fits", text)


def _only_one(c: Certificate, terms: Vocabulary, distance: float | None) -> Statement:
    """Return what the uniqueness dual proves."""
    how = (
        "The proof is a second dual vector λ, the uniqueness dual: the matrix W = A*(λ) that it makes, in units of the "
        "metric D, is positive semidefinite, vanishes on the solution (W X = 0), and is positive everywhere beside it. "
        f"Another {terms.rival} has ⟨W, X'⟩ = ⟨λ, b⟩ = 0 as well, so it lives where X lives"
    )
    if c.unique:
        told = ""
        if c.injectivity is not None:
            told = f", where the measurements tell matrices apart (injectivity {number(c.injectivity)}, 1 is best)"
        margin = f" The margin is {number(c.margin)}: the smallest eigenvalue of W beside X."
        return Statement(True, "It is the only one, up to about 1 %", f"{how}{told}.{margin}")
    if c.unique is False:
        apart = "" if distance is None else f", at a relative distance of {number(distance, 2)}"
        text = f"Another {terms.rival} was found{apart}; it is in solution.npz. The data do not choose between them."
        return Statement(False, "It is not the only one", text)
    if not c.holds:
        return Statement(None, OPEN, "Nothing is said about other solutions before this one fits.")
    if c.margin is None:
        found = "No such vector was found here."
    elif c.margin_kind == "estimated":
        found = (
            f"The margin of the best one found is only estimated, {number(c.margin)}, and an estimate proves nothing."
        )
    else:
        found = f"The best one found has a margin of {number(c.margin)}, which is too little: no proof."
    return Statement(
        None, OPEN, f"{how}. {found} The solution may be the only one all the same; more measurements would settle it."
    )


def _margin(c: Certificate) -> list[Statement]:
    """Return how the margin of the uniqueness dual is known, where there is one."""
    if c.margin is None or c.margin_kind is None:
        return []
    if c.margin_kind == "estimated":
        text = "The smallest eigenvalue of W beside X is only estimated, from above. That proves nothing."
        return [Statement(False, "The margin is only an estimate", text)]
    text = f"The margin holds for the matrix as it is stored: {MARGIN_PROOF.get(c.margin_kind, c.margin_kind)}."
    likely = f", {except_for(c)}" if c.margin_kind == "probabilistic" else ""
    return [Statement(True, f"The margin is rigorous{likely}", text)]


def _uniqueness(c: Certificate, terms: Vocabulary, distance: float | None) -> Statement:
    title = {True: "It is the only one, up to about 1 %", False: "It is not the only one", None: OPEN}
    core = _core(c, terms) if c.holds and terms.core else _face(c) if c.holds and terms.splits else ""
    likely = f" This holds {except_for(c)}." if c.unique and not terms.splits and except_for(c) else ""
    return Statement(c.unique, title[c.unique], f"{_why_unique(c, terms, distance)} {core}".strip() + likely)


def _why_unique(c: Certificate, terms: Vocabulary, distance: float | None) -> str:
    if c.unique:
        among = "" if terms.matrices == "matrix" else f"{terms.matrices.removesuffix(' matrix')} "
        vanish = "" if terms.splits else f" This is said of {among}matrices that vanish on what no measurement sees."
        phrase = unique_phrase(True, terms, penalised=c.objective == "penalised")
        return f"The certificate shows that {phrase}, relatively, and usually much closer.{vanish}"
    if c.unique is False:
        apart = "" if distance is None else f", at a relative distance of {number(distance, 2)}"
        how = "as good and with the same sum" if terms.splits else "as flat and fitting the same data"
        how = "as good" if c.objective == "penalised" else how
        return f"Another solution, exactly {how}, was found{apart}; the data do not choose."
    if not c.holds:
        better = "best" if terms.splits else "flattest"
        return f"Nothing is said about other solutions before this one is proved to be {better}."
    if c.injectivity is None:
        return "The test was not made: it would need too much memory."
    return "What would decide it is too close to rounding error and to the gap; this means neither yes nor no."


def _core(c: Certificate, terms: Vocabulary) -> str:
    if c.q is None or c.margin is None:
        return ""
    if c.q == 0:
        return f"No {terms.values.removesuffix('s')} of the dual matrix reaches 1, which leaves only the zero matrix."
    free = f"{counted(c.q * (c.q + 1) // 2, 'number')}, " if terms.values == "singular values" else ""
    are = "is" if c.q == 1 else "are"
    size = " in size" if terms.values == "eigenvalues" and terms.dual_size == "operator norm" else ""
    others = "minimisers" if c.objective == "penalised" else "flattest solutions"
    rest = "No other one is above 0" if c.margin == 1 else f"The next one stays {number(c.margin)} below 1{size}"
    text = (
        f"q\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{c.q} of the dual matrix's {terms.values} {are} 1{size}, so all "
        f"{others} are made of {free}a symmetric {c.q} × {c.q} core. {rest} (the margin"
    )
    if c.injectivity is None:
        return text + ")."
    if c.injectivity > 0:
        told = f"the measurements tell such cores apart with injectivity {number(c.injectivity)} (1 is best)"
        return f"{text}), and {told}."
    return text + "), and the measurements do not tell all such cores apart (injectivity 0)."


def _face(c: Certificate) -> str:
    """Return what decides whether a split is the only one."""
    if c.q is None or c.margin is None or not c.injectivity:
        return ""
    are = "is" if c.q == 1 else "are"
    text = (
        f"q\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{c.q} of the singular values of W {are} 1; the next one, and the "
        f"entries of W in cells without error, stay at least {number(c.margin)} below their limits, relatively (the "
        "margin). Those cells show any change of X in its rows and columns, by a share of at least "
        f"{number(c.injectivity)} of it."
    )
    if c.margin_kind == "probabilistic":
        text += f" This share rests on a randomized bound, and holds {except_for(c)}."
    return text
