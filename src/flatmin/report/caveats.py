"""Caveats of a report: that measurements may be too few, and that a certified solution need not be the truth."""

from flatmin.cones import Rectangular
from flatmin.report.vocabulary import PRODUCT, Vocabulary
from flatmin.report.words import counted, number

__all__ = ["caution", "caveats"]


def caution(
    free: int, n_measurements: int, terms: Vocabulary = PRODUCT, unique: bool | None = None, errors: int = 0
) -> str:
    """Return a warning if there are more degrees of freedom than measurements, otherwise "".

    There is no warning if the fit is proved to be the only one. Each gross error counts as a degree of freedom.
    """
    if n_measurements >= free + errors or (terms.determined and unique):
        return ""
    warning = "A fit need not be the truth" if terms.determined else "The flattest solution need not be the truth"
    if terms.splits:
        warning = "The best split need not be the true one"
    return (
        f"{warning}: a matrix of this rank{_with_errors(errors, terms)} has {counted(free + errors, 'degree')} of "
        f"freedom, more than the {counted(n_measurements, terms.datum)}."
    )


def caveats(
    *,
    shape: tuple[int, int],
    rank: int,
    n_measurements: int,
    exact: bool,
    metric_power: float,
    error: float | None,
    free: int | None = None,
    terms: Vocabulary = PRODUCT,
    unique: bool | None = None,
    errors: int = 0,
) -> list[str]:
    """Return sentences about the facts that the certificate does not prove.

    ``free`` is the number of degrees of freedom, by default that of rectangular matrices of this shape and rank.
    ``errors`` is the number of gross errors.
    """
    free = (Rectangular().degrees_of_freedom(shape, rank) if free is None else free) + errors
    out = [_truth(terms, unique)]
    if rank:
        d1, d2 = shape
        matrix = (
            f"A {terms.kind}{d1} × {d2} matrix of rank {rank}{_with_errors(errors, terms)} has "
            f"{counted(free, 'degree')} of freedom"
        )
        out += _count(matrix, free, n_measurements, terms, unique)
    if error is not None:
        match = "The two agree." if error <= 1e-6 else "This solution is not the truth."
        out.append(f"The truth is known in this case: the relative error is {number(error)}. {match}")
    if terms.splits and exact:
        out.append(
            "The model allows gross errors in a few cells and no noise in the others. Small noise in every cell "
            "appears as many small errors and a higher rank; if the data are noisy, use --alpha auto."
        )
    elif not exact:
        out.append("The penalty pulls the solution towards zero. This bias is the price of not fitting the noise.")
    elif terms.determined:
        radius = " With noisy data the certified radius bounds the distance to the truth." if unique else ""
        out.append(f"An exact fit also fits the noise.{radius}")
    else:
        out.append("An exact fit also fits the noise. If the data are noisy, use a penalised fit (--alpha auto).")
    if metric_power != 1:
        out.append(
            f"With metric power {number(metric_power)} the norm that was minimised is not the flat one (power 1); "
            "read “flattest” as “smallest in this norm”."
        )
    return out


def _with_errors(errors: int, terms: Vocabulary) -> str:
    return f" with {counted(errors, 'error')}" if terms.splits else ""


def _truth(terms: Vocabulary, unique: bool | None) -> str:
    if terms.splits:
        return (
            "The best split need not be the true one. The certificate compares splits with one another, not with "
            "reality, and it assumes a low rank and sparse errors."
        )
    if not terms.determined:
        return (
            "The flattest solution need not be the truth. The certificate compares solutions with one another, not "
            "with reality."
        )
    if unique:
        return (
            f"The only fit is the truth if the data are exact and come from a {terms.matrices}. If they come from "
            "something else, the certificate says nothing about it."
        )
    return (
        "A solution that fits need not be the truth. If several solutions fit, the search returns one of them: often "
        "the one of lowest rank, but that is not proved."
    )


def _count(matrix: str, free: int, n_measurements: int, terms: Vocabulary, unique: bool | None) -> list[str]:
    """Return sentences that compare the number of measurements with ``free``; ``matrix`` puts ``free`` into words."""
    known = counted(n_measurements, terms.datum)
    fit = "unique fits" if terms.determined else "flat minima"
    if n_measurements >= free:
        usually = (
            ""
            if terms.splits
            else f" With a few for each, spread well over the matrix, {fit} usually recover the truth, but no "
            "certificate can promise it."
        )
        return [
            f"{matrix}, and there are {known}: {number(n_measurements / free, 2)} for each degree of freedom.{usually}"
        ]
    if terms.determined and unique:
        return []
    if terms.splits:
        return [f"{matrix}, more than the {known}. With so few data the split is no discovery about them."]
    return [
        f"{matrix}, more than the {known}. With so few data this rank is no more than a fit needs, not a discovery "
        f"about them: {fit} usually differ from the truth."
    ]
