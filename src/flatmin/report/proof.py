"""The certificate in words: one statement for each step of the proof, in the order of the argument."""

from decimal import ROUND_CEILING

from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL, LARGEST_WHITENED_RESIDUAL, Certificate
from flatmin.report.page import Statement
from flatmin.report.vocabulary import PRODUCT, SPLIT, Vocabulary
from flatmin.report.words import counted, except_for, measure, number, percent, scope, unique_phrase

__all__ = ["NORM_PROOF", "proof"]

#: The title of the statement about uniqueness.
UNIQUE_TITLE = {
    True: "It is the only one, up to about 1 %",
    False: "It is not the only one",
    None: "Whether it is the only one is open",
}
#: How the bound on the norm of the dual matrix is known, by `Certificate.bound_kind`.
NORM_PROOF = {
    "dense": "It is known from the full singular value decomposition of that matrix, rounding included.",
    "cholesky": "It is proved by a Cholesky factorization, rounding included.",
    "proven": "It is proved, rounding included.",
    "probabilistic": "It follows from iterations whose random starting vectors are independent of the matrix.",
    "estimated": "It is only an estimate from below, which proves nothing; so the certificate cannot hold.",
}
#: How the margin is known, by `Certificate.margin_kind`.
MARGIN_PROOF = {
    "dense": "all eigenvalues of W were computed, rounding included",
    "cholesky": "a Cholesky factorization proves it, rounding included",
    "proven": "it is proved, rounding included",
    "probabilistic": "it follows from iterations with random starting vectors",
}


def proof(
    c: Certificate,
    n_measurements: int,
    metric_power: float = 1.0,
    terms: Vocabulary = PRODUCT,
    distance: float | None = None,
) -> list[Statement]:
    """Return a statement for each step of the proof; ``distance`` is the relative distance of another solution."""
    fit = _split_fit(c, terms) if terms.splits else _fit(c, n_measurements)
    if terms.determined:
        return [fit, _equally_flat(c, terms), _only_one(c, terms, distance), *_margin(c)]
    return [fit, _bound(c, measure(c, metric_power, terms), terms), _norm(c, terms), _uniqueness(c, terms, distance)]


def _fit(c: Certificate, n_measurements: int) -> Statement:
    given = "one given" if n_measurements == 1 else f"{n_measurements} given ones"
    misfit = (
        f"Its measurements and the {given} differ by a relative residual of {number(c.relative_residual)}. If each "
        f"measurement is divided by its own size, the residual is {number(c.whitened_residual)} relative to the matrix"
    )
    if c.objective == "penalised":
        text = f"{misfit}. With alpha > 0 the fit need not be exact, which allows for noise."
        return Statement(None, "The fit is a compromise", text)
    fits = c.relative_residual <= LARGEST_RESIDUAL and c.whitened_residual <= LARGEST_WHITENED_RESIDUAL
    needed = f"{number(LARGEST_RESIDUAL, 1)} and {number(LARGEST_WHITENED_RESIDUAL, 1)}"
    text = f"{misfit}; a proof needs at most {needed}."
    return Statement(fits, "It fits the data" if fits else "It does not fit the data exactly", text)


def _split_fit(c: Certificate, terms: Vocabulary) -> Statement:
    if c.objective == "penalised":
        text = "The data minus the low-rank part X and the gross errors S are noise, which is penalised by its square."
        return Statement(None, "The fit is a compromise", text)
    text = "The gross errors S are the data minus the low-rank part X, so both add up to the data exactly."
    if terms.fits == SPLIT.fits:
        return Statement(True, "The two parts add up to the data", text)
    text += (
        f" The errors exceed their limit by a share of {number(c.relative_residual)} of the data; a proof needs at "
        f"most {number(LARGEST_RESIDUAL, 1)}."
    )
    if c.relative_residual <= LARGEST_RESIDUAL:
        return Statement(True, "The two parts add up to the data, with errors within their limit", text)
    return Statement(False, "The errors exceed their limit", text)


