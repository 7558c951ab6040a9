"""Packages that import their modules only when a name from them is first used."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import InspectLoader
    from importlib.machinery import ModuleSpec


def importer(package: str) -> Callable[[str], object]:
    """The `__getattr__` of a package, which imports each name from where its `if TYPE_CHECKING:` block does.

    So a package has one list of the names that it exports. Type checkers and editors read it as ordinary imports, but
    importing the package executes none of them::

        if TYPE_CHECKING:
            from gantutor.models.dense import mlp

        __all__ = ["mlp"]
        __getattr__ = lazy.importer(__name__)

    The modules of the package are found as well, for example ``models.dense``.
    """
    modules: dict[str, str] = {}

    def find(name: str) -> object:
        modules.update(modules or exports(package))
        if name in modules:
            return getattr(import_module(modules[name]), name)
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


def exports(package: str) -> dict[str, str]:
    """The names that a package exports, each with the module that it comes from."""
    spec = cast("ModuleSpec", sys.modules[package].__spec__)
    source = cast("InspectLoader", spec.loader).get_source(package) or ""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports if node.module for alias in node.names}
