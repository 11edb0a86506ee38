"""The plan of the benchmarks: which competitors run on which problem, and what is required, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.runs import KERNELS, Run
from benchmarks.wishes import CERTIFIED, DENSE, HONEST, UNIQUE, Wish, error, gap, memory, seconds

#: Competitors that ``--quick`` omits.
SLOW = ("clarabel", "tensorly", "spark-als", "Iterative", "softimpute-als")
#: MiB of a row, a column and a value as users hand them over: int64, int64, float64.
TRIPLE = 24 / 2**20


@dataclass(frozen=True)
class Case:
    """A problem, or several draws of one, and its solvers.

    ``others`` maps patterns of competitors to how many times slower than flatmin each should be at least (None: no
    requirement). ``measure`` is the field of a judgement that ratios use. ``beside`` names other runs of flatmin, whose
    time over that of this run is a number of the judgement.
    """

    name: str
    family: str
    benchmark: str
    data: str
    options: Mapping[str, Any] = field(default_factory=dict)
    wishes: tuple[Wish, ...] = (CERTIFIED,)
    others: Mapping[str, float | None] = field(default_factory=dict)
    ours: str = "flatmin"
    draws: int = 1
    repeats: int = 3
    threads: int = 1
    limit: float = 120.0
    measure: str = "seconds"
    beside: Mapping[str, Run] = field(default_factory=dict)
    headline: bool = False

    @property
    def is_to_target(self) -> bool:
        """Whether an accuracy is required; for a sweep none is."""
        return self.measure != "seconds a sweep"

    @property
    def dataset(self) -> str:
        """The pattern of all draws."""
        seeds = list(range(self.draws))
        parts = [f"{name}={value!r}" for name, value in {**self.options, "seed": seeds}.items()]
        return f"{self.data}[{','.join(parts)}]"

    def run(self, solver: str) -> Run:
        repeats = 1 if self.draws > 1 else self.repeats
        return Run(self.benchmark, self.dataset, solver, repeats, self.threads, self.limit)

    def runs(self, quick: bool = False) -> dict[str, Run]:
        """Return the run of flatmin and those of the others, by pattern."""
        names = [name for name in self.others if not (quick and name.startswith(SLOW))]
        return {name: self.run(name) for name in (self.ours, *names)}


def oversampled(d1: int, d2: int, rank: int, ratio: float) -> dict[str, Any]:
    return {"d1": d1, "d2": d2, "rank": rank, "m": round(ratio * rank * (d1 + d2 - rank))}


def completion_cases() -> list[Case]:
    """Return exact completion, compared with convex programmes and with methods that are given the rank."""
    family, cases = "completion", []
    no_ratio = {"pymanopt": None, "softimpute-als": None, "flatmin-reweighted": None}
    options = oversampled(60, 50, 2, 4)
    small = {"scs": None, "clarabel": None, **no_ratio}
    cases.append(Case("60×50, rank 2, oversampling 4", family, "completion", "gaussian", options, (CERTIFIED,), small))
    for ratio, least in ((4, 20.0), (2, 4.0)):
        others = {"scs": least, **no_ratio}
        wishes = (CERTIFIED, gap(1e-7))
        name, options = f"200×150, rank 3, oversampling {ratio}", oversampled(200, 150, 3, ratio)
        cases.append(
            Case(name, family, "completion", "gaussian", options, wishes, others, "flatmin[tol=1e-7]", headline=True)
        )
    for name, d, m, rank, most in (
        ("1000×1000, rank 10, 100k entries", 1000, 100_000, 10, 0.3),
        ("10k×10k, rank 10, 1M entries", 10_000, 1_000_000, 10, 5.0),
    ):
        options = {"d1": d, "d2": d, "rank": rank, "m": m}
        wishes, others = (CERTIFIED, seconds(most), gap(1e-9)), {"pymanopt": None}
        cases.append(Case(name, family, "completion", "gaussian", options, wishes, others, headline=True, limit=180))
    for d, ratio, most in ((1000, 5, 1), (5000, 7, 5)):
        name, wishes = f"{d}×{d}, rank 5, oversampling {ratio}", (CERTIFIED, seconds(most))
        cases.append(Case(name, family, "completion", "gaussian", oversampled(d, d, 5, ratio), wishes))
    options, name = oversampled(300, 300, 5, 2), "300×300, rank 5, oversampling 2"
    wishes = (error(1e-8), seconds(1))
    return [
        *cases,
        Case(name, "completion", "completion", "gaussian", options, wishes, {}, "flatmin-reweighted", draws=20),
    ]


def yardstick_cases() -> list[Case]:
    """Return the yardstick of MatrixIRLS: 1000×1000, rank 5, ill-conditioned."""
    cases = []
    for condition in (10.0, 1e5):
        for ratio in (2.0, 2.5, 3.0, 4.0):
            name = f"condition {condition:g}, oversampling {ratio:g}"
            options = {"condition": condition, "oversampling": ratio, "dimension": 1000}
            others = {"flatmin-reweighted": None, **({"pymanopt": None} if ratio in (2.0, 4.0) else {})}
            more = {"repeats": 1, "limit": 300}
            cases.append(
                Case(
                    name,
                    "yardstick",
                    "completion",
                    "yardstick",
                    options,
                    (CERTIFIED,),
                    others,
                    "flatmin[tol=1e-7]",
                    **more,
                )
            )
        options = {"condition": condition, "oversampling": 2.0, "dimension": 1000}
        name, wishes = f"condition {condition:g}, oversampling 2, reweighted", (error(1e-3), seconds(5))
        ours = "flatmin-reweighted"
        cases.append(Case(name, "yardstick", "completion", "yardstick", options, wishes, {}, ours, draws=20, limit=300))
    return cases


def penalised_cases() -> list[Case]:
    """Return sweeps of alternating least squares for one objective, and penalised optima with their gap."""
    sweeps = "flatmin-sweeps"
    everyone = {"cmfrec[method=cholesky]": 5.0, "cmfrec[method=cg]": 2.0}
    alone = {"softimpute-als": None, "spark-als": None}
    cases = []
    for name, options, others, headline in (
        (
            "1000×1000, 100k entries, k 5",
            (1000, 100_000, 5),
            {**everyone, "implicit[method=cholesky]": None, **alone},
            False,
        ),
        ("10k×10k, 5M entries, k 30", (10_000, 5_000_000, 30), {**everyone, "implicit[method=cg]": None}, True),
    ):
        d, m, k = options
        data = {"d": d, "m": m, "k": k, "reg": 0.1}
        more = {"measure": "seconds a sweep", "headline": headline, "limit": 240.0, "ours": sweeps}
        most = 3 * m * TRIPLE + 2 * d * k * 8 / 2**20  # with the triples themselves four times as much, and factors
        wishes = (memory(round(most)),)
        cases.append(alone := Case(name, "sweeps", "penalised", "noisy", data, wishes, others, **more))
    data = {"d": 10_000, "m": 5_000_000, "k": 30, "reg": 0.1}
    more = {"measure": "seconds a sweep", "limit": 240.0, "ours": sweeps, "threads": 2}
    more["beside"] = {"speed-up": alone.run(sweeps)}
    name = "10k×10k, 5M entries, k 30, two threads"
    wishes = (Wish("speed-up", "≥", 1.8),)
    cases.append(Case(name, "sweeps", "penalised", "noisy", data, wishes, everyone, headline=True, **more))
    fixed = {"cmfrec[method=cholesky]": None, "cmfrec[method=cg]": None, "spark-als": None}
    for reg, wishes, headline, others in (
        (0.13, (CERTIFIED, seconds(5), gap(1e-6)), True, fixed),
        (0.08, (CERTIFIED,), False, {}),
    ):
        more = {"limit": 400.0, "repeats": 1, "headline": headline}
        name = f"MovieLens-100k, strength {reg}"
        data = {"reg": reg, "k": 80}
        cases.append(Case(name, "penalised", "penalised", "movielens", data, wishes, others, **more))
    return cases


def robust_cases() -> list[Case]:
    """Return tables with gross errors; ratios use the time to 1e-7, and the proof may take twice that time."""
    cases = []
    soon, room = Wish("seconds / seconds to fit", "≤", 3), memory(53)  # MiB: seven more copies of 1000×1000
    as_full = Wish("speed beside the full table", "≥", 0.667)
    for d, rank, missing, wishes, others in (
        (100, 3, 0.0, (CERTIFIED, gap(1e-9)), {"pyrpca": None, "tensorly": None, "scs": None}),
        (500, 10, 0.0, (CERTIFIED, seconds(1), gap(1e-9)), {"pyrpca": None}),
        (1000, 10, 0.0, (CERTIFIED, gap(1e-9), soon, room), {"pyrpca": 80.0, "tensorly": 300.0}),
        (1000, 30, 0.0, (CERTIFIED, gap(1e-6), room), {"pyrpca": None}),
        (1000, 10, 0.2, (CERTIFIED, gap(1e-9), room, as_full), {}),
    ):
        name = f"{d}×{d}, rank {rank}, 10% gross errors" + (f", {missing:.0%} missing" if missing else "")
        options = {"d1": d, "d2": d, "rank": rank, "missing": missing}
        more = {"measure": "seconds to fit", "headline": d == 1000 and rank == 10 and not missing, "limit": 300.0}
        if missing:
            (full,) = (case for case in cases if case.options == {**options, "missing": 0.0})
            more["beside"] = {as_full.name: full.run("flatmin")}
        cases.append(Case(name, "robust PCA", "robust_pca", "gross", options, wishes, others, **more))
    return cases


def dense_cases() -> list[Case]:
    """Return models ``X = L Rᵀ`` and ``X = U Uᵀ`` with dense measurements."""
    cases = []
    for kind in ("sensing", "bilinear"):
        for m, others in ((880, {"scs": 50.0, "clarabel": 300.0}), (330, {"scs": 4.0})):
            name, options = f"{kind} 60×50, rank 2, m {m}", {"d1": 60, "d2": 50, "rank": 2, "m": m}
            headline = kind == "sensing" and m == 880
            cases.append(
                Case(
                    name, "dense", "dense", kind, options, (CERTIFIED,), others, "flatmin[tol=1e-7]", headline=headline
                )
            )
    for m, most in ((3000, 3), (1200, 15)):
        name, options = f"sensing 100×100, rank 3, m {m}", {"d1": 100, "d2": 100, "rank": 3, "m": m}
        cases.append(Case(name, "dense", "dense", "sensing", options, (CERTIFIED, seconds(most)), {}))
    wishes = (UNIQUE, Wish("rank", "=", 5), seconds(1), error(1e-10))
    options = {"d": 200, "rank": 5, "m": 3000}
    cases.append(Case("covariance d 200, rank 5, m 3dr", "dense", "dense", "covariance", options, wishes))
    for m, where in ((600, "above"), (120, "below")):
        name, wishes = f"gram d 50, rank 2, m {m} ({where})", (CERTIFIED, seconds(0.5), gap(1e-12))
        ours, options = "flatmin[tol=1e-12]", {"d": 50, "rank": 2, "m": m}
        cases.append(Case(name, "dense", "dense", "gram", options, wishes, {"scs": None}, ours))
    for m, most, precision in ((600, 0.6, ()), (225, 3.0, (gap(1e-9),))):
        wishes, options = (CERTIFIED, seconds(most), *precision), {"d": 50, "m": m}
        cases.append(Case(f"network d 50 (2,1), m {m}", "dense", "dense", "network", options, wishes, {"scs": None}))
    return cases


def phase_cases() -> list[Case]:
    """Return signals from intensities; all fits are equally flat there, and uniqueness needs a proof."""
    family, flows = "phase retrieval", {"amplitude-flow": None, "wirtinger-flow": None}
    cases = []
    for real, word, most in ((True, "real", 0.5), (False, "complex", 1.5)):
        wishes, options = (CERTIFIED, seconds(most), error(1e-12)), {"d": 400, "m": 1600, "real": real}
        more = {"ours": "flatmin[tol=1e-12]"}
        cases.append(Case(f"{word}, d 400, m 4d", family, "dense", "phase", options, wishes, flows, **more))
    certified, open_or_shown = (UNIQUE, DENSE, seconds(0.6), error(1e-12)), (CERTIFIED, HONEST)
    for real, word, ratio, wishes in (
        (True, "real", 3, certified),
        (False, "complex", 5, certified),
        (True, "real", 2, open_or_shown),
        (False, "complex", 3, open_or_shown),
    ):
        options = {"d": 100, "m": 100 * ratio, "real": real}
        cases.append(Case(f"{word}, d 100, m {ratio}d", family, "dense", "phase", options, wishes, draws=5))
    margin, likely = Wish("margin", "≥", 0.08), (Wish("margin", "≥", 0.07), Wish("margin kind", "=", "probabilistic"))
    fit = Wish("seconds to fit", "≤", 1.5)
    for side, masks, wishes, others in (
        (256, 8, (fit, error(1e-10), *likely), flows),
        (256, 6, (CERTIFIED, error(1e-10)), {}),
        (64, 8, (UNIQUE, margin, seconds(6), error(1e-10)), {}),
    ):
        name, options = f"diffraction {side}×{side}, {masks} masks", {"side": side, "masks": masks}
        more = {"ours": "flatmin[tol=1e-10]"}
        cases.append(Case(name, family, "dense", "diffraction", options, wishes, others, **more))
    return cases


def table_cases() -> list[Case]:
    """Return real tables with holes; the error is in standard deviations of the column."""
    cases, others = [], {"KNN": None, "KNN[scaled=True]": None, "Iterative[scaled=True]": None, "means": None}
    for name in ("wine", "diabetes", "breast-cancer"):
        for share in (0.1, 0.5):
            wishes = (Wish("better than means", "=", True),)
            options = {"table": name, "holes": share}
            title = f"{name}, {share:.0%} holes"
            cases.append(Case(title, "tables", "tables", "sklearn", options, wishes, others, draws=3))
    return cases


CASES = (
    *completion_cases(),
    *yardstick_cases(),
    *penalised_cases(),
    *robust_cases(),
    *dense_cases(),
    *phase_cases(),
    *table_cases(),
)
#: Programs that print their own tables: loops against the machine, and a solve of 20 million cells.
PRINTED = (
    Run(KERNELS, "", "flatmin", repeats=1, threads=2, limit=600),
    Run(KERNELS, "--large", "flatmin", repeats=1, threads=2, limit=1200),
)
FAMILIES = tuple(dict.fromkeys(case.family for case in CASES))
