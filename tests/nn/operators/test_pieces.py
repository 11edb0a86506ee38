"""Batches that would not fit are divided, without a change of results, and only if samples do not interact."""

import weakref
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.nn import (
    Curvature,
    HessianTracePenalty,
    TokenCrossEntropy,
    hessian_trace,
    largest_eigenvalue,
    spectral_density,
)
from flatmin.nn.operators import pieces
from tests.nn.networks import batch_norm, classes, conv, inputs, matrix, mlp, same, values


@pytest.fixture
def small(monkeypatch):
    """Divide every batch into pieces of a few samples."""
    monkeypatch.setattr(pieces, "_GRAPH_MEMORY", 600)


def sizes(model, loss, data, **options):
    curvature = Curvature(model, loss, data, **options)
    with curvature.evaluations() as evaluations:
        return [batch.size for batch, _ in evaluations]


def test_products_do_not_depend_on_the_division(monkeypatch):
    for model, loss, y, of in (
        (mlp(), nn.CrossEntropyLoss(ignore_index=1), classes(), "hessian"),
        (mlp(), F.cross_entropy, classes(), "gauss_newton"),
        (batch_norm(), nn.MSELoss(), values(), "gauss_newton"),
        (conv(), lambda o, y: ((o - y) ** 4).mean(), values(), "hessian"),
    ):
        data = inputs(), y
        wanted = matrix(model, loss, data, of=of)
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "_GRAPH_MEMORY", 600)
            assert max(sizes(model, loss, data)) < 17
            same(matrix(model, loss, data, of=of), wanted)


@pytest.mark.usefixtures("small")
def test_samples_that_interact_stay_together():
    data = inputs(), values()
    assert sizes(batch_norm(), nn.MSELoss(), data, mode="train") == [17]
    assert sizes(mlp(), lambda o, y: (o - o.mean(0)).square().mean(), data) == [17]
    assert sizes(mlp(), lambda o, y: ((o - y) ** 2).sum(), data) == [17]
    assert sizes(nn.Sequential(nn.Dropout(0.5), *mlp()), nn.MSELoss(), data, mode="train") == [17]


def test_the_penalty_has_the_same_mean_and_gradient_in_pieces(monkeypatch):
    model, loss, x, y = mlp(), nn.CrossEntropyLoss(ignore_index=1), inputs(), classes()

    def numbers(of, probe):
        penalty = HessianTracePenalty(model, loss, of=of, probe=probe, probes=80, seed=0)
        value = penalty(x, y)
        total = penalty.objective(x, y, 0.0)
        gradients = torch.autograd.grad(2 * value, list(model.parameters()))
        slopes = torch.autograd.grad(total, list(model.parameters()))
        return value.detach(), torch.cat([g.flatten() for g in gradients]), torch.cat([g.flatten() for g in slopes])

    for of, probe in (("hessian", "vjp"), ("gauss_newton", "per_example")):
        whole = numbers(of, probe)
        monkeypatch.setattr(pieces, "_GRAPH_MEMORY", 1000)
        divided = numbers(of, probe)
        monkeypatch.undo()
        assert divided[0] == pytest.approx(float(whole[0]), rel=0.3)
        assert torch.linalg.vector_norm(divided[1] - whole[1]) < 0.5 * torch.linalg.vector_norm(whole[1])
        same(divided[2], whole[2])


class Tokens(nn.Module):
    """A model whose outputs are much larger than everything else."""

    def __init__(self, vocabulary=1000):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(10, 2), nn.Linear(2, vocabulary)

    def forward(self, tokens):
        return self.head(torch.tanh(self.embedding(tokens)))


