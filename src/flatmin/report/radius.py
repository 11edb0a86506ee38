"""The section about the certified error radius: how far other solutions, and the truth, can be from this one."""

from decimal import ROUND_CEILING

import numpy as np

from flatmin._core.arrays import Array
from flatmin.proofs.certificate import Certificate
from flatmin.report.page import Section, Table
from flatmin.report.vocabulary import PRODUCT, Vocabulary
from flatmin.report.words import measure, number, scope

__all__ = ["radius_section"]

#: Rows of the table: sizes of the noise relative to the data; for robust PCA, relative excesses of the objective.
STEPS = (0.0, 1e-6, 1e-4, 1e-2)


def radius_section(c: Certificate, data: Array, size: float, terms: Vocabulary = PRODUCT, within: str = "") -> Section:
    """Return what is proved about the distance to other solutions, with a table by the size of the noise.

    ``size`` is ``‖X‖_F``. ``within`` is a sentence about what the radius means for the answer as it is shown.
    """
    title = "How far off it can be"
    if c.radius is None:
        return Section("radius", title, [_none(c, terms)])
    prose = [" ".join(part for part in (_claim(c, terms), scope(c), _truth(c, terms)) if part)]
    if c.objective == "penalised":
        smallest = f"as small a {measure(c, terms=terms)}"
        prose.insert(0, f"Every other {terms.matrices} with {smallest} lies within {_both(c.radius, size)}.")
    if c.stability is None:
        prose.append(f"That is {_both(c.radius, size)}. For noisy data no radius is known here.")
        return Section("radius", title, prose)
    rows, radii = _rows(c, data, size, terms)
    prose += [within] if within else []
    prose += _remarks(c, terms, [radius / size for radius in radii if size > 0])
    head = ("Worse by" if terms.splits else "Noise, relative to the data", "Radius", "Relative to ‖X‖")
    return Section("radius", title, prose, table=Table("Certified error radius", head, rows, folded=False))


def _rows(c: Certificate, data: Array, size: float, terms: Vocabulary) -> tuple[list[list[str]], list[float]]:
    """Return the rows of the table, and their radii."""
    unit, fit = float(np.linalg.norm(data)), c.relative_residual
    steps = (fit, 2 * fit, 10 * fit) if c.objective == "penalised" else STEPS
    rows, radii = [], []
    for step in steps:
        radius = c.error_radius(excess=step) if terms.splits else c.error_radius(noise=step * unit)
        if radius is not None:
            radii.append(radius)
            rows.append([_step(step, c, terms), _above(radius), _above(radius / size) if size > 0 else "–"])
    return rows, radii


def _claim(c: Certificate, terms: Vocabulary) -> str:
    within = "lies within the certified error radius of this one, measured in the Frobenius norm."
    if terms.splits:
        return (
            f"The low-rank part of every other {terms.rival}, and has a {terms.trace} larger by no more than a given "
            f"share, {within}"
        )
    rival = f"Every other {terms.rival} up to noise of a given size"
    if terms.determined:
        return f"{rival} {within} No condition on flatness is needed."
    return f"{rival}, and has a {terms.trace} no larger than this one, {within}"


def _truth(c: Certificate, terms: Vocabulary) -> str:
    if terms.determined:
        return (
            f"The truth does as well, if it is a {terms.matrices} and the noise is known to be no larger "
            "(its size is ‖A(X') − b‖, in the units of the data)."
        )
    if terms.splits:
        return "The truth does as well, if its value is no larger; no certificate can promise that."
    return (
        "The truth behind the data is among them only if it is as flat, which no certificate can promise; a truth that "
        "is less flat can lie farther away."
    )


def _none(c: Certificate, terms: Vocabulary) -> str:
    start = "No radius is certified: "
    if not c.holds:
        return f"{start}that takes a complete certificate, and this one is incomplete."
    if c.unique is False:
        return f"{start}another solution was found, so solutions need not be close to this one."
    if c.margin_kind == "estimated":
        return f"{start}the margin behind it is only estimated, and an estimate proves nothing."
    if terms.determined:
        return f"{start}that takes a uniqueness dual, and none was found."
    return f"{start}its constants were not computed for a problem of this size, or are too close to rounding error."


def _step(step: float, c: Certificate, terms: Vocabulary) -> str:
    if c.objective == "penalised":
        return f"{number(step, 2)}, as in this fit" if step == c.relative_residual else number(step, 2)
    if step == 0:
        return "0, as good as this one" if terms.splits else "0, exact data"
    return number(step, 1)


def _both(radius: float, size: float) -> str:
    return f"{_above(radius)}, {_above(radius / size)} of ‖X‖" if size > 0 else _above(radius)


def _above(radius: float) -> str:
    return number(radius, rounding=ROUND_CEILING)


def _remarks(c: Certificate, terms: Vocabulary, relative: list[float]) -> list[str]:
    out, cause = [], "excess" if terms.splits else "noise"
    if terms.splits:
        out.append("For data with noise in every cell no radius is known here.")
    if c.stability is not None and c.stability.space == "core":
        out.append(
            f"The radius grows like the square root of the {cause}, so even rounding errors matter. With few "
            "measurements or in large problems no bound is known that grows in proportion."
        )
    elif c.stability is not None:
        out.append(f"The radius grows in proportion to the {cause}.")
    if any(share >= 1 for share in relative):
        out.append("A radius of ‖X‖ or more rules out little: even the zero matrix lies within it.")
    return out
