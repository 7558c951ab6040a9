"""Packages that import their parts when these are first asked for."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec


def face(package: str) -> Callable[[str], object]:
    """The `__getattr__` of a package: each name comes from where its `if TYPE_CHECKING:` block imports it from.

    So there is one list of what a package offers. Type checkers and editors read it as ordinary imports, and when the
    package is imported, none of them is carried out::

        if TYPE_CHECKING:
            from gantutor.models.dense import mlp

        __all__ = ["mlp"]
        __getattr__ = lazy.face(__name__)

    The modules of the package are found as well: ``models.dense``.
    """
    homes: dict[str, str] = {}

    def find(name: str) -> object:
        homes.update(homes or offered(package))
        if name in homes:
            return getattr(import_module(homes[name]), name)
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


def offered(package: str) -> dict[str, str]:
    """The names that a package offers, each with the module that it comes from."""
    source = sys.modules[package].__spec__.loader.get_source(package)
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}
