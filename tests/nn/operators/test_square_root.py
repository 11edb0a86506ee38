"""Roots of losses: S Sᵀ is the Hessian by automatic differentiation, and the root is differentiable itself."""

from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.errors import InputError
from flatmin.nn.operators.square_root import check_root, loss_root, register_root

N, C = 5, 3
WEIGHT = torch.tensor([0.5, 2.0, 1.0]).double()


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


LABELS = torch.tensor([0, 2, 1, 2, 2])
GRID = torch.tensor([[0, 1], [2, 2], [-100, 1]])
SOFT = normal(N, C).softmax(1)
REAL, RATE, MAYBE = normal(N, C), normal(N, C).exp(), torch.sigmoid(normal(N, C) * 2)

CASES = {
    "squared": (nn.MSELoss(), normal(N, C), REAL),
    "squared, sum": (nn.MSELoss(reduction="sum"), normal(N, C), REAL),
    "squared, function": (F.mse_loss, normal(N), REAL[:, 0]),
    "cross entropy": (nn.CrossEntropyLoss(), normal(N, C), LABELS),
    "cross entropy, function": (F.cross_entropy, normal(N, C), LABELS),
    "cross entropy, sum": (nn.CrossEntropyLoss(reduction="sum"), normal(N, C), LABELS),
    "cross entropy, weights": (nn.CrossEntropyLoss(WEIGHT), normal(N, C), LABELS),
    "cross entropy, smoothing": (partial(F.cross_entropy, label_smoothing=0.2), normal(N, C), LABELS),
    "cross entropy, both": (nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2), normal(N, C), LABELS),
    "cross entropy, ignored": (nn.CrossEntropyLoss(WEIGHT, ignore_index=2), normal(N, C), LABELS),
    "cross entropy, all three": (
        nn.CrossEntropyLoss(WEIGHT, ignore_index=2, label_smoothing=0.3),
        normal(N, C),
        LABELS,
    ),
    "cross entropy, pixels": (nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1), normal(3, C, 2), GRID),
    "cross entropy, one": (nn.CrossEntropyLoss(), normal(C), torch.tensor(1)),
    "cross entropy, soft": (nn.CrossEntropyLoss(), normal(N, C), SOFT),
    "cross entropy, soft, both": (nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2), normal(N, C), SOFT),
    "cross entropy, soft pixels": (nn.CrossEntropyLoss(WEIGHT), normal(2, C, 2), normal(2, C, 2).softmax(1)),
    "binary": (nn.BCEWithLogitsLoss(), normal(N, C), MAYBE),
    "binary, sum": (nn.BCEWithLogitsLoss(reduction="sum"), normal(N), MAYBE[:, 0]),
    "binary, weights": (nn.BCEWithLogitsLoss(weight=WEIGHT, pos_weight=2 * WEIGHT), normal(N, C), MAYBE),
    "probabilities": (nn.BCELoss(), SOFT, MAYBE),
    "probabilities, certain": (F.binary_cross_entropy, SOFT, MAYBE.round()),
    "probabilities, weights": (nn.BCELoss(WEIGHT, reduction="sum"), SOFT, MAYBE),
    "huber": (nn.HuberLoss(delta=0.7), normal(N, C), 0.5 * REAL),
    "huber, function": (partial(F.huber_loss, delta=0.3, reduction="sum"), normal(N), REAL[:, 0]),
    "smooth L1": (nn.SmoothL1Loss(beta=0.6), normal(N, C), 0.5 * REAL),
    "poisson": (nn.PoissonNLLLoss(), normal(N, C), RATE),
    "poisson, rate": (F.poisson_nll_loss, normal(N), RATE[:, 0]),
    "poisson, no log": (nn.PoissonNLLLoss(log_input=False, reduction="sum"), RATE + 0.1, 1 + RATE),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_its_square_is_the_hessian(case):
    padded = case[0] is F.binary_cross_entropy or isinstance(case[0], nn.BCELoss)  # by 1e-12, in its second derivative
    assert check_root(*case) < (1e-9 if padded else 1e-13)


def test_the_mean_over_all_signs_is_the_hessian():
    """The same without `check_root`, and through the definition: E[w wᵀ] over every Rademacher probe."""
    loss, outputs, targets = nn.CrossEntropyLoss(), normal(2, C), LABELS[:2]
    total = torch.zeros(6, 6).double()
    for signs in product((-1.0, 1.0), repeat=6):
        w = loss_root(loss, outputs, targets, torch.tensor(signs).double().reshape(2, C)).flatten()
        total += torch.outer(w, w) / 64
    H = torch.autograd.functional.hessian(lambda z: loss(z, targets), outputs).reshape(6, 6)
    assert torch.allclose(total, H, atol=1e-15)


