"""Facts about an object as text and as HTML, for `print` and for notebooks."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Context
from html import escape
from typing import Any

__all__ = ["as_html", "as_text", "at_most", "rounded"]


def as_text(title: str, facts: Mapping[str, str]) -> str:
    """Return a title and one aligned line for each fact."""
    width = max(map(len, facts))
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in facts.items())])


def as_html(title: str, facts: Mapping[str, str]) -> str:
    """Return a title and the facts as an HTML table."""
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"


def at_most(bound: float, digits: int = 3) -> str:
    """Return an upper bound with a few digits, rounded up.

    Examples
    --------
    >>> at_most(4.2601e-11), f"{4.2601e-11:.2e}"
    ('4.27e-11', '4.26e-11')
    """
    return f"{Context(prec=digits, rounding=ROUND_CEILING).create_decimal(bound):.{digits - 1}e}"


def rounded(values: Mapping[str, Any]) -> dict[str, str]:
    """Return named values as facts, with numbers rounded to six digits."""
    return {
        name.replace("_", " "): f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }
