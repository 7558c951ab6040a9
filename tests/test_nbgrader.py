"""An exercise sheet in nbgrader: given out, handed in right, half right and untouched, and marked. Extra `teach`."""

import copy
import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from extras import skip_without

from gantutor.publish import exercise_sheets

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SHEET = "01_minimax_game.ipynb"

pytestmark = [
    pytest.mark.slow,
    skip_without(find_spec("nbgrader") is not None, 'nbgrader is not installed: pip install -e ".[teach]"'),
]


def nbgrader(course: Path, *arguments: str) -> None:
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(course.parent / name) for name in homes}, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "nbgrader", *arguments]
    run = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def hand_in(course: Path, student: str, notebook: dict) -> None:
    path = course / "submitted" / student / "lesson_01" / SHEET
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def answered(sheet: dict, solution: dict, keep: slice) -> dict:
    """The sheet with some of the answers from the solution; the others say something wrong."""
    sheet, cells = copy.deepcopy(sheet), {c["id"]: exercise_sheets.source(c) for c in solution["cells"]}
    answers = [c for c in sheet["cells"] if c["id"] in cells and exercise_sheets.BEGIN in cells[c["id"]]]
    for number, cell in enumerate(answers):
        right = number in range(len(answers))[keep]
        stub = exercise_sheets.source(cell)
        cell["source"] = cells[cell["id"]] if right else stub.replace(exercise_sheets.STUB, "return 0.123")
    return sheet


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> dict[str, float]:
    course = tmp_path_factory.mktemp("nbgrader") / "course"
    assert "lesson_01" in exercise_sheets.nbgrader_course(NOTEBOOKS, course)
    nbgrader(course, "generate_assignment", "lesson_01", "--create")
    sheet, solution = load(course / "release" / "lesson_01" / SHEET), load(NOTEBOOKS / "solutions" / SHEET)
    texts = "".join(exercise_sheets.source(c) for c in sheet["cells"])
    assert "SOLUTION" not in texts
    assert exercise_sheets.STUB in texts
    hand_in(course, "right", answered(sheet, solution, slice(None)))
    hand_in(course, "half", answered(sheet, solution, slice(1)))
    hand_in(course, "empty", sheet)
    nbgrader(course, "autograde", "lesson_01", "--create")
    nbgrader(course, "export", "--to", "marks.csv")
    with open(course / "marks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["max_score"]) for row in rows} == {6.0}
    return {row["student_id"]: float(row["score"]) for row in rows}


def test_a_right_a_half_right_and_an_untouched_sheet_get_their_marks(scores):
    assert scores == {"right": 6.0, "half": 1.0, "empty": 0.0}


def test_a_course_is_not_written_over_another(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(exercise_sheets.BadInput, match="not an empty folder"):
        exercise_sheets.nbgrader_course(NOTEBOOKS, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
