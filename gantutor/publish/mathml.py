"""Formulas as MathML, which browsers display without a script and without a network.

latex2mathml translates them. What it does not support, or spaces differently from TeX, is corrected here: `\\mathbb E`
without braces, function names (`\\log 2`), signs (`= -1`), limits under `\\min`, and frames.
"""

import re
import xml.etree.ElementTree as ET

from gantutor.errors import BadInput

# TeX that latex2mathml does not know -> TeX that it knows
KNOWN = (
    (re.compile(r"\\math(bb|cal)\s+([A-Za-z])"), r"\\math\1{\2}"),
    (re.compile(r"\\arg(?![A-Za-z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\[lr]Vert(?![A-Za-z])"), r"\\|"),
    (re.compile(r"(\\[Bb]ig[gm]?)\\lfloor"), r"\1⌊"),
    (re.compile(r"(\\[Bb]ig[gm]?)\\rfloor"), r"\1⌋"),
    (re.compile(r"(\\[Bb]ig[gm]?)\\langle"), r"\1⟨"),
    (re.compile(r"(\\[Bb]ig[gm]?)\\rangle"), r"\1⟩"),
    (re.compile(r"\\mathrel\{(\W)\}="), r"\1="),
)
UNDER = {"min", "max"}  # operators with their index underneath in displayed formulas
SIGNS = {"−", "+", "±", "∓"}
OPENING, CLOSING = set("([{⌊⟨"), set(")]}⌋⟩!")
BARS = {"|", "‖"}
ACCENTS = {"˙", "¯", "^"}
THIN, NONE = "0.1667em", "0"
FRAME = "border: 1px solid; padding: 0.4em 0.6em"  # browsers do not support <menclose>


def mathml(tex: str, block: bool = False) -> str:
    """A formula as a `<math>` element.

    Args:
        tex: LaTeX without its dollar signs.
        block: whether it is displayed on a line of its own. Raises `BadInput` if it cannot be translated, or
    latex2mathml is not installed.
    """
    try:
        from latex2mathml.converter import convert
    except ModuleNotFoundError:
        raise BadInput("formulas on a page need the package latex2mathml: pip install latex2mathml.") from None
    words = tex.strip()
    for pattern, known in KNOWN:
        words = pattern.sub(known, words)
    braces = re.sub(r"\\[{}]", "", words)
    try:
        if braces.count("{") != braces.count("}"):
            raise ValueError("braces")
        made = convert(words, display="block" if block else "inline").replace("<mi>&</mi>", "<mi>&amp;</mi>")
        tree = ET.fromstring(made.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    except Exception as error:  # latex2mathml raises a dozen kinds of errors
        raise BadInput(
            f"the formula {tex!r} cannot be translated ({type(error).__name__}): check its braces."
        ) from error
    if unknown := re.search(r"\\\w*", "".join(tree.itertext())):
        raise BadInput(f"the formula {tex!r} contains the unknown command {unknown[0]}: write it with other commands.")
    mend(tree, block)
    return ET.tostring(tree, encoding="unicode")


def plain(tex: str) -> str:
    """A formula as plain text for alternative texts: `D^* = p` gives "D*=p"."""
    return "".join(ET.fromstring(mathml(tex)).itertext()).strip()


def mend(parent: ET.Element, block: bool) -> None:
    """Correct spacing and tags of an element's descendants in place."""
    before = None  # the previous sibling that is not a space
    children = list(parent)
    for number, child in enumerate(children):
        after = children[number + 1] if number + 1 < len(children) else None
        heart = core(child)
        if is_name(heart):
            heart.tag = "mo"
            heart.attrib = {"form": "prefix", "lspace": NONE if is_operator(before) else THIN,
                            "rspace": NONE if after is None or text(after) in OPENING else THIN}  # fmt: skip
            if block and child.tag == "msub" and heart.text in UNDER:
                child.tag = "munder"
        elif text(child) in SIGNS:
            child.tag = "mo"
            child.set("form", "prefix" if is_operator(before) else "infix")
        elif "minsize" in heart.attrib and text(heart) in OPENING | CLOSING:
            heart.attrib |= {"stretchy": "true", "form": "prefix" if text(heart) in OPENING else "postfix"}
        elif text(heart) in BARS:
            heart.attrib |= {"lspace": NONE, "rspace": NONE}
        elif child.tag == "menclose":
            child.set("style", FRAME)
        elif child.tag == "mover" and text(child[1]) in ACCENTS:
            child.set("accent", "true")
        elif text(child) == "∞":
            child.tag = "mi"
        mend(child, block)
        before = child if child.tag != "mspace" else before


def core(element: ET.Element) -> ET.Element:
    """The base of an element with an index or exponent."""
    while element.tag in ("msub", "msup", "msubsup", "munder") and len(element):
        element = element[0]
    return element


def text(element: ET.Element) -> str:
    return (element.text or "").strip() if not len(element) else ""


def is_name(element: ET.Element) -> bool:
    """Whether the element is a function name of several letters, such as log."""
    return element.tag in ("mi", "mo") and len(text(element)) > 1 and text(element).isalpha()


def is_operator(element: ET.Element | None) -> bool:
    """Whether a sign that follows this element has no left operand: after nothing, "=", "(" or ","."""
    return element is None or (element.tag == "mo" and text(element) not in CLOSING | BARS | {"∞"})
