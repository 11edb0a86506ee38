"""An interactive page about flat minima: a valley of exact fits, a table to complete by hand, and a phase diagram.

Everything is computed in the browser, by scripts that stand in the page; nothing is loaded from a network.
"""

from flatmin.explorer.interactive_page import fragment, page, write_explorer

__all__ = ["fragment", "page", "write_explorer"]
__dir__ = __all__.copy
