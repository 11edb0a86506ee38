"""What a certificate does not say: how many measurements there are for what is unknown, and what is true."""

from __future__ import annotations

from flatmin.cones import Rectangular
from flatmin.report.vocabulary import PRODUCT, Vocabulary
from flatmin.report.words import counted, number

__all__ = ["caution", "limits"]


def caution(
    free: int, n_measurements: int, terms: Vocabulary = PRODUCT, unique: bool | None = None, errors: int = 0
) -> str:
    """Return a warning where there are more degrees of freedom than measurements, else "".

    Where a fit is proved to be the only one there is nothing to warn of. Of a split, each gross error is a degree of
    freedom as well.
    """
    if n_measurements >= free + errors or (terms.determined and unique):
        return ""
    not_true = "Flattest does not mean true" if not terms.determined else "A fit need not be the truth"
    not_true = "The best split need not be the true one" if terms.splits else not_true
    beside = f" with {counted(errors, 'error')}" if terms.splits else ""
    return (
        f"{not_true}: a matrix of this rank{beside} has {counted(free + errors, 'degree')} of freedom, "
        f"more than the {_known(n_measurements, terms)}."
    )


def limits(
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
    """Return what the certificate does not say.

    Parameters
    ----------
    shape, rank, n_measurements : tuple of int, int, int
        Of the unknown, and how many numbers are known about it.
    exact : bool
        Whether the data are fitted exactly.
    metric_power : float
        1 where the norm is the flat one.
    error : float or None
        Relative error against the truth, where that is known.
    free : int, optional
        Degrees of freedom of such matrices, by default of rectangular ones.
    terms : Vocabulary
        How the model is spoken of.
    unique : bool or None
        What is known about other solutions.
    errors : int
        How many gross errors a split has.
    """
    free = Rectangular().degrees_of_freedom(shape, rank) if free is None else free
    out = [_truth(terms, unique), *_count(shape, rank, n_measurements, free, terms, unique, errors)]
    if error is not None:
        match = "The two agree." if error <= 1e-6 else "This solution is not the truth."
        out.append(f"The truth is known in this case: the relative error is {number(error)}. {match}")
    if terms.splits and exact:
        out.append(
            "The model allows gross errors in a few cells, and no noise in all the others: small noise everywhere "
            "shows as many small errors and a higher rank. If the data are noisy, --alpha auto is better."
        )
    elif not exact:
        out.append("The penalty pulls the solution towards zero; that is the price for not fitting the noise.")
    elif terms.determined:
        radius = " With noisy data the certified radius says how far the truth can be." if unique else ""
        out.append(f"An exact fit also fits the noise.{radius}")
    else:
        out.append("An exact fit also fits the noise. If the data are noisy, a penalised fit (--alpha auto) is better.")
    if metric_power != 1:
        out.append(
            f"With metric power {number(metric_power)} the norm that was minimised is not the flat one (power 1); "
            "read “flattest” as “smallest in this norm”."
        )
    return out


def _truth(terms: Vocabulary, unique: bool | None) -> str:
    if terms.splits:
        return (
            "The best split does not mean the true one. The certificate compares splits with one another, not with "
            "reality; low rank and sparse errors are what it takes for granted."
        )
    if not terms.determined:
        return "Flattest does not mean true. The certificate compares solutions with one another, not with reality."
    if unique:
        return (
            f"The only fit is the truth if the data are exact and their source is a {terms.matrices}. Of data "
            "from another source the certificate says nothing."
        )
    return (
        "A fit does not mean true. Where another solution may fit as well, this one is what the search happened to "
        "reach, often the one of lowest rank; neither is that a proof."
    )


def _known(n_measurements: int, terms: Vocabulary) -> str:
    return counted(n_measurements, "observed cell" if terms.splits else "measurement")


def _count(
    shape: tuple[int, int],
    rank: int,
    n_measurements: int,
    free: int,
    terms: Vocabulary,
    unique: bool | None,
    errors: int,
) -> list[str]:
    d1, d2 = shape
    if not rank:
        return []
    known, free = _known(n_measurements, terms), free + errors
    kind = "" if terms.matrices in ("matrix", "split") else f"{terms.matrices.removesuffix(' matrix')} "
    beside = f" with {counted(errors, 'error')}" if terms.splits else ""
    matrix = f"A {kind}{d1} × {d2} matrix of rank {rank}{beside} has {counted(free, 'degree')} of freedom"
    if n_measurements >= free:
        return [f"{matrix}, and there are {known}: {number(n_measurements / free, 2)} for each.{_usually(terms)}"]
    if terms.determined and unique:
        return []
    if terms.splits:
        return [f"{matrix}, more than the {known}. Then the split is no discovery about the data."]
    why = "it takes" if terms.determined else "flatness needs"
    return [
        f"{matrix}, more than the {known}. Then this rank is what {why} to fit the data, not a discovery about them: "
        f"below the recovery threshold {'a fit' if terms.determined else 'the flattest solution'} usually differs from "
        "the truth."
    ]


def _usually(terms: Vocabulary) -> str:
    if terms.splits:
        return ""
    return (
        f" With a few for each, spread well over the matrix, {'unique fits' if terms.determined else 'flat minima'} "
        "usually recover the truth; no certificate can promise it."
    )
