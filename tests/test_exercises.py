"""The exercise notebooks: made from the solutions, harmless while untouched, marked by nbgrader."""

import ast
import copy
import json
import re
import shutil
from pathlib import Path

import pytest

from gantutor import checks
from gantutor.errors import BadInput
from gantutor.publish import exercise_sheets

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def cell(text: str, kind: str = "code") -> dict:
    outputs = {"outputs": [{"output_type": "stream"}], "execution_count": 3} if kind == "code" else {}
    return {"cell_type": kind, "id": "a", "metadata": {"tags": ["nbval-check-output"]}, "source": text, **outputs}


def notebook(*texts: str) -> dict:
    return {"cells": [cell(text) for text in texts], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


# ---------------------------------------------------------------- the sheets

SOLVED = "def f(x):\n    # x: a number\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\nf(1)"


def test_a_sheet_has_a_stub_where_the_solution_was_and_no_outputs():
    before = notebook(SOLVED, "1 + 1")
    original = copy.deepcopy(before)
    made = exercise_sheets.sheet(before)
    assert before == original
    first, second = made["cells"]
    assert "".join(first["source"]) == "def f(x):\n    # x: a number\n    ...  # your answer\nf(1)"
    assert "".join(second["source"]) == "1 + 1"
    assert all(c["outputs"] == [] and c["execution_count"] is None and c["metadata"] == {} for c in made["cells"])


@pytest.mark.parametrize(
    "text",
    [
        "### BEGIN SOLUTION\n1",
        "### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
        "### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION",
        "### BEGIN SOLUTION ###\n1\n### END SOLUTION ###",
        "###  BEGIN SOLUTION\n1\n### END SOLUTION",
        "### Begin solution\n1\n### End solution",
        "# BEGIN SOLUTION\n1\n# END SOLUTION",
    ],
)
def test_a_solution_that_could_be_given_away_is_an_error(text):
    with pytest.raises(BadInput, match="(?i)solution"):
        exercise_sheets.sheet(notebook(text))


def test_a_solution_in_a_text_is_an_error():
    made = notebook("1")
    made["cells"].append(cell("### BEGIN SOLUTION\nBecause.\n### END SOLUTION", "markdown"))
    with pytest.raises(BadInput, match="cell of code"):
        exercise_sheets.sheet(made)


@pytest.fixture
def course(tmp_path) -> Path:
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "01_a.ipynb").write_text(json.dumps(notebook(SOLVED)), encoding="utf-8")
    return tmp_path


def test_writing_makes_the_exercises_what_they_should_be(course):
    made = course / "exercises" / "01_a.ipynb"
    assert exercise_sheets.outdated_sheets(course) == [made]
    assert exercise_sheets.write_sheets(course) == [made]
    assert exercise_sheets.outdated_sheets(course) == []
    assert "BEGIN SOLUTION" not in made.read_text(encoding="utf-8")
    made.write_text(made.read_text(encoding="utf-8").replace("your answer", "my answer"), encoding="utf-8")
    (course / "exercises" / "07_old.ipynb").write_text("{}")
    assert exercise_sheets.outdated_sheets(course) == [made, course / "exercises" / "07_old.ipynb"]
    exercise_sheets.write_sheets(course)
    assert [p.name for p in (course / "exercises").iterdir()] == ["01_a.ipynb"]
    assert exercise_sheets.outdated_sheets(course) == []


def test_writing_leaves_alone_what_somebody_works_in(course):
    exercise_sheets.write_sheets(course)
    made = course / "exercises" / "01_a.ipynb"
    mine = load(made)
    mine["cells"][0].update(source="my answer", execution_count=1)
    made.write_text(json.dumps(mine), encoding="utf-8")
    copy_ = course / "exercises" / "01_a-Copy1.ipynb"
    shutil.copy(made, copy_)
    before = made.read_bytes()
    with pytest.raises(BadInput, match=r"somebody works in 01_a\.ipynb"):
        exercise_sheets.write_sheets(course)
    assert made.read_bytes() == before
    made.unlink()
    exercise_sheets.write_sheets(course)
    assert copy_.exists()
    assert exercise_sheets.outdated_sheets(course) == []


def test_a_broken_solution_is_named_and_writes_nothing(course):
    for text in (json.dumps(notebook("### END SOLUTION")), "no notebook"):
        (course / "solutions" / "02_b.ipynb").write_text(text)
        with pytest.raises(BadInput, match=r"02_b\.ipynb"):
            exercise_sheets.write_sheets(course)
    assert not (course / "exercises").exists()