class Live(torch.utils._python_dispatch.TorchDispatchMode):
    """The largest number of bytes in tensors that are alive at the same time."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in self.sizes:
                storage = tensor.untyped_storage()
                self.sizes[key] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.free, key)
        return out

    def free(self, key):
        self.now -= self.sizes.pop(key)


def mean_of_tokens(outputs, labels):
    return F.cross_entropy(outputs.flatten(0, 1), labels.flatten())


@pytest.mark.parametrize(
    ("loss", "of"),
    [(TokenCrossEntropy(), "gauss_newton"), (mean_of_tokens, "gauss_newton"), (TokenCrossEntropy(), "hessian")],
)
def test_a_trace_holds_at_most_ten_copies_of_the_logits(loss, of, monkeypatch):
    """Vectors are multiplied one by one, so that their products do not hold more."""
    monkeypatch.setattr("flatmin.nn.operators.curvature._LARGE_OUTPUTS", 1 << 16)
    monkeypatch.setattr("flatmin.nn.operators.curvature._BATCHED_WORK", 1 << 16)
    monkeypatch.setattr("flatmin.nn.operators.output_hessian._LOGITS_AT_ONCE", 1 << 14)
    model, tokens = Tokens(), torch.randint(10, (4, 100), generator=torch.Generator().manual_seed(0))
    with Live() as live:
        hessian_trace(model, loss, (tokens, tokens), of=of, method="hutchinson", max_products=8)
    vectors = 8 * 3 * 3020 * 8
    assert live.peak - vectors <= 10 * 4 * 100 * 1000 * 4


@pytest.mark.parametrize("of", ["gauss_newton", "hessian"])
@pytest.mark.parametrize(
    "measure",
    [partial(largest_eigenvalue, max_products=4), partial(spectral_density, probes=1, steps=4)],
    ids=["eigenvalue", "density"],
)
def test_bounds_of_eigenvalues_hold_at_most_ten_copies_of_the_logits(measure, of, monkeypatch):
    monkeypatch.setattr("flatmin.nn.operators.curvature._LARGE_OUTPUTS", 1 << 16)
    monkeypatch.setattr("flatmin.nn.operators.output_hessian._LOGITS_AT_ONCE", 1 << 14)
    model, tokens = Tokens(), torch.randint(10, (4, 100), generator=torch.Generator().manual_seed(0))
    with Live() as live:
        measure(model, TokenCrossEntropy(), (tokens, tokens), of=of)
    assert 3 * 4 * 100 * 1000 * 4 < live.peak <= 10 * 4 * 100 * 1000 * 4


@pytest.mark.parametrize(("of", "copies"), [("gauss_newton", 10), ("hessian", 13)])
def test_a_penalty_and_its_gradient_hold_few_copies_of_the_logits(of, copies):
    model, tokens = Tokens(), torch.randint(10, (4, 100), generator=torch.Generator().manual_seed(0))
    with Live() as live:
        HessianTracePenalty(model, TokenCrossEntropy(), of=of, seed=0)(tokens, tokens).backward()
    assert live.peak <= copies * 4 * 100 * 1000 * 4


@pytest.mark.parametrize("name", ["linear", "conv", "norm", "attention"])
def test_forward_mode_multiplies_as_reverse_mode_does(name, monkeypatch):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, dropout=0.0)
    model = {
        "linear": mlp(),
        "conv": conv(),
        "norm": nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)),
        "attention": nn.Sequential(nn.Unflatten(1, (1, 4)), layer, nn.Flatten(), nn.Linear(4, 3)),
    }[name].double()
    data = inputs(), classes()
    wanted = matrix(model, nn.CrossEntropyLoss(), data, of="gauss_newton")
    monkeypatch.setattr("flatmin.nn.operators.curvature._LARGE_OUTPUTS", 0)
    monkeypatch.setattr("flatmin.nn.operators.products.gauss_newton_product", None)
    monkeypatch.setattr("flatmin.nn.operators.curvature.gauss_newton_product", None)
    same(matrix(model, nn.CrossEntropyLoss(), data, of="gauss_newton"), wanted, 1e-10)


class Doubled(torch.autograd.Function):
    """The identity with a derivative that is wrong in forward mode, or missing there."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g.clone()


class Wrong(Doubled):
    @staticmethod
    def jvp(ctx, v):
        return 2 * v


@pytest.mark.parametrize("function", [Doubled, Wrong])
def test_without_forward_mode_or_with_a_wrong_one_reverse_mode_multiplies(function, monkeypatch):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return function.apply(self.inner(x))

    wanted = matrix(mlp(), nn.CrossEntropyLoss(), (inputs(), classes()), of="gauss_newton")
    monkeypatch.setattr("flatmin.nn.operators.curvature._LARGE_OUTPUTS", 0)
    same(matrix(Model(), nn.CrossEntropyLoss(), (inputs(), classes()), of="gauss_newton"), wanted)


def test_a_model_may_differentiate_itself():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.inner(x).sum(), x, create_graph=True)[0]

    product = Curvature(Force(), nn.MSELoss(), (inputs(), inputs()), parameters=["inner.0.weight"])
    assert torch.isfinite(product @ torch.ones(20, dtype=torch.float64)).all()
