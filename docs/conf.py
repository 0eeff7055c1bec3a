"""Sphinx configuration. No page needs the network, neither to be built nor to be read."""

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import skinfluence

project = "skinfluence"
author = "The skinfluence developers"
copyright = f"2026, {author}"
version = release = skinfluence.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_codeautolink",
    "myst_parser",  # the changelog and the page on contributing are Markdown
    "names",
    "summaries",
]
exclude_patterns = [
    "_build",
    "_inventories",
    "_static",
    "auto_examples/**.ipynb",
    "auto_examples/**.py",
    "**sg_execution_times.rst",  # sphinx-gallery's tables of times load scripts from the network
]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters section says more than the annotation
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"
default_role = "name"

codeautolink_concat_default = True  # the blocks of a page are one program
# Sphinx takes "doctest: +SKIP" out of the HTML, in which such a block is then not found.
# myst: links of CONTRIBUTING.md to files of the repository, which are not pages here.
suppress_warnings = ["codeautolink.match_block", "myst.xref_missing"]

mathjax_path = "mathjax/tex-svg-full.js"
# Inventories lie here: see the README beside them.
intersphinx_mapping = {
    name: (url, f"_inventories/{name}.txt")
    for name, url in {
        "fairlearn": "https://fairlearn.org/main/",
        "imbalanced-learn": "https://imbalanced-learn.org/stable/",
        "joblib": "https://joblib.readthedocs.io/en/stable/",
        "matplotlib": "https://matplotlib.org/stable/",
        "numpy": "https://numpy.org/doc/stable/",
        "pandas": "https://pandas.pydata.org/docs/",
        "python": "https://docs.python.org/3/",
        "scikit-learn": "https://scikit-learn.org/stable/",
        "scipy": "https://docs.scipy.org/doc/scipy/",
        "skorch": "https://skorch.readthedocs.io/en/stable/",
        "torch": "https://docs.pytorch.org/docs/stable/",
    }.items()
}

# Examples are code that a reader copies: a warning in one is a fault of ours, apart from those
# that are listed in pyproject.toml for the tests.
warnings.filterwarnings("ignore", category=UserWarning, message=".*is non-interactive.*")

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_.*\.py",
    # Folders and files are numbered, the easiest first.
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (640, 448),
    "doc_module": ("skinfluence",),
    "backreferences_dir": "generated/backreferences",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1,
}

html_theme = "pydata_sphinx_theme"
html_title = "skinfluence"
html_static_path = ["_static"]
html_css_files = ["skinfluence.css"]
html_show_sourcelink = False
# Pages without pages below them have no sidebar.
html_sidebars = {page: [] for page in ["index", "install"]}
# Pages of wide tables and figures take the room of the list of sections.
_WIDE = ["which_method", "label_noise", "defence", "fragility", "speed"]
html_theme_options = {
    "logo": {"text": "skinfluence"},
    "navbar_start": ["navbar-logo", "version"],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc"], **{page: [] for page in _WIDE}},
}


def skip_request_methods(app, what, name, obj, skip, options):
    """Leave out ``set_fit_request`` and the like: scikit-learn makes and documents them."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def leave_gallery_code(app, docname, source):
    """Skip the code of the gallery: sphinx-gallery links the names there itself."""
    if docname.startswith("auto_examples/") and not source[0].lstrip().startswith(":orphan:"):
        source[0] = f".. autolink-skip:: file\n\n{source[0]}"


def setup(app):
    app.connect("source-read", leave_gallery_code)
    app.connect("autodoc-skip-member", skip_request_methods)