def test_a_folder_without_solutions_is_said(tmp_path):
    with pytest.raises(BadInput, match="no solutions"):
        exercise_sheets.write_sheets(tmp_path)


# ---------------------------------------------------------------- those of the course


def test_the_exercises_are_what_the_solutions_give():
    assert [path.name for path in exercise_sheets.outdated_sheets(NOTEBOOKS)] == []


def asked(path: Path) -> list[str]:
    return [m[1] for c in load(path)["cells"] if (m := exercise_sheets.CHECK.search(exercise_sheets.source(c)))]


def test_the_notebooks_ask_for_every_exercise_once():
    assert sorted(id for path in SOLUTIONS for id in asked(path)) == sorted(checks.CATALOGUE)
    for path in SOLUTIONS:
        assert {id[:2] for id in asked(path)} == {path.name[:2]}
        assert (NOTEBOOKS / path.name).is_file()


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_solution_is_marked_right_and_nbval_compares_the_mark(path):
    for c in load(path)["cells"]:
        if found := exercise_sheets.CHECK.search(exercise_sheets.source(c)):
            (output,) = c["outputs"]
            assert "".join(output["data"]["text/plain"]) == "1.0", found[1]
            assert c["metadata"]["tags"] == ["nbval-check-output"]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_an_untouched_sheet_runs_through_and_was_not_attempted(path, monkeypatch, capfd):
    monkeypatch.chdir(NOTEBOOKS / "solutions")
    results = run(exercise_sheets.sheet(load(path)))
    assert capfd.readouterr().err == ""
    verdicts = [result for result in results if isinstance(result, checks.Verdict)]
    assert [v.exercise.id for v in verdicts] == asked(path)
    assert {v.right for v in verdicts} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_one_answer_at_a_time_breaks_no_other_cell(path, monkeypatch):
    """Keep the solutions of one exercise and stub the others."""
    monkeypatch.chdir(NOTEBOOKS / "solutions")
    solved = load(path)
    stubbed = exercise_sheets.sheet(solved)
    checked = 0
    for number, (whole, stub) in enumerate(zip(solved["cells"], stubbed["cells"], strict=True)):
        if exercise_sheets.BEGIN not in exercise_sheets.source(whole):
            continue
        cells = [*stubbed["cells"][:number], whole, *stubbed["cells"][number + 1 :]]
        verdicts = [v for v in run({"cells": cells}) if isinstance(v, checks.Verdict)]
        assert False not in {v.right for v in verdicts}, [str(v) for v in verdicts]
        checked += any(v.right for v in verdicts)
        assert stub != whole
    assert checked >= 1


def test_no_line_of_a_solution_is_in_the_sheets():
    for path in SOLUTIONS:
        for whole, stub in zip(load(path)["cells"], exercise_sheets.sheet(load(path))["cells"], strict=True):
            if whole["cell_type"] != "code" or exercise_sheets.BEGIN not in exercise_sheets.source(whole):
                continue
            inside = re.findall(r"BEGIN SOLUTION\n(.*?)\n *### END", exercise_sheets.source(whole), re.DOTALL)
            lines = {line.strip() for part in inside for line in part.splitlines() if len(line.strip()) > 8}
            left = {line.strip() for line in exercise_sheets.source(stub).splitlines()}
            assert not lines & left, (path.name, lines & left)


def run(notebook: dict) -> list[object]:
    """Execute the code cells in this process; what each one's last line gives."""
    names = {"__name__": "__main__", "display": lambda *things, **options: None}
    return [run_cell(exercise_sheets.source(c), names) for c in notebook["cells"] if c["cell_type"] == "code"]


def run_cell(text: str, names: dict) -> object:
    tree = ast.parse(text)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_teachers_page_has_the_minutes_of_the_sheet(path):
    title = exercise_sheets.source(load(path)["cells"][0])
    minutes = [int(m) for m in re.findall(r"\| (\d+) \|$", title, re.MULTILINE)]
    assert len(minutes) == len(asked(path))
    (row,) = re.findall(rf"^\| {path.name[:2]} \|.*$", (NOTEBOOKS / "TEACHING.md").read_text("utf-8"), re.MULTILINE)
    assert row.split("|")[6].strip() == str(sum(minutes))
