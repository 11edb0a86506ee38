"""View of quadratic networks: outputs of teacher and student, and the hidden neurons with their signs."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.quadratic_network import neurons, predict
from flatmin.measurements.rank_one import RankOne
from flatmin.report.answers import caption_of, unseen
from flatmin.report.page import Fact, Figure, Section
from flatmin.report.pictures import blocks, charts, figures
from flatmin.report.solved_problem import LARGEST_TRUTH, SolvedProblem
from flatmin.report.views.base import View
from flatmin.report.words import counted, number

__all__ = ["VIEW"]

#: Number of new random inputs on which the outputs of student and teacher are compared.
FRESH_INPUTS = 500
#: A neuron counts as rounding error if its strength is below this share of the teacher's strongest neuron.
WEAK_SHARE = 1e-10


def _measured(solved: SolvedProblem) -> str:
    pairs, d = solved.problem.measurement.size, solved.problem.shape[0]
    return f"{counted(pairs, 'output')} of a network with {counted(d, 'input')}"


def _answer(solved: SolvedProblem) -> list[Section]:
    plus, minus = solved.solution.signature or [solved.solution.rank, 0]
    hidden, signs = _ordered(*neurons(solved.solution))
    prose = [
        f"The recovered network has {counted(plus, 'hidden neuron')} with output weight +1 and "
        f"{counted(minus, 'hidden neuron')} with output weight −1, and computes ŷ(x) = Σ vⱼ (uⱼᵀx)².",
        "The data determine its matrix Σ vⱼ uⱼuⱼᵀ, not the single neurons: other neurons give the same network. The "
        "pictures show orthogonal ones, the eigenvectors of the matrix. A neuron and its negative are equivalent.",
        *unseen(solved, "input"),
    ]
    given = solved.problem.data
    found = given + solved.problem.residual(solved.solution.factors)
    pictures = [_pairs("fit", "Given outputs", given, found, ("given", "of the student"))]
    if solved.truth is not None:
        pictures.append(_on_fresh_inputs(solved))
    if len(signs):
        pictures += _neurons(solved, hidden, signs)
    return [Section("answer", "The recovered network", prose, figures=pictures)]


def _ordered(hidden: Array, signs: Array) -> tuple[Array, Array]:
    """Return the positive neurons before the negative ones, each strongest first, their largest weight positive."""
    order = np.lexsort((-np.linalg.norm(hidden, axis=0), -signs))
    hidden, signs = hidden[:, order], signs[order]
    if len(signs):
        top = hidden[np.argmax(np.abs(hidden), axis=0), np.arange(len(signs))]
        hidden = hidden * np.where(top < 0, -1.0, 1.0)
    return hidden, signs


def _on_fresh_inputs(solved: SolvedProblem) -> Figure:
    teacher, student = _fresh(solved)
    figure = _pairs("fresh", "Fresh inputs", teacher, student, ("of the teacher", "of the student"))
    caption = f"{figure.caption} Gaussian inputs of the same size as the given ones, not used in the fit."
    return Figure(figure.title, figure.alt, caption.strip(), svg=figure.svg)


def _fresh(solved: SolvedProblem) -> tuple[Array, Array]:
    """Return the outputs of teacher and student on fresh Gaussian inputs."""
    A, truth = solved.problem.measurement, solved.truth
    assert truth is not None
    size = float(np.sqrt(np.mean(A.left**2))) if isinstance(A, RankOne) else 1.0
    inputs = size * np.random.default_rng(0).standard_normal((FRESH_INPUTS, len(truth)))
    return np.einsum("ni,ni->n", inputs @ truth, inputs), predict(solved.solution, inputs)


def _pairs(name: str, title: str, given: Array, found: Array, axes: tuple[str, str]) -> Figure:
    size = float(np.linalg.norm(given)) or 1.0
    error = float(np.linalg.norm(found - given)) / size
    caption = f"Relative difference {number(error, 2)}."
    if len(given) > charts.MOST_POINTS:
        caption += f" {charts.MOST_POINTS} of {len(given)}, evenly spaced."
    titles = (f"output {axes[0]}", f"output {axes[1]}")
    alt = f"Outputs {axes[1]} against outputs {axes[0]}; they differ by {number(error, 2)}, relatively."
    return Figure(title, alt, caption, svg=charts.pairs(f"outputs-{name}", given, found, titles))


def _neurons(solved: SolvedProblem, hidden: Array, signs: Array) -> list[Figure]:
    """Return the signed strengths and the weights of the neurons, and those of the teacher."""
    names, strengths = _names(signs), signs * np.sum(hidden**2, axis=0)
    teacher = _teacher(solved)
    known = None if teacher is None else teacher[1] * np.sum(teacher[0] ** 2, axis=0)
    caption = "vⱼ‖uⱼ‖² of every hidden neuron: an eigenvalue of the network's matrix."
    alt = f"Bars: {', '.join(f'{n}: {number(float(v))}' for n, v in list(zip(names, strengths, strict=True))[:12])}."
    out = [Figure("Neurons and signs", alt, caption, svg=charts.strengths("neurons", strengths, names, known))]
    sides = [("student", "Weights of the neurons", hidden, names)]
    if teacher is not None:
        sides.append(("teacher", "Weights of the teacher's neurons", teacher[0], _names(teacher[1])))
    shown = [(key, title, blocks.part(weights), labels) for key, title, weights, labels in sides if weights.size]
    scale = figures.scale_of([block for _, _, block, _ in shown])
    for key, title, block, labels in shown:
        svg = figures.heat_map(f"weights-{key}", block, scale, labels=(None, labels), titles=("input", "neuron"))
        caption = f"Each column is a neuron; + or − is the sign of its output weight. {caption_of(key, block)}".strip()
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


def _teacher(solved: SolvedProblem) -> tuple[Array, Array] | None:
    """Return the orthogonal neurons of the teacher and their signs, ordered alike."""
    truth = solved.truth
    if truth is None or len(truth) > LARGEST_TRUTH:
        return None
    values, Q = np.linalg.eigh(truth)
    keep = np.abs(values) > WEAK_SHARE * max(float(np.abs(values).max()), 1e-300)
    return _ordered(Q[:, keep] * np.sqrt(np.abs(values[keep])), np.sign(values[keep]))


def _highlights(solved: SolvedProblem) -> list[Fact]:
    if solved.truth is None:
        return []
    teacher, student = _fresh(solved)
    error = float(np.linalg.norm(student - teacher)) / (float(np.linalg.norm(teacher)) or 1.0)
    return [Fact("Error on fresh inputs", number(error, 2), "relative")]


VIEW = View(answer=_answer, measured=_measured, highlights=_highlights)
