"""Products with the Hessian and the Gauss-Newton matrix, compared with those of curvlinops: result, time, memory.

python -m benchmarks.nn.products          three minutes
python -m benchmarks.nn.products --quick  one minute

Networks on 512 of scikit-learn's digits, in four batches; float32, one thread. Columns:

- ``vectors``: the number of vectors in one product.
- ``theirs``: milliseconds of curvlinops.
- ``ours``: time of `flatmin.nn.Curvature` over theirs. All take turns; medians of ratios.
- ``alone``: the same without curvlinops, which otherwise multiplies blocks of larger models with the Gauss-Newton
  matrix.
- ``apart``: the relative difference of the two products.
- ``MB``: peak memory of a product, above that before it, theirs and ours.

Below: the difference of each Hessian from differences of gradients, in double precision, for layers that normalize.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import curvlinops
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.report import line, machine
from flatmin.nn import Curvature

COLUMNS = ("n", "vectors", "theirs", "ours", "alone", "apart", "MB theirs", "MB ours")
PEERS = {"hessian": curvlinops.HessianLinearOperator, "gauss_newton": curvlinops.GGNLinearOperator}
SAMPLES, BATCH = 512, 128


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def convolutional() -> nn.Module:
    first = nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
    return nn.Sequential(
        *first, nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)
    )


MODELS = {"64-16-10": small, "64-256-256-10": mlp, "convolutional": convolutional}
LAYERS = {
    "tanh": nn.Tanh(),
    "layer normalization": nn.LayerNorm(16),
    "instance normalization": nn.Sequential(nn.Unflatten(1, (4, 4)), nn.InstanceNorm1d(4, affine=True), nn.Flatten()),
    "group normalization": nn.GroupNorm(4, 16),
    "SiLU": nn.SiLU(),
}


def digits(dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor]]:
    """Return the batches."""
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X[:SAMPLES] / 16, dtype=dtype), torch.tensor(y[:SAMPLES])
    return list(zip(X.split(BATCH), y.split(BATCH), strict=True))


def operators(model: nn.Module, of: str, data: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Return the product of curvlinops, that of flatmin, and that of flatmin without curvlinops."""
    loss = nn.CrossEntropyLoss()
    alone = Curvature(model, loss, data, of=of)
    alone._peer = False
    return {
        "theirs": PEERS[of](model, loss, list(model.parameters()), data, check_deterministic=False),
        "ours": Curvature(model, loss, data, of=of),
        "alone": alone,
    }


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak(operator: Any, V: Tensor) -> float:
    """Return the memory of a product in MB, in a new process."""

    def work(pipe: Any) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        operator @ V
        pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=work, args=(there,))
    process.start()
    found: float = here.recv()
    process.join()
    return found


def row(make: Callable[[], nn.Module], of: str, vectors: int, rounds: int) -> dict[str, float]:
    """Return one line of the table."""
    torch.manual_seed(0)
    candidates = operators(make(), of, digits())
    n = candidates["theirs"].shape[0]
    V = torch.randn(n, vectors)
    products = {name: operator @ V for name, operator in candidates.items()}
    times = [{name: seconds(lambda o=o: o @ V) for name, o in candidates.items()} for _ in range(rounds)]
    ratio = {name: statistics.median(t[name] / t["theirs"] for t in times) for name in candidates}
    return {
        "n": n,
        "vectors": vectors,
        "theirs": 1000 * statistics.median(t["theirs"] for t in times),
        "ours": ratio["ours"],
        "alone": ratio["alone"],
        "apart": float((products["ours"] - products["theirs"]).norm() / products["theirs"].norm()),
        "MB theirs": peak(candidates["theirs"], V),
        "MB ours": peak(candidates["ours"], V),
    }


def errors(layer: nn.Module) -> dict[str, str]:
    """Return the difference of Hessian products from differences of gradients, or why there is none."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), layer, nn.Linear(16, 10)).double()
    parameters, data = list(model.parameters()), digits(torch.float64)
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    start = nn.utils.parameters_to_vector(parameters).detach()
    v = torch.randn_like(start)

    def slope(t: float) -> Tensor:
        nn.utils.vector_to_parameters(start + t * v, parameters)
        return nn.utils.parameters_to_vector(torch.autograd.grad(nn.functional.cross_entropy(model(x), y), parameters))

    wanted = (slope(1e-5) - slope(-1e-5)) / 2e-5
    slope(0.0)
    found = {}
    for name, operator in operators(model, "hessian", data).items():
        try:
            found[name] = f"{float((operator @ v - wanted).norm() / wanted.norm()):.0e}"
        except NotImplementedError:
            found[name] = "refused"
    return found


def main(arguments: list[str]) -> None:
    """Print both tables."""
    quick = "--quick" in arguments
    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}, curvlinops {version('curvlinops-for-pytorch')}"
    print(f"{machine()}; {versions}\n")
    line(["model", "matrix", *COLUMNS])
    print("|" + "---|" * (len(COLUMNS) + 2))
    for name, make in MODELS.items():
        for of in PEERS:
            for vectors in (1, 32) if quick else (1, 8, 32):
                found = row(make, of, vectors, 3 if quick else 9)
                line([name, of, *(f"{found[column]:.3g}" for column in COLUMNS)])
    print()
    line(["layer", "theirs, off by", "ours, off by"])
    print("|---|---|---|")
    for name, layer in LAYERS.items():
        off = errors(layer)
        line([name, off["theirs"], off["ours"]])


if __name__ == "__main__":
    main(sys.argv[1:])
