"""Phase retrieval: intensities ``b_i = |⟨x_i, s⟩|²`` of a signal, or of its masked Fourier transforms."""

from collections.abc import Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator, numeric, shown
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance, Usual, check_sample, noisy, relative_distance, square
from flatmin.measurements.base import Measurement
from flatmin.measurements.coded_diffraction import CodedDiffraction
from flatmin.measurements.rank_one import RankOne
from flatmin.parametrizations.gram import Gram
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = [
    "FAMILY",
    "check_intensities",
    "diffraction",
    "from_picture",
    "octanary_masks",
    "sample",
    "why_undetermined",
]


def sample(
    shape: int | tuple[int, int],
    rank: int,
    n_measurements: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
    real: bool = False,
) -> Instance:
    """Draw Gaussian vectors and a Gaussian signal.

    Negative noisy intensities become 0. The truth of the instance is the signal (d,).

    Parameters
    ----------
    shape : int or tuple of int
        The length d of the signal, or ``(d, d)``, the shape of ``s s*``.
    rank : int
        1: the matrix behind the intensities of one signal has rank one.
    n_measurements : int
        m. The signal is usually certified to be unique if m is at least about 3 d (real) or 5 d (complex).
    noise, seed
        As for `flatmin.families.matrix_sensing.sample`.
    real : bool
        Whether vectors and signal are real; complex otherwise.

    Examples
    --------
    >>> sample(4, 1, 20).problem
    Problem(RankOne(shape=(4, 4), size=20), Gram(rank=None))
    """
    d, _ = check_sample(square(shape), rank, n_measurements, noise)
    if rank != 1:
        raise InputError(f"rank is {rank}, expected 1: phase retrieval is about one signal")
    require(32.0 * n_measurements * d, "drawing these vectors")
    rng = generator(seed)
    vectors, signal = (_gaussian(size, real, rng) for size in ((n_measurements, d), (d,)))
    measurement = RankOne(vectors)
    clean = measurement.forward_factors(signal[:, None], signal[:, None])
    return Instance(Problem(measurement, _intensities(clean, noise, rng), Gram()), signal)


def diffraction(signal: Array, masks: Array, *, noise: float = 0.0, seed: int = 0) -> Instance:
    """Return the coded diffraction patterns of a signal: ``|FFT(conj(mask) · s)|²``, unnormalized.

    Parameters
    ----------
    signal : ndarray, shape (n,) or (h, w)
        The signal or image, real or complex.
    masks : ndarray, shape (q, n) or (q, h, w)
        See `octanary_masks`.
    noise, seed
        As for `sample`.

    Examples
    --------
    >>> diffraction(np.ones(4), octanary_masks(3, (4,))).problem
    Problem(CodedDiffraction(shape=(4, 4), size=12), Gram(rank=None))
    """
    measurement = CodedDiffraction(masks)
    column = np.asarray(signal, dtype=complex).reshape(-1, 1)
    if np.shape(masks)[1:] != np.shape(signal):
        raise InputError(f"the signal has shape {np.shape(signal)}, expected {np.shape(masks)[1:]} as the masks")
    clean = measurement.forward_factors(column, column)
    data = _intensities(clean, noise, generator(seed))
    return Instance(Problem(measurement, data, Gram()), np.asarray(signal))


