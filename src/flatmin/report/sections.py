"""The page about one solution: its sections and their order."""

from collections.abc import Mapping
from decimal import ROUND_CEILING

import numpy as np

from flatmin._core.arrays import Array
from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.report import words
from flatmin.report.caveats import caution, caveats
from flatmin.report.exact_proof import exact_proof_section
from flatmin.report.fitted_sections import versions
from flatmin.report.page import Fact, Figure, Page, Section, Table
from flatmin.report.pictures import blocks, figures
from flatmin.report.proof import proof
from flatmin.report.radius import radius_section
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.views import view_of
from flatmin.solution import Noise

__all__ = ["solution_page"]

#: Largest number of rounds that the table of the solver's history lists.
MOST_ROUNDS = 60
NEEDED_GAP, NEEDED_RESIDUAL = words.number(LARGEST_GAP, 1), words.number(LARGEST_RESIDUAL, 1)

SETTINGS = {
    "alpha": "Strength of the scaled trace against the loss; 0 is an exact fit.",
    "metric_power": "1 is the flat norm, 0 the nuclear norm.",
    "max_rank": "Largest rank allowed.",
    "tol": "Target of the solver for the relative residual and gap.",
    "max_iter": "Largest number of steps.",
    "time_limit": "Seconds allowed.",
    "seed": "Seed of the random choices; a unique solution does not depend on it.",
    "weight": "Weight of the gross errors ‖S‖₁ against the nuclear norm.",
    "tau": "Limit on the gross errors ‖S‖₁.",
}


def solution_page(solved: SolvedProblem) -> Page:
    """Return the page about a solution."""
    s, c = solved.solution, solved.certificate
    view, m = view_of(solved.family.name), solved.problem.measurement.size
    sections = [*view.answer(solved), _certificate(solved)]
    sections.append(radius_section(c, solved.problem.data, solved.size, solved.terms, view.within(solved)))
    if solved.proof is not None:
        sections.append(exact_proof_section(solved.proof, solved.size, solved.terms))
    if s.noise is not None:
        sections.append(_noise(solved, s.noise))
    if solved.summary.get("reweighted"):
        sections.append(_reweighted(solved, solved.summary["reweighted"]))
    sections += [part(solved) for part in (_limits, _search, _flatness, _repeat)]
    return Page(
        title=solved.input_name or solved.family.title,
        kicker="flatmin report",
        subtitle=f"{solved.family.title}: {view.measured(solved)}",
        verdict=words.verdict(s.status, solved.terms, c.unique, c),
        caution=caution(solved.free, m, solved.terms, c.unique, solved.errors),
        highlights=[*_highlights(solved), *view.highlights(solved), *_costs(solved)],
        sections=sections,
        notes=solved.notes,
    )


def _highlights(solved: SolvedProblem) -> list[Fact]:
    """Return the rank, the error, the fit and the uniqueness."""
    s, c, error = solved.solution, solved.certificate, solved.error
    facts = [Fact("Rank", str(s.rank), f"of at most {min(solved.problem.shape)}")]
    if s.signature is not None:
        plus, minus = s.signature
        facts = [Fact("Rank", str(s.rank), f"{plus} positive and {minus} negative")]
    if error is not None:
        meaning = "relative" if error <= 1e-6 else "it is not the truth"
        facts.append(Fact("Error against truth", words.number(error, 2), meaning))
    if not solved.terms.determined:
        facts.append(Fact("Relative gap", words.number(c.relative_gap, 2), f"a proof needs {NEEDED_GAP}"))
    if solved.terms.splits:
        return [*facts, *_others(solved)]
    needs = "noise is allowed for" if c.objective == "penalised" else f"a proof needs {NEEDED_RESIDUAL}"
    facts.append(Fact("Relative residual", words.number(c.relative_residual, 2), needs))
    return [*facts, *_others(solved)]


def _others(solved: SolvedProblem) -> list[Fact]:
    """Return whether the solution is unique, and the certified radius."""
    c = solved.certificate
    name = "Only solution" if solved.terms.determined else "Only flattest"
    name = "Only best split" if solved.terms.splits else name
    name = "Only minimum" if c.objective == "penalised" else name
    meaning = "up to about 1 %" if c.unique else ""
    if c.margin is not None and solved.terms.determined:
        kind = ", estimated" if c.margin_kind == "estimated" else ""
        meaning = f"margin {words.number(c.margin, 2)}{kind}"
    facts = [Fact(name, words.unique_word(c.unique), meaning)]
    if c.radius is not None and solved.size > 0:
        within = "no other is farther away, relatively"
        facts.append(Fact("Certified radius", words.number(c.radius / solved.size, 2, ROUND_CEILING), within))
    return facts


