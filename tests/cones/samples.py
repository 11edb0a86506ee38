"""Cones with the types of their matrices, and random matrices for them."""

import numpy as np
import pytest

from flatmin.cones import Rectangular, Semidefinite, Symmetric

RECTANGULAR, SEMIDEFINITE, SYMMETRIC = Rectangular(), Semidefinite(), Symmetric()
TYPES = [(RECTANGULAR, float), (SEMIDEFINITE, float), (SEMIDEFINITE, complex), (SYMMETRIC, float)]
cones = pytest.mark.parametrize(("cone", "dtype"), TYPES, ids=lambda v: getattr(v, "__name__", type(v).__name__))


def draw(rng, shape, dtype=float):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def hermitian(rng, m, d, dtype=float):
    A = draw(rng, (m, d, d), dtype)
    return A + A.conj().transpose(0, 2, 1)


def frame(rng, d, q, dtype=float):
    return np.linalg.qr(draw(rng, (d, d), dtype))[0][:, :q]
