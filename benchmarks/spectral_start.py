"""Start of flows for phase retrieval: the leading eigenvector of ``Σ t_i a_i a_i*``, by power iteration."""

import numpy as np

import flatmin as fm


def scaled(problem):
    """Return amplitudes ``√b`` and the maps a, a* of vectors whose entries have mean square one."""
    A = problem.measurement
    size = float(np.sqrt(np.mean(A.traces()) / A.shape[0]))
    amplitudes = np.sqrt(np.maximum(problem.data, 0.0))
    return (
        amplitudes / size,
        lambda z: A.amplitudes(z[:, None])[:, 0] / size,
        lambda w: A.superposition(w[:, None])[:, 0] / size,
    )


def spectral_start(problem, weights, steps=50):
    """Return the leading eigenvector of ``Σ t_i a_i a_i*``, with the estimated length of the signal."""
    amplitudes, forward, adjoint = scaled(problem)
    rng, d = np.random.default_rng(0), problem.shape[0]
    z = rng.standard_normal(d)
    if np.issubdtype(problem.measurement.dtype, np.complexfloating):
        z = z + 1j * rng.standard_normal(d)
    for _ in range(steps):
        z = adjoint(weights * forward(z))
        z /= np.linalg.norm(z)
    return z * np.sqrt(np.mean(amplitudes**2))


def misfit(amplitudes, w):
    """Return the relative residual of the intensities."""
    return float(np.linalg.norm(np.abs(w) ** 2 - amplitudes**2) / np.linalg.norm(amplitudes**2))


def only_signals(problem):
    """Return whether a problem is not one of a signal and its intensities, and why."""
    if isinstance(problem.parametrization, fm.Gram) and problem.measurement.is_rank_one:
        return False, None
    return True, "it seeks a signal from intensities"
