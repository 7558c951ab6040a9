"""From a notebook with solutions to the sheet that learners get, and to a source of nbgrader.

What stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` becomes a stub. The stub does nothing, so that an
untouched sheet runs through and every check says "not attempted".
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

from gantutor.errors import BadInput, reason
from gantutor.files import replacing

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MARK = re.compile(r"\b(begin|end)\s+solution\b", re.IGNORECASE)  # also where it is not quite written as above
STUB = "...  # your answer"
CHECK = re.compile(r'^checks\.check\("([\d.]+)"', re.MULTILINE)
LESSON = re.compile(r"\d\d_\w+\.ipynb")
NBGRADER_CONFIG = f"""c = get_config()  # read by nbgrader in this folder
c.ClearSolutions.code_stub = {{"python": {STUB!r}}}  # what raises an error would be a traceback, not "not attempted"
c.CourseDirectory.course_id = "gantutor"
"""


def sheet(notebook: dict) -> dict:
    """The exercise notebook (nbformat 4, as JSON) of one with solutions. The latter stays as it is.

    Raises `BadInput` where a solution is not closed, or begins inside another.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        lines = source(cell).splitlines()
        if cell["cell_type"] == "code":
            text = "\n".join(without_solutions(lines))
            tags = [tag for tag in cell["metadata"].pop("tags", []) if not tag.startswith("nbval")]
            cell.update(source=text.splitlines(keepends=True), outputs=[], execution_count=None)
            cell["metadata"] |= {"tags": tags} if tags else {}
        elif marks := [line for line in lines if MARK.search(line)]:
            raise BadInput(f"the line {marks[0].strip()!r} stands in a text: a solution is in a cell of code.")
    return notebook


def without_solutions(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if MARK.search(line):
            if line.strip() not in (BEGIN, END):
                raise BadInput(f"the line {line.strip()!r} is nearly a mark: write {BEGIN!r} or {END!r}.")
            if (line.strip() == BEGIN) == inside:
                raise BadInput(f"a line {line.strip()!r} stands where there can be none: solutions do not nest.")
            inside = not inside
            if inside:
                yield line[: line.index(BEGIN)] + STUB
        elif not inside:
            yield line
    if inside:
        raise BadInput(f"a solution is not closed: {END!r} is missing.")


def graded(notebook: dict) -> dict:
    """The same notebook with the metadata that nbgrader wants: answers to be written, checks of one point each."""
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
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


# ---------------------------------------------------------------- files


def solutions(notebooks: Path) -> dict[Path, dict]:
    """The notebooks with solutions in `notebooks`/solutions."""
    paths = sorted((notebooks / "solutions").glob("*.ipynb"))
    if not paths:
        raise BadInput(f"there are no solutions in {notebooks / 'solutions'}: run this in the course's repository.")
    found = {}
    for path in paths:
        try:
            found[path] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{path.name} is no notebook ({reason(error)}): open it in an editor.") from error
    return found


def sheets(notebooks: Path) -> dict[Path, str]:
    """What each file in `notebooks`/exercises should hold, from those in `notebooks`/solutions."""
    found = {}
    for path, notebook in solutions(notebooks).items():
        try:
            made = sheet(notebook)
        except BadInput as error:
            raise BadInput(f"{path.name}: {error}") from error
        found[notebooks / "exercises" / path.name] = as_text(made)
    return found


def as_text(notebook: dict) -> str:
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def write(notebooks: Path) -> list[Path]:
    """Write the exercises, and remove those that have no solutions. Returns the files that changed.

    Raises `BadInput`, and changes nothing, where one that would change was executed: somebody works in it.
    """
    wanted, changed = sheets(notebooks), differing(notebooks)
    if used := [path.name for path in changed if path.exists() and executed(path)]:
        raise BadInput(f"somebody works in {', '.join(used)}: move it out of {notebooks / 'exercises'} first.")
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


def differing(notebooks: Path) -> list[Path]:
    """The files in `notebooks`/exercises that are not what the solutions give: changed, missing, or too many.

    Only names like 01_minimax_game.ipynb count: copies that somebody made are theirs.
    """
    wanted = sheets(notebooks)
    there = {path for path in (notebooks / "exercises").glob("*.ipynb") if LESSON.fullmatch(path.name)}
    return sorted({path for path in there | set(wanted) if path not in there or read(path) != wanted.get(path)})


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8").replace("\r\n", "\n")  # git on Windows may have changed the line ends


def nbgrader_course(notebooks: Path, out: Path) -> list[str]:
    """Write a course folder for nbgrader: its settings, and an assignment per lesson in ``source/lesson_NN``.

    Returns the names of the assignments. ``nbgrader generate_assignment lesson_01 --create`` in that folder then makes
    the sheets to give out, and ``nbgrader autograde lesson_01`` marks what comes back in.

    Raises `BadInput` where `out` exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already and not an empty folder: choose another name.")
    files, assignments = {out / "nbgrader_config.py": NBGRADER_CONFIG}, []
    for path, notebook in solutions(notebooks).items():
        assignments.append(f"lesson_{path.name[:2]}")
        files[out / "source" / assignments[-1] / path.name] = as_text(graded(notebook))
    for path, text in files.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return assignments
