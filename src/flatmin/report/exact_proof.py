"""The section about an exact proof: the theorems in words, what was checked by what, and the command that checks it."""

from flatmin.proofs.exact import Proof
from flatmin.report.page import Section, Statement, Table

__all__ = ["exact_proof_section"]

TITLES = {
    "V": "A lower bound for every solution",
    "U": "An upper bound for the best solution",
    "gap": "The two bounds agree",
    "B": "It is the only solution for data that differ by rounding",
    "F": "Every other solution is near",
    "T": "It is the only solution for these data",
}
#: The parts of a proof, what carries out each part, and whether the reader must trust it.
CHECKED = (
    ("Factors, dual vectors, constants", "found by flatmin in floating point", "no: the checker tests them"),
    ("Matrix inequalities, bounds, distances", "tested by checker.py in integers", "yes: it is one file to read"),
    ("Guesses, products of small integers", "NumPy, or else checker.py", "only that sums below 2⁵³ are exact"),
)


def exact_proof_section(proof: Proof) -> Section:
    """Return the section about a proof that stands in the directory of the report."""
    prose = [
        "Every number of the data and of the solution is a rational number. About these numbers the following theorems "
        f"are proved, without any rounding. {proof.subject}",
        "To check them, copy checker.py out of the installed package (flatmin/proofs/checker.py), and run this command "
        "where proof.json and instance.npz are. It prints the theorems and ends with exit status 0, or says which one "
        "fails. The hash says which data they are about.",
    ]
    statements = [Statement(True, TITLES[s.kind], s.words) for s in proof.statements]
    statements += [Statement(None, TITLES[kind], f"Not proved: {why}.") for kind, why in proof.absent.items()]
    head = ("Part", "Carried out by", "Must it be trusted?")
    table = Table("What was checked by what", head, CHECKED, folded=False, words=True)
    return Section("theorems", "The theorems", prose, statements=statements, code=proof.command(), table=table)
