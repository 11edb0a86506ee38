"""Which vocabulary belongs to which model."""

from dataclasses import replace

import numpy as np

import flatmin as fm
from flatmin.losses import Absolute
from flatmin.parametrizations import Hadamard
from flatmin.report.vocabulary import DETERMINED, PLAIN, PRODUCT, SEMIDEFINITE, SIGNED, vocabulary_of
from tests.report.made import CERTIFICATE


def test_each_model_has_its_vocabulary() -> None:
    rng = np.random.default_rng(0)
    vectors, sensing = fm.measurements.RankOne(rng.standard_normal((9, 3))), rng.standard_normal((9, 3, 3))
    general = fm.measurements.Dense(sensing + sensing.transpose(0, 2, 1))
    cells = fm.measurements.Entries([0, 1], [1, 2], (3, 3))

    def terms(measurement, model, certificate=None, power=1.0, **loss):
        problem = fm.Problem(measurement, np.ones(measurement.size), model, **loss)
        return vocabulary_of(problem, certificate, power)

    assert terms(general, fm.Product()) == PRODUCT
    assert terms(general, fm.Gram()) == SEMIDEFINITE
    assert terms(vectors, fm.Gram()) == DETERMINED
    assert terms(vectors, fm.Gram(), replace(CERTIFICATE, objective="penalised")) == SEMIDEFINITE
    assert terms(vectors, fm.Gram(), power=0.5) == SEMIDEFINITE
    assert terms(vectors, fm.SignedGram()) == SIGNED
    assert terms(fm.measurements.Dense(sensing[:, :, :1]), Hadamard(3)) == PLAIN
    weighted = terms(cells, fm.Product(), loss=Absolute(weight=0.5))
    assert (weighted.splits, weighted.trace) == (True, "sum ‖X‖_* + 0.5 · ‖S‖₁")
    limited = terms(cells, fm.Product(), loss=Absolute(tau=2.0))
    assert limited.trace == "nuclear norm ‖X‖_*"
    assert limited.fits.endswith("errors ‖S‖₁ of at most 2")
