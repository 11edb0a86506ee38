"""Coverage of the 95 % intervals of traces and diagonals, and the size of their errors: 2000 trials in each setting.

python -m benchmarks.nn.coverage [closed] [networks] [accuracy] [diagonals] [adapters] [--trials N]    about an hour
python -m benchmarks.nn.coverage --quick                                                               200 trials

``closed``: the operators and models of `flatmin.testing.torch.trace_cases`, by `check_trace_estimator`. ``networks``:
Hessian and Gauss-Newton matrix of a SiLU network 64-14-12-10 (1220 parameters) with cross entropy on 400 of
scikit-learn's digits: before, in the middle of, and after training. Both are run with 60 products, and with the average
standard error of these runs as target, which is the hardest case of stopping. ``groups``: the lowest and highest
coverage of the six weights and biases. ``ok``: at least 94 % by a one-sided binomial test of level 5 %, and at most 99
%; runs without any error, in which all eigenvalues were found, do not count as too wide. XNysTrace is only for positive
semidefinite matrices.

``accuracy``: relative errors of 100 products, and the root mean square error over that of Hutchinson's estimator;
``ok`` if it is not larger, and below 1 % for the Gauss-Newton matrix of the trained network.

``diagonals``: coverage of the entries of the diagonal by Bekas's estimator and by Diag++, 60 products: the mean over
all entries, and the lowest and highest of 20 entries. ``ok``: at least 94 % for each of these, by a binomial test of
level 5 % corrected for their number.

``adapters``: coverage of the four numbers of `adapter_flatness`, from 16 and from 60 probes, for one adapter before
and after training. ``ok``: at least 94 % by the same test.

The matrix of a network is formed once, in double precision. Without groups its eigenvalues replace it: the distribution
of vectors that are uniform on a sphere does not depend on the basis.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from scipy import stats
from scipy.special import stdtrit
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.report import line, machine, mark
from flatmin.nn import Curvature, LowRankAdapter, adapter_flatness
from flatmin.nn.estimators.diagonal_entries import regressed_diagonal
from flatmin.nn.spectrum.trace import operator_trace
from flatmin.testing.torch import TraceScore, check_trace_estimator, trace_cases
from flatmin.testing.torch.trace_estimators import MAX_COVERAGE, MIN_COVERAGE

METHODS, SEMIDEFINITE = ("hutchinson", "hutch++", "xtrace"), ("hutchinson", "hutch++", "xtrace", "xnystrace")
#: Share of the products of a diagonal that finds a subspace, for each method, as `hessian_diagonal` chooses it.
DIAGONALS = {"bekas": 0.0, "diag++": 1 / 3}
#: Number of entries of a diagonal whose coverages are shown.
ENTRIES = 20
PRODUCTS, ACCURATE, SEED = 60, 100, 1_000_000
#: Number of steps of Adam.
STAGES = {"untrained": 0, "half-trained": 25, "trained": 400}


def methods(H: Tensor) -> tuple[str, ...]:
    """Return the estimators for a matrix."""
    values = torch.linalg.eigvalsh(H)
    return SEMIDEFINITE if float(values[0]) > -1e-9 * float(values[-1]) else METHODS


class Diagonal:
    """The diagonal matrix of some eigenvalues."""

    def __init__(self, eigenvalues: Tensor) -> None:
        self.eigenvalues, n = eigenvalues, len(eigenvalues)
        self.shape, self.dtype, self.device = (n, n), eigenvalues.dtype, eigenvalues.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        return self.eigenvalues[:, None] * vectors


def networks() -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
    """Return name, matrix, and the rows of each parameter."""
    torch.manual_seed(11)
    X, y = load_digits(return_X_y=True)
    chosen = torch.randperm(len(y))[:400]
    x, y = torch.from_numpy(X)[chosen] / 16, torch.from_numpy(y)[chosen]
    model = nn.Sequential(nn.Linear(64, 14), nn.SiLU(), nn.Linear(14, 12), nn.SiLU(), nn.Linear(12, 10)).double()
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), 0.01)
    names, sizes = zip(*((name, p.numel()) for name, p in model.named_parameters()), strict=True)
    blocks = dict(zip(names, torch.arange(sum(sizes)).split(sizes), strict=True))
    done = 0
    for stage, steps in STAGES.items():
        for _ in range(steps - done):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
        done = steps
        for of in ("hessian", "gauss_newton"):
            H = Curvature(model, loss, (x, y), of=of) @ torch.eye(sum(sizes), dtype=torch.float64)
            yield f"{stage}, {of.replace('_', '-')}", (H + H.mT) / 2, blocks


def kept(score: TraceScore) -> bool:
    """Return whether a coverage is consistent with at least 94 %, and at most 99 % among runs with an error."""
    covered = round(score.coverage * score.trials)
    inexact = round((1 - score.exact) * score.trials)
    enough = stats.binom.cdf(covered, score.trials, MIN_COVERAGE) > 0.05
    return bool(enough and (not inexact or 1 - (score.trials - covered) / inexact <= MAX_COVERAGE))


def row(name: str, method: str, fixed: TraceScore, stopped: TraceScore, groups: list[TraceScore]) -> None:
    covered = [s.coverage for s in groups]
    cells = [f"{fixed.relative_error:.2%}", f"{fixed.bias:+.1f}", f"{fixed.coverage:.3f}"]
    cells += [f"{min(covered):.3f}–{max(covered):.3f}"] if groups else [""]
    cells += [f"{stopped.coverage:.3f}", f"{stopped.products:.0f}"]
    line([name, method, *cells, mark(all(map(kept, (fixed, stopped, *groups))))])


def header() -> None:
    line(["setting", "method", "error", "bias / error", "coverage", "groups", "with a target", "products", "judged"])
    print("|" + "---|" * 9)


def closed(trials: int) -> None:
    """Print the table of the cases in closed form."""
    print(f"\n### Closed forms, {PRODUCTS} products, {trials} trials\n")
    header()
    for case in trace_cases():
        for method in methods(case.operator):  # type: ignore[arg-type]  # all cases are dense
            run = partial(operator_trace, method=method)
            (fixed,) = check_trace_estimator(run, [case], max_products=PRODUCTS, trials=trials, seed=SEED).scores
            some = [run(case.operator, max_products=PRODUCTS, seed=s).std_error for s in range(50)]
            if not (target := float(np.mean(some))) > 1e-9 * abs(case.trace):
                target = 0.01 * abs(case.trace)
            run = partial(run, target_std_error=target)
            (stopped,) = check_trace_estimator(run, [case], max_products=10 * PRODUCTS, trials=trials, seed=SEED).scores
            row(case.name, method, fixed, stopped, [])


def network_table(trials: int) -> None:
    """Print the table of networks."""
    print(f"\n### Networks, {PRODUCTS} products, {trials} trials\n")
    header()
    for name, H, blocks in networks():
        diagonal, eigenvalues = H.diagonal(), Diagonal(torch.linalg.eigvalsh(H))
        for method in methods(H):
            run = partial(operator_trace, method=method)
            found = [run(H, max_products=PRODUCTS, seed=SEED + t, blocks=blocks) for t in range(trials)]
            score = partial(TraceScore.from_results, counted=[r.n_products for r in found], level=0.05)
            groups = [score(k, diagonal[b].sum().item(), [r.groups[k] for r in found]) for k, b in blocks.items()]
            target = float(np.mean([r.std_error for r in found]))
            ends = [run(eigenvalues, target_std_error=target, seed=SEED + t) for t in range(trials)]
            trace = diagonal.sum().item()
            stopped = TraceScore.from_results(name, trace, ends, [r.n_products for r in ends], 0.05)
            row(name, method, score(name, trace, found), stopped, groups)


def accuracy(trials: int) -> None:
    """Print the errors of the estimators."""
    print(f"\n### Accuracy of networks, {ACCURATE} products, {trials} trials\n")
    line(["setting", "method", "median error", "90 %", "root mean square", "over Hutchinson's", "judged"])
    print("|" + "---|" * 7)
    for name, H, _ in networks():
        trace, eigenvalues, base = H.trace().item(), Diagonal(torch.linalg.eigvalsh(H)), None
        for method in (*methods(H), "auto"):
            run = partial(operator_trace, eigenvalues, method=method, max_products=ACCURATE)
            errors = np.abs([run(seed=SEED + t).value / trace - 1 for t in range(trials)])
            rms = float(np.sqrt((errors**2).mean()))
            base = base or rms
            shown = [f"{e:.2%}" for e in (np.median(errors), np.quantile(errors, 0.9), rms)]
            wanted = 0.01 if name == "trained, gauss-newton" and method != "hutchinson" else np.inf
            # The ratio of two errors has the relative deviation 1/√trials, as for normal errors.
            good = rms < wanted and rms <= base * (1 + 2.5 / trials**0.5)
            line([name, method, *shown, f"{rms / base:.2f}", mark(good)])


def diagonals(trials: int) -> None:
    """Print how often the intervals of diagonal entries cover."""
    print(f"\n### Diagonals of networks, {PRODUCTS} products, {trials} trials\n")
    line(["setting", "method", "median error", "coverage", "least", "largest", "judged"])
    print("|" + "---|" * 7)
    for name, H, _ in networks():
        truth = H.diagonal()
        shown = torch.linspace(0, len(truth) - 1, ENTRIES).long()
        for method, share in DIAGONALS.items():
            covered, errors = torch.zeros_like(truth), []
            for t in range(trials):
                generator = torch.Generator().manual_seed(SEED + t)
                found = regressed_diagonal(H, PRODUCTS, int(share * PRODUCTS), generator)
                difference = (found.values - truth).abs()
                covered += difference <= float(stdtrit(found.freedom, 0.975)) * found.std_errors
                errors.append(float(difference.norm() / truth.norm()))
            counts = covered[shown].tolist()
            enough = all(stats.binom.cdf(c, trials, MIN_COVERAGE) > 0.05 / ENTRIES for c in counts)
            cells = [float(covered.mean()) / trials, min(counts) / trials, max(counts) / trials]
            line([name, method, f"{np.median(errors):.1%}", *(f"{c:.3f}" for c in cells), mark(enough)])


def adapters(trials: int) -> None:
    """Print how often the intervals of the flatness of an adapter cover."""
    print(f"\n### Adapters, {trials} trials\n")
    fields = ("trace", "weight_trace", "fibre_minimum", "excess")
    line(["setting", "probes", *(field.replace("_", " ") for field in fields), "judged"])
    print("|" + "---|" * (len(fields) + 3))
    torch.manual_seed(2)
    x = torch.randn(64, 8, dtype=torch.float64)
    y = (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long()
    layers = nn.Linear(8, 12), nn.Tanh(), LowRankAdapter(nn.Linear(12, 10), rank=3), nn.Tanh(), nn.Linear(10, 3)
    model, loss = nn.Sequential(*layers).double(), nn.CrossEntropyLoss()
    nn.init.normal_(layers[2].B, std=0.3)
    optimizer = torch.optim.Adam(layers[2].parameters(), 0.01)
    for stage, steps in {"untrained": 0, "trained": 300}.items():
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
        exact = adapter_flatness(model, loss, (x, y), method="exact", ranks=False)
        for probes in (16, PRODUCTS):
            settings = {"method": "hutchinson", "max_products": probes, "ranks": False}
            found = [adapter_flatness(model, loss, (x, y), seed=SEED + t, **settings) for t in range(trials)]
            covered = [sum(getattr(f, key).covers(getattr(exact, key).value) for f in found) for key in fields]
            enough = all(stats.binom.cdf(c, trials, MIN_COVERAGE) > 0.05 for c in covered)
            line([stage, str(probes), *(f"{c / trials:.3f}" for c in covered), mark(enough)])


TABLES = {
    "closed": closed,
    "networks": network_table,
    "accuracy": accuracy,
    "diagonals": diagonals,
    "adapters": adapters,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.tables) - set(TABLES):
        parser.error(f"there is no table {', '.join(unknown)}, expected some of {', '.join(TABLES)}")
    torch.set_num_threads(1)
    print(machine())
    for name in asked.tables or TABLES:
        TABLES[name](200 if asked.quick else asked.trials)


if __name__ == "__main__":
    main()