def _bound(c: Certificate, measured: str, terms: Vocabulary) -> Statement:
    penalised = c.objective == "penalised"
    if c.value == 0:
        return Statement(
            True, f"It is the {terms.best} {terms.solution}", f"Its {measured} is 0, and no {measured} is negative."
        )
    rival = terms.matrices if penalised else terms.rival
    text = (
        f"This solution has a {measured} of {number(c.value, 4)}. A dual vector, one number for each {terms.datum}, "
        f"proves that no {rival} has less than 1 − g times this value. Here g, the relative gap, is "
        f"{number(c.relative_gap, rounding=ROUND_CEILING)}; a proof needs at most {number(LARGEST_GAP, 1)}. "
    )
    if c.rounding > 0:
        most = number(c.rounding, rounding=ROUND_CEILING)
        text += f"All rounding errors are counted in it; they make up at most {most}. "
    if c.relative_gap < 0:
        text += "It is negative because the fit is not perfectly exact; only its absolute value matters. "
    if c.bound_kind == "estimated":
        text += "But the bound is only an estimate, see below."
        return Statement(None, f"It would be the {terms.best} {terms.solution} if the bound were proved", text)
    if abs(c.relative_gap) <= LARGEST_GAP:
        text += "The bound holds for every dual vector: a poor one makes the gap larger, never the proof wrong."
        title = "It is the minimum" if penalised else f"No {terms.solution} is {terms.better}"
        return Statement(True, title, f"{text} {scope(c)}".strip())
    if c.relative_gap > 0:
        text += f"So a {terms.better} {terms.solution}, by at most {percent(c.relative_gap)}, is not ruled out."
    else:
        text += "It lies below the bound because it does not fit the data, so it is not yet a solution."
    return Statement(False, f"It may not be the {terms.best} {terms.solution}", text)


def _norm(c: Certificate, terms: Vocabulary) -> Statement:
    exceeds = f"the {terms.dual_size} of the dual matrix {terms.dual_matrix} if that exceeds 1"
    if terms.splits:
        exceeds = (
            "the factor by which the operator norm of the dual matrix W exceeds 1, or an entry of W the weight of an "
            "error"
        )
    known = NORM_PROOF.get(c.bound_kind, f"It is proved by: {c.bound_kind}.")
    excess = c.dual_norm - 1
    found = f"exceeds 1 by at most {number(excess, rounding=ROUND_CEILING)}" if excess > 0 else "does not exceed 1"
    text = f"The bound is divided by {exceeds}. Here it {found}. {known}"
    if c.bound_kind == "probabilistic":
        text += f" Every statement of this proof holds {except_for(c)}."
    title = {"estimated": "The bound is only an estimate", "probabilistic": f"The bound is rigorous, {except_for(c)}"}
    return Statement(c.bound_kind != "estimated", title.get(c.bound_kind, "The bound is rigorous"), text)


def _equally_flat(c: Certificate, terms: Vocabulary) -> Statement:
    """Return the statement that all solutions are equally flat, because rank-one measurements determine the trace."""
    trace = f"the same trace, {number(c.value, 4)}," if c.holds else "the same trace"
    text = (
        f"Flatness says nothing here: every {terms.rival} has {trace} because the data determine it. "
        "The dual vector |xᵢ|²/m proves this and nothing more. So every exact fit is flat, and the only "
        "question is whether there is another one."
    )
    if c.holds:
        return Statement(True, "It is as flat as every solution", f"{text} {scope(c)}".strip())
    return Statement(False, "Nothing is said about flatness before it fits", text)


def _only_one(c: Certificate, terms: Vocabulary, distance: float | None) -> Statement:
    """Return the statement about uniqueness, from the uniqueness dual."""
    how = (
        "The proof is a second dual vector λ, the uniqueness dual. Its matrix W = A*(λ), in units of the metric D, is "
        "positive semidefinite, zero on the solution (W X = 0) and positive on every direction orthogonal to it. "
        f"Another {terms.rival} also has ⟨W, X'⟩ = ⟨λ, b⟩ = 0, so it has the range of X"
    )
    if c.unique:
        apart = ""
        if c.injectivity is not None:
            apart = f", where the measurements tell matrices apart (injectivity {number(c.injectivity)}, 1 is best)"
        margin = f" The margin is {number(c.margin)}: the smallest eigenvalue of W orthogonal to X."
        return Statement(True, UNIQUE_TITLE[True], f"{how}{apart}.{margin} {scope(c)}".strip())
    if c.unique is False:
        text = f"Another {terms.rival} was found{_apart(distance)}; it is in solution.npz. The data fit both."
        return Statement(False, UNIQUE_TITLE[False], text)
    if not c.holds:
        return Statement(None, UNIQUE_TITLE[None], "Nothing is said about other solutions before this one fits.")
    if c.margin is None:
        found = "No such vector was found here."
    elif c.margin_kind == "estimated":
        found = f"The best one found has an estimated margin of {number(c.margin)}, and an estimate proves nothing."
    else:
        found = f"The best one found has a margin of {number(c.margin)}, which is too little for a proof."
    text = f"{how}. {found} The solution may still be the only one; more measurements would settle the question."
    return Statement(None, UNIQUE_TITLE[None], text)


