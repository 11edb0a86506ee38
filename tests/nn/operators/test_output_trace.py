"""The exact trace of the Gauss-Newton matrix, sample by sample: dense oracles, and cases without such a trace."""

import pytest
import torch.nn.functional as F
from torch import nn

from flatmin.nn import Curvature
from flatmin.nn.operators.output_trace import output_traces, squared_norms
from tests.nn.networks import LOSSES, batch_norm, classes, conv, dense_gauss_newton, inputs, mlp, pieces, values


def traces(model, loss, data, max_outputs=10, **options):
    return output_traces(Curvature(model, loss, data, of="gauss_newton", **options), max_outputs)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [mlp, conv])
def test_every_parameter_has_the_trace_of_its_block(make, name):
    model, (loss, y) = make().eval(), LOSSES[name]
    diagonal = dense_gauss_newton(model, loss, inputs(), y).diagonal()
    wanted = [part.sum().item() for part in diagonal.split([p.numel() for p in model.parameters()])]
    for data in ((inputs(), y), pieces(inputs(), y, 5, 1, 11)):
        found, passes = traces(model, loss, data)
        assert found.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-14)
        assert passes <= 3


def test_a_direction_without_curvature_takes_no_pass():
    """Along constant outputs cross entropy is flat; a loss that is linear in the outputs is flat everywhere."""
    assert traces(mlp(), nn.CrossEntropyLoss(), (inputs(), classes()))[1] == 2
    found, passes = traces(mlp(), lambda o, y: (o * y).mean(), (inputs(), values()))
    assert (found.tolist(), passes) == ([0.0] * 4, 0)


def two_outputs(model):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x), self.model(-x)

    return Two()


@pytest.mark.parametrize(
    ("model", "loss", "options"),
    [
        (mlp(), nn.MSELoss(), {"max_outputs": 2}),
        (batch_norm(), nn.MSELoss(), {"mode": "train"}),
        (nn.Sequential(mlp(), nn.Dropout()), nn.MSELoss(), {"mode": "train"}),
        (mlp(), lambda o, y: F.mse_loss(o - o.mean(0), y), {}),
        (two_outputs(mlp()), lambda o, y: F.mse_loss(o[0], y), {}),
    ],
    ids=["many outputs", "batch norm", "dropout", "loss", "two tensors"],
)
def test_samples_that_cannot_be_treated_one_by_one(model, loss, options):
    assert traces(model, loss, (inputs(), values()), **options) is None


class Guarded(nn.Module):
    """A model that raises an error for single samples, as vmap makes them, and uses a layer in two places."""

    def __init__(self, error):
        super().__init__()
        self.inner, self.error = mlp(), error

    def forward(self, x):
        if len(x) == 1:
            raise self.error("not under vmap")
        return self.inner(x) + self.inner(-x)


def test_what_vmap_refuses_is_logged_and_left_to_products(caplog):
    with caplog.at_level("INFO", "flatmin.nn"):
        assert traces(Guarded(RuntimeError), nn.MSELoss(), (inputs(), values())) is None
    assert [record.getMessage().endswith("not under vmap") for record in caplog.records] == [True]


@pytest.mark.parametrize("error", [AssertionError, ZeroDivisionError])
def test_other_errors_are_not_swallowed(error):
    with pytest.raises(error, match="not under vmap"):
        traces(Guarded(error), nn.MSELoss(), (inputs(), values()))


def plain_conv():
    return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(3, 3))


def normalized():
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3))


@pytest.mark.parametrize("make", [mlp, plain_conv, normalized])
def test_layers_give_the_trace_without_gradients_of_single_samples(make, monkeypatch):
    model = make().double().eval()
    model[-1].bias.requires_grad_(False)
    chosen = [p for p in model.parameters() if p.requires_grad]

    def concave(o, y):
        return (o.sin() * y).mean()

    for loss, y in ((nn.CrossEntropyLoss(), classes()), (concave, values())):
        slow, _ = output_traces(
            Curvature(model, loss, (inputs(), y), of="gauss_newton"), 10, lambda g: squared_norms(g)
        )
        monkeypatch.setattr("flatmin.nn.operators.output_trace._form_values", None)
        fast, _ = traces(model, loss, pieces(inputs(), y, 5, 12), parameters=chosen)
        monkeypatch.undo()
        assert fast.tolist() == pytest.approx(slow.tolist(), rel=1e-9, abs=1e-14)
