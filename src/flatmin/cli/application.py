"""The commands of ``flatmin`` with their arguments and options, each with one line of help."""

import shlex
from copy import copy
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from flatmin import families
from flatmin._version import __version__
from flatmin.cli.data_verbs import impute, rate, separate
from flatmin.cli.option_types import Json, Quiet, Seed, number, output, strength, text, whole_number

__all__ = ["app", "command"]


app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Fill tables, and recover low-rank matrices as certified flat minima.",
)

FamilyName = Annotated[str, typer.Argument(metavar="FAMILY", help=f"The model: {', '.join(families.names())}.")]
Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="The problem: an .npz file with the family's keys. matrix-completion and robust-pca also read .csv (cells "
        "that are empty or say NaN, NA, N/A or null are missing), .npy (NaN), .mtx, images (transparent pixels), and "
        "folders of images: the frames of a video, in grey.",
    ),
]
SolutionPath = Annotated[
    Path,
    typer.Argument(
        metavar="SOLUTION.npz", help="Factors, or a matrix or signal, from any program; dual vectors are optional."
    ),
]
Shape = Annotated[str | None, text("--shape", "D1,D2", "matrix-sensing: shape of the unknown, where A is (m, D1·D2).")]
Mask = Annotated[
    Path | None,
    text(
        "--mask", "IMAGE", "For images: white pixels of IMAGE are observed, black ones missing; same size as the input."
    ),
]
Weight = Annotated[
    float | None, number("--weight", "W", "robust-pca: weight of the gross errors ‖S‖₁ against the nuclear norm.")
]
Tau = Annotated[float | None, number("--tau", "T", "robust-pca: limit on the gross errors ‖S‖₁, instead of --weight.")]
Alpha = Annotated[
    float | None, number("--alpha", "X", "The penalty that the solution is judged with. Default: 0, an exact fit.")
]
MetricPower = Annotated[float | None, number("--metric-power", "P", "From 0 (nuclear norm) to 1, the default.")]
AsClaimed = Annotated[
    bool, typer.Option("--as-claimed", help="Judge the objective that the file states, instead of these four.")
]


def command(arguments: list[str]) -> Any:
    """Return the application as a command that keeps the line that was typed, for its report."""
    found = copy(_application())
    found.context_settings = {**found.context_settings, "obj": shlex.join(["flatmin", *arguments])}
    return found


@cache
def _application() -> Any:
    return typer.main.get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"flatmin {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Fill tables, and recover low-rank matrices as certified flat minima."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command()(impute)
app.command()(rate)
app.command()(separate)


