"""Squares of single examples: against gradients one by one, and when the penalty does without them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.errors import InputError
from flatmin.nn.operators.per_example import PerExample
from tests.nn.batches import BATCH, LABELS, NETWORKS, C, N, make, mlp, randn, seeded

PLACES = nn.Unflatten(1, (1, 2, 2))
LAYERS = seeded(
    lambda: nn.ModuleDict(
        {
            "linear": nn.Linear(4, C),
            "linear, no bias": nn.Linear(4, C, bias=False),
            "few places": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 9)),
            "many places": nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Linear(1, 2)),
            "two axes of places": nn.Sequential(nn.Unflatten(1, (2, 2, 1)), nn.Linear(1, 5)),
            "normalization": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.LayerNorm(2)),
            "normalization of all": nn.LayerNorm(4),
            "normalization, two axes": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.LayerNorm((2, 2))),
            "normalization, no bias": nn.LayerNorm(4, bias=False),
            "groups": nn.Sequential(nn.Unflatten(1, (4, 1)), nn.GroupNorm(2, 4)),
            "groups of places": nn.Sequential(nn.Unflatten(1, (2, 1, 2)), nn.GroupNorm(1, 2)),
            "convolution": nn.Sequential(PLACES, nn.Conv2d(1, 3, 2)),
            "padding": nn.Sequential(PLACES, nn.Conv2d(1, 3, 3, padding=1)),
            "stride": nn.Sequential(PLACES, nn.Conv2d(1, 3, 2, stride=2, padding=1)),
            "stride that leaves a rest": nn.Sequential(PLACES, nn.Conv2d(1, 3, 2, stride=3, padding=2)),
            "dilation": nn.Sequential(PLACES, nn.Conv2d(1, 3, 2, dilation=2, padding=(1, 2))),
            "grouped": nn.Sequential(nn.Unflatten(1, (2, 1, 2)), nn.Conv2d(2, 4, (1, 2), groups=2)),
            "same": nn.Sequential(PLACES, nn.Conv2d(1, 2, (2, 3), padding="same")),
            "valid": nn.Sequential(PLACES, nn.Conv2d(1, 2, 2, padding="valid")),
            "circular": nn.Sequential(PLACES, nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")),
            "one axis": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv1d(2, 3, 2, padding=1)),
            "three axes": nn.Sequential(nn.Unflatten(1, (1, 2, 2, 1)), nn.Conv3d(1, 2, (2, 1, 1))),
            "overwritten": nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, C)),
        }
    )
)


@pytest.mark.sampled(20)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("frozen", [None, "weight", "bias"])
@pytest.mark.parametrize("name", LAYERS)
def test_squares_and_their_gradients(name, frozen):
    """One network after the layer, and one before it, so that both derivatives of a square are tested."""
    layer = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), LAYERS[name], nn.Flatten(), nn.Tanh()))
    model = seeded(lambda: nn.Sequential(layer, nn.LazyLinear(C)))
    model(BATCH)
    model = seeded(lambda: model)
    for key, p in layer.named_parameters():
        p.requires_grad_(frozen is None or not key.endswith(frozen))
    parameters = [p for p in model.parameters() if p.requires_grad]
    w = randn(N, C, seed=8)
    each = PerExample(model)
    with each.recording():
        outputs = model(BATCH)
    assert each.obstacle(outputs) is None
    assert each.agrees(outputs)
    square = each.square(outputs, w, differentiable=True)
    expected = 0
    for x, v in zip(BATCH, w, strict=True):
        gradients = torch.autograd.grad(model(x[None])[0], parameters, v, create_graph=True)
        expected = expected + sum(g.square().sum() for g in gradients)
    assert square.item() == pytest.approx(expected.item(), rel=1e-12)
    for found, wanted in zip(
        torch.autograd.grad(square, parameters, materialize_grads=True),
        torch.autograd.grad(expected, parameters, materialize_grads=True),
        strict=True,
    ):
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-13)


def test_combinations_of_channels_are_squares_of_their_own():
    """Their mean is tested with `check_penalty`; here that they are there, and make no difference to whole sets."""
    model = seeded(NETWORKS["wide"])
    each, w = PerExample(model), randn(N, C, seed=8)
    with each.recording():
        outputs = model(BATCH)
    exact = each.square(outputs, w, differentiable=False).item()
    rows = torch.eye(20).double().reshape(1, 20, 20) * 4**0.5  # R of 20 rows: nothing is combined
    assert each.square(outputs, w, differentiable=False, signs=lambda like: rows.expand(N, 20, 20)).item() == (
        pytest.approx(exact)
    )
    other = each.square(outputs, w, differentiable=False, signs=lambda like: randn(*like.shape).sign()).item()
    assert other != pytest.approx(exact, rel=1e-6)
    assert other == pytest.approx(exact, rel=1)


class Mean(nn.Module):
    def forward(self, x):
        return x - 0.01 * x.mean(0)


class Tied(nn.Module):
    """The weight has a use that no layer sees."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, C)

    def forward(self, x):
        return torch.tanh(self.layer(x)) @ self.layer.weight @ self.layer.weight.T


def shared():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


