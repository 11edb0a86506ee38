"""
A flat student has the neurons of its teacher
=============================================

The teacher has one hidden layer with quadratic activation, ``y = Σ v_j (u_jᵀ x)²``, two neurons with output weight +1
and one with −1. The student gets inputs and outputs, and knows neither the number of neurons nor their signs. With
enough pairs, the flattest student is proved to be the only flattest one and is the teacher; the student of least norm
fits the same pairs and predicts poorly. With too few pairs, the flattest student is certified all the same, and is not
the teacher.

The data determine only the matrix ``Σ v_j u_j u_jᵀ``, so neurons are compared in their orthogonal form.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# Students from 60 to 200 pairs of input and output; one of them is looked at in detail.

INPUTS, NEURONS = 20, (2, 1)
COUNTS = (60, 80, 100, 120, 140, 160, 180, 200)
PAIRS, DRAWS, FRESH = 180, 3, 500
BLUE, RED, YELLOW = "#1b6ca8", "#d1495b", "#edae49"

# %%
# The network and the usual choice among all students that fit, the one of least norm.


def outputs(M, inputs):
    """Return the outputs ``xᵀ M x`` of a network with this matrix."""
    return np.einsum("ni,ij,nj->n", inputs, M, inputs)


def unexplained(found, known):
    """Return the share of the variance that predictions do not explain."""
    return float(np.sum((found - known) ** 2) / np.sum((known - known.mean()) ** 2))


def least_norm(problem):
    """Return the symmetric matrix of least Frobenius norm that fits."""
    rows = problem.measurement.matrices().reshape(problem.measurement.size, -1)
    return np.linalg.lstsq(rows, problem.data, rcond=None)[0].reshape(problem.shape)


# %%
# `fm.families.quadratic_network` draws teachers and their outputs, and predicts for new inputs.


def learn(m, seed, rng):
    """Return a teacher, its flattest student, that of least norm, and their predictions on new inputs."""
    instance = fm.families.quadratic_network.sample(INPUTS, NEURONS, m, seed=seed)
    solution = fm.flat_minimum(instance.problem).raise_if_failed()
    inputs = rng.standard_normal((FRESH, INPUTS))
    predictions = {
        "least norm": outputs(least_norm(instance.problem), inputs),
        "flattest": fm.families.quadratic_network.predict(solution, inputs),
    }
    return instance, solution, outputs(instance.truth, inputs), predictions


# %%
# Different neurons can make the same network: only their matrix matters. Its eigenvectors are neurons at right angles,
# which can be compared.


def orthogonal_neurons(M, count):
    """Return the leading eigenvectors of a symmetric matrix times the roots of their eigenvalues, and signs."""
    values, vectors = np.linalg.eigh(M)
    order = np.argsort(-np.abs(values))[:count]
    return vectors[:, order] * np.sqrt(np.abs(values[order])), np.sign(values[order])


# %%
# From 120 pairs on, the flattest student is proved to be the only flattest one, and makes no error. It has two positive
# neurons and a negative one, as the teacher has; nobody told it their number. With 80 and 100 pairs it is the only
# flattest one too, and is not the teacher.

rng = np.random.default_rng(0)
errors = {name: np.empty((len(COUNTS), DRAWS)) for name in ("least norm", "flattest")}
plus, minus = NEURONS
print(f"{INPUTS} inputs, teacher with {plus} positive and {minus} negative neurons; all flat students are certified")
print("pairs  signature  unique  unexplained: flattest  least norm   (first draw)")
for i, m in enumerate(COUNTS):
    for seed in reversed(range(DRAWS)):
        _, solution, known, predictions = learn(m, seed, rng)
        for name, values in predictions.items():
            errors[name][i, seed] = unexplained(values, known)
    first = "".join(f"{errors[name][i, 0]:22.1e}" for name in ("flattest", "least norm"))
    print(f"{m:5d}  {solution.signature!s:>9}  {solution.certificate.unique!s:>6}{first}")

# %%
# The student of 180 pairs, neuron by neuron.

instance, solution, known, predictions = learn(PAIRS, 0, rng)
student = fm.families.quadratic_network.neurons(solution)
teacher = orthogonal_neurons(instance.truth, len(student[1]))
difference = np.linalg.norm(np.abs(student[0]) - np.abs(teacher[0])) / np.linalg.norm(teacher[0])
proof = solution.certificate
print(f"\n{PAIRS} pairs: {solution.status.name}, gap {proof.relative_gap:.1e}, certified radius {proof.radius:.1e}")
print(f"neurons as the teacher's up to {difference:.1e}, signs {student[1]} against {teacher[1]}")

# %%
# Left: errors of students. Middle: outputs on new inputs. Right: the teacher's neurons and those of the flattest
# student.

figure = plt.figure(figsize=(13, 4.6), layout="constrained")
grid = figure.add_gridspec(len(teacher[1]), 3)
left, middle = (figure.add_subplot(grid[:, j]) for j in (0, 1))
for (label, values), color, marker in zip(errors.items(), (YELLOW, BLUE), "so", strict=True):
    left.semilogy(COUNTS, np.median(values, axis=1), color=color)
    left.semilogy(np.repeat(COUNTS, DRAWS), values.ravel(), marker, color=color, markersize=5, label=label)
left.set(title="New inputs", xlabel="input-output pairs", ylabel="share of the variance unexplained")
left.legend()
for (label, values), color, marker in zip(predictions.items(), (YELLOW, BLUE), "s.", strict=True):
    middle.plot(known, values, marker, color=color, markersize=5, label=label)
middle.set(title=f"Students of {PAIRS} pairs", xlabel="teacher's output", ylabel="student's output")
middle.legend()
places = np.arange(1, INPUTS + 1)
for j, (u, w, sign) in enumerate(zip(teacher[0].T, student[0].T, student[1], strict=True)):
    axis = figure.add_subplot(grid[j, 2])
    color = BLUE if sign > 0 else RED
    axis.bar(places, u, color="#bbbbbb", label="teacher" if j == 0 else None)
    axis.plot(places, w * np.sign(u @ w), "o", color=color, markersize=4, label=f"student, weight {sign:+.0f}")
    axis.set(xticks=[], ylabel=f"neuron {j + 1}")
    axis.legend(fontsize=8, ncols=2, loc="upper right")
    axis.set_ylim(-1.9 * np.abs(u).max(), 1.9 * np.abs(u).max())
axis.set(xlabel="input")
plt.show()