@app.command()
def recover(
    context: typer.Context,
    family: FamilyName,
    input: Input,
    output: Annotated[
        Path | None,
        output("DIR", "Directory of results, which replaces an earlier one. Default: INPUT-flat."),
    ] = None,
    alpha: Annotated[
        Any,
        typer.Option(
            "--alpha",
            parser=strength,
            metavar="X|auto",
            help="Strength of the penalty: 0 fits the data exactly, auto suits noise of unknown level.",
        ),
    ] = 0.0,
    metric_power: Annotated[float, number("--metric-power", "P", "From 0 (nuclear norm) to 1 (flat).")] = 1.0,
    max_rank: Annotated[int | None, whole_number("--max-rank", "K", "The largest rank allowed.")] = None,
    tol: Annotated[float, number("--tol", "E", "Target for the relative residual and gap.")] = 1e-8,
    max_iter: Annotated[int | None, whole_number("--max-iter", "N", "Largest number of iterations.")] = None,
    time_limit: Annotated[
        float | None, number("--time-limit", "S", "Seconds after which the best solution so far is returned.")
    ] = None,
    seed: Seed = 0,
    solver: Annotated[
        str | None, text("--solver", "NAME", "The solver to use. Default: chosen by the model and alpha.")
    ] = None,
    mask: Mask = None,
    shape: Shape = None,
    weight: Weight = None,
    tau: Tau = None,
    reweight: Annotated[
        bool, typer.Option("--reweight", help="Also look for a solution of lower rank by reweighting; it is not flat.")
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Also prove theorems in exact arithmetic: proof.json and instance.npz.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Find the flattest solution of a problem, certify it, and write a report.

    Exit status: 0 certified, 1 not certified (results are still written), 2 bad input, 130 interrupted.
    """
    from flatmin.cli.commands.recover import Request, run
    from flatmin.cli.options import ProblemFile

    settings = {
        "alpha": alpha,
        "metric_power": metric_power,
        "max_rank": max_rank,
        "tol": tol,
        "max_iter": max_iter,
        "time_limit": time_limit,
        "seed": seed,
        "solver": solver,
    }
    problem = ProblemFile(family, input, mask, shape, {"weight": weight, "tau": tau})
    return run(Request(problem, output, settings, reweight, prove, json, quiet, str(context.find_root().obj)))


@app.command()
def generate(
    family: FamilyName,
    out: Annotated[Path, typer.Argument(metavar="OUT.npz", help="The file to write; it also contains the truth.")],
    shape: Annotated[str | None, text("--shape", "D1,D2", "Rows and columns of the unknown.")] = None,
    dimension: Annotated[
        int | None, whole_number("--dimension", "D", "Rows and columns of a square unknown, or the length of a signal.")
    ] = None,
    rank: Annotated[
        str | None, text("--rank", "R", "Rank of the truth; quadratic-network: also R1,R2 by sign.")
    ] = None,
    measurements: Annotated[
        int | None,
        whole_number(
            "--measurements",
            "M",
            "Number of measurements. Default: a few times the degrees of freedom; robust-pca: all cells.",
        ),
    ] = None,
    noise: Annotated[
        float, number("--noise", "S", "Standard deviation of the noise over the root mean square of the clean data.")
    ] = 0.0,
    seed: Seed = 0,
    corruption: Annotated[float | None, number("--corruption", "P", "robust-pca: share of gross errors.")] = None,
    real: Annotated[bool, typer.Option("--real", help="phase-retrieval: a real signal and real vectors.")] = False,
    image: Annotated[
        Path | None, text("--image", "FILE", "phase-retrieval: diffraction patterns of this image, in grey.")
    ] = None,
    masks: Annotated[int | None, whole_number("--masks", "Q", "Number of patterns. Default: 8.")] = None,
) -> int:
    """Draw a random problem whose solution is known; with the default sizes it is recovered and certified."""
    from flatmin.cli.commands.generate import Request, run

    return run(
        Request(
            family,
            out,
            shape=shape,
            dimension=dimension,
            rank=rank,
            measurements=measurements,
            image=image,
            masks=masks,
            noise=noise,
            seed=seed,
            extras={"corruption": corruption, "real": real},
        )
    )


def _list_competitors(wanted: bool) -> None:
    if wanted:
        from flatmin.cli.commands.race import print_competitors

        print_competitors()
        raise typer.Exit()


@app.command()
def race(
    context: typer.Context,
    family: FamilyName,
    input: Input,
    output: Annotated[
        Path | None,
        output("DIR", "Directory of results, which replaces an earlier one. Default: INPUT-race."),
    ] = None,
    competitors: Annotated[
        str | None, text("--competitors", "A,B,…", "Names with commas between them. Default: all.")
    ] = None,
    budget: Annotated[int | None, whole_number("--budget", "N", "Gradients that each run may spend.")] = None,
    seeds: Annotated[int, whole_number("--seeds", "K", "Runs of each competitor.")] = 5,
    trials: Annotated[int, whole_number("--trials", "N", "Number of step sizes to try for each competitor.")] = 6,
    jobs: Annotated[int | None, whole_number("--jobs", "N", "Processes. Default: one for each core.")] = None,
    seed: Annotated[int, whole_number("--seed", "N", "The first of the seeds.")] = 0,
    mask: Mask = None,
    shape: Shape = None,
    weight: Weight = None,
    tau: Tau = None,
    json: Json = False,
    quiet: Quiet = False,
    list_: Annotated[
        bool, typer.Option("--list", callback=_list_competitors, is_eager=True, help="Print the competitors and stop.")
    ] = False,
) -> int:
    """Train by many algorithms, and measure how much less flat than the certified flattest solution each one ends.

    The same command continues an interrupted race. With more seeds or competitors it adds only their runs.

    Exit status: 0 the flattest value is certified, 1 it is not (results are still written), 2 bad input,
    130 interrupted.
    """
    from flatmin.cli.commands.race import Request, run
    from flatmin.cli.options import ProblemFile

    settings = {"budget": budget, "seeds": seeds, "trials": trials, "jobs": jobs, "seed": seed}
    problem = ProblemFile(family, input, mask, shape, {"weight": weight, "tau": tau})
    return run(Request(problem, output, competitors, settings, json, quiet, str(context.find_root().obj)))


Stores = Annotated[
    Path,
    typer.Argument(metavar="DIR_OR_STORE", help="A store that flatmin sweep has written, or a directory of them."),
]
PageFile = Annotated[
    Path | None,
    text("--report", "FILE.html", "A page to write: claims with verdicts, figures with their data, settings."),
]
Figures = Annotated[Path | None, text("--figures", "DIR", "A directory for every figure as PNG and as SVG.")]


@app.command()
def sweep(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="An experiment (--list), or a .toml file that changes one.")
    ] = None,
    store: Annotated[
        Path | None, text("--store", "FILE", "The file that keeps every finished trial; it is created if needed.")
    ] = None,
    jobs: Annotated[
        int | None, whole_number("--jobs", "N", "Processes. Default: one for each core; with --quick only one.")
    ] = None,
    dask: Annotated[
        str | None, text("--dask", "ADDRESS", "Compute on the Dask cluster with this scheduler instead.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Use a smaller grid with fewer repetitions.")] = False,
    export: Annotated[
        Path | None, text("--export", "OUT", "A table to write, .csv or .parquet, with one row for each trial.")
    ] = None,
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="Run at most a third of the trials: those that say most about the boundary."),
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed trials again.")] = False,
    report: PageFile = None,
    figures: Figures = None,
    quiet: Quiet = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the experiments, or what RECIPE claims, and stop.")
    ] = False,
) -> int:
    """Run an experiment over a grid. Finished trials are kept, and the same command continues after an interruption.

    Exit status: 0 all trials are done, 1 some failed (each is kept with its reason), 2 bad input, 130 interrupted.
    """
    from flatmin.cli.commands.sweep import Request, print_recipes, run
    from flatmin.errors import InputError

    if list_:
        print_recipes(recipe)
        return 0
    if recipe is None:
        raise InputError("Missing argument 'RECIPE', expected an experiment; flatmin sweep --list prints them")
    if store is None:
        raise InputError("Missing option '--store', expected the file where every finished trial is kept")
    command = str(context.find_root().obj)
    return run(Request(recipe, store, jobs, dask, export, quick, adaptive, retry, quiet, report, figures, command))


@app.command()
def report(
    context: typer.Context,
    place: Stores,
    output: Annotated[
        Path | None,
        output(
            "FILE.html",
            "The page. Default: the name of the store or directory + '-report.html', here; a former one is replaced.",
        ),
    ] = None,
    figures: Figures = None,
    quiet: Quiet = False,
) -> int:
    """Judge the claims of experiments by the results in stores, and write one page with figures and their data.

    Stores are only read, so sweeps may be running or unfinished.

    Exit status: 0 the page is written, whatever the verdicts, 2 bad input, 130 interrupted.
    """
    from flatmin.cli.commands.report import Request, run

    return run(Request(place, output, figures, quiet, str(context.find_root().obj)))


@app.command()
def proofs(
    place: Stores,
    output: Annotated[
        Path | None,
        output("DIR", "Directory for all proofs with their checker, which replaces an earlier one."),
    ] = None,
    jobs: Annotated[int | None, whole_number("--jobs", "N", "Processes. Default: one for each core.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check all proofs that the trials of sweeps kept, each in a new interpreter with the standard library alone.

    Exit status: 0 if all proofs hold, 1 if one is refused, 2 for bad input, also if there is no proof,
    130 interrupted.
    """
    from flatmin.cli.commands.proofs import Request, run

    return run(Request(place, output, jobs, json, quiet))


@app.command()
def certify(
    family: FamilyName,
    input: Input,
    solution: SolutionPath,
    shape: Shape = None,
    alpha: Alpha = None,
    metric_power: MetricPower = None,
    weight: Weight = None,
    tau: Tau = None,
    as_claimed: AsClaimed = False,
    json: Json = False,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="Reject bounds that hold only with a stated probability."),
    ] = False,
    time_limit: Annotated[
        float | None, number("--time-limit", "S", "Seconds for the search for a dual vector, if the file has none.")
    ] = None,
) -> int:
    """Print what can be proved about a solution, and of which objective.

    Exit status: 0 only if the certificate holds, else 1; 2 for bad input, also if the file states another objective;
    130 interrupted.
    """
    from flatmin.cli.commands.certify import Request
    from flatmin.cli.commands.certify import certify as judge
    from flatmin.cli.options import ProblemFile
    from flatmin.cli.solution_file import SolutionFile

    problem = ProblemFile(family, input, shape=shape, loss={"weight": weight, "tau": tau})
    judged = SolutionFile(problem, solution, {"alpha": alpha, "metric_power": metric_power}, as_claimed)
    return judge(Request(judged, json, deterministic, time_limit))