def _costs(solved: SolvedProblem) -> list[Fact]:
    s = solved.solution
    facts = [Fact("Time", f"{words.number(s.seconds, 2)} s", words.counted(s.iterations, "step"))]
    if solved.summary.get("sigma") is not None:
        facts.append(Fact("Noise", words.number(solved.summary["sigma"], 2), "estimated"))
    return facts


def _certificate(solved: SolvedProblem) -> Section:
    c, terms = solved.certificate, solved.terms
    whole = c.holds and (c.unique is not None or not terms.determined)
    intro = "A certificate is a proof that can be checked without trusting the solver. This one "
    intro += "is complete." if whole else "is incomplete." if not c.holds else "proves only the fit."
    intro += " The solution and its dual vector are in solution.npz; “flatmin certify” repeats the check."
    statements = proof(c, solved.problem.measurement.size, solved.power, terms, solved.distance)
    return Section("certificate", "The certificate", [intro], statements=statements)


def _noise(solved: SolvedProblem, noise: Noise) -> Section:
    """Return the estimates of the noise, and which of them are proved."""
    prose = [
        "The level of the noise was not given. The square-root rule chose alpha: just large enough that noise of the "
        "size of the residual would give the solution 0. It is certified that the solution minimises loss + alpha "
        "· scaled trace. The choice of alpha assumes that the noise is independent between measurements.",
        "The refit is a least-squares fit at its rank, without the bias of the penalty. It is in solution.npz and is "
        "not certified.",
    ]
    if solved.terms.determined:
        prose.append("The data determine the trace, so a penalty on it selects no rank; the test of residuals does.")
    elif not noise.agrees:
        prose.append(
            "The penalty and the test of residuals find different ranks: do not rely on the rank or the refit."
        )
    level = "unknown: matrices of this rank fit any data"
    if noise.sigma is not None and noise.std_error is not None:
        level = f"{words.number(noise.sigma, 3)} ± {words.number(noise.std_error, 1)}"
    freedom = f"{noise.freedom} of {solved.problem.measurement.size}"
    rows = [
        ["Standard deviation of the noise in a measurement", level],
        ["Strength of the penalty, alpha", words.number(noise.alpha, 3)],
        ["Effect of this noise over that of Gaussian noise of its size", words.number(noise.unevenness, 3)],
        ["Rank of the penalised solution", str(noise.penalised_rank)],
        ["Rank of the refit: the smallest whose residual is consistent with noise", str(noise.rank)],
        ["Degrees of freedom of the refit, of the number of measurements", freedom],
    ]
    return Section("noise", "The noise", prose, table=Table("Estimates", ("", ""), rows, folded=False))


def _reweighted(solved: SolvedProblem, found: Mapping[str, object]) -> Section:
    """Return a comparison of the flat solution with that of log-det reweighting."""
    s, c = solved.solution, solved.certificate
    flat: dict[str, float | None] = {"rank": s.rank, "relative_residual": c.relative_residual}
    flat |= {"relative_error": solved.error, "seconds": s.seconds}
    prose = [
        "Reweighting looks for the lowest rank that fits, which is a different question. Its solution is not flat, and "
        "nothing about it is certified: a lower rank may exist. It often needs fewer measurements than flat solutions."
    ]
    rows = [
        [name.replace("_", " ").capitalize(), _cell(flat[name]), _cell(found.get(name))]
        for name in flat
        if not (flat[name] is None and found.get(name) is None)
    ]
    rows.append(["What is proved", "no solution is flatter" if c.holds else "nothing", "nothing about the rank"])
    table = Table("Flat solution and lowest rank found", ("", "Flat", "Lowest rank found"), rows, folded=False)
    return Section("reweighted", "Lowest rank found; not flat, not certified", prose, table=table)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return "–" if value is None else str(value)
    return words.number(float(value), 2) if isinstance(value, float | np.floating) else str(value)


def _limits(solved: SolvedProblem) -> Section:
    c = solved.certificate
    points = caveats(
        shape=solved.problem.shape,
        rank=solved.solution.rank,
        n_measurements=solved.problem.measurement.size,
        exact=c.objective == "interpolating",
        metric_power=solved.power,
        error=solved.error,
        free=solved.free,
        terms=solved.terms,
        unique=c.unique,
        errors=solved.errors,
    )
    return Section("limits", "What it does not say", points=points)