def _apart(distance: float | None) -> str:
    return "" if distance is None else f", at a relative distance of {number(distance, 2)}"


def _margin(c: Certificate) -> list[Statement]:
    """Return how the margin of the uniqueness dual is known, if there is one."""
    if c.margin is None or c.margin_kind is None:
        return []
    if c.margin_kind == "estimated":
        text = "The smallest eigenvalue of W orthogonal to X is only estimated, from above. That proves nothing."
        return [Statement(False, "The margin is only an estimate", text)]
    text = f"The margin holds for the matrix as it is stored: {MARGIN_PROOF.get(c.margin_kind, c.margin_kind)}."
    likely = f", {except_for(c)}" if c.margin_kind == "probabilistic" else ""
    return [Statement(True, f"The margin is rigorous{likely}", text)]


def _uniqueness(c: Certificate, terms: Vocabulary, distance: float | None) -> Statement:
    core = _core(c, terms) if c.holds and terms.core else _face(c) if c.holds and terms.splits else ""
    likely = f" This holds {except_for(c)}." if c.unique and not terms.splits and except_for(c) else ""
    return Statement(c.unique, UNIQUE_TITLE[c.unique], f"{_why_unique(c, terms, distance)} {core}".strip() + likely)


def _why_unique(c: Certificate, terms: Vocabulary, distance: float | None) -> str:
    if c.unique:
        phrase = unique_phrase(True, terms, penalised=c.objective == "penalised")
        return f"The certificate shows that {phrase}, relatively, and usually much closer. {scope(c)}".strip()
    if c.unique is False:
        how = "as good and with the same sum" if terms.splits else "as flat and fitting the same data"
        how = "as good" if c.objective == "penalised" else how
        return f"Another solution, exactly {how}, was found{_apart(distance)}; the data do not choose between them."
    if not c.holds:
        return (
            f"Nothing is said about other solutions before this one is proved to be the {terms.best} {terms.solution}."
        )
    if c.injectivity is None:
        return "Uniqueness was not tested, because the test would need too much memory."
    return "The numbers that decide about it are too close to rounding error or to the gap, so it remains open."


def _core(c: Certificate, terms: Vocabulary) -> str:
    if c.q is None or c.margin is None:
        return ""
    if c.q == 0:
        return f"No {terms.values.removesuffix('s')} of the dual matrix reaches 1, so only the zero matrix is possible."
    free = f"{counted(c.q * (c.q + 1) // 2, 'number')}, " if terms.values == "singular values" else ""
    are = "is" if c.q == 1 else "are"
    size = " in size" if terms.values == "eigenvalues" and terms.dual_size == "operator norm" else ""
    others = "minimisers" if c.objective == "penalised" else "flattest solutions"
    rest = "No other one is above 0" if c.margin == 1 else f"The next one stays {number(c.margin)} below 1{size}"
    text = (
        f"q\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{c.q} of the dual matrix's {terms.values} {are} 1{size}, so all "
        f"{others} are given by {free}a symmetric {c.q} × {c.q} core. {rest} (the margin"
    )
    if c.injectivity is None:
        return text + ")."
    if c.injectivity > 0:
        return (
            f"{text}), and the measurements tell such cores apart with injectivity {number(c.injectivity)} (1 is best)."
        )
    return text + "), and the measurements do not tell all such cores apart (injectivity 0)."


def _face(c: Certificate) -> str:
    """Return the numbers that decide whether a split is the only one."""
    if c.q is None or c.margin is None or not c.injectivity:
        return ""
    are = "is" if c.q == 1 else "are"
    text = (
        f"q\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{c.q} of the singular values of W {are} 1; the next one, and the "
        f"entries of W in cells without error, stay at least {number(c.margin)} below their limits, relatively (the "
        "margin). If X changes within its row and column spaces, the cells without error show at least a share of "
        f"{number(c.injectivity)} of the change."
    )
    if c.margin_kind == "probabilistic":
        text += f" This share rests on a randomized bound, and holds {except_for(c)}."
    return text
