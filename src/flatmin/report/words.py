"""Phrases of reports and of the command line: numbers, lists, verdicts and judgements, as plain text."""

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context

from flatmin.linalg.metric import Metric
from flatmin.proofs.certificate import (
    CONTRADICTED,
    LARGEST_GAP,
    LARGEST_RESIDUAL,
    LARGEST_WHITENED_RESIDUAL,
    Certificate,
)
from flatmin.proofs.flatness import Flatness
from flatmin.report.page import Fact, Verdict
from flatmin.report.vocabulary import PRODUCT, Vocabulary
from flatmin.solution import Status

__all__ = [
    "counted",
    "except_for",
    "exponent_of",
    "flatness_facts",
    "judgement",
    "listed",
    "measure",
    "not_held_out",
    "number",
    "percent",
    "scope",
    "sentence",
    "unique_phrase",
    "unique_word",
    "unmeasured",
    "verdict",
]

#: The advice if the residual is too large.
FIT_ADVICE = "fit the data more closely, or set alpha if they are noisy"
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(x: float | None, digits: int = 3, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return a number as text: plain from 0.001 to a million, otherwise with a power of ten.

    ``rounding`` is a rounding mode of `decimal`, so that a bound can be rounded to its safe side.

    Examples
    --------
    >>> number(2.0001), number(2.0001, rounding=ROUND_CEILING), number(1234567.0)
    ('2', '2.01', '1.23\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁶')
    """
    if x is None or math.isnan(x):
        return "not known"
    if math.isinf(x):
        return "infinite" if x > 0 else "minus infinite"
    plain = 1e-3 <= abs(x) < 1e6
    rounded = Context(prec=max(digits, math.floor(math.log10(abs(x))) + 1) if plain else digits, rounding=rounding)
    value = rounded.create_decimal(x).normalize()
    if x == 0 or plain:
        return f"{value:f}".replace("-", "−")
    mantissa, exponent = f"{value:e}".split("e")
    power = f"10{exponent_of(int(exponent))}"
    return power if mantissa == "1" else f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{power}".replace("-", "−")


def percent(share: float) -> str:
    """Return a share in per cent, rounded up."""
    return f"{number(100 * share, rounding=ROUND_CEILING)}\N{NO-BREAK SPACE}%"


def exponent_of(power: int) -> str:
    """Return a whole number as a superscript."""
    return str(power).translate(SUPERSCRIPT)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names separated by commas, with only the number of those after the first ``most``.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=1)
    ('a, b and c', 'a and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def counted(count: int, noun: str) -> str:
    """Return "1 row" or "3 rows"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop.

    Examples
    --------
    >>> sentence("no cell is missing")
    'No cell is missing.'
    """
    return f"{text[:1].upper()}{text[1:]}."


def not_held_out(n_columns: int) -> str:
    """Return why the errors of a table with this number of numeric columns cannot be measured."""
    if n_columns == 1:
        return "there is only one numeric column, so a row has no other number that could predict a held-out cell"
    return "too few known cells can be held out; each needs another known cell in its row and in its column"


def except_for(c: Certificate) -> str:
    """Return "except with probability …" for a certificate with a randomized bound or margin, otherwise ""."""
    if "probabilistic" not in (c.bound_kind, c.margin_kind):
        return ""
    chance = f"of at most {number(1e-10)}" if c.failure_probability is None else number(c.failure_probability, 2)
    return f"except with {'a ' if c.failure_probability is None else ''}probability {chance}"


def verdict(
    status: Status, terms: Vocabulary = PRODUCT, unique: bool | None = None, certificate: Certificate | None = None
) -> Verdict:
    """Return the advice of a status as a headline and the rest below it.

    If all solutions are equally flat, the headline is about uniqueness. At the end stand a probability of failure and
    the matrices that are compared.
    """
    result = _verdict(status, terms, unique)
    if certificate is None or not (status.certified or unique):
        return result
    likely, within = except_for(certificate), scope(certificate)
    parts = (result.advice, f"All of this holds {likely}." if likely else "", within)
    return Verdict(result.good, result.headline, " ".join(part for part in parts if part))


def scope(c: Certificate) -> str:
    """Return the sentence about `Certificate.scope`, empty if all matrices of the model are compared."""
    return f"This compares {c.scope}." if c.scope else ""


def _verdict(status: Status, terms: Vocabulary, unique: bool | None) -> Verdict:
    penalised = status is Status.regularized_minimum
    if status.certified and terms.determined and not penalised:
        return _only_one(unique, terms)
    if status.certified and terms.splits:
        phrase = unique_phrase(unique, terms, penalised=penalised)
        parts = "low rank, gross errors and noise" if penalised else "low rank and gross errors"
        return Verdict(True, f"Certified: no split into {parts} is better.", sentence(phrase))
    text = status.value
    cuts = [i for i in (text.find(". "), text.find("; ")) if i >= 0]
    head, rest = (text[: min(cuts)], text[min(cuts) + 2 :]) if cuts else (text.rstrip("."), "")
    if not status.certified:
        head = f"Not certified: {head[:1].lower()}{head[1:]}"
    return Verdict(status.certified, head + ".", rest[:1].upper() + rest[1:])


def _only_one(unique: bool | None, terms: Vocabulary) -> Verdict:
    if unique:
        rest = f"Any other {terms.rival} lies within about 1 % of this one."
        return Verdict(True, "Certified: this is the only solution.", rest)
    if unique is False:
        rest = f"Another {terms.rival} was found; only more measurements can tell them apart."
        return Verdict(False, "It fits the data exactly, but it is not the only solution.", rest)
    return Verdict(
        False,
        "It fits the data exactly, but it is not certified to be the only solution.",
        f"Every {terms.rival} is equally flat, so flatness does not select one. More measurements would settle the "
        "question, unless there are too many unknowns for a proof.",
    )


def unique_word(unique: bool | None) -> str:
    """Return one word about uniqueness."""
    return {True: "yes", False: "no", None: "undecided"}[unique]


def unique_phrase(unique: bool | None, terms: Vocabulary = PRODUCT, *, penalised: bool = False) -> str:
    """Return in a few words whether there are other solutions."""
    other = "minimiser" if penalised else terms.other
    return {
        True: f"any other {other} lies within about 1 % of it",
        False: f"another {other} was found",
        None: f"whether another {other} exists is undecided",
    }[unique]


def judgement(c: Certificate, terms: Vocabulary = PRODUCT) -> str:
    """Return one line about a certificate: what it proves, or what failed and what to do."""
    penalised, likely = c.objective == "penalised", except_for(c)
    likely = f", {likely}" if likely else ""
    end = f"{likely}. {scope(c)}".rstrip()
    if c.holds and terms.determined and not penalised:
        return f"{'Certified' if c.unique else 'It fits the data'}: {unique_phrase(c.unique, terms)}{end}"
    if c.holds:
        least = penalised or terms.splits
        proved = f"no {terms.matrices} has a smaller {measure(c, terms=terms)}" if least else "no solution is flatter"
        return f"Certified: {proved}; {unique_phrase(c.unique, terms, penalised=penalised)}{end}"
    failed, remedies = [], []
    if not penalised:
        for name, value, most in (
            ("relative residual", c.relative_residual, LARGEST_RESIDUAL),
            ("whitened residual", c.whitened_residual, LARGEST_WHITENED_RESIDUAL),
        ):
            if not value <= most:
                failed.append(f"the {name} is {value:.1e}, above {most:.0e}")
        if failed:
            remedies.append("make the errors smaller, or raise tau" if terms.splits else FIT_ADVICE)
        elif not c.residual_reach <= LARGEST_GAP:
            lowered = f"lower the bound by a share of {c.residual_reach:.1e}, above {LARGEST_GAP:.0e}"
            failed.append(f"the residual could {lowered}")
            remedies.append(FIT_ADVICE)
    if c.is_hidden_by_rounding:
        failed.append(f"rounding hides {c.rounding:.0e} of the value, since the metric is nearly singular")
        remedies.append("give rows, columns and measurements similar sizes, or measure what few measurements see")
    elif c.is_contradicted:
        failed.append(CONTRADICTED)
        remedies.append("compute its products in more digits")
    elif not abs(c.relative_gap) <= LARGEST_GAP:
        failed.append(f"the relative gap is {c.relative_gap:.1e}, beyond {LARGEST_GAP:.0e}")
        if c.relative_gap > 0:
            better = f"find a {terms.better} {terms.solution} or a better dual vector"
            remedies.append(f"{better}; for a file without a dual vector flatmin looks for one")
    if c.bound_kind == "estimated" and not c.is_hidden_by_rounding:
        failed.append("the norm of the dual matrix is only estimated")
        remedies.append("try a smaller problem, for which the norm can be bounded rigorously")
    remedy = "; ".join(remedies)
    return f"Not certified: {'; '.join(failed)}. {sentence(remedy) if remedy else ''}".rstrip()


def unmeasured(metric: tuple[Metric, Metric]) -> list[str]:
    """Return a note for rows and for columns if no measurement sees some of their combinations.

    Rows or columns without any measurement do not count. Symmetric models have one note for rows and columns.
    """
    out = []
    sides = [(metric[0], " of the rows"), (metric[1], " of the columns")]
    sides = [(metric[0], "")] if metric[0] is metric[1] else sides
    for D, noun in sides:
        count = D.shape[0] - D.rank - len(D.undetermined)
        if count:
            are = "is" if count == 1 else "are"
            out.append(
                f"{counted(count, 'direction')}{noun} {are} not measured, or too weakly to count; the solution "
                "is zero along them."
            )
    return out


def measure(c: Certificate, metric_power: float = 1.0, terms: Vocabulary = PRODUCT) -> str:
    """Return the name of the quantity that a certificate bounds from below."""
    trace = terms.trace if metric_power == 1 else terms.value
    if terms.splits and c.objective == "penalised":
        return f"loss + 4 alpha · ({trace[trace.index('‖') :]})"
    return f"loss + alpha · {trace}" if c.objective == "penalised" else trace


def flatness_facts(f: Flatness, c: Certificate, metric_power: float = 1.0, terms: Vocabulary = PRODUCT) -> list[Fact]:
    """Return the numbers of `Flatness`, each with one line of explanation."""
    proved = {"estimated": "Estimated, not proved", "probabilistic": f"Proved, {except_for(c)}"}
    proved_by = proved.get(c.bound_kind, "Proved")
    condition = "How unevenly directions are measured. At 1 the flat factors are also the smallest, and balanced."
    bound = f"{proved_by}: no {terms.solution} has a smaller {measure(c, metric_power, terms)}."
    facts = [
        Fact("Scaled trace", number(f.scaled_trace, 4), terms.trace_meaning),
        Fact("Fibre minimum", number(f.fibre_minimum, 4), "Smallest scaled trace among all factors of this matrix."),
        Fact("Lower bound", number(c.lower_bound, 4, ROUND_FLOOR), bound),
        Fact("Hessian trace", number(f.hessian_trace, 4), "Sum of the curvatures of the loss over all weights."),
        Fact("Balance", number(f.balance), terms.balance),
        Fact("Norm excess", number(f.norm_excess), terms.excess),
        Fact("Condition", number(f.condition), condition),
        Fact("Loss", number(f.loss), terms.loss),
    ]
    return [fact for fact in facts if fact.meaning]
