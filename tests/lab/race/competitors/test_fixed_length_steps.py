"""Steps whose length does not depend on the gradient."""

import numpy as np
import torch

from flatmin.lab.race.competitor import Entry
from tests.lab.race.competitors.steps import KNOWN
from tests.lab.race.small_tasks import task


def test_orthogonalized_steps_have_equal_singular_values():
    model = task().model(0)
    optimizer = KNOWN["orthogonalized"].optimizer(model, task().loss, Entry(task(), 0, 0.1, None))
    before = [p.detach().clone() for p in model.parameters()]
    model.loss().backward()
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        assert np.allclose(torch.linalg.svdvals(p.detach() - old), 0.1 * max(p.shape) ** 0.5)