def octanary_masks(count: int, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Draw octanary masks, whose entries are ``b1 · b2``: b1 is 1, −1, i or −i; b2 is √½ (with chance 4/5) or √3.

    The complex masks have the shape ``(count, *shape)``, where ``shape`` is that of the signal (n,) or image (h, w). 6
    to 8 masks suffice for recovery.

    References
    ----------
    Candès, Li, Soltanolkotabi, "Phase retrieval via Wirtinger flow", IEEE Trans. Inf. Theory 61 (2015), section IV.

    Examples
    --------
    >>> octanary_masks(2, (3,)).shape
    (2, 3)
    """
    rng = generator(seed)
    phases = rng.choice(np.array([1, -1, 1j, -1j]), size=(count, *shape))
    return np.asarray(phases * rng.choice(np.sqrt([0.5, 3.0]), p=[0.8, 0.2], size=phases.shape))


def from_picture(picture: Array, count: int, *, noise: float = 0.0, seed: int = 0) -> Instance:
    """Return the coded diffraction patterns of a picture with ``count`` octanary masks.

    The picture (h, w) is the signal. ``noise`` is as for `sample`; ``seed`` draws masks and noise.

    Examples
    --------
    >>> from_picture(np.ones((2, 3)), 8).problem
    Problem(CodedDiffraction(shape=(6, 6), size=48), Gram(rank=None))
    """
    if not isinstance(count, int | np.integer) or count < 1:
        raise InputError(f"the number of masks is {shown(count)}, expected a positive whole number")
    require(96.0 * count * np.size(picture), "drawing these masks")
    return diffraction(picture, octanary_masks(count, np.shape(picture), seed), noise=noise, seed=seed + 1)


def why_undetermined(measurement: Measurement) -> str | None:
    """Return why patterns behind masks do not determine a signal, or None if nothing is known against it.

    Two generic complex masks already determine most signals; more masks make the signal easier to find. The two counts
    are necessary conditions. In 3000 random sets of up to four masks of up to eight pixels they reject no set that
    determines a signal locally, and 94 % of the others.
    """
    if not isinstance(measurement, CodedDiffraction):
        return None
    if measurement.is_single_pattern:
        return (
            "One diffraction pattern does not determine a signal in general; measure patterns behind at least two "
            "masks that are not multiples of each other, better behind four or more."
        )
    pixels, parts = int(np.count_nonzero(measurement.masks.any(axis=0))), measurement.n_parts
    if parts > 1:
        return (
            f"The masks divide the pixels into {parts} parts of which no mask shows two, so the patterns do not "
            "determine the phases between the parts; measure behind masks that overlap."
        )
    if measurement.max_independent < 2 * pixels - 1:
        return (
            f"The patterns have at most {measurement.max_independent} independent intensities, and a signal of "
            f"{pixels} pixels has {2 * pixels - 1} unknowns, so they do not determine it; measure behind more or "
            "larger masks."
        )
    return None


def check_intensities(values: Array, name: str) -> None:
    """Raise `InputError` if intensities are negative. The message begins with their name."""
    if np.isrealobj(values) and values.size and values.min() < 0:
        place = ", ".join(map(str, np.unravel_index(int(values.argmin()), values.shape)))
        raise InputError(
            f"{name} contains the negative intensity {values.min():g} at index {place}, expected numbers of at least "
            "0; set negative ones to 0"
        )


def _intensities(clean: Array, noise: float, rng: np.random.Generator) -> Array:
    """Return noisy intensities, none of them negative."""
    return np.maximum(noisy(clean, noise, rng), 0.0)


def _gaussian(size: tuple[int, ...], real: bool, rng: np.random.Generator) -> Array:
    X = rng.standard_normal(size)
    return X if real else X + 1j * rng.standard_normal(size)


def _build(arrays: Mapping[str, Array]) -> Problem:
    if "vectors" in arrays and "masks" in arrays:
        raise InputError("the keys 'vectors' and 'masks' exclude each other, expected one of them")
    if "vectors" not in arrays and "masks" not in arrays:
        raise InputError("the keys 'vectors' and 'masks' are both missing, expected one of them")
    b = np.asarray(arrays["b"])
    check_intensities(b, "b")
    if "vectors" in arrays:
        return Problem(RankOne(arrays["vectors"]), b, Gram())
    measurement = CodedDiffraction(arrays["masks"])
    if b.shape not in (measurement.masks.shape, (measurement.size,)):
        raise InputError(f"b has shape {b.shape}, expected {measurement.masks.shape} as the masks")
    return Problem(measurement, b.reshape(-1), Gram())


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    if isinstance(measurement, CodedDiffraction):
        return {"masks": measurement.masks, "b": problem.data.reshape(measurement.masks.shape)}
    assert isinstance(measurement, RankOne)
    return {"vectors": measurement.left, "b": problem.data}


def _parts(problem: Problem, solution: Solution) -> dict[str, Array]:
    """Return the signal in its own shape."""
    return {"signal": solution.signal.reshape(_unknown_shape(problem))}


def _unknown_shape(problem: Problem) -> tuple[int, ...]:
    measurement = problem.measurement
    return measurement.masks.shape[1:] if isinstance(measurement, CodedDiffraction) else (problem.shape[0],)


def _check_truth(truth: Array, problem: Problem) -> Array:
    """Return the true signal, of shape (d,), from a signal or from the matrix s s*."""
    truth = numeric(truth, "the key 'truth'", allow_complex=True)
    d, shape = problem.shape[0], _unknown_shape(problem)
    if truth.shape in (shape, (d,)):
        return truth.reshape(-1)
    if truth.shape != (d, d):
        raise InputError(f"the key 'truth' has shape {truth.shape}, expected a signal of shape {shape}")
    values, Q = np.linalg.eigh(truth)
    return np.asarray(Q[:, -1] * np.sqrt(max(values[-1], 0.0)))


def _relative_error(problem: Problem, solution: Solution, truth: Array) -> float:
    """Return the relative error of the signal, up to its global phase or sign."""
    signal = _parts(problem, solution)["signal"].reshape(-1)
    truth = np.ravel(truth)
    inner = np.vdot(signal, truth)
    return relative_distance(signal * (inner / abs(inner) if inner else 1.0), truth)


FAMILY = Family(
    name="phase-retrieval",
    title="Phase retrieval",
    keys={
        "vectors": "(m, d) measurement vectors, real or complex; or masks",
        "masks": "(q, n) or (q, h, w) masks of coded diffraction; or vectors",
        "b": "(m,), or the shape of the masks: intensities",
    },
    optional=frozenset({"vectors", "masks"}),
    build=_build,
    arrays=_arrays,
    sample=sample,
    parts=_parts,
    unseen={"undetermined_rows": "unseen places of the signal"},
    check_truth=_check_truth,
    relative_error=_relative_error,
    unknown_shape=_unknown_shape,
    answers=("matrix", "signal"),
    called={"left": "the key 'vectors'"},
    usual=Usual((20, 20), 1, lambda shape, rank: 6 * shape[0]),
    is_square=True,
    from_picture=from_picture,
)
