"""The default role: `Name` and `Name(arguments)` link to the page of the name.

Text that names nothing documented, such as an argument or a value, is shown as code.
"""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.ext.intersphinx import InventoryAdapter
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?", re.DOTALL)
# Methods are left out: a parameter that has the name of some class's method is not that method.
SHORT = {"class", "function", "exception", "data"}


class Name(SphinxRole):
    def run(self):
        code = nodes.literal(self.rawtext, self.text)
        match = NAME.fullmatch(self.text)
        if match is None:
            return [code], []
        link = pending_xref(
            self.rawtext,
            code,
            refdomain="py",
            reftype="obj",
            reftarget=match[1],
            refdoc=self.env.docname,
            **{"py:module": self.env.ref_context.get("py:module")},
            **{"py:class": self.env.ref_context.get("py:class")},
        )
        return [link], []


def resolve_short_name(app, env, node, contnode):
    """Link a name without its module, if exactly one documented object has it."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    name = node["reftarget"]
    ours = [
        (full, entry)
        for full, entry in env.domains.python_domain.objects.items()
        if full.endswith("." + name)
        and not entry.aliased
        and (entry.objtype in SHORT or "." in name)
    ]
    if len(ours) == 1:
        full, entry = ours[0]
        return make_refnode(
            app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, full
        )
    classes = InventoryAdapter(env).main_inventory.get("py:class", {})
    theirs = [(full, item.uri) for full, item in classes.items() if full.endswith("." + name)]
    if ours or len(theirs) != 1:
        return None
    full, uri = theirs[0]
    return nodes.reference("", "", contnode, internal=False, refuri=uri, reftitle=full)


def setup(app):
    app.add_role("name", Name())
    app.connect("missing-reference", resolve_short_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
