"""Sphinx settings of the static site. `python .site/build.py OUT` gathers the pages and calls Sphinx."""

import re

from docutils import nodes

from gantutor import __version__
from gantutor.publish import mathml

project = "gantutor"
author = "The gantutor authors"
version = release = __version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_default_options = {"ignore-module-all": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
napoleon_attr_annotations = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

default_role = "code"

html_theme = "furo"
html_title = f"gantutor {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", by_name)
    app.connect("autodoc-skip-member", from_elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# --- formulas as MathML, which needs no script -----------------------------------------------------------------------


def inline(translator, node):
    translator.body.append(mathml.mathml(node.astext()))
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(f'<div class="formula">{mathml.mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


# --- docstrings ------------------------------------------------------------------------------------------------------


def plain_text(app, what, name, obj, options, lines):
    """Our docstrings are plain text: in (N, *shape) and |x| the signs mean themselves."""
    made, code = [], False  # what a module indents is code
    for line in lines:
        indented = what == "module" and line.startswith("    ")
        if indented and not code and not "".join(made[-2:]).endswith("::"):
            made += ["::", ""]
        code = indented or (code and not line)
        made.append(line if indented else escaped(line))
    lines[:] = made


def escaped(line):
    parts = re.split(r"(`+[^`]*`+)", line)  # words, code, words, …
    parts[::2] = [re.sub(r"([*|])", r"\\\1", words) for words in parts[::2]]
    parts[2::2] = [re.sub(r"^(?=\w)", r"\\ ", words) for words in parts[2::2]]  # `side`², which has to be told apart
    return "".join(parts)


def by_name(app, what, name, obj, options, signature, returns):
    """Functions as defaults: `<function r1 at …>` is r1."""
    return signature and re.sub(r"<function (\w+)[^>]*>", r"\1", signature), returns


def from_elsewhere(app, what, name, obj, skip, options):
    """Leave out what a class has from another library, and fields of a dataclass whose default is a function."""
    module, known_as = getattr(obj, "__module__", None), getattr(obj, "__name__", name)
    if what == "class" and callable(obj) and (known_as != name or not str(module).startswith("gantutor")):
        return True
    return None
