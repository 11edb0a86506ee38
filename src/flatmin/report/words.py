"""A solution in words that a newcomer understands; functions of plain values, without markup."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flatmin.certificates import LARGEST_GAP, LARGEST_RESIDUAL, LARGEST_WHITENED_RESIDUAL, Certificate
from flatmin.flatness import Flatness
from flatmin.metric import Metric
from flatmin.report.page import Fact, Statement, Verdict
from flatmin.solution import Status

__all__ = [
    "caution",
    "flatness_facts",
    "judgement",
    "limits",
    "listed",
    "measure",
    "number",
    "proof",
    "unique_phrase",
    "unique_word",
    "unmeasured",
    "verdict",
]

SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

#: What proves the operator norm behind a lower bound.
NORM_PROOF = {
    "dense": "It is known from the full singular value decomposition of that matrix, rounding included.",
    "cholesky": "It is proved by a Cholesky factorization, with its rounding errors counted against the proof.",
    "estimated": "It is only estimated, from below, which proves nothing; so the certificate cannot hold.",
}


def number(x: float | None, digits: int = 3) -> str:
    r"""Return a number for reading: plain where it is of ordinary size, else with a power of ten.

    Examples
    --------
    >>> number(6.54e-9), number(-0.25), number(1200), number(None), number(float("inf"))
    ('6.54\xa0×\xa010⁻⁹', '−0.25', '1200', 'not known', 'infinite')
    """
    if x is None or math.isnan(x):
        return "not known"
    if math.isinf(x):
        return "infinite" if x > 0 else "minus infinite"
    if x == 0 or 1e-3 <= abs(x) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else 0
        plain = f"{x:.{decimals}f}"
        return (plain.rstrip("0").rstrip(".") if "." in plain else plain).replace("-", "−")
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = f"10{exponent_of(int(exponent))}"
    return power if mantissa == "1" else f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{power}".replace("-", "−")


def exponent_of(power: int) -> str:
    """Return a whole number as a superscript.

    Examples
    --------
    >>> exponent_of(-12)
    '⁻¹²'
    """
    return str(power).translate(SUPERSCRIPT)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names in a row, cut short after ``most``.

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


def verdict(status: Status) -> Verdict:
    """Return the first sentence of a status's advice as a headline, and the rest below it."""
    text = status.value
    cuts = [i for i in (text.find(". "), text.find("; ")) if i >= 0]
    head, rest = (text[: min(cuts)], text[min(cuts) + 2 :]) if cuts else (text.rstrip("."), "")
    if not status.certified:
        head = f"Not certified: {head[:1].lower()}{head[1:]}"
    return Verdict(status.certified, head + ".", rest[:1].upper() + rest[1:])


def unique_word(unique: bool | None) -> str:
    """Return one word about uniqueness."""
    return {True: "yes", False: "no", None: "undecided"}[unique]


def unique_phrase(unique: bool | None) -> str:
    """Return what is known about other solutions, in a few words."""
    return {
        True: "any other solution this flat lies within about 0.1 % of it",
        False: "another solution is just as flat",
        None: "whether another solution is as flat is undecided",
    }[unique]


def judgement(c: Certificate) -> str:
    """Return the verdict on a certificate as one line: what it proves, or what failed and what to do."""
    penalised = c.objective == "penalised"
    if c.holds:
        proved = f"no matrix has a smaller {measure(c)}" if penalised else "no solution is flatter"
        return f"Certified: {proved}; {unique_phrase(c.unique)}."
    failed, remedies = [], []
    if not penalised:
        for name, value, most in (
            ("relative residual", c.relative_residual, LARGEST_RESIDUAL),
            ("whitened residual", c.whitened_residual, LARGEST_WHITENED_RESIDUAL),
        ):
            if not value <= most:
                failed.append(f"the {name} is {value:.1e}, above {most:.0e}")
        if failed:
            remedies.append("fit the data more closely, or set alpha if they are noisy")
    if not abs(c.relative_gap) <= LARGEST_GAP:
        failed.append(f"the relative gap is {c.relative_gap:.1e}, beyond {LARGEST_GAP:.0e}")
        if c.relative_gap > 0:
            remedies.append("find a flatter solution or a better dual vector; without one flatmin looks for its own")
    if c.bound_kind == "estimated":
        failed.append("the norm of the dual matrix is only estimated")
        remedies.append("try a smaller problem, since matrices of this size cannot be bounded rigorously")
    remedy = "; ".join(remedies)
    return f"Not certified: {' and '.join(failed)}. {remedy[:1].upper()}{remedy[1:]}{'.' if remedy else ''}".rstrip()


