"""Products against dense matrices and curvlinops, for every kind of model, loss and data; nothing is touched."""

import copy

import curvlinops
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatmin as fm
from flatmin.nn import Curvature
from tests.nn.networks import batch_norm, classes, conv, dense, dense_gauss_newton, inputs, mlp, values


def quartic(outputs, targets):
    return ((outputs - targets) ** 4).mean()


LOSSES = {
    "squared": (nn.MSELoss(), values()),
    "cross entropy": (nn.CrossEntropyLoss(), classes()),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.2), classes()),
    "weighted": (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0]).double()), classes()),
    "weighted, smoothed": (
        nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0]).double(), label_smoothing=0.2),
        classes(),
    ),
    "ignoring": (nn.CrossEntropyLoss(ignore_index=1), classes()),
    "soft targets": (nn.CrossEntropyLoss(), values().softmax(1)),
    "binary": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0).double()), values()),
    "likelihood": (lambda o, y: nn.NLLLoss()(o.log_softmax(1), y), classes()),
    "function": (quartic, values()),
}


def matrix(*args, **kwargs):
    C = Curvature(*args, **kwargs)
    return C @ torch.eye(C.shape[0], dtype=C.dtype)


def pieces(x, y, *sizes):
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


def same(a, b, tol=1e-12):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tol * b.abs().max()


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


@pytest.mark.parametrize("make", [batch_norm, conv])
def test_batch_norm_as_told(make):
    model, loss, x, y = make(), nn.CrossEntropyLoss(), inputs(), classes()
    test, train = (dense(model, loss, x, y, train) for train in (False, True))
    assert (test - train).abs().max() > 0.1 * test.abs().max()
    for training in (False, True):
        model.train(training)
        same(matrix(model, loss, (x, y)), test)
        same(matrix(model, loss, (x, y), mode="train"), train, 1e-11)
        same(matrix(model, loss, (x, y), mode="as_is"), train if training else test, 1e-11)
    halves = sum(len(b) / 17 * dense(model, loss, a, b, True) for a, b in pieces(x, y, 9, 8))
    same(matrix(model, loss, pieces(x, y, 9, 8), mode="train"), halves, 1e-11)


def test_a_layer_that_stays_frozen_in_training_does():
    model, x, y = batch_norm(), inputs(), classes()
    model.train()
    model[1].eval()
    same(matrix(model, nn.CrossEntropyLoss(), (x, y), mode="as_is"), dense(batch_norm(), nn.CrossEntropyLoss(), x, y))
    assert model.training
    assert not model[1].training


def test_dropout_has_one_mask():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 1)).double()
    loader = DataLoader(TensorDataset(inputs(), values(c=1)), batch_size=5, shuffle=True)
    C = Curvature(model, nn.MSELoss(), loader, mode="train")
    H = C @ torch.eye(C.shape[0]).double()
    same(H, H.T, 1e-12)
    same(torch.stack([C @ e for e in torch.eye(C.shape[0]).double()], 1), H)
    without = matrix(model, nn.MSELoss(), loader)
    assert (H - without).abs().max() > 1e-2 * without.abs().max()


@pytest.mark.parametrize("generator", [None, 7])
def test_shuffling_does_not_matter(generator):
    drawn = generator and torch.Generator().manual_seed(generator)
    model, x, y = mlp(), inputs(), classes()
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, generator=drawn)
    state = drawn and drawn.get_state()
    C = Curvature(model, nn.CrossEntropyLoss(), loader)
    v = torch.randn(C.shape[0], dtype=torch.float64)
    assert torch.equal(C @ v, C @ v)
    same(C @ v, dense(model, nn.CrossEntropyLoss(), x, y) @ v)
    assert C.products == 3
    if generator:
        assert torch.equal(state, drawn.get_state())


