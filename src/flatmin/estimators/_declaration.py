"""`estimator`: the class decorator that declares the parameters of an estimator and completes its docstring."""

import re
from dataclasses import dataclass, field, fields
from inspect import cleandoc
from typing import Any, TypeVar, dataclass_transform

__all__ = ["estimator"]

#: The heading of a section in a NumPy docstring.
HEADING = re.compile(r"^(\w+)\n-+\n", re.MULTILINE)
#: An entry of a section: its names, its type, and the indented lines that describe it.
ENTRY = re.compile(r"^(\w[\w, ]*?)( : .*)?\n((?: .*\n|\n)*)", re.MULTILINE)

Class = TypeVar("Class", bound=type[Any])


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
def estimator(cls: Class) -> Class:
    """Make the annotated attributes of a class the keyword parameters of its ``__init__``, and document them.

    A parameter or attribute that the docstring does not describe gets its description from a base class. So each
    description is written once, and `help` shows all of them. `ClassVar` removes a parameter of a base class.
    """
    dataclass(eq=False, repr=False, kw_only=True)(cls)
    parameters = {parameter.name for parameter in fields(cls)}
    head, sections = _sections(cls)
    for base in cls.__bases__:
        for heading, body in _sections(base)[1].items() if hasattr(base, "__dataclass_fields__") else ():
            known = {name for names, *_ in ENTRY.findall(sections.get(heading, "")) for name in names.split(", ")}
            for names, kind, text in ENTRY.findall(body) if heading in ("Parameters", "Attributes") else ():
                new = [n for n in names.split(", ") if n not in known and (n.endswith("_") or n in parameters)]
                sections[heading] += f"{', '.join(new)}{kind}\n{text.rstrip()}\n" if new else ""
    body = "".join(f"{heading}\n{'-' * len(heading)}\n{text}\n" for heading, text in sections.items() if text)
    cls.__doc__ = f"{head.strip()}\n\n{body}"
    return cls


def _sections(cls: type) -> tuple[str, dict[str, str]]:
    """Return the text before the first section of a class docstring, and the sections by heading."""
    head, *rest = HEADING.split(cleandoc(cls.__doc__ or "") + "\n")
    found = zip(rest[::2], rest[1::2], strict=True)
    return head, {"Parameters": "", "Attributes": ""} | {heading: f"{body.rstrip()}\n" for heading, body in found}
