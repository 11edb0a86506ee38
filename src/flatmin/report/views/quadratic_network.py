"""Quadratic networks: teacher against student, and the hidden neurons with their signs."""

from __future__ import annotations

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.quadratic_network import neurons, predict
from flatmin.measurements.rank_one import RankOne
from flatmin.report.answers import caption_of, unseen
from flatmin.report.page import Fact, Figure, Section
from flatmin.report.pictures import blocks, charts, figures
from flatmin.report.reading import LARGEST_TRUTH, Reading
from flatmin.report.views.base import View
from flatmin.report.words import counted, number

__all__ = ["VIEW"]

#: So many fresh inputs are drawn to compare student and teacher.
FRESH = 500
#: Neurons of the teacher weaker than this share of its strongest are rounding.
WEAK = 1e-10


def _measured(reading: Reading) -> str:
    pairs, d = reading.problem.measurement.size, reading.problem.shape[0]
    return f"{counted(pairs, 'output')} of a network with {counted(d, 'input')}"


def _answer(reading: Reading) -> list[Section]:
    plus, minus = reading.solution.signature or [reading.solution.rank, 0]
    hidden, signs = _ordered(*neurons(reading.solution))
    prose = [
        f"The recovered network has {counted(plus, 'hidden neuron')} with output weight +1 and "
        f"{counted(minus, 'hidden neuron')} with output weight −1, and answers ŷ(x) = Σ vⱼ (uⱼᵀx)².",
        "The data determine the matrix Σ vⱼ uⱼuⱼᵀ behind it and not the single neurons: others make the same network. "
        "Shown are the orthogonal ones, the eigenvectors of that matrix; a neuron and its negative are the same.",
        *unseen(reading, "input"),
    ]
    pictures = [_fit(reading)]
    if reading.truth is not None:
        pictures.append(_on_fresh_inputs(reading))
    if len(signs):
        pictures += _neurons(reading, hidden, signs)
    return [Section("answer", "The recovered network", prose, figures=pictures)]


def _ordered(hidden: Array, signs: Array) -> tuple[Array, Array]:
    """Return the positive neurons before the negative ones, each strongest first, their largest weight positive."""
    order = np.lexsort((-np.linalg.norm(hidden, axis=0), -signs))
    hidden, signs = hidden[:, order], signs[order]
    if len(signs):
        top = hidden[np.argmax(np.abs(hidden), axis=0), np.arange(len(signs))]
        hidden = hidden * np.where(top < 0, -1.0, 1.0)
    return hidden, signs


def _fit(reading: Reading) -> Figure:
    given = reading.problem.data
    found = given + reading.problem.residual(reading.solution.factors)
    return _pairs("fit", "Given outputs", given, found, ("given", "of the student"))


def _on_fresh_inputs(reading: Reading) -> Figure:
    teacher, student = _fresh(reading)
    figure = _pairs("fresh", "Fresh inputs", teacher, student, ("of the teacher", "of the student"))
    caption = f"{figure.caption} Gaussian inputs of the same size as the given ones, which neither has seen."
    return Figure(figure.title, figure.alt, caption.strip(), svg=figure.svg)


def _fresh(reading: Reading) -> tuple[Array, Array]:
    """Return the outputs of teacher and student on fresh Gaussian inputs."""
    A, truth = reading.problem.measurement, reading.truth
    assert truth is not None
    size = float(np.sqrt(np.mean(A.left**2))) if isinstance(A, RankOne) else 1.0
    inputs = size * np.random.default_rng(0).standard_normal((FRESH, len(truth)))
    return np.einsum("ni,ni->n", inputs @ truth, inputs), predict(reading.solution, inputs)


def _fresh_error(reading: Reading) -> float | None:
    if reading.truth is None:
        return None
    teacher, student = _fresh(reading)
    size = float(np.linalg.norm(teacher))
    return float(np.linalg.norm(student - teacher)) / (size or 1.0)


def _pairs(name: str, title: str, given: Array, found: Array, axes: tuple[str, str]) -> Figure:
    size = float(np.linalg.norm(given)) or 1.0
    error = float(np.linalg.norm(found - given)) / size
    caption = f"Relative difference {number(error, 2)}."
    if len(given) > charts.MOST_POINTS:
        caption += f" {charts.MOST_POINTS} of {len(given)}, evenly spaced."
    titles = (f"output {axes[0]}", f"output {axes[1]}")
    alt = f"Outputs {axes[1]} against outputs {axes[0]}; they differ by {number(error, 2)}, relatively."
    return Figure(title, alt, caption, svg=charts.pairs(f"outputs-{name}", given, found, titles))


def _neurons(reading: Reading, hidden: Array, signs: Array) -> list[Figure]:
    """Return how strong each neuron is, with its sign, and its weights; the teacher's beside them."""
    names, strengths = _names(signs), signs * np.sum(hidden**2, axis=0)
    teacher = _teacher(reading)
    known = None if teacher is None else teacher[1] * np.sum(teacher[0] ** 2, axis=0)
    caption = "vⱼ‖uⱼ‖² of every hidden neuron: an eigenvalue of the network's matrix."
    alt = f"Bars: {', '.join(f'{n}: {number(float(v))}' for n, v in list(zip(names, strengths, strict=True))[:12])}."
    out = [Figure("Neurons and signs", alt, caption, svg=charts.strengths("neurons", strengths, names, known))]
    sides = [("student", "Weights of the neurons", hidden, names)]
    if teacher is not None:
        sides.append(("teacher", "Weights of the teacher's", teacher[0], _names(teacher[1])))
    shown = [(key, title, blocks.part(weights), labels) for key, title, weights, labels in sides if weights.size]
    scale = figures.scale_of([block for _, _, block, _ in shown])
    for key, title, block, labels in shown:
        svg = figures.heat_map(f"weights-{key}", block, scale, labels=(None, labels), titles=("input", "neuron"))
        caption = f"One column a neuron, + or − its output weight. {caption_of(key, block)}".strip()
        out.append(Figure(title, f"Heat map of the input weights of {len(labels)} neurons.", caption, svg=svg))
    return out


def _names(signs: Array) -> list[str]:
    """Return "+1", "+2", "−1" … for neurons of each sign."""
    counts = {1.0: 0, -1.0: 0}
    names = []
    for sign in signs:
        counts[float(sign)] += 1
        names.append(f"{'+' if sign > 0 else '−'}{counts[float(sign)]}")
    return names


def _teacher(reading: Reading) -> tuple[Array, Array] | None:
    """Return the orthogonal neurons of the teacher and their signs, ordered alike."""
    truth = reading.truth
    if truth is None or len(truth) > LARGEST_TRUTH:
        return None
    values, Q = np.linalg.eigh(truth)
    keep = np.abs(values) > WEAK * max(float(np.abs(values).max()), 1e-300)
    return _ordered(Q[:, keep] * np.sqrt(np.abs(values[keep])), np.sign(values[keep]))


def _highlights(reading: Reading) -> list[Fact]:
    error = _fresh_error(reading)
    return [] if error is None else [Fact("Error on fresh inputs", number(error, 2), "relative")]


VIEW = View(answer=_answer, measured=_measured, highlights=_highlights)
