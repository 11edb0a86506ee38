"""SparkCompletion: a completed matrix whose cells Spark holds, with its certificate, predictions and files."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import check_version, integers, numeric
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.parametrizations import Product
from flatmin.parametrizations.base import Factors
from flatmin.proofs.certificate import LARGEST_GAP, Certificate, check_alpha
from flatmin.proofs.flatness import Flatness
from flatmin.solution import Solution, Status
from flatmin.spark.als import MOST_ITERATIONS, fit_als
from flatmin.spark.distributed_cells import DistributedCells
from flatmin.spark.distributed_certificate import MAX_COLLECTED, CertifiedFactors, certify_factors, regularization
from flatmin.spark.session import is_frame, session
from flatmin.spark.stored_factors import arrow_table, read_factors, write_factors
from flatmin.spark.sweeps import sweep
from flatmin.spark.triples import LARGEST, LARGEST_VALUE, Indexed, indexed, placed, read, readable, reason

__all__ = ["SparkCompletion"]

#: The version of the format of the folders that `SparkCompletion.write` makes.
COMPLETION_VERSION = 1
#: First number of columns of the factors if the user sets none. It doubles until the certificate shows that no column
#: is missing.
FIRST_RANK = 32
#: Default numbers of iterations of Spark's ALS (``ITERATIONS``) and of the sweeps after it (``SWEEPS``).
ITERATIONS = 20
SWEEPS = 200
#: Relative size below which singular values of factors in 32 bits count as rounding errors.
SINGLE_ROUNDING = 1e-5
#: Relative size below which singular values of converged factors count as zero.
VANISHING = 1e-8
#: The factors have too few columns if the dual norm exceeds one by more than this.
MAX_EXCESS = 1e-2
#: Relative gradients at which a certificate is tried, from coarse to fine.
CERTIFIED_GRADIENTS = (1e-6, 1e-7, 1e-8, 1e-9)
#: Index in `CERTIFIED_GRADIENTS` of the first gradient at which a certificate is tried for distributed cells. Trying it
#: at coarser gradients would cost more products.
FIRST_DISTRIBUTED = 2


@dataclass(frozen=True, eq=False)
class SparkCompletion:
    """A completed matrix whose cells Spark holds, with its certificate.

    Attributes
    ----------
    row_ids, column_ids : ndarray, shapes (d1,) and (d2,)
        Ids of rows and of columns, ascending.
    factors : pair of ndarray, shapes (d1, rank) and (d2, rank)
        L and R, the flattest factors of ``L Rᵀ``.
    alpha : float
        Spark's regParam.
    solution : Solution
        The solution, with its certificate and flatness. The ``dual`` of the certificate is empty, because it would have
        an element for each cell. ``seconds`` and ``iterations`` are those of the whole fit.
    costs : dict of str to float
        The seconds of each part, "read", "als", "sweeps" and "certificate"; and ``products``, the number of columns
        multiplied by the distributed dual matrix (0 if that matrix was collected on this machine).

    Examples
    --------
    >>> ratings = spark.read.parquet("ratings.parquet")  # doctest: +SKIP
    >>> model = SparkCompletion.fit(ratings, ["person", "film", "stars"], alpha=0.1)  # doctest: +SKIP
    >>> model.certificate.holds  # doctest: +SKIP
    True
    """

    row_ids: Array
    column_ids: Array
    alpha: float
    solution: Solution
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def factors(self) -> Factors:
        """L and R."""
        return self.solution.factors

    @property
    def certificate(self) -> Certificate | None:
        """The certificate of the factors; None if they were read from files, whose statements nobody has checked."""
        return self.solution.certificate

    @classmethod
    def fit(
        cls,
        source: Any,
        columns: Sequence[str] | None = None,
        *,
        alpha: float,
        rank: int | None = None,
        tol: float = LARGEST_GAP,
        max_iter: int | None = None,
        seed: int = 0,
        collect: bool | None = None,
        callback: Callable[[dict[str, float]], Any] | None = None,
    ) -> Self:
        """Fit by Spark's ALS, continue with sweeps in 64 bits, and certify.

        Parameters
        ----------
        source : DataFrame, path, or tuple of array_like
            Triples: a Spark DataFrame; a CSV file with a line of names, or Parquet (files or folders, wherever Spark
            reads from); or arrays (i, j, values), (m,) each, of positions from 0.
        columns : sequence of str, optional
            The names of three columns: ids of rows, ids of columns, values. They may be omitted if the table has only
            three columns. Ids of a CSV file are numbers or dates if all of them are written as Spark writes these;
            otherwise they are strings.
        alpha : float
            Spark's regParam, positive.
        rank : int, optional
            The number of columns of the factors. By default it is 32, and doubles until the certificate shows that no
            column is missing.
        tol : float
            The relative gap at which the sweeps end.
        max_iter : int, optional
            The largest number of iterations of Spark's ALS (up to 100) plus sweeps (the rest), by default 20 and 200.
        seed : int
            Seed of the random first factors.
        collect : bool, optional
            Whether the dual matrix is collected on this machine, where the bound on its norm is sharper; by default, if
            there are at most two million cells.
        callback : callable, optional
            Called after each sweep with a dict of "iteration" (including Spark's), "seconds", "gradient" (relative) and
            "rank"; after each certificate, it has "gap" too.

        Raises
        ------
        InputError
            If the triples or an argument cannot be used, or Java is missing.
        ImportError
            If pyspark or pyarrow are not installed.
        """
        alpha = check_alpha(alpha, 1.0)[0]
        if alpha == 0:
            raise InputError("alpha is 0, expected a positive number: only the local engine fits exactly")
        for name, value, least in (("rank", rank, 1), ("max_iter", max_iter, 1), ("seed", seed, 0)):
            if value is not None and (not isinstance(value, int | np.integer) or value < least):
                raise InputError(f"{name} is {value!r}, expected a whole number of at least {least}")
        if not isinstance(tol, int | float | np.number) or not 0 <= tol <= 1:
            raise InputError(f"tol is {tol!r}, expected a number from 0 to 1")
        stopwatch = _Stopwatch()
        if isinstance(source, tuple):
            source = _checked(source)
        elif not (is_frame(source) or isinstance(source, str | Path)):
            kind = type(source).__name__
            raise InputError(f"the source is a {kind}, expected a Spark DataFrame, a path, or arrays (i, j, values)")
        with session(source if is_frame(source) else None) as spark:
            with stopwatch.time("read"):
                table = _table(spark, source, columns)
                cells = DistributedCells.from_triples(table)
            try:
                fit = _Fit(table, cells, alpha, tol, max_iter, int(seed), collect, stopwatch, callback)
                certified, done, converged = fit.run(rank)
            finally:
                cells.release()
                table.frame.unpersist()
        settings = {"alpha": alpha / regularization(1.0, table.shape), "metric_power": 1.0, "max_rank": rank}
        solution = Solution(
            factors=certified.factors,
            status=_status(certified.certificate, converged),
            certificate=certified.certificate,
            flatness=certified.flatness,
            history={},
            seconds=sum(stopwatch.seconds.values()),
            iterations=done,
            undetermined=(np.arange(0), np.arange(0)),
            settings={**settings, "tol": float(tol), "max_iter": max_iter, "time_limit": None, "seed": int(seed)},
        )
        costs = {**stopwatch.seconds, "products": float(certified.products)}
        return cls(table.row_ids, table.column_ids, alpha, solution, costs)

    def named(self, row_ids: Array, column_ids: Array) -> Self:
        """Return the same fit with ascending ids in place of positions."""
        return replace(self, row_ids=row_ids, column_ids=column_ids)

    def predict(self, rows: Any, columns: Any) -> Array:
        """Return the entries of the matrix at pairs of ids, (n,) each. They are 0 for ids that were not fitted."""
        places = [_places(known, ids) for known, ids in ((self.row_ids, rows), (self.column_ids, columns))]
        (i, j), (L, R) = places, self.factors
        if i.shape != j.shape:
            raise InputError(f"rows have shape {i.shape} and columns {j.shape}, expected two equal lengths")
        return np.where((i >= 0) & (j >= 0), np.einsum("nk,nk->n", L[i], R[j]), 0.0)

    def transform(self, frame: Any, columns: Sequence[str] | None = None) -> Any:
        """Return a Spark DataFrame with a further column "prediction", which is 0 for ids that were not fitted.

        ``columns`` are the names of the ids of rows and of columns; by default the first two.
        """
        functions = import_module("pyspark.sql.functions")
        names = list(frame.columns[:2] if columns is None else [columns] if isinstance(columns, str) else columns)
        if len(set(names)) != 2 or len(names) != 2 or any(name not in frame.columns for name in names):
            raise InputError(f"the columns are {names}, expected the names of two among {', '.join(frame.columns)}")
        spark, out = frame.sparkSession, frame
        for name, ids, factor, side in zip(
            names, (self.row_ids, self.column_ids), self.factors, ("_flat_row", "_flat_column"), strict=True
        ):
            known = spark.createDataFrame(arrow_table(ids, factor, "_flat_id", side))
            out = out.join(known, out[name] == known["_flat_id"], "left").drop("_flat_id")
        dot = functions.expr("aggregate(zip_with(_flat_row, _flat_column, (x, y) -> x * y), 0D, (s, z) -> s + z)")
        return out.withColumn("prediction", functions.coalesce(dot, functions.lit(0.0))).drop(
            "_flat_row", "_flat_column"
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the factors as Parquet to any place that Spark can write to.

        The folder has three parts: ``rows`` and ``columns`` (with the fields id and features), and ``about``. A former
        folder on this machine is replaced as a whole: if the process is killed, the old one or the new one is complete.
        In another file system the parts are replaced one after another, and `load` refuses parts of two completions.

        Raises
        ------
        InputError
            If the folder exists and ``overwrite`` is False, if it has other files, or if it cannot be written.
        """
        statements = self.solution.statements
        about = {
            "alpha": self.alpha,
            "status": statements["status"],
            "certificate": {name: s for name, s in statements.items() if name not in ("status", *Certificate.PARTS)},
            "flatness": vars(self.solution.flatness),
            "settings": dict(self.solution.settings),
            "seconds": self.solution.seconds,
            "iterations": self.solution.iterations,
            "costs": dict(self.costs),
            "version": __version__,
            "format_version": COMPLETION_VERSION,
        }
        sides = (self.row_ids, self.factors[0]), (self.column_ids, self.factors[1])
        write_factors(path, sides, about, overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a completion from the files of `write`, without a certificate: its status is not_checked.

        What the files state about status and certificate is in ``solution.claimed``.

        Raises
        ------
        InputError
            If there are no such files, or they cannot be read.
        """
        try:
            sides, about = read_factors(path)
            check_version(path, about["format_version"], COMPLETION_VERSION)
            claimed = Certificate(dual=np.empty(0), **about["certificate"])
            solution = Solution(
                factors=(sides[0][1], sides[1][1]),
                status=Status.not_checked,
                certificate=None,
                flatness=Flatness(**about["flatness"]),
                history={},
                seconds=about["seconds"],
                iterations=about["iterations"],
                undetermined=(np.arange(0), np.arange(0)),
                settings=about["settings"],
                claimed={"status": Status[about["status"]].name, **vars(claimed)},
            )
            return cls(sides[0][0], sides[1][0], about["alpha"], solution, about["costs"])
        except InputError:
            raise
        except Exception as error:
            cause = reason(error)
            raise InputError(f"{path} cannot be read, expected what SparkCompletion wrote: {cause}") from error


@dataclass(frozen=True, eq=False)
class _Stopwatch:
    """The seconds spent in each part of a fit, and the time of its start."""

    seconds: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    @contextmanager
    def time(self, part: str) -> Any:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class _Fit:
    """One fit: its distributed triples and its settings."""

    table: Indexed
    cells: DistributedCells
    alpha: float
    tol: float
    max_iter: int | None
    seed: int
    collect: bool | None
    stopwatch: _Stopwatch
    callback: Callable[[dict[str, float]], Any] | None

    def run(self, rank: int | None) -> tuple[CertifiedFactors, int, bool]:
        """Return the certified factors, the number of sweeps, and whether these converged."""
        most, done = min(self.table.shape), 0
        width = min(FIRST_RANK, most) if rank is None else min(rank, most)
        while True:
            iterations = min(ITERATIONS if self.max_iter is None else self.max_iter, MOST_ITERATIONS)
            with self.stopwatch.time("als"):
                found = fit_als(self.table, width, self.alpha, iterations, self.seed)
            done += iterations
            factors = self._narrowed(found, SINGLE_ROUNDING)
            narrow = rank is None and width < most and factors[0].shape[1] == width
            if narrow and self._certified(factors).certificate.dual_norm > 1 + MAX_EXCESS:
                width = min(2 * width, most)
                continue
            most_sweeps = SWEEPS if self.max_iter is None else self.max_iter - iterations
            certified, sweeps, converged = self._polished(factors, done, most_sweeps)
            done += sweeps
            if not (narrow and certified.certificate.dual_norm > 1 + self.tol and converged):
                return certified, done, converged
            width = min(2 * width, most)

    def _polished(self, factors: Factors, before: int, most: int) -> tuple[CertifiedFactors, int, bool]:
        """Sweep to ever smaller gradients until the gap is small enough or the limit on sweeps is reached."""
        certified, done = None, 0
        known = {"rank": float(factors[0].shape[1])}

        def report(sweeps: int, gradient: float) -> None:
            self._report({"iteration": float(before + done + sweeps), "gradient": gradient, **known})

        collected = self.cells.size <= MAX_COLLECTED if self.collect is None else self.collect
        for tol in CERTIFIED_GRADIENTS[0 if collected else FIRST_DISTRIBUTED :]:
            with self.stopwatch.time("sweeps"):
                found = sweep(self.cells, factors[1], self.alpha, tol=tol, most=most - done, callback=report)
            done += found.count
            factors = self._narrowed(found.factors, VANISHING)
            certified = self._certified(factors)
            known |= {"rank": float(factors[0].shape[1]), "gap": certified.certificate.relative_gap}
            self._report({"iteration": float(before + done), **known})
            if abs(certified.certificate.relative_gap) <= self.tol:
                return certified, done, True
            if found.slope > tol:
                return certified, done, False
        assert certified is not None
        return certified, done, True

    def _report(self, row: dict[str, float]) -> None:
        if self.callback is not None:
            self.callback({"seconds": time.perf_counter() - self.stopwatch.start, **row})

    def _certified(self, factors: Factors) -> CertifiedFactors:
        with self.stopwatch.time("certificate"):
            return certify_factors(self.cells, factors, self.alpha, seed=self.seed, collect=self.collect)

    def _narrowed(self, factors: Factors, smallest: float) -> Factors:
        """Return the flattest factors of the same matrix without singular values that vanish."""
        model = Product()
        metric = tuple(Metric.root(counts.astype(float)) for counts in self.cells.counts)
        pair = metric[0], metric[1]
        U, s, V = model.singular(factors, pair)
        kept = s > smallest * s[0] if len(s) else np.zeros(0, bool)
        return tuple(model.flattest(U[:, kept], s[kept], V[:, kept], pair))


def _table(spark: Any, source: Any, columns: Sequence[str] | None) -> Indexed:
    """Return the triples of a source, with positions in place of ids."""
    if not isinstance(source, tuple):
        with readable(source):
            return indexed(read(spark, source, columns))
    i, j, values = source
    shape = int(np.max(i)) + 1, int(np.max(j)) + 1
    return placed(spark, i, j, values, (np.arange(shape[0]), np.arange(shape[1])))


def _checked(arrays: tuple[Any, ...]) -> tuple[Array, Array, Array]:
    """Return positions and values as arrays, or raise `InputError`."""
    if len(arrays) != 3:
        raise InputError(f"the source has {len(arrays)} arrays, expected three: i, j and values")
    i, j, values = integers(arrays[0], "i"), integers(arrays[1], "j"), numeric(arrays[2], "the values")
    if not i.shape == j.shape == values.shape or i.ndim != 1:
        raise InputError(f"the arrays have lengths {len(i)}, {len(j)} and {len(values)}, expected equal ones")
    if i.size == 0:
        raise InputError("there are no triples, expected at least one")
    for name, index in (("i", i), ("j", j)):
        if index.min() < 0 or index.max() > LARGEST:
            raise InputError(f"{name} reaches from {index.min()} to {index.max()}, expected positions of at least 0")
    if not float(np.max(np.abs(values))) <= LARGEST_VALUE:
        raise InputError("the values contain NaN or numbers beyond those of 32 bits, expected finite ones")
    return i, j, values


def _status(proof: Certificate, converged: bool) -> Status:
    if proof.holds:
        return Status.regularized_minimum
    return Status.not_certified if converged else Status.iteration_limit


def _places(known: Array, ids: Any) -> Array:
    """Return the positions of ids among the known ones, −1 for unknown ids."""
    ids = np.atleast_1d(np.asarray(ids))
    kinds = ["strings" if array.dtype.kind in "UO" else "others" for array in (known, ids)]
    if kinds[0] != kinds[1]:
        raise InputError(f"ids are {ids.dtype.name}, expected {known.dtype.name} as in the fit")
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, at, -1)