class Poisoned(nn.Module):
    """Fails after a while, in the middle of an evaluation."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = batch_norm(), 0
        self.drop = nn.Dropout()

    def forward(self, x):
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("out of luck\nand lines")
        return self.drop(self.inner(x))


@pytest.mark.parametrize("mode", ["eval", "train", "as_is"])
@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_nothing_is_touched(mode, of):
    model, x, y = Poisoned(), inputs(), classes()
    model.inner[1].eval()
    model.inner[0].bias.requires_grad_(False)
    nn.CrossEntropyLoss()(model(x), y).backward()
    model.calls = 0
    loader = DataLoader(TensorDataset(x, y), batch_size=9, shuffle=True)
    C = Curvature(model, nn.CrossEntropyLoss(), loader, of=of, mode=mode)

    def state():
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
        return copy.deepcopy(model.state_dict()), grads, flags, torch.get_rng_state(), torch.is_grad_enabled()

    def unchanged(before, after):
        assert all(torch.equal(a, b) for a, b in zip(before[0].values(), after[0].values(), strict=True))
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))
        assert before[2] == after[2]
        assert torch.equal(before[3], after[3])
        assert before[4] == after[4]

    before = state()
    V = torch.ones(C.shape[0], 2, dtype=torch.float64)
    with torch.no_grad():
        C @ V
    unchanged(before, state())
    with pytest.raises(fm.InputError, match=r"batch 0: the model or the loss raised RuntimeError \(out of luck and l"):
        C @ V
    unchanged(before, state())


def test_frozen_tied_and_unused_parameters():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.unused, self.c = nn.Linear(2, 2), nn.Linear(4, 3)
            self.a.bias.requires_grad_(False)

        def forward(self, x):
            return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))

    model, x, y = Odd().double(), inputs(), classes()
    H = dense(model, nn.CrossEntropyLoss(), x, y)
    C = Curvature(model, nn.CrossEntropyLoss(), (x, y))
    assert C.weights.names == ["a.weight", "b.bias", "unused.weight", "unused.bias", "c.weight", "c.bias"]
    same(C @ torch.eye(C.shape[0]).double(), H)
    some = Curvature(model, nn.CrossEntropyLoss(), (x, y), parameters=["b.weight", model.c.bias])
    rows = torch.cat([torch.arange(16), torch.arange(len(H) - 3, len(H))])
    same(some @ torch.eye(19).double(), H[rows][:, rows])
    assert matrix(model, nn.MSELoss(), (x, values()), parameters=["unused.bias"], of="hessian").abs().max() == 0


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


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 12).double()

    def forward(self, x):
        return F.scaled_dot_product_attention(*self.project(x).reshape(-1, 5, 4, 3).unbind(3)).mean(1)


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


BAD_DATA = {
    "batch 0: the loss is nan": [(inputs() * torch.nan, values())],
    "only once": zip(inputs(), values(), strict=True),
    "no samples": [],
    "wrap it: DataLoader": TensorDataset(inputs(), values()),
    "expected a pair": inputs(),
    "batch 0 is a Tensor": [inputs(), inputs(), inputs()],
    "batch 0 has 3 entries": [(inputs(), values(), values())],
    "is a int": 3,
    "raised RuntimeError": (inputs(d=5), values()),
    "no tensor": (2.0, 1.0),
}


@pytest.mark.parametrize("message", BAD_DATA)
def test_data_that_cannot_be_used(message):
    with pytest.raises(fm.InputError, match=message):
        matrix(mlp(), nn.MSELoss(), BAD_DATA[message])


BAD_LOSSES = {
    "reduction='sum'": nn.MSELoss(reduction="sum"),
    "is a str": "mse",
    r"a tensor of shape \(9, 3\)": lambda o, y: (o - y) ** 2,
    "expected a scalar tensor": lambda o, y: 1.0,
    "expected a mean over samples": lambda o, y: ((o - y) ** 2).sum(),
    "in two halves": lambda o, y: F.cross_entropy(o, classes(len(o)), weight=torch.tensor([0.1, 1, 5]).double()),
}


@pytest.mark.parametrize("message", BAD_LOSSES)
def test_losses_that_are_no_average(message):
    with pytest.raises(fm.InputError, match=message):
        matrix(mlp(), BAD_LOSSES[message], pieces(inputs(), values(), 9, 8))


def test_a_loss_of_the_whole_batch_is_fine_where_there_is_one_batch():
    def spread(outputs, targets):
        return (outputs - targets).var()

    same(matrix(mlp(), spread, (inputs(), values())), dense(mlp(), spread, inputs(), values()))
    with pytest.raises(fm.InputError, match="in two halves"):
        matrix(mlp(), spread, pieces(inputs(), values(), 9, 8))


def test_batches_without_a_share_are_left_out():
    x, y = inputs(), classes()
    loss = nn.CrossEntropyLoss(ignore_index=-1)
    ignored = [(x[:3], torch.full((3,), -1)), (x[:0], y[:0])]
    same(matrix(mlp(), loss, [*ignored, (x, y)]), dense(mlp(), loss, x, y))
    with pytest.raises(fm.InputError, match="no samples"):
        matrix(mlp(), loss, ignored)


def test_other_arguments():
    data = (inputs(), values())
    frozen = mlp().requires_grad_(False)
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3).double())
    lazy = nn.LazyLinear(3)
    for model, message in ((abs, "expected a torch"), (frozen, "no trainable"), (mixed, "dtype"), (lazy, "no shape")):
        with pytest.raises(fm.InputError, match=message):
            Curvature(model, nn.MSELoss(), data)
    wrong = {"of": "fisher", "mode": "test", "distributed": True, "parameters": ["nothing"]}
    for key, value in wrong.items():
        with pytest.raises(fm.InputError, match=key):
            Curvature(mlp(), nn.MSELoss(), data, **{key: value})
    C = Curvature(mlp(), nn.MSELoss(), data)
    for V in (torch.ones(3), torch.ones(43, 1, 1), torch.ones(43, dtype=torch.cdouble), 1.0):
        with pytest.raises(fm.InputError, match="vectors are"):
            C @ V
    with pytest.raises(fm.InputError, match="not finite"):
        C @ torch.full((43,), torch.inf, dtype=torch.float64)
