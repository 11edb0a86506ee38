"""Settings of the site. ``python -m sphinx -W docs docs/_build/html`` builds it without a network."""

import sys
from os import cpu_count
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

from inventories import available  # noqa: E402

from flatmin import __version__  # noqa: E402

project, author, copyright = "flatmin", "The flatmin developers", "2026, the flatmin developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "api_pages",
    "citations",
    "course",
    "explorer_page",
    "guide_links",
    "root_pages",
]

root_doc = "index"
exclude_patterns = ["_build", "_extensions", "images"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_footnote_transition = False
suppress_warnings = ["myst.header"]

intersphinx_mapping = available(DOCS / "_build" / "inventories")
intersphinx_disabled_reftypes = ["std:*"]

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

nitpicky = True
default_role = "name"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Scripts run when they change, on all cores; ``-D plot_gallery=0`` builds the site without running any. Each notebook
# can read the data of the examples if it lies in the folder of its script.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"[\\/]data[\\/]",
    "subsection_order": "course.folder",
    "within_subsection_order": "course.script",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("flatmin",),
    "reference_url": {"flatmin": None},
    "first_notebook_cell": "__file__ = 'notebook.py'  # in the folder of the script it finds the data of the script",
    "min_reported_time": 1,
    "parallel": min(8, cpu_count() or 1),
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "course.name_script"),
    "show_signature": False,
    "thumbnail_size": (480, 220),
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "flatmin"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_show_search_summary = False  # summaries are fetched, which a browser refuses for pages without a server
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": True,
    "collapse_navigation": True,
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
