"""Functions that write the HTML page about experiments."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from flatmin._core.files import check_page, write_page
from flatmin.errors import InputError
from flatmin.lab.evidence import Evidence
from flatmin.lab.pages.findings import Finding
from flatmin.lab.pages.page import PageTexts, experiments_page

__all__ = ["check_report", "write_findings", "write_report"]


def write_report(file: str | Path, evidence: Sequence[Evidence], **texts: Unpack[PageTexts]) -> list[Finding]:
    """Judge evidence and write one HTML page about it: claims with verdicts, figures with their data, settings.

    The evidence may come from your own recipes. The page loads nothing from outside.

    Parameters
    ----------
    file : path
        The page. Only a former report is replaced, and an error leaves no part of a page.
    evidence : sequence of Evidence
        The evidence, one for each recipe.
    title : str
        The heading of the page.
    provenance : mapping, optional
        The origin of the evidence by the recipe's name, from `read_stores`.
    command : str
        The command line that writes the page again.
    notes : sequence of str
        Sentences for the reader.

    Returns
    -------
    list of Finding
        The findings on the page, one for each recipe.

    Raises
    ------
    InputError
        If there is no evidence, a recipe has evidence twice, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from flatmin.lab import Result, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> evidence = Evidence(recipe, [Result(trial, {"success": True, "error": 0.0}) for trial in recipe.trials()])
    >>> with tempfile.TemporaryDirectory() as place:
    ...     findings = write_report(f"{place}/report.html", [evidence])
    ...     Path(f"{place}/report.html").read_text().count("<h1>")
    1
    """
    file = Path(file)
    check_report(file)
    names = Counter(each.experiment.name for each in evidence)
    if not names:
        raise InputError("there is no evidence to report, expected that of one recipe at least")
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise InputError(
            f"there is evidence of {twice[0]} more than once, expected each recipe once; combine their results"
        )
    findings = [Finding.from_evidence(each) for each in evidence]
    write_findings(file, findings, **texts)
    return findings


def write_findings(file: Path, findings: Sequence[Finding], **texts: Unpack[PageTexts]) -> None:
    """Write the page about evidence that has been judged; parameters as for `write_report`."""
    from flatmin.report.page import render

    html = render(experiments_page(findings, **texts))
    write_page(file, html)


def check_report(file: Path) -> None:
    """Raise `InputError` if the page cannot be written or would replace another file; write nothing."""
    check_page(file, "flatmin report", "former report of flatmin")
