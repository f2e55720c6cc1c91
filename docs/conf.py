"""How Sphinx builds these pages; `make docs` runs it so that every warning is an error."""

from __future__ import annotations

import functools
import gc
import re
import sys
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from sphinx.writers.html5 import HTML5Translator

import associated_learning

# pages are kept to the end: by default they are looked through for garbage thousands of times
gc.set_threshold(100_000, 20, 50)

project = "associated_learning"
author = "The associated_learning authors"
project_copyright = "2026, the associated_learning authors"
release = version = associated_learning.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
if not tags.has("check"):  # noqa: F821  # of Sphinx; pages of source take as long as all others
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["_build"]
# furo takes a tenth of the time, and what is checked stands on the pages
html_theme = "basic" if tags.has("check") else "furo"  # noqa: F821
html_title = "Associated Learning"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

_INTERVAL = re.compile(r"([-+]\d+\.\d+) to ([-+]\d+\.\d+)")

_PAIR = re.compile(r"^(\d+); (\d+)$")

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of dataclasses are listed once, by their docstring


def skip_documented_twice(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of named tuples, which have no text but "Alias for field number"."""
    return True if str(obj.__doc__).startswith("Alias for field") else None


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Resolve `ALLayer` in a docstring of another module, if only one symbol ends so.

    `convert` is the function: a module of the same last name counts only where nothing else does.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    found = domain.find_obj(env, None, None, node["reftarget"], None, searchmode=1)
    found = [match for match in found if match[1].objtype != "module"] or found
    if len(found) != 1:
        return None
    name, entry = found[0]
    page = node.get("refdoc", env.docname)
    return make_refnode(app.builder, page, entry.docname, entry.node_id, content, name)


def module_with_source(app: Sphinx, module: str, name: str) -> str | None:
    """Tell viewcode where a value of Python's own types stands: `builtins` has no source."""
    value = functools.reduce(
        lambda owner, part: getattr(owner, part, None), name.split("."), sys.modules.get(module)
    )
    return module if getattr(value, "__module__", None) == "builtins" else None


def write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers show without a script from elsewhere."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    # bars of a norm keep the size and height of a letter, also where a font has no tall ones
    formula = formula.replace("<mo>‖</mo>", '<mo stretchy="false">‖</mo>')
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def keep_spreads_together(app: Sphinx, doctree: nodes.document) -> None:
    """Let no line end between a mean and its deviation, nor within an interval of a table."""
    for text in list(doctree.findall(nodes.Text)):
        kept = _INTERVAL.sub("\\1\u00a0to\u00a0\\2", text.replace(" ± ", "\u00a0±\u00a0"))
        kept = _PAIR.sub("\\1;\u00a0\\2", kept)
        if kept != text:
            text.parent.replace(text, nodes.Text(kept))


def setup(app: Sphinx) -> None:
    """Hand these functions to Sphinx."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("autodoc-skip-member", skip_documented_twice)
    app.connect("doctree-read", keep_spreads_together)
    app.connect("missing-reference", find_by_last_name)
    if "sphinx.ext.viewcode" in extensions:
        app.connect("viewcode-follow-imported", module_with_source)