def test_it_is_differentiable_in_the_outputs(case):
    loss, outputs, targets = case
    probe = torch.sign(normal(*outputs.shape))
    outputs = outputs.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss_root(loss, z, targets, probe) + 0 * z, outputs)


def test_extreme_logits_give_numbers():
    outputs = torch.tensor([[800.0, -800.0, 0.0]], requires_grad=True)
    for loss, targets in ((nn.CrossEntropyLoss(), torch.tensor([1])), (nn.BCEWithLogitsLoss(), torch.ones(1, 3))):
        w = loss_root(loss, outputs, targets, torch.ones(1, 3))
        (gradient,) = torch.autograd.grad(w.square().sum(), outputs)
        assert torch.isfinite(w).all()
        assert torch.isfinite(gradient).all()


def test_certain_probabilities_give_numbers():
    outputs = torch.tensor([[0.0, 1.0, 0.0, 1.0]], requires_grad=True)
    w = loss_root(nn.BCELoss(), outputs, torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.ones(1, 4))
    (gradient,) = torch.autograd.grad(w.sum(), outputs)
    assert torch.isfinite(w).all()
    assert torch.isfinite(gradient).all()


def test_slopes_have_no_curvature():
    w = loss_root(nn.SmoothL1Loss(beta=0), normal(N), REAL[:, 0], torch.ones(N).double())
    assert torch.equal(w, torch.zeros(N).double())


def test_all_labels_ignored_is_zero():
    w = loss_root(nn.CrossEntropyLoss(), normal(2, C), torch.tensor([-100, -100]), torch.ones(2, C).double())
    assert torch.equal(w, torch.zeros(2, C).double())


def test_a_wrong_root_is_noticed():
    def quartic(outputs, targets):
        return ((outputs - targets) ** 4).sum()

    with pytest.raises(InputError, match="the loss is quartic, expected BCELoss, BCEWithLogitsLoss, Cross"):
        loss_root(quartic, normal(3), normal(3), normal(3))
    register_root(quartic)(lambda loss, z, y, v: (z - y) * v)
    assert check_root(quartic, normal(3), normal(2).new_zeros(3)) > 0.5
    register_root(quartic)(lambda loss, z, y, v: 12**0.5 * (z - y) * v)
    assert check_root(quartic, normal(3), normal(2).new_zeros(3)) < 1e-13


def test_a_subclass_with_its_own_forward_is_another_loss():
    class Same(nn.CrossEntropyLoss):
        pass

    class Focal(nn.CrossEntropyLoss):
        def forward(self, outputs, targets):
            return super().forward(outputs, targets) ** 2

    assert check_root(Same(), normal(N, C), LABELS) < 1e-13
    with pytest.raises(InputError, match="the loss is Focal"):
        loss_root(Focal(), normal(N, C), LABELS, normal(N, C))
    register_root(Focal)(lambda loss, z, y, v: v)
    assert torch.equal(loss_root(Focal(), normal(N, C), LABELS, REAL), REAL)


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "message"),
    [
        (nn.NLLLoss(), normal(N, C), LABELS, "the loss is NLLLoss, expected"),
        (nn.L1Loss(), normal(N), normal(N), "the loss is L1Loss"),
        (nn.GaussianNLLLoss(), normal(N), normal(N), "the loss is GaussianNLLLoss"),
        (lambda z, y: (z - y).sum(), normal(N), normal(N), "the loss is <lambda>"),
        (nn.MSELoss(reduction="none"), normal(N), normal(N), "reduction 'none', expected 'mean' or 'sum'"),
        (nn.MSELoss(), normal(N, 1), normal(N), r"targets have shape \(5,\), expected .* \(5, 1\)"),
        (nn.CrossEntropyLoss(), normal(N, C), LABELS[:3], r"targets have shape \(3,\), expected \(5,\)"),
        (nn.CrossEntropyLoss(), normal(N, C), SOFT[:, :2], r"targets have shape \(5, 2\)"),
        (partial(F.mse_loss, no=1), normal(N), normal(N), "keywords of mse_loss are {'no': 1}"),
    ],
)
def test_what_has_no_root_is_refused(loss, outputs, targets, message):
    with pytest.raises(InputError, match=message):
        loss_root(loss, outputs, targets, torch.ones_like(outputs))


def test_a_probe_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"probe has shape \(2,\), expected that of the outputs, \(5,\)"):
        loss_root(nn.MSELoss(), normal(N), normal(N), normal(2))