def unmeasured(metric: tuple[Metric, Metric]) -> list[str]:
    """Return a note where no measurement sees some combination of rows or of columns, beside whole ones."""
    out = []
    for D, noun in zip(metric, ("rows", "columns"), strict=True):
        count = D.shape[0] - D.rank - len(D.undetermined)
        if count:
            are = "is" if count == 1 else "are"
            out.append(
                f"{counted(count, 'direction')} of the {noun} {are} not measured, or too weakly to count; the solution "
                "vanishes there."
            )
    return out


def measure(c: Certificate, metric_power: float = 1.0) -> str:
    """Return what the value and the lower bound of a certificate measure."""
    trace = "scaled trace" if metric_power == 1 else "norm 4‖D1ᵖ X D2ᵖ‖"
    return f"loss + alpha · {trace}" if c.objective == "penalised" else trace


def proof(c: Certificate, n_measurements: int, metric_power: float = 1.0) -> list[Statement]:
    """Return what the certificate proved, and what it did not, in the order of the argument."""
    return [_fit(c, n_measurements), _bound(c, measure(c, metric_power)), _norm(c), _uniqueness(c)]


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


def _bound(c: Certificate, measure: str) -> Statement:
    penalised = c.objective == "penalised"
    if c.value == 0:
        return Statement(True, "It is flattest", f"Its {measure} is 0, and no {measure} is negative.")
    rival = "no matrix at all" if penalised else "no matrix that fits the data"
    text = (
        f"A dual vector, one number for each measurement, proves that {rival} has a {measure} below "
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
        return Statement(True, "It is the minimum" if penalised else "No solution is flatter", text)
    if c.relative_gap > 0:
        text += f"So something flatter, by {number(100 * c.relative_gap)} % at the very most, is not ruled out."
    else:
        text += "So far below the bound, it is no solution yet: the data are not fitted."
    return Statement(False, "It may not be the flattest", text)


def _norm(c: Certificate) -> Statement:
    rigorous = c.bound_kind != "estimated"
    text = (
        "The bound divides by the operator norm of the dual matrix D1⁻¹ A*(λ) D2⁻¹ wherever it exceeds 1, "
        f"here {number(c.dual_norm, 12)} at most. {NORM_PROOF.get(c.bound_kind, f'It is proved by: {c.bound_kind}.')}"
    )
    return Statement(rigorous, "The bound is rigorous" if rigorous else "The bound is only an estimate", text)


def _uniqueness(c: Certificate) -> Statement:
    title = {
        True: "It is the only one, up to about 0.1 %",
        False: "It is not the only one",
        None: "Whether it is the only one is open",
    }
    return Statement(c.unique, title[c.unique], f"{_why_unique(c)} {_core(c) if c.holds else ''}".strip())


def _why_unique(c: Certificate) -> str:
    if c.unique:
        return (
            f"The certificate shows that {unique_phrase(True)}, relatively, and usually much closer. This is said of "
            "matrices that vanish on what no measurement sees."
        )
    if c.unique is False:
        return "Another solution, exactly as flat and fitting the same data, was found; the data do not choose."
    if not c.holds:
        return "Nothing is said about other solutions before this one is proved to be flattest."
    if c.injectivity is None:
        return "The test was not made: it would need too much memory."
    return "What would decide it is too close to rounding error and to the gap; this means neither yes nor no."


def _core(c: Certificate) -> str:
    if c.q is None or c.margin is None:
        return ""
    if c.q == 0:
        return "No singular value of the dual matrix reaches 1, which leaves only the zero matrix."
    free = c.q * (c.q + 1) // 2
    are = "is" if c.q == 1 else "are"
    rest = "No other one is above 0" if c.margin == 1 else f"The next one stays {number(c.margin)} below 1"
    text = (
        f"q\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{c.q} of the dual matrix's singular values {are} 1, so all flattest "
        f"solutions are made of {counted(free, 'number')}, a symmetric {c.q} × {c.q} core. {rest} (the margin"
    )
    if c.injectivity is None:
        return text + ")."
    if c.injectivity > 0:
        told = f"the measurements tell such cores apart with injectivity {number(c.injectivity)} (1 is best)"
        return f"{text}), and {told}."
    return text + "), and the measurements do not tell all such cores apart (injectivity 0)."


def caution(shape: tuple[int, int], rank: int, n_measurements: int) -> str:
    """Return a warning where a matrix of this rank has more degrees of freedom than there are measurements, else ""."""
    free = rank * (sum(shape) - rank)
    if n_measurements >= free:
        return ""
    return (
        f"Flattest does not mean true: a matrix of this rank has {counted(free, 'degree')} of freedom, "
        f"more than the {counted(n_measurements, 'measurement')}."
    )


def limits(
    *,
    shape: tuple[int, int],
    rank: int,
    n_measurements: int,
    exact: bool,
    metric_power: float,
    error: float | None,
) -> list[str]:
    """Return what the certificate does not say, for a product model."""
    d1, d2 = shape
    free = rank * (d1 + d2 - rank)
    out = ["Flattest does not mean true. The certificate compares solutions with one another, not with reality."]
    if rank and n_measurements < free:
        out.append(
            f"A {d1} × {d2} matrix of rank {rank} has {counted(free, 'degree')} of freedom, more than the "
            f"{counted(n_measurements, 'measurement')}. Then this rank is what flatness needs to fit the data, not a "
            "discovery about them: below the recovery threshold the flattest solution usually differs from the truth."
        )
    elif rank:
        out.append(
            f"A {d1} × {d2} matrix of rank {rank} has {counted(free, 'degree')} of freedom, and there are "
            f"{counted(n_measurements, 'measurement')}: {number(n_measurements / free, 2)} for each. With a few for "
            "each, spread well over the matrix, flat minima usually recover the truth; no certificate can promise it."
        )
    if error is not None:
        match = "The two agree." if error <= 1e-6 else "This solution is not the truth."
        out.append(f"The truth is known in this case: the relative error is {number(error)}. {match}")
    if not exact:
        out.append("The penalty pulls the solution towards zero; that is the price for not fitting the noise.")
    else:
        out.append("An exact fit also fits the noise. If the data are noisy, a penalised fit (--alpha) is better.")
    if metric_power != 1:
        out.append(
            f"With metric power {number(metric_power)} the norm that was minimised is not the flat one (power 1); "
            "read “flattest” as “smallest in this norm”."
        )
    return out


def flatness_facts(f: Flatness, c: Certificate, metric_power: float = 1.0) -> list[Fact]:
    """Return the flatness of the factors, each number with one line of explanation."""
    proved = "Estimated, not proved" if c.bound_kind == "estimated" else "Proved"
    bound = f"{proved}: no solution has a smaller {measure(c, metric_power)}."
    return [
        Fact("Scaled trace", number(f.scaled_trace, 6), "Hessian trace, each factor's part over its number of rows."),
        Fact("Fibre minimum", number(f.fibre_minimum, 6), "Smallest scaled trace of any factors of this same matrix."),
        Fact("Lower bound", number(c.lower_bound, 6), bound),
        Fact("Hessian trace", number(f.hessian_trace, 6), "Sum of the curvatures of the loss over all weights."),
        Fact("Balance", number(f.balance), "‖LᵀL − RᵀR‖ in the nuclear norm; 0 when both factors are equally large."),
        Fact("Norm excess", number(f.norm_excess), "How much larger the factors are than the smallest of this matrix."),
        Fact(
            "Condition",
            number(f.condition),
            "How unevenly the measurements see rows and columns; at 1, flat, smallest and balanced agree.",
        ),
        Fact("Loss", number(f.loss), "Mean squared residual; 0 is an exact fit."),
    ]
