"""Products against dense matrices, differences of gradients and curvlinops, for every kind of model and loss."""

import copy

import curvlinops
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import flatmin as fm
from flatmin.nn import Curvature
from tests.nn.networks import (
    LOSSES,
    batch_norm,
    classes,
    conv,
    dense,
    dense_gauss_newton,
    inputs,
    matrix,
    mlp,
    pieces,
    same,
    values,
)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [mlp, conv])
def test_every_loss_and_uneven_batches(name, make):
    model, (loss, y) = make().eval(), LOSSES[name]
    x = inputs()
    H, G = dense(model, loss, x, y), dense_gauss_newton(model, loss, x, y)
    assert (H - G).abs().max() > 1e-4 * H.abs().max()
    for data in ((x, y), pieces(x, y, 5, 1, 11)):
        same(matrix(model, loss, data), H)
        same(matrix(model, loss, data, of="gauss_newton"), G)


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", ["squared", "cross entropy", "smoothed"])
def test_curvlinops_agrees(of, name):
    model, (loss, y) = mlp(), LOSSES[name]
    kind = {"hessian": curvlinops.HessianLinearOperator, "gauss_newton": curvlinops.GGNLinearOperator}[of]
    batches = pieces(inputs(), y, 9, 8)
    theirs = kind(model, loss, list(model.parameters()), batches)
    V = torch.randn(theirs.shape[0], 3, dtype=torch.float64)
    same(Curvature(model, loss, batches, of=of) @ V, theirs @ V)


class Structured(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        left, right = (x["left"], x["right"]) if isinstance(x, dict) else x
        return {"sum": self.left(left) * self.right(right), "note": [torch.tanh(self.left(left)), 1]}


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_structured_inputs_outputs_and_targets(kind):
    model, x = Structured(), inputs()
    both = {"left": x, "right": x.flip(0)} if kind is dict else kind((x, x.flip(0)))

    def loss(out, y):
        return F.mse_loss(out["sum"], y["a"]) + F.mse_loss(out["note"][0], y["b"][0])

    y = {"a": values(), "b": (values().flip(0),)}
    H = dense(model, loss, both, y)
    same(matrix(model, loss, (both, y)), H)
    parts = [torch.utils._pytree.tree_map(lambda t, s=s: t[s], (both, y)) for s in (slice(6), slice(6, 17))]
    same(matrix(model, loss, parts), H)
    G = matrix(model, loss, parts, of="gauss_newton")
    same(G, G.T)
    assert torch.linalg.eigvalsh(G)[0] > -1e-12


@pytest.fixture
def large(monkeypatch):
    """Take every model for a large one, of which curvlinops multiplies several vectors at once."""
    monkeypatch.setattr("flatmin.nn.operators.curvature._BATCHED_WORK", 1)


def twice(C):
    """Return eight vectors, and their second product: the first one decides who makes it."""
    V = torch.randn(C.shape[0], 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = C @ V, C @ V
    same(first, second, 1e-9)
    return V, second


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [mlp, conv])
def test_gauss_newton_products_are_left_to_curvlinops_where_it_can(large, make, name):
    model, (loss, y) = make().eval(), LOSSES[name]
    C = Curvature(model, loss, pieces(inputs(), y, 5, 1, 11), of="gauss_newton")
    V, found = twice(C)
    same(found, dense_gauss_newton(model, loss, inputs(), y) @ V)
    assert C._peer is isinstance(loss, nn.Module)
    H = Curvature(model, loss, (inputs(), y))
    V, found = twice(H)
    same(found, dense(model, loss, inputs(), y) @ V)
    assert H._peer is None


def test_what_curvlinops_cannot_do_is_done_here(large, monkeypatch):
    y, drop = values(), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3)).double()
    both = (inputs(), inputs().flip(0))
    cases = {
        "a mask drawn twice": Curvature(drop, nn.MSELoss(), (inputs(), y), of="gauss_newton", mode="train"),
        "batch norm in training": Curvature(batch_norm(), nn.MSELoss(), (inputs(), y), of="gauss_newton", mode="train"),
        "no tensors": Curvature(Structured(), lambda o, y: F.mse_loss(o["sum"], y), (both, y), of="gauss_newton"),
    }
    for name, C in cases.items():
        V, found = twice(C)
        same(V.T @ found, (V.T @ found).T)
        assert C._peer is False, name
    wrong = curvlinops.GGNLinearOperator.__matmul__
    monkeypatch.setattr(curvlinops.GGNLinearOperator, "__matmul__", lambda self, M: [1.01 * t for t in wrong(self, M)])
    C = Curvature(mlp(), nn.MSELoss(), (inputs(), y), of="gauss_newton")
    V, found = twice(C)
    same(found, dense_gauss_newton(mlp(), nn.MSELoss(), inputs(), y) @ V)
    assert C._peer is False