UNSUITABLE = {
    "mean": (lambda: nn.Sequential(nn.Linear(4, C), Mean()), "examples interact"),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, C), nn.BatchNorm1d(C, affine=False)), "examples interact"),
    "trained batch norm": (lambda: nn.Sequential(nn.Linear(4, C), nn.BatchNorm1d(C)), "trains a BatchNorm1d, expected"),
    "tied": (Tied, "a parameter is also used outside its layer"),
    "shared": (shared, "two layers share a parameter"),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, C)), "the model trains a Parametrized"),
    "old weight norm": (lambda: nn.utils.weight_norm(nn.Linear(4, C)), "expected a weight and a bias"),
    "flipped": (lambda: nn.Sequential(nn.Linear(4, C), Flipped()), "examples interact"),
}


class Flipped(nn.Module):
    def forward(self, x):
        return x.flip(0)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("name", UNSUITABLE)
def test_where_single_examples_make_no_sense_the_other_way_is_taken(name):
    build, message = UNSUITABLE[name]
    model = seeded(build)
    with pytest.raises(InputError, match=message):
        make(model, probe="per_example")(BATCH, LABELS)
    assert torch.equal(make(model)(BATCH, LABELS), make(model, probe="vjp")(BATCH, LABELS))
    assert torch.equal(make(model).objective(BATCH, LABELS), make(model, probe="vjp").objective(BATCH, LABELS))


def test_elsewhere_single_examples_are_taken():
    model = seeded(mlp)
    assert torch.equal(make(model)(BATCH, LABELS), make(model, probe="per_example")(BATCH, LABELS))
    assert not torch.equal(make(model)(BATCH, LABELS), make(model, probe="vjp")(BATCH, LABELS))
    outputs = model(BATCH)
    assert torch.equal(make(model)(None, LABELS, outputs=outputs), make(model, probe="vjp")(BATCH, LABELS))


def test_evaluation_is_looked_at_anew():
    """Batch normalization mixes examples in training only."""
    model = seeded(lambda: nn.Sequential(nn.Linear(4, C), nn.BatchNorm1d(C, affine=False), nn.Linear(C, C)))
    penalty = make(model)
    model.eval()
    assert torch.equal(penalty(BATCH, LABELS), make(model, probe="per_example")(BATCH, LABELS))
    model.train()
    other = make(model, probe="vjp")
    other(BATCH, LABELS)
    assert torch.equal(penalty(BATCH, LABELS), other(BATCH, LABELS))


class Hidden(nn.Module):
    """Examples see each other through a branch that starts at zero."""

    def __init__(self, skip):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False)
        self.gate, self.last, self.skip = nn.Linear(4, 4), nn.Linear(4, C), skip
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x):
        h = self.first(x)
        return self.last(self.gate(self.norm(h)) + self.skip * h)


def follow(model, change, before):
    """Return the next penalty after some batches and a change of the model, and the same in the general way."""
    penalty, other = make(model), make(model, probe="vjp")
    for _ in range(before):
        penalty(BATCH, LABELS)
    change()
    other.generator.set_state(penalty.generator.get_state())
    return penalty(BATCH, LABELS), other(BATCH, LABELS)


@pytest.mark.parametrize("skip", [0.0, 1.0])
def test_a_branch_that_starts_at_zero_hides_nothing(skip):
    model = seeded(lambda: Hidden(skip))
    found, wanted = follow(model, lambda: nn.init.ones_(model.gate.weight), before=1)
    assert torch.equal(found, wanted)


def test_what_is_thawed_is_looked_at_anew():
    tied = seeded(Tied)
    tied.layer.weight.requires_grad_(False)
    found, wanted = follow(tied, lambda: tied.requires_grad_(True), before=3)
    assert torch.equal(found, wanted)
    normal = seeded(lambda: nn.Sequential(nn.Linear(4, C), nn.BatchNorm1d(C, affine=False)))
    normal[1].eval()
    found, wanted = follow(normal, lambda: normal[1].train(), before=3)
    assert torch.equal(found, wanted)


def test_what_was_seen_belongs_into_a_checkpoint():
    model = seeded(mlp)
    penalty = make(model)
    penalty(BATCH, LABELS)
    resumed = make(model)
    resumed.load_state_dict(penalty.state_dict())
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(-9.0)
    assert torch.equal(penalty(BATCH, LABELS), resumed(BATCH, LABELS))


def test_it_is_less_noisy():
    model = seeded(mlp)
    spread = [
        torch.stack([make(model, nn.MSELoss(), probe=p, seed=s)(BATCH, randn(N, C)).detach() for s in range(200)]).std()
        for p in ("per_example", "vjp")
    ]
    assert spread[0] < spread[1] / 1.3


def test_one_example_alone():
    model = seeded(mlp)
    both = (make(model, probe=probe)(BATCH[:1], LABELS[:1]).item() for probe in ("vjp", "per_example"))
    assert next(both) == pytest.approx(next(both))
    single = make(model, F.cross_entropy)(BATCH[0], LABELS[0])
    assert single.item() == pytest.approx(make(model, probe="vjp")(BATCH[:1], LABELS[:1]).item())
