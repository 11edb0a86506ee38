"""Every model as a module: derivatives of all orders against numbers, and the core's own formulas."""

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.nn.factored import contraction
from tests.measurements.samples import ALWAYS_COMPLEX, SAMPLES

CASES = [
    (name, kind) for name in SAMPLES for kind in (float, complex) if not (kind is float and name in ALWAYS_COMPLEX)
]


def tensor(rng, *shape, kind=float):
    T = rng.standard_normal(shape)
    return torch.tensor(T + 1j * rng.standard_normal(shape) if kind is complex else T, requires_grad=True)


@pytest.mark.sampled(15)
@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_the_contraction_is_differentiable_twice(name, kind, slot):
    rng = np.random.default_rng(0)
    A = SAMPLES[name](rng, (3, 3), 7, kind)
    kind = complex if np.issubdtype(A.dtype, np.complexfloating) else float
    y, P, Q = tensor(rng, A.size), tensor(rng, 3, 2, kind=kind), tensor(rng, 3, 2, kind=kind)
    inputs = [t for i, t in enumerate((y, P, Q)) if i != slot]
    assert torch.autograd.gradcheck(lambda a, b: contraction(A, slot, a, b), inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda a, b: contraction(A, slot, a, b), inputs)


MODELS = {
    "product": fm.families.matrix_sensing.sample((4, 3), 1, 9).problem,
    "completion": fm.families.matrix_completion.sample((4, 3), 1, 9).problem,
    "gram": fm.families.covariance.sample(4, 1, 9).problem,
    "complex": fm.families.phase_retrieval.sample(3, 1, 12).problem,
    "signed": fm.families.quadratic_network.sample(4, (1, 1), 12).problem,
    "hadamard": fm.families.sparse_regression.sample(5, 2, 7, depth=3).problem,
    "chain": fm.Problem(fm.measurements.Identity((3, 4)), np.arange(12.0), fm.Chain((3, 2))),
}


@pytest.fixture(params=MODELS)
def model(request):
    return fm.nn.FactoredModel(MODELS[request.param], 3, seed=1, scale=0.7)


def test_loss_matrix_and_predictions_are_the_cores(model):
    problem, factors = model.problem, model.factors()
    residual = problem.residual(problem.check(factors))
    assert model.loss().item() == pytest.approx(problem.loss.value(residual))
    assert model().detach().numpy() == pytest.approx(residual + problem.data)
    assert model.matrix() == pytest.approx(problem.parametrization.matrix(factors))


def test_some_predictions_are_those_of_all(model):
    index = torch.tensor([4, 0, 4])
    assert torch.allclose(model(index), model()[index])
    target = torch.from_numpy(model.problem.data)[index]
    assert torch.allclose(model.loss(index), ((model(index) - target) ** 2).mean())


def test_gradient_and_hessian_trace(model):
    names = [n for n, _ in model.named_parameters()]

    def loss(*parameters):
        return torch.func.functional_call(
            _Loss(model), {f"model.{n}": p for n, p in zip(names, parameters, strict=True)}, ()
        )

    parameters = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert torch.autograd.gradcheck(loss, parameters)
    H = torch.autograd.functional.hessian(loss, parameters)
    trace = sum(float(H[i][i].reshape(p.numel(), -1).trace()) for i, p in enumerate(parameters))
    assert model.flatness().hessian_trace == pytest.approx(trace)


class _Loss(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self):
        return self.model.loss()


def test_the_scaled_trace_is_the_cores(model):
    if isinstance(model.problem.parametrization, fm.Hadamard | fm.Chain):
        with pytest.raises(fm.InputError, match="HessianTracePenalty"):
            model.scaled_trace()
        return
    assert model.scaled_trace().item() == pytest.approx(model.flatness().scaled_trace)


def test_factors_come_back(model):
    factors = tuple(2 * F for F in model.factors())
    model.set_factors(factors)
    for F, G in zip(factors, model.factors(), strict=True):
        assert pytest.approx(G) == F


def test_gross_errors_have_the_distance_as_their_loss():
    problem = fm.families.robust_pca.sample((5, 4), 1, 20).problem
    tau = fm.Problem(problem.measurement, problem.data, loss=fm.losses.Absolute(tau=3.0))
    model = fm.nn.FactoredModel(tau, 2, scale=1.0)
    assert model.loss().item() == pytest.approx(tau.loss.value(tau.residual(model.factors())))

    def loss(L, R):
        return torch.func.functional_call(_Loss(model), {"model.L": L, "model.R": R}, ())

    parameters = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert torch.autograd.gradcheck(loss, parameters)
    with pytest.raises(fm.InputError, match="tau"):
        fm.nn.FactoredModel(problem, 2).loss()


def test_per_example_gradients_by_vmap():
    model = fm.nn.FactoredModel(MODELS["product"], 2)
    parameters = dict(model.named_parameters())

    def one(p, row):
        return torch.func.functional_call(model, p, ()) @ row

    every = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0))(parameters, torch.eye(9, dtype=float))
    for i in (0, 5):
        single = torch.autograd.grad(model()[i], model.parameters())
        assert torch.allclose(every["L"][i], single[0])


@pytest.mark.parametrize("bad", [{"rank": 0}, {"rank": 1.5}, {"seed": -1}, {"scale": float("nan")}, {"rank": True}])
def test_wrong_arguments(bad):
    with pytest.raises(fm.InputError, match=next(iter(bad))):
        fm.nn.FactoredModel(MODELS["product"], **bad)
    with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
        fm.nn.FactoredModel(None)


def test_the_short_backward_pass_agrees_with_the_differentiable_one_and_with_batches():
    problem = fm.families.phase_retrieval.sample(5, 1, 20).problem
    model = fm.nn.FactoredModel(problem, rank=3)
    outputs, parameters = model(), list(model.parameters())
    cotangents = torch.randn(4, len(outputs), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batched = torch.func.vmap(lambda v: torch.autograd.grad(outputs, parameters, v, retain_graph=True))(cotangents)
    for row, v in enumerate(cotangents):
        short = torch.autograd.grad(outputs, parameters, v, retain_graph=True)
        long = torch.autograd.grad(outputs, parameters, v, create_graph=True)
        for a, b, c in zip(short, long, batched, strict=True):
            torch.testing.assert_close(a, b)
            torch.testing.assert_close(a, c[row])
