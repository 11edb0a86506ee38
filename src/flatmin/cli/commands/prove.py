"""``flatmin prove``: theorems about a solution, written as a proof that a short program checks."""

import sys
from dataclasses import dataclass
from pathlib import Path

from flatmin.cli.options import in_options
from flatmin.cli.output import check_proof_place
from flatmin.cli.recovery_summary import as_json
from flatmin.cli.solution_file import SolutionFile, announced
from flatmin.errors import InputError
from flatmin.proofs.exact import Proof, files_of, prove_point
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.solvers.certification import certify, factors_of

__all__ = ["Request", "run", "theorems"]


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin prove``."""

    solution: SolutionFile
    output: Path
    json: bool


def run(request: Request) -> int:
    """Prove what can be proved, write the proof, print the theorems, and return the exit status."""
    problem, objective, saved = request.solution.read()
    with in_options(("alpha", "metric_power")):
        explicit = ExplicitProblem.from_problem(problem, objective.alpha, objective.metric_power)
    check_proof_place(request.output, explicit.sha256)
    for file in (request.solution.file.path, request.solution.solution):
        if file.resolve() in {path.resolve() for path in files_of(request.output)}:
            raise InputError(f"--output {request.output} would replace {file}, expected another name")
    dual, other = saved.dual, saved.uniqueness_dual
    with announced(f"proving theorems about {request.solution.solution}"), in_options(("alpha", "metric_power")):
        factors = factors_of(problem, saved.candidate)
        if dual is None:
            found = certify(problem, factors, alpha=objective.alpha, metric_power=objective.metric_power)
            dual, other = found.dual, found.uniqueness_dual
        try:
            proof = prove_point(problem, factors, dual, other, objective)
        except InputError as refusal:  # the solution is too far from what could be proved
            print(f"flatmin: no theorem: {refusal}", file=sys.stderr)
            return 1
    if not proof.statements:
        for kind, reason in proof.absent.items():
            print(f"flatmin: no theorem {kind}: {reason}", file=sys.stderr)
        return 1
    data = proof.save(request.output)
    if request.json:
        print(as_json(theorems(proof)))
    else:
        print(proof)
        print(f"To check it anywhere: {proof.command(str(request.output), str(data))}")
    return 0


def theorems(proof: Proof) -> dict[str, object]:
    """Return the fields of a proof in ``summary.json``."""
    statements = [{"kind": s.kind, **s.floats, "words": s.words} for s in proof.statements]
    known = {"distance": proof.distance, "not_proved": dict(proof.absent), "sha256": proof.sha256}
    return {"statements": statements, **known}
