"""The ascent of the margin keeps its constraints."""

import numpy as np

from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import ascend_margin
from flatmin.solvers.vectors.uniqueness_dual import _proposal
from tests.solvers.vectors.instances import whitened


def test_the_proposal_meets_its_constraints():
    A, U = whitened(30, 300, 3, complex)
    complement = Complement(A, np.linalg.qr(U)[0])
    dual = _proposal(complement, 0)
    assert np.linalg.norm(A.adjoint(dual) @ U) < 1e-12 * np.linalg.norm(U)
    p = ascend_margin(complement, dual)
    assert np.linalg.norm(A.adjoint(p) @ U) < 1e-6 * np.linalg.norm(U) * np.linalg.norm(A.adjoint(p), 2)
