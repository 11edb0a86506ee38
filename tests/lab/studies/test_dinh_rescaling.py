"""The study of rescaling: its verdicts, the scale that gives a wanted trace, and that outputs are those of before."""

import pytest
import torch

import flatmin as fm
from flatmin.lab.studies import dinh_rescaling as study


@pytest.mark.slow
def test_the_quick_study_holds():
    findings = study.STUDY.run(quick=True, seed=4)
    assert all(claim.verdict != "fails" for claim in findings.claims)
    assert sum(claim.verdict == "holds" for claim in findings.claims) >= len(findings.claims) - 1
    assert [row["refused"] for row in findings.rows if row["network"] == "tanh"] == [True, True]
    assert len(findings.figure().axes) == 2


def test_the_scale_gives_the_trace_that_was_wanted():
    x, y, _, _ = study._data(0, 0.5)
    model = study._trained(study.NETWORKS["relu"], x, y, 50, 0)
    before, outputs = fm.nn.hessian_trace(model, study.LOSS, (x, y), method="exact").value, model(x)
    alpha = study._scale(model, (x, y), 7 * before)
    assert alpha > 1
    with torch.no_grad():
        model[0].weight.mul_(alpha)
        model[0].bias.mul_(alpha)
        model[2].weight.div_(alpha)
    torch.testing.assert_close(model(x), outputs)
    assert fm.nn.hessian_trace(model, study.LOSS, (x, y), method="exact").value == pytest.approx(7 * before)
