"""Contexts of reports whose solutions no solver made, one for each kind of model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import flatmin as fm
from flatmin.families import matrix_completion, phase_retrieval, quadratic_network, robust_pca
from flatmin.losses import Absolute
from flatmin.measurements import Entries
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.cone_certificate import certificate_of, trace_is_determined, trivial_dual
from flatmin.proofs.flatness import flatness
from flatmin.proofs.radius import Stability
from flatmin.report import SolvedProblem
from flatmin.solution import Solution, Status

UNIQUE = {"unique": True, "q": 1, "injectivity": 0.4, "margin": 0.25, "margin_kind": "dense"}
STABILITY = Stability(
    space="tangent",
    semidefinite=True,
    gap=1e-12,
    size=3.0,
    margin=0.25,
    inner=1.0,
    injectivity=0.5,
    gain=1.0,
    dual_size=0.1,
    growth=0.2,
    misfit=1e-13,
    outside=0.0,
    unwhiten=2.0,
)
CERTIFIED = {**UNIQUE, "stability": STABILITY, "radius": STABILITY.radius()}

CERTIFICATE = Certificate(
    holds=True,
    objective="interpolating",
    value=2.0,
    lower_bound=2.0 - 1e-8,
    relative_gap=5e-9,
    relative_residual=1e-12,
    whitened_residual=1e-11,
    dual=np.ones(3),
    dual_norm=1.0,
    bound_kind="dense",
    unique=True,
    q=2,
    injectivity=0.5,
    margin=0.25,
)


def made(problem, factors, parts=None, **changes):
    """Return a solution that no solver made: what `certificate_of` says of the factors, with fields of it changed."""
    rank_one = trace_is_determined(problem)
    dual = trivial_dual(problem) if rank_one else np.zeros(problem.measurement.size)
    proof = certificate_of(problem, factors, dual, look_further=False)
    if not rank_one:
        proof = replace(proof, lower_bound=proof.value, relative_gap=0.0, holds=True)
    proof = replace(proof, **changes)
    return Solution(
        factors=factors,
        status=Status.unique_flat_minimum if proof.unique else Status.flat_minimum,
        certificate=proof,
        flatness=flatness(problem, factors),
        history={"iteration": np.arange(3.0), "residual": np.array([1.0, 1e-3, 1e-12])},
        seconds=0.25,
        iterations=3,
        undetermined=tuple(D.undetermined for D in problem.metric),
        parametrization=problem.parametrization,
        parts=parts or {},
    )


def context_of(problem, solution=None, **more):
    solution = solution or fm.flat_minimum(problem)
    defaults = {"summary": {}, "command": "flatmin recover matrix-completion data.npz", "input_name": "data.npz"}
    family = more.pop("family", matrix_completion.FAMILY)
    return SolvedProblem(family=family, problem=problem, solution=solution, **{**defaults, **more})


def of_signal(instance, turn=1.0, **changes):
    """A context whose solution is the truth times a phase."""
    signal = np.ravel(instance.truth) * turn
    dtype = instance.problem.measurement.dtype
    solution = made(instance.problem, (signal.astype(dtype)[:, None],), **{**CERTIFIED, **changes})
    parts = phase_retrieval.FAMILY.parts(instance.problem, solution)
    truth = np.ravel(instance.truth)
    return context_of(instance.problem, replace(solution, parts=parts), family=phase_retrieval.FAMILY, truth=truth)


def of_picture(shape, is_complex, **changes):
    rng = np.random.default_rng(0)
    image = 1 + rng.random(shape)
    if is_complex:
        image = image * np.exp(1j * rng.random(shape))
    masks = phase_retrieval.octanary_masks(6, shape)
    masks[:, 1, 2] = 0
    image[1, 2] = 0
    return of_signal(phase_retrieval.diffraction(image, masks), np.exp(0.7j), **changes)


def of_network(shape=8, rank=(2, 1), m=80, noise=0.0):
    instance = quadratic_network.sample(shape, rank, m)
    values, Q = np.linalg.eigh(instance.truth + noise * np.eye(shape))
    keep = np.abs(values) > 1e-9
    columns = Q[:, keep] * np.sqrt(np.abs(values[keep]))
    factors = columns[:, values[keep] > 0], columns[:, values[keep] < 0]
    solution = made(instance.problem, factors, **CERTIFIED)
    return context_of(instance.problem, solution, family=quadratic_network.FAMILY, truth=instance.truth)


def of_split(shape=(30, 20), share=0.1, missing=0.2, tau=None, **more):
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((shape[0], 2)), rng.standard_normal((shape[1], 2))
    S = np.where(rng.random(shape) < share, 5 + rng.random(shape), 0.0)
    rows, cols = np.nonzero(rng.random(shape) >= missing)
    Y = L @ R.T + S
    problem = fm.Problem(Entries(rows, cols, shape), Y[rows, cols], loss=Absolute(tau=tau))
    seen = np.zeros(shape)
    seen[rows, cols] = S[rows, cols]
    solution = made(problem, (L, R), {"sparse": seen}, unique=None, relative_residual=0.0)
    return context_of(problem, solution, family=robust_pca.FAMILY, truth=L @ R.T, **more), seen