def _spectrum(solved: SolvedProblem) -> Figure:
    problem, terms = solved.problem, solved.terms
    D1, D2 = (D.tempered(solved.power) for D in problem.metric)
    U, values, V = problem.parametrization.singular(solved.solution.factors, (D1, D2))
    smaller, truth = min(problem.shape), solved.truth_values
    negative = np.einsum("ij,ij->j", U.conj(), V).real < 0 if terms.matrices == "symmetric matrix" else None
    rest = smaller - len(values)
    sizes = f"sizes of the {terms.values}" if negative is not None else terms.values
    whitened = terms.whitened if terms.whitened == "X" else f"the whitened matrix {terms.whitened}"
    total = "the data determine their sum" if terms.determined else "their sum is what a flat solution minimises"
    total = "their sum is the nuclear norm ‖X‖_*" if terms.splits else total
    caption = f"The {sizes} of {whitened}; {total}. "
    zeros = "none is zero" if rest == 0 else "the other one is zero" if rest == 1 else f"the other {rest} are zero"
    caption += f"Rank {len(values)}: {zeros}."
    noun = terms.values.capitalize()
    alt = f"{noun} from {words.number(values[0])} down to {words.number(values[-1])}; rank {len(values)}."
    axis = f"index of the {terms.values.removesuffix('s')}"
    drawing = figures.singular_values("singular-values", values, smaller, truth, negative=negative, axis=axis)
    return Figure(noun, alt, caption, svg=drawing)


def _search(solved: SolvedProblem) -> Section:
    """Return the singular values, and the residual and the gap by iteration."""
    s = solved.solution
    history = {name: np.atleast_1d(values) for name, values in s.history.items()}
    if solved.terms.splits:
        history.pop("residual", None)  # there it is how far a round moves
    names = [name for name in ("iteration", "seconds", "residual", "gap", "rank") if name in history]
    prose, pictures, table = [], [], None
    if s.rank:
        pictures.append(_spectrum(solved))
    else:
        prose.append("The solution is zero, so there are no singular values to show.")
    if "iteration" in names and {"residual", "gap"} & set(names) and len(history["iteration"]):
        rounds = words.counted(len(history["iteration"]), "round")
        steps = words.counted(s.iterations, "step")
        prose.append(f"The solver took {steps} in {rounds} and {words.number(s.seconds, 2)} seconds.")
        pictures.append(_convergence(solved, history))
        keep = blocks.picked(len(history["iteration"]), MOST_ROUNDS)
        rows = [[words.number(float(history[name][i]), 2) for name in names] for i in keep]
        table = Table("The rounds in numbers", [name.capitalize() for name in names], rows)
    else:
        prose.append("The solution was computed directly, without iterations, so there is no history to show.")
    return Section("search", "Rank and convergence", prose, figures=pictures, table=table)


def _convergence(solved: SolvedProblem, history: Mapping[str, Array]) -> Figure:
    c = solved.certificate
    certified = {"residual": c.relative_residual, "gap": c.relative_gap}
    final = {key: value for key, value in certified.items() if key in history}
    thresholds = {"gap": LARGEST_GAP} if "gap" in final else {}
    if c.objective == "interpolating" and "residual" in final:
        thresholds["residual"] = LARGEST_RESIDUAL
    caption = "Diamonds show the certified final solution; dashed lines show what a proof needs."
    shown = {key: np.append(history[key], final[key]) for key in final}
    if "gap" in shown and (shown["gap"] < 0).any():
        caption += " Hollow marks are absolute values of negative gaps, where the data are not fitted exactly."
    if any((values == 0).any() for values in shown.values()):
        caption += " Marks on the bottom line are exact zeros."
    ends = " and ".join(words.number(final[key], 2) for key in final)
    alt = f"Relative {' and '.join(final)} by iteration on a logarithmic scale; at the end {ends}."
    return Figure("Convergence", alt, caption, svg=figures.convergence("convergence", history, final, thresholds))


def _flatness(solved: SolvedProblem) -> Section:
    c, terms = solved.certificate, solved.terms
    flat = "Flat means that the scaled trace is as small as it can be."
    flat = "Here all solutions have the same scaled trace." if terms.determined else flat
    prose = [f"The curvature of the loss at these factors, computed exactly. {flat}"]
    facts = words.flatness_facts(solved.solution.flatness, c, solved.power, terms)
    return Section("flatness", "Flatness", prose, facts=facts)


def _repeat(solved: SolvedProblem) -> Section:
    settings = [
        Fact(name.replace("_", " "), _setting(value), SETTINGS.get(name, ""))
        for name, value in solved.solution.settings.items()
    ]
    return Section("repeat", "To repeat it", code=solved.command, facts=settings + versions("NumPy", "SciPy"))


def _setting(value: object) -> str:
    if value is None:
        return "not set"
    return words.number(float(value)) if isinstance(value, int | float | np.number) else str(value)