@app.command()
def prove(
    family: FamilyName,
    input: Input,
    solution: SolutionPath,
    output: Annotated[
        Path,
        output("PROOF.json", "The proof to write; its data are written to PROOF-instance.npz next to it."),
    ],
    shape: Shape = None,
    alpha: Alpha = None,
    metric_power: MetricPower = None,
    weight: Weight = None,
    tau: Tau = None,
    as_claimed: AsClaimed = False,
    json: Json = False,
) -> int:
    """Prove theorems about a solution in exact arithmetic, and write a proof that a short program checks.

    Exit status: 0 if a theorem is proved, else 1; 2 for bad input, also if the file states another objective;
    130 interrupted.

    An earlier proof at --output is replaced, together with its data; no other file is.
    """
    from flatmin.cli.commands.prove import Request, run
    from flatmin.cli.options import ProblemFile
    from flatmin.cli.solution_file import SolutionFile

    problem = ProblemFile(family, input, shape=shape, loss={"weight": weight, "tau": tau})
    judged = SolutionFile(problem, solution, {"alpha": alpha, "metric_power": metric_power}, as_claimed)
    return run(Request(judged, output, json))


@app.command()
def flatness(
    family: FamilyName,
    input: Input,
    solution: SolutionPath,
    shape: Shape = None,
    weight: Weight = None,
    tau: Tau = None,
    json: Json = False,
) -> int:
    """Print how flat the factors of a solution are."""
    from flatmin.cli.commands.certify import flatness as measure
    from flatmin.cli.options import ProblemFile

    problem = ProblemFile(family, input, shape=shape, loss={"weight": weight, "tau": tau})
    return measure(problem, solution, json)


@app.command()
def explore(
    output: Annotated[
        Path | None,
        output("FILE.html", "The page. Default: a temporary file. A former page of this command is replaced."),
    ] = None,
    open: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> int:
    """See a flat minimum: a page to play with, computed in the browser, without a network.

    Exit status: 0 the page is written, 2 it cannot be.
    """
    import tempfile
    import webbrowser

    from flatmin.explorer import write_explorer

    file = output or Path(tempfile.mkdtemp(prefix="flatmin-")) / "explorer.html"
    write_explorer(file)
    opened = open and webbrowser.open(file.resolve().as_uri())
    print(f"page  {file}" + ("" if opened or not open else "\nNo browser was found: open the page in one."))
    return 0
