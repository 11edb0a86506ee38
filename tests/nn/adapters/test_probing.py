"""Probes of the root of the curvature are unbiased for every form."""

import torch
from torch import nn

from flatmin.nn.adapters.layers import find_adapters
from flatmin.nn.adapters.probing import Forms, exact_traces, probed_traces
from flatmin.nn.operators.curvature import Curvature
from tests.nn.adapters.networks import data, plain


def test_the_mean_of_many_probes_is_the_exact_form():
    model, _ = plain()
    adapters = find_adapters(model)
    curvature = Curvature(model, nn.CrossEntropyLoss(), data(), of="gauss_newton", parameters=adapters[0].parameters)
    forms = Forms.from_curvature(adapters, curvature)
    exact, count = exact_traces(forms, curvature, 10)
    assert count == 2  # the Hessian of cross entropy in three outputs has rank two
    probes = probed_traces(forms, curvature, 300, seed=0)[0]
    for name in ("P", "Q", "weight", "trace"):
        sample, wanted = getattr(probes, name), getattr(exact[0], name)
        error = sample.std(0) / len(sample) ** 0.5
        assert bool(((sample.mean(0) - wanted).abs() < 4.5 * error).all()), name
    assert bool((torch.linalg.eigvalsh(probes.P) > -1e-12).all())
