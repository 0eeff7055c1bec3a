"""Tables of names without citation marks, and a list of modules with their names."""

import importlib
import re
from pathlib import Path

from sphinx.ext.autosummary import Autosummary, extract_summary
from sphinx.ext.autosummary.generate import find_autosummary_in_lines
from sphinx.util.docutils import SphinxDirective

CITATION = re.compile(r"\s*\[[^\]\s]+\]_")


class Summaries(Autosummary):
    """An autosummary without numpydoc's ``[Rd3d2-1]_``: the references are not on that page."""

    def get_items(self, names):
        return [
            (name, signature, CITATION.sub("", summary), full)
            for name, signature, summary, full in super().get_items(names)
        ]


class Modules(SphinxDirective):
    """A part of the API: the first sentence and the names of each module.

    The argument is the caption of the part in the sidebar; the content lists pages of modules. The
    names are read from these pages, so that each name is written once.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        pages = [line.strip() for line in self.content if line.strip()]
        lines = [".. toctree::", "   :hidden:", f"   :caption: {self.arguments[0]}", ""]
        lines += [f"   {page}" for page in pages] + [""]
        for page in pages:
            path = Path(self.env.srcdir, f"{page}.rst")
            self.env.note_dependency(path)
            source = path.read_text("utf-8").splitlines()
            module = next(line.split()[2] for line in source if line.startswith(".. automodule::"))
            doc = importlib.import_module(module).__doc__.splitlines()
            summary = CITATION.sub("", extract_summary(doc, self.state.document.settings))
            names = ", ".join(f":py:obj:`~{e.name}`" for e in find_autosummary_in_lines(source))
            lines += [f":doc:`{module} <{page}>`", f"   {summary}", "", f"   {names}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("autosummary", Summaries, override=True)
    app.add_directive("modules", Modules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