def test_only_a_failure_to_evaluate_makes_curvlinops_step_aside(large, monkeypatch, caplog):
    def break_curvlinops(error):
        def product(self, M):
            raise error("no rule for this operation")

        monkeypatch.setattr(curvlinops.GGNLinearOperator, "__matmul__", product)
        C._peer = None

    C = Curvature(mlp(), nn.MSELoss(), (inputs(), values()), of="gauss_newton")
    for error in (NotImplementedError, TypeError):
        with caplog.at_level("INFO", "flatmin.nn"):
            break_curvlinops(error)
            V, found = twice(C)
        same(found, dense_gauss_newton(mlp(), nn.MSELoss(), inputs(), values()) @ V)
        assert C._peer is False
        assert [r.getMessage().endswith("no rule for this operation") for r in caplog.records] == [True]
        caplog.clear()
    for error in (ZeroDivisionError, MemoryError):
        break_curvlinops(error)
        with pytest.raises(error, match="no rule for this operation"):
            twice(C)


def test_losses_are_checked_whoever_multiplies(large):
    data = [(inputs(), values()), (inputs(), values() * torch.nan)]
    with pytest.raises(fm.InputError, match="batch 1: the loss is nan"):
        matrix(mlp(), nn.MSELoss(), data, of="gauss_newton")


NORMS = {
    "layer": nn.LayerNorm(6),
    "group": nn.GroupNorm(2, 6),
    "instance": nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2, affine=True), nn.Flatten()),
    "root mean square": nn.RMSNorm(6),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", NORMS)
def test_normalizing_layers_against_differences_of_gradients(name):
    model = nn.Sequential(nn.Linear(4, 6), copy.deepcopy(NORMS[name]), nn.SiLU(), nn.Linear(6, 3)).double()
    loss, parameters = nn.CrossEntropyLoss(), list(model.parameters())
    start = nn.utils.parameters_to_vector(parameters).detach()

    def slope(theta):
        nn.utils.vector_to_parameters(theta, parameters)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss(model(inputs()), classes()), parameters)])

    steps = 1e-5 * torch.eye(len(start), dtype=torch.float64)
    differences = torch.stack([(slope(start + e) - slope(start - e)) / 2e-5 for e in steps])
    nn.utils.vector_to_parameters(start, parameters)
    for block in (1, len(start)):
        C = Curvature(model, loss, (inputs(), classes()))
        found = torch.cat([C @ E for E in torch.eye(len(start), dtype=torch.float64).split(block, 1)], 1)
        same(found, differences, 1e-7)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 12).double()

    def forward(self, x):
        return F.scaled_dot_product_attention(*self.project(x).reshape(-1, 5, 4, 3).unbind(3)).mean(1)


@pytest.mark.slow
def test_attention_checkpoints_and_wrappers():
    x, y = inputs(10), values(2, 4)
    model = Attention()
    H = dense_reference(model, nn.MSELoss(), x, y)
    same(matrix(model, nn.MSELoss(), (x, y)), H, 1e-9)

    class Again(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=False)

    plain = mlp()
    H = dense(plain, nn.MSELoss(), inputs(), values())
    for wrapped in (Again(plain), nn.DataParallel(plain), torch.compile(plain)):
        same(matrix(wrapped, nn.MSELoss(), (inputs(), values())), H)


def dense_reference(model, loss, x, y):
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return dense(model, loss, x, y)


def test_single_precision():
    model, x, y = mlp(torch.float32), inputs().float(), classes()
    H = matrix(model, nn.CrossEntropyLoss(), pieces(x, y, 10, 7))
    assert H.dtype == torch.float32
    same(H.double(), dense(mlp(), nn.CrossEntropyLoss(), x.double(), y), 1e-5)
    C = Curvature(model, nn.CrossEntropyLoss(), (x, y))
    assert (C @ torch.ones(C.shape[0], dtype=torch.float64)).dtype == torch.float32


def test_models_that_only_work_for_single_vectors():
    class Alone(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g * (1 if g.sum().item() < 1e300 else 0)

    class Cubic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, 2.0, -1.0]).double())

        def forward(self, x):
            return Alone.apply(x[:, :3] * self.w)

    for of, oracle in (("hessian", dense), ("gauss_newton", dense_gauss_newton)):
        C = Curvature(Cubic(), nn.MSELoss(), (inputs(), values()), of=of)
        same(C @ torch.eye(3).double(), oracle(Cubic(), nn.MSELoss(), inputs(), values()))
        assert C._can_batch is False
