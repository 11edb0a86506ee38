"""The recipe of rescaled layers: its verdicts, the scale for a wanted trace, and outputs that do not change."""

import pytest
import torch

import flatmin as fm
from flatmin.lab.recipes import _rescaled_networks as rescaling
from tests.lab.quick import check_finding, quick_finding


@pytest.mark.slow
def test_the_quick_version_holds():
    finding = quick_finding("dinh-rescaling", seed=4)
    check_finding(finding, holding=len(finding.claims) - 1)
    assert finding.evidence.select(network="tanh").values("refused").tolist() == [True] * 3


def test_the_scale_gives_the_trace_that_was_wanted():
    x, y, _, _ = rescaling._data(0, 0.5)
    model = rescaling._trained(rescaling.NETWORKS["relu"], x, y, 50, 0)
    before, outputs = fm.nn.hessian_trace(model, rescaling.LOSS, (x, y), method="exact").value, model(x)
    alpha = rescaling._scale(model, (x, y), 7 * before)
    assert alpha > 1
    with torch.no_grad():
        model[0].weight.mul_(alpha)
        model[0].bias.mul_(alpha)
        model[2].weight.div_(alpha)
    torch.testing.assert_close(model(x), outputs)
    assert fm.nn.hessian_trace(model, rescaling.LOSS, (x, y), method="exact").value == pytest.approx(7 * before)
