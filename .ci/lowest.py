"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

text = Path(__file__).resolve().parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
project = tomllib.loads(text)["project"]
lists = [project["dependencies"], *project["optional-dependencies"].values()]
for requirement in sorted({requirement for each in lists for requirement in each}):
    if found := re.match(r"([\w-]+)>=([\d.]+)", requirement):
        print("==".join(found.groups()))
