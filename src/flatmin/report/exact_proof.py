"""The section about an exact proof: the theorems in words, what was checked by what, and the command that checks it."""

from decimal import ROUND_CEILING, ROUND_FLOOR

from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.proofs.exact import ExactStatement, Proof
from flatmin.proofs.exact.theorems import as_decimal
from flatmin.report.page import Section, Statement, Table
from flatmin.report.vocabulary import Vocabulary
from flatmin.report.words import number, percent

__all__ = ["exact_proof_section"]

#: Significant digits of the numbers in a theorem on the page.
DIGITS = 4
#: The theorems are about the reported solution if their point is at most this far from it, relatively.
SAME = 1e-6
#: Titles of what was asked and not proved.
OPEN = {
    "V": "A lower bound for every solution",
    "U": "An upper bound for the best solution",
    "gap": "How far the two bounds are apart",
    "B": "Whether other solutions exist, and how far away they are",
    "F": "How far away other solutions are",
    "T": "Whether it is the only solution for these data",
}
#: The parts of a proof, what carries out each part, and whether the reader must trust it.
CHECKED = (
    ("Factors, dual vectors, constants", "found by flatmin in floating point", "no: the checker tests them"),
    ("Matrix inequalities, bounds, distances", "tested by checker.py in integers", "yes: it is one file to read"),
    ("Guesses, products of small integers", "NumPy, or else checker.py", "only that sums below 2⁵³ are exact"),
)
#: What the subject of a proof says if its point has no factors.
ZERO = "X̂ is the zero matrix"


def exact_proof_section(proof: Proof, size: float, terms: Vocabulary) -> Section:
    """Return the section about a proof that stands in the directory of the report; ``size`` is ``‖X‖_F``."""
    prose = [
        "Every number of the data and of the solution is a rational number. About these numbers the following theorems "
        f"are proved, without any rounding. {proof.subject}",
        *_point(proof, size),
        "To check them, copy checker.py out of the installed package (flatmin/proofs/checker.py), and run this command "
        "where proof.json and instance.npz are. It prints the theorems and ends with exit status 0, or says which one "
        f"fails. The hash says which data they are about. Here numbers are rounded to {DIGITS} digits, bounds to the "
        "safe side; the checker prints all digits.",
    ]
    it = "The zero matrix" if ZERO in proof.subject else "X̂"
    statements = [_statement(s, it, size, terms) for s in proof.statements]
    statements += [Statement(None, OPEN[kind], f"Not proved: {why}.") for kind, why in proof.absent.items()]
    head = ("Part", "Carried out by", "Must it be trusted?")
    table = Table("What was checked by what", head, CHECKED, folded=False, words=True)
    return Section("theorems", "The theorems", prose, statements=statements, code=proof.command(), table=table)


def _point(proof: Proof, size: float) -> list[str]:
    """Return how far X̂ is from the reported solution, if a theorem mentions it."""
    if not any("X̂" in s.words for s in proof.statements):
        return []
    share = f", {_share(proof.distance / size)} of its norm" if size else ""
    text = f"The distance of X̂ from the solution of this report is at most {_above(proof.distance)}{share}."
    if proof.distance > SAME * size:
        text += " So X̂ is another matrix than that solution, and the theorems about X̂ do not carry over to it."
    return [text]


def _statement(theorem: ExactStatement, it: str, size: float, terms: Vocabulary) -> Statement:
    """Return a theorem under a title that follows from its numbers; a weak one is not marked as good news."""
    title, weakness = _title(theorem, it, size, terms)
    text = f"{theorem.kind}. {_short(theorem)} {weakness}".strip()
    return Statement(None if weakness else True, title, text, word="Proved, but weak." if weakness else "")


def _title(theorem: ExactStatement, it: str, size: float, terms: Vocabulary) -> tuple[str, str]:
    """Return a title, and for a theorem that is weaker than a certificate what it leaves open."""
    x = theorem.floats
    where = ", among matrices that vanish where nothing is measured"
    among = where if "matrices that vanish" in theorem.words else ""
    only = f"{it} is the only {terms.solution if terms.determined else f'{terms.best} {terms.solution}'}"
    if theorem.kind == "gap" and x["gap"] <= LARGEST_GAP:
        return f"The two bounds agree up to a share of {_above(x['gap'])}" if x[
            "gap"
        ] else "The two bounds are equal", ""
    if theorem.kind == "gap":
        title = f"The two bounds differ by up to {percent(x['gap'])}"
        return title, f"So how {terms.better} another {terms.solution} can be is known only to this accuracy."
    if theorem.kind == "B" and x["beta"]:
        weakness = "The given data are different: about them this says nothing." if x["beta"] > LARGEST_RESIDUAL else ""
        return (
            f"{only} for data that differ from the given ones by {_share(x['beta'])} or less, relatively{among}",
            weakness,
        )
    if theorem.kind == "F":
        other = terms.rival if terms.determined else terms.other
        if x["radius"] < size or not x["radius"]:
            near = f"a relative distance of {_share(x['radius'] / size)}" if size else f"{_above(x['radius'])}"
            return f"Every {other} lies within {near}{among}", ""
        return "Other solutions may be far away", "This rules out little: the distance is not below the norm of X̂."
    return f"{only} for the given data{among}" if theorem.kind in ("B", "T") else OPEN[theorem.kind], ""


def _short(theorem: ExactStatement) -> str:
    """Return a theorem in words, with each number rounded to a few digits on its safe side."""
    words = theorem.words
    for name, x in theorem.floats.items():
        up = name != "lower"
        exact = as_decimal(theorem.numbers[name], up=up)
        words = words.replace(exact, number(x, DIGITS, ROUND_CEILING if up else ROUND_FLOOR))
    return words


def _above(x: float) -> str:
    return number(x, rounding=ROUND_CEILING)


def _share(x: float) -> str:
    """Return a share, rounded up, in per cent if it is not small."""
    return percent(x) if x >= 1e-4 else _above(x)
