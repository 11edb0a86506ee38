"""View of phase retrieval: the recovered image or signal and the truth, up to the global phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.coded_diffraction import CodedDiffraction
from flatmin.report.answers import image, unseen
from flatmin.report.page import Figure, Section
from flatmin.report.pictures import blocks, charts, figures
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.views.base import View
from flatmin.report.words import counted, number

__all__ = ["VIEW", "aligned"]

#: A signal counts as real if the imaginary part, relative to the signal, is at most this.
REAL_TOL = 1e-6
#: The phase of an entry is shown only if its modulus is at least this share of the largest modulus.
FAINT_SHARE = 1e-2
#: Lower end of the logarithmic scale of intensities, as a share of the largest intensity.
DARK_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class _Signals:
    """The recovered signal with its global phase fixed, and the truth, in the shape of the masks; NaN if unmeasured."""

    found: Array
    truth: Array | None

    @classmethod
    def from_solved(cls, solved: SolvedProblem) -> _Signals:
        shape = _shape(solved)
        parts, make = solved.solution.parts, solved.family.parts
        if "signal" not in parts and make is not None:
            parts = make(solved.problem, solved.solution)
        found, truth = np.asarray(parts["signal"]).ravel(), solved.truth
        found = aligned(found, truth)
        if all(s is None or np.linalg.norm(s.imag) <= REAL_TOL * np.linalg.norm(s) for s in (found, truth)):
            found, truth = found.real, None if truth is None else truth.real
        found = found.copy()
        found[solved.solution.undetermined[0]] = np.nan
        return cls(found.reshape(shape), None if truth is None else truth.reshape(shape))

    @property
    def is_real(self) -> bool:
        return bool(np.isrealobj(self.found))

    @property
    def shown(self) -> list[tuple[str, Array]]:
        """The signals by name."""
        return [("recovered", self.found), *([] if self.truth is None else [("true", self.truth)])]


def aligned(signal: Array, truth: Array | None) -> Array:
    """Return a signal times the phase or sign that brings it closest to the truth, or makes it as real as possible."""
    if truth is not None:
        inner = np.vdot(signal, truth)
        if np.isrealobj(signal) and np.isrealobj(truth):
            return signal * (-1.0 if inner < 0 else 1.0)
        return np.asarray(signal * (inner / abs(inner) if inner else 1.0))
    if np.iscomplexobj(signal):
        signal = signal * np.exp(-0.5j * np.angle(np.sum(signal**2)))
    return np.asarray(signal * (-1.0 if np.sum(signal.real) < 0 else 1.0))


def _shape(solved: SolvedProblem) -> tuple[int, ...]:
    measurement = solved.problem.measurement
    return measurement.masks.shape[1:] if isinstance(measurement, CodedDiffraction) else (measurement.shape[0],)


def _measured(solved: SolvedProblem) -> str:
    measurement, shape = solved.problem.measurement, _shape(solved)
    if isinstance(measurement, CodedDiffraction):
        what = f"a signal of {shape[0]} numbers"
        what = f"an image of {shape[0]} × {shape[1]} pixels" if len(shape) == 2 else what
        return f"{counted(len(measurement.masks), 'coded diffraction pattern')} of {what}"
    kind = "complex" if solved.is_complex else "real"
    return f"{measurement.size} intensities of a {kind} signal of {shape[0]} numbers"


def _answer(solved: SolvedProblem) -> list[Section]:
    signals, shape = _Signals.from_solved(solved), _shape(solved)
    what, noun = ("image", "pixel") if len(shape) == 2 else ("signal", "number")
    symmetry = "phase" if solved.is_complex else "sign"
    places = [str(place) for place in np.ndindex(*shape)] if len(shape) == 2 else None
    turned = "matches the truth best" if signals.truth is not None else "is as real and as positive as possible"
    prose = [
        f"Intensities do not determine a global {symmetry}. It is chosen so that the {what} {turned}.",
        *_beyond_rank_one(solved),
        *unseen(solved, noun, places),
        *_elsewhere(signals, noun),
    ]
    pictures = _images(solved, signals) if len(shape) == 2 else _curves(signals)
    return [Section("answer", f"The recovered {what}", prose, figures=pictures)]


def _elsewhere(signals: _Signals, noun: str) -> list[str]:
    """Return the error on the measured part, if a part is unmeasured."""
    seen = ~np.isnan(signals.found)
    if signals.truth is None or seen.all():
        return []
    size = float(np.linalg.norm(signals.truth[seen])) or 1.0
    error = float(np.linalg.norm((signals.found - signals.truth)[seen])) / size
    return [f"On all other {noun}s the relative error against the truth is {number(error, 2)}."]


def _beyond_rank_one(solved: SolvedProblem) -> list[str]:
    """Return a sentence if the fitted matrix does not have rank one."""
    if solved.solution.rank == 1:
        return []
    if solved.solution.rank == 0:
        return ["It is zero."]
    s = np.linalg.svd(solved.pair[0], compute_uv=False) ** 2
    return [
        f"The matrix that fits has rank {solved.solution.rank}, so it does not belong to a single signal: the "
        f"data are too few or too noisy. The pictures show its leading part, {number(100 * s[0] / s.sum())} % of it."
    ]


def _curves(signals: _Signals) -> list[Figure]:
    sides = [("", "Signal")] if signals.is_real else [("real", "Real part"), ("imag", "Imaginary part")]
    out = []
    for side, title in sides:
        found, truth = (None if s is None else getattr(s, side or "real") for s in (signals.found, signals.truth))
        assert found is not None
        caption = "" if len(found) <= 2 * charts.MOST_POINTS else f"{2 * charts.MOST_POINTS} of {len(found)} numbers."
        if np.isnan(found).any():
            caption += " Gaps are unmeasured numbers."
        beside = "" if truth is None else ", with the truth"
        alt = f"The {title.lower()} recovered{beside}: {len(found)} numbers, {_range(found)}."
        out.append(Figure(title, alt, caption.strip(), svg=charts.signal(f"signal-{side or 'real'}", found, truth)))
    return out


def _range(values: Array) -> str:
    known = values[np.isfinite(values)]
    return f"from {number(float(known.min()))} to {number(float(known.max()))}" if known.size else "none of them known"


def _images(solved: SolvedProblem, signals: _Signals) -> list[Figure]:
    """Return a diffraction pattern, the image, the truth, and the phases of complex images."""
    sizes = [(name, values if signals.is_real else np.abs(values)) for name, values in signals.shown]
    low = min(0.0, *(float(np.nanmin(values)) for _, values in sizes))
    high = max(float(np.nanmax(values, initial=low)) for _, values in sizes)
    what = "Values" if signals.is_real else "Modulus"
    caption = f"{what} from {number(low)} (black) to {number(high)} (white)."
    out = [_pattern(solved)]
    for name, values in sizes:
        blank = " Blue pixels are undetermined." if np.isnan(values).any() else ""
        title = "The truth" if name == "true" else "Recovered" if signals.is_real else "Recovered modulus"
        alt = f"The {name} image, {values.shape[0]} pixels high and {values.shape[1]} wide."
        out.append(image(title, (values - low) / ((high - low) or 1.0), alt, caption + blank))
    if not signals.is_real:
        out += [_phase(name, values) for name, values in signals.shown]
    if signals.truth is not None and np.nanmax(np.abs(signals.found - signals.truth), initial=0.0) > REAL_TOL * high:
        block = blocks.part(np.abs(signals.found - signals.truth))
        svg = figures.heat_map("signal-difference", block, figures.scale_of([block]))
        alt = "Heat map of the size of the error at every pixel."
        out.append(Figure("Where it differs", alt, "Size of the error.", svg=svg))
    return out


def _pattern(solved: SolvedProblem) -> Figure:
    A = solved.problem.measurement
    assert isinstance(A, CodedDiffraction)
    masks = A.masks
    pattern = np.fft.fftshift(solved.problem.data.reshape(masks.shape)[0])
    top = float(pattern.max()) or 1.0
    levels = 1 - np.log10(np.maximum(pattern / top, DARK_SHARE)) / np.log10(DARK_SHARE)
    caption = f"Under the first of {len(masks)} masks, on a logarithmic scale; the lowest frequency is in the middle."
    return image("One of the measured patterns", levels, "Intensities of a masked Fourier transform.", caption)


def _phase(name: str, values: Array) -> Figure:
    rows, columns = (blocks.picked(length) for length in values.shape)
    part = values[np.ix_(rows, columns)]
    modulus = np.nan_to_num(np.abs(part))
    angles = np.where(modulus > FAINT_SHARE * modulus.max(initial=0.0), np.angle(part), np.nan)
    block = blocks.Block(angles, rows, columns, (values.shape[0], values.shape[1]))
    svg = figures.heat_map(f"{name}-phase", block, (-np.pi, np.pi), unit="phase", angles=True)
    caption = f"Grey where the modulus is below {number(FAINT_SHARE)} of the largest."
    title = "Phase of the truth" if name == "true" else "Recovered phase"
    return Figure(title, f"Colour map of the {name} phase.", caption, svg=svg)


def _within(solved: SolvedProblem) -> str:
    """Return a sentence that turns the radius of X = s s* into a relative error of the signal s.

    For signals s and t, turned so that ``⟨s, t⟩ ≥ 0``, ``‖ss* − tt*‖² ≥ 2(√2 − 1) ‖s‖² ‖s − t‖²`` (Tu et al., "Low-rank
    solutions of linear matrix equations via Procrustes flow", ICML 2016, lemma 5.4, where it is proved for any rank).
    """
    if solved.solution.rank != 1:
        return ""
    symmetry = "phase" if solved.is_complex else "sign"
    return (
        f"The radius is that of X = s s*. The relative error of a signal, up to its global {symmetry}, is at most 1.1 "
        "times the last column."
    )


VIEW = View(answer=_answer, measured=_measured, within=_within)
