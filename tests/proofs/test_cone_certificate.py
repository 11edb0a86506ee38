"""Certificates in cones: determined traces and the trivial dual, and options."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.proofs.cone_certificate import certificate_of, trace_is_determined, trivial_dual


def test_the_trivial_dual_makes_the_metric_and_proves_every_fit_flat():
    instance = fm.families.phase_retrieval.sample(6, 1, 40)
    problem = instance.problem
    assert trace_is_determined(problem)
    D = np.asarray(problem.metric[0]) @ np.asarray(problem.metric[0])
    np.testing.assert_allclose(problem.measurement.adjoint(trivial_dual(problem)), D, atol=1e-10)
    s = fm.flat_minimum(problem)
    proof = certificate_of(problem, s.factors, trivial_dual(problem))
    assert (proof.holds, proof.bound_kind, proof.unique) == (True, "proven", None)
    assert not trace_is_determined(fm.families.matrix_sensing.sample((4, 3), 1, 9).problem)


def test_without_a_further_look_uniqueness_stays_open():
    instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    s = fm.flat_minimum(instance.problem)
    proof = certificate_of(instance.problem, s.factors, s.certificate.dual, look_further=False)
    assert (proof.holds, proof.unique, proof.q, proof.radius) == (True, None, None, None)


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"alpha": np.inf}, {"metric_power": 2.0}, {"alpha": 1e200}])
def test_options_out_of_range_are_refused(options):
    instance = fm.families.matrix_sensing.sample((4, 3), 1, 12)
    with pytest.raises(InputError, match="expected"):
        certificate_of(instance.problem, fm.flat_minimum(instance.problem).factors, np.zeros(12), **options)
