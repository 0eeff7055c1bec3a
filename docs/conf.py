"""Sphinx configuration. No page needs the network to be built, so intersphinx is left out."""

import os
import warnings

os.environ.setdefault("MPLBACKEND", "Agg")

import skinfluence

project = "skinfluence"
author = "The skinfluence developers"
copyright = f"2026, {author}"
version = release = skinfluence.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**.ipynb", "auto_examples/**.py"]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters section says more than the annotation
numpydoc_show_class_members = False
default_role = "literal"

# Examples are code that a reader copies: a warning in one is a fault of ours, apart from those
# that are listed in pyproject.toml for the tests.
warnings.filterwarnings("ignore", category=UserWarning, message=".*is non-interactive.*")

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_.*\.py",
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
html_css_files = ["wide.css"]
html_show_sourcelink = False
# Pages of their own have no sections beside them.
_ALONE = ["quickstart", "theory", "which_method", "label_noise", "defence", "fragility", "speed"]
html_sidebars = {page: [] for page in [*_ALONE, "coming_from", "faq", "glossary"]}
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}


def skip_request_methods(app, what, name, obj, skip, options):
    """Leave out ``set_fit_request`` and the like: scikit-learn makes and documents them."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_request_methods)
