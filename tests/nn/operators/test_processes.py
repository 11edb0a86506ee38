"""Two real processes with shares of the data give the answer of one process with all of it."""

import time

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import flatmin as fm
from flatmin.nn import Curvature, hessian_trace
from flatmin.nn.operators.processes import ProcessGroup
from tests.nn.networks import classes, conv, inputs, mlp, values

SETTINGS = {
    "exact": {"method": "exact", "groups": "parameter"},
    "one by one": {"method": "exact", "of": "gauss_newton", "groups": "module"},
    "hutch++": {"method": "hutch++", "max_products": 30},
    "until": {"method": "hutchinson", "target_std_error": 1.5, "of": "gauss_newton"},
    "auto": {"max_products": 36, "groups": "parameter"},
}


def shares(rank):
    """Return the data of one process of two, of different sizes; None: all of it."""
    x, y = inputs(), classes()
    cut = {None: slice(0, 17), 0: slice(0, 6), 1: slice(6, 17)}[rank]
    return list(zip(x[cut].split(4), y[cut].split(4), strict=True))


def trace(setting, rank=None, model=None):
    return hessian_trace(
        model or mlp(), nn.CrossEntropyLoss(), shares(rank), distributed=rank is not None, **SETTINGS[setting]
    )


def others(rank=None):
    """Return what else is measured: eigenvalues, their spread, diagonals, activations, and what rescaling shows."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    task = model, nn.CrossEntropyLoss(), shares(rank)
    shared = {"distributed": rank is not None}
    shown = fm.nn.rescaling(*task, alphas=[1, 3], **shared)
    diagonal = fm.nn.hessian_diagonal(*task, method="bekas", max_products=12, **shared)
    inside = [fm.nn.activation_trace(*task, layer="0", method=m, **shared) for m in ("exact", "hutchinson")]
    return {
        "bounds": [getattr(fm.nn.largest_eigenvalue(*task, **shared), end) for end in ("lower", "upper")],
        "diagonal": diagonal.values["2.weight"].flatten().tolist(),
        "activations": [number for each in inside for number in (each.value, *each.interval)],
        "moments": fm.nn.spectral_density(*task, probes=3, steps=8, **shared).moments.tolist(),
        "relative": shown.values("relative"),
        "trace": shown.values("trace"),
        "change": [point.function_change < 1e-14 for point in shown.points],
    }


def work(rank, folder):
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found = {name: trace(name, rank) for name in SETTINGS}
    found["wrapped"] = trace("exact", rank, DistributedDataParallel(mlp()))
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 9.0]).double())
    C = Curvature(mlp(), weighted, shares(rank), distributed=dist.group.WORLD)
    found["weighted"] = C @ torch.eye(C.shape[0]).double()
    none = Curvature(mlp(), nn.CrossEntropyLoss(), shares(None) if rank else [], distributed=True)
    found["one has no data"] = none @ torch.eye(C.shape[0]).double()
    dataset = TensorDataset(inputs(16), values(16))
    loader = DataLoader(dataset, 3, sampler=DistributedSampler(dataset, 2, rank))
    found["sampler"] = hessian_trace(conv(), nn.MSELoss(), loader, method="exact", distributed=True).value
    found["others"] = others(rank)
    found["errors"] = errors(rank)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def errors(rank):
    """Return the errors of each process if only one of them fails."""
    messages = []
    bad = inputs(3) * (torch.nan if rank else 1.0)
    refused = 3 if rank else (bad, classes(3))
    cases = (mlp(), (bad, classes(3))), (mlp() if rank else conv(), shares(rank)), (mlp(), []), (mlp(), refused)
    for model, data in cases:
        with pytest.raises(fm.InputError) as caught:
            hessian_trace(model, nn.CrossEntropyLoss(), data, method="exact", distributed=True)
        messages.append(str(caught.value))
    return messages


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    context = torch.multiprocessing.get_context("spawn")
    started = [context.Process(target=work, args=(rank, str(folder))) for rank in range(2)]
    for process in started:
        process.start()
    limit = time.monotonic() + 120
    for process in started:
        process.join(max(0, limit - time.monotonic()))
    failed = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert failed == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.slow
def test_other_measures_of_two_processes_are_those_of_one(found):
    alone = others()
    for each in found:
        for key, value in alone.items():
            assert each["others"][key] == pytest.approx(value, rel=1e-9), key


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_are_one(found, setting):
    alone = trace(setting)
    for both in (found[0][setting], found[1][setting]):
        assert (both.method, both.n_products) == (alone.method, alone.n_products)
        assert both.value == pytest.approx(alone.value, rel=1e-12)
        assert both.std_error == pytest.approx(alone.std_error, rel=1e-9)
        for name in alone.groups or ():
            assert both.groups[name].value == pytest.approx(alone.groups[name].value, rel=1e-9, abs=1e-12)
    local = hessian_trace(mlp(), nn.CrossEntropyLoss(), shares(0), **SETTINGS[setting])
    assert local.value != pytest.approx(alone.value, rel=1e-3)


@pytest.mark.slow
def test_wrapped_models_weights_and_samplers(found):
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 9.0]).double())
    C = Curvature(mlp(), loss, (inputs(), classes()))
    weighted = C @ torch.eye(C.shape[0]).double()
    plain = Curvature(mlp(), nn.CrossEntropyLoss(), (inputs(), classes())) @ torch.eye(C.shape[0]).double()
    alone = hessian_trace(conv(), nn.MSELoss(), (inputs(16), values(16)), method="exact").value
    for rank in range(2):
        assert found[rank]["wrapped"].value == pytest.approx(trace("exact").value, rel=1e-12)
        assert torch.allclose(found[rank]["weighted"], weighted, rtol=0, atol=1e-14)
        assert torch.allclose(found[rank]["one has no data"], plain, rtol=0, atol=1e-14)
        assert found[rank]["sampler"] == pytest.approx(alone, rel=1e-12)


@pytest.mark.slow
def test_a_failure_reaches_every_process(found):
    first, second = (both["errors"] for both in found)
    assert "1 of 2 processes failed" in first[0]
    assert "batch 0: the loss is nan" in second[0]
    assert first[1] == second[1] == "the processes hold different weights, expected copies of one model"
    assert "1 of 2 processes failed" in first[3]
    assert "data is a int" in second[3]
    assert first[2] == second[2] == "data holds no samples, expected at least one"


def test_without_a_process_group():
    with pytest.raises(fm.InputError, match="init_process_group"):
        ProcessGroup(True, torch.device("cpu"))
