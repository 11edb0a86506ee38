"""Facts about an object as text and as HTML, for `print` and for notebooks."""

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["as_html", "as_text", "rounded"]


def as_text(title: str, facts: Mapping[str, str]) -> str:
    """Return a title and one aligned line for each fact."""
    width = max(map(len, facts))
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in facts.items())])


def as_html(title: str, facts: Mapping[str, str]) -> str:
    """Return a title and the facts as an HTML table."""
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"


def rounded(values: Mapping[str, Any]) -> dict[str, str]:
    """Return named values as facts, with numbers rounded to six digits."""
    return {
        name.replace("_", " "): f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }
