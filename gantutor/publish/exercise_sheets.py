"""Exercise sheets and nbgrader sources, made from the notebooks with solutions.

Everything between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` is replaced by a stub that does nothing, so that an
untouched sheet runs without errors and every check says "not attempted".
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

from gantutor.errors import BadInput, reason
from gantutor.files import replacing

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
NEARLY_MARK = re.compile(
    r"\b(begin|end)\s+solution\b", re.IGNORECASE
)  # also matches marks that are not written exactly as above
STUB = "...  # your answer"
CHECK = re.compile(r'^checks\.check\("([\d.]+)"', re.MULTILINE)
LESSON = re.compile(r"\d\d_\w+\.ipynb")
NBGRADER_CONFIG = f"""c = get_config()  # nbgrader reads this file
c.ClearSolutions.code_stub = {{"python": {STUB!r}}}  # a stub that raises an error would give a traceback
c.CourseDirectory.course_id = "gantutor"
"""


def sheet(notebook: dict) -> dict:
    """The exercise notebook (nbformat 4, as JSON) made from one with solutions, which stays unchanged.

    Raises `BadInput` if a solution is not closed or begins inside another one.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        lines = source(cell).splitlines()
        if cell["cell_type"] == "code":
            text = "\n".join(without_solutions(lines))
            tags = [tag for tag in cell["metadata"].pop("tags", []) if not tag.startswith("nbval")]
            cell.update(source=text.splitlines(keepends=True), outputs=[], execution_count=None)
            cell["metadata"] |= {"tags": tags} if tags else {}
        elif marks := [line for line in lines if NEARLY_MARK.search(line)]:
            raise BadInput(f"the line {marks[0].strip()!r} is in a text cell: put solutions into a cell of code.")
    return notebook


def without_solutions(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if NEARLY_MARK.search(line):
            if line.strip() not in (BEGIN, END):
                raise BadInput(
                    f"the line {line.strip()!r} looks like a mark but is not one: write {BEGIN!r} or {END!r}."
                )
            if (line.strip() == BEGIN) == inside:
                raise BadInput(
                    f"a line {line.strip()!r} is in the wrong place: close each solution before the next "
                    "one, because they cannot be nested."
                )
            inside = not inside
            if inside:
                yield line[: line.index(BEGIN)] + STUB
        elif not inside:
            yield line
    if inside:
        raise BadInput(f"a solution is not closed: add the missing {END!r}.")


def with_nbgrader_metadata(notebook: dict) -> dict:
    """The notebook with nbgrader's metadata: cells for answers, and checks worth one point each."""
    notebook = copy.deepcopy(notebook)
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        check, solution = CHECK.search(source(cell)), BEGIN in source(cell)
        marks = {"grade": bool(check), "solution": solution, "locked": not solution, "schema_version": 3, "task": False}
        if check:
            marks["points"] = 1
        if check or solution:
            name = f"check-{check[1].replace('.', '-')}" if check else f"answer-{number}"
            cell["metadata"]["nbgrader"] = marks | {"grade_id": name}
    return notebook


def source(cell: dict) -> str:
    return "".join(cell["source"])  # a text, or a list of lines


# ---------------------------------------------------------------- files


def load_solutions(notebooks: Path) -> dict[Path, dict]:
    """The notebooks of `notebooks`/solutions by path. Raises `BadInput` if there are none, or one cannot be read."""
    paths = sorted((notebooks / "solutions").glob("*.ipynb"))
    if not paths:
        raise BadInput(f"there are no solutions in {notebooks / 'solutions'}: run this in the course's repository.")
    found = {}
    for path in paths:
        try:
            found[path] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{path.name} is not a notebook ({reason(error)}): repair it in a text editor.") from error
    return found


def expected_sheets(notebooks: Path) -> dict[Path, str]:
    """The text that each file in `notebooks`/exercises should have, made from `notebooks`/solutions."""
    found = {}
    for path, notebook in load_solutions(notebooks).items():
        try:
            made = sheet(notebook)
        except BadInput as error:
            raise BadInput(f"{path.name}: {error}") from error
        found[notebooks / "exercises" / path.name] = as_text(made)
    return found


def as_text(notebook: dict) -> str:
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def write_sheets(notebooks: Path) -> list[Path]:
    """Write the exercise sheets, and remove those without a solution. Returns the files that changed.

    Raises `BadInput`, and changes nothing, if a file that would change was executed, because somebody works in it.
    """
    wanted, changed = expected_sheets(notebooks), outdated_sheets(notebooks)
    if used := [path.name for path in changed if path.exists() and executed(path)]:
        raise BadInput(
            f"somebody works in {', '.join(used)}, which would be overwritten: move it out of "
            f"{notebooks / 'exercises'} first."
        )
    for path in changed:
        if path not in wanted:
            path.unlink()
            continue
        with replacing(path) as temporary:
            temporary.write_text(wanted[path], encoding="utf-8", newline="\n")
    return changed


def executed(path: Path) -> bool:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any(cell.get("execution_count") for cell in cells)
    except (ValueError, KeyError, TypeError):
        return False


def outdated_sheets(notebooks: Path) -> list[Path]:
    """The files in `notebooks`/exercises that differ from what the solutions give: changed, missing or superfluous.

    Only names such as 01_minimax_game.ipynb count; copies that somebody made are left alone.
    """
    wanted = expected_sheets(notebooks)
    there = {path for path in (notebooks / "exercises").glob("*.ipynb") if LESSON.fullmatch(path.name)}
    return sorted({path for path in there | set(wanted) if path not in there or read_text(path) != wanted.get(path)})


def read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8").replace("\r\n", "\n")  # git on Windows may change line ends


def nbgrader_course(notebooks: Path, out: Path) -> list[str]:
    """Write a course folder for nbgrader: its settings, and an assignment for each lesson in ``source/lesson_NN``.

    Returns the names of the assignments. In that folder ``nbgrader generate_assignment lesson_01 --create`` then makes
    the sheets to hand out, and ``nbgrader autograde lesson_01`` marks the submitted ones.

    Raises `BadInput` if `out` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists and is not an empty folder: choose another name.")
    files, assignments = {out / "nbgrader_config.py": NBGRADER_CONFIG}, []
    for path, notebook in load_solutions(notebooks).items():
        assignments.append(f"lesson_{path.name[:2]}")
        files[out / "source" / assignments[-1] / path.name] = as_text(with_nbgrader_metadata(notebook))
    for path, text in files.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return assignments
