"""The static site: built offline, warnings as errors; nothing from the web, no dead link, a text for each picture."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from extras import skip_without
from PIL import Image
from test_handout import BROWSER, LESSONS, Page, broken_links, formulas, loads_from_the_web, needs_browser

COURSE = Path(__file__).resolve().parents[1]
NEEDED = ("sphinx", "myst_nb", "furo", "latex2mathml")

pytestmark = [pytest.mark.slow, skip_without(all(map(find_spec, NEEDED)), 'no Sphinx: pip install -e ".[docs]"')]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out, hook = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(
        "import socket\ndef refuse(*args): raise OSError('the network was asked for')\nsocket.socket.connect = refuse\n"
    )
    began = time.perf_counter()
    run = subprocess.run([sys.executable, str(COURSE / ".site" / "build.py"), str(out)], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(hook)})  # fmt: skip
    assert run.returncode == 0, run.stderr
    print(f"built in {time.perf_counter() - began:.0f} s")
    return out


def pages(site: Path) -> list[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 40
    return found


def test_there_is_a_page_for_each_lesson_and_module(site):
    for path in LESSONS:
        assert (site / "notebooks" / f"{path.stem}.html").is_file()
    for name in ("train", "metrics", "museum.exhibits", "data"):
        assert (site / "reference" / f"gantutor.{name}.html").is_file()
    assert {"TEACHING.html", "reference/index.html"} <= {link.split("#")[0] for link in Page(site / "index.html").links}


def test_the_first_page_has_a_film_and_a_line_for_each_lesson(site):
    first = Page(site / "index.html")
    assert any("Faces" in alt for alt in first.alts)
    (film,) = (path for path in (site / "_images").glob("faces*.png"))
    with Image.open(film) as opened:
        assert opened.n_frames > 10
    assert {f"notebooks/{path.stem}.html" for path in LESSONS} <= set(first.links)
    assert "What does a GAN do?" in first.text


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        ({"Repository": "https://github.com/someone/gan-tutor"}, "someone/gan-tutor"),
        ({"Repository": "https://github.com/someone/gan.tutor.git"}, "someone/gan.tutor"),
        ({"Repository": "https://example.org/someone/x"}, None),
        ({}, None),
    ],
)
def test_lessons_open_elsewhere_where_the_repository_is_known(urls, found):
    where = spec_from_file_location("build_site", COURSE / ".site" / "build.py")
    build = module_from_spec(where)
    where.loader.exec_module(build)
    assert build.github({"project": {"urls": urls}}) == found
    if found:
        made = build.links(found, "00_start_here.ipynb")
        assert f"(https://colab.research.google.com/github/{found}/blob/HEAD/notebooks/00_start_here.ipynb)" in made
        assert f"(https://mybinder.org/v2/gh/{found}/HEAD?labpath=notebooks/00_start_here.ipynb)" in made


def test_nothing_is_loaded_from_the_web(site):
    found = [*pages(site), *site.rglob("*.css")]
    assert {path.name: seen for path in found if (seen := loads_from_the_web(path))} == {}


def test_links_lead_somewhere(site):
    assert broken_links(site) == []


def test_lessons_link_each_other(site):
    (first,) = (site / "notebooks").glob("00_*.html")
    assert {f"{path.stem}.html" for path in LESSONS[1:8]} <= set(Page(first).links)


def test_every_picture_has_an_alternative_text(site):
    counts = 0
    for path in pages(site):
        page = Page(path)
        shortest = 10 if path.parent.name == "notebooks" else 1  # the module index has a "-" to fold
        assert all(len(alt.strip()) >= shortest for alt in page.alts), path.name
        counts += len(page.alts)
    assert counts > 100


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_formula_is_mathml(site, lesson):
    page = Page(site / "notebooks" / f"{lesson.stem}.html")
    assert page.tags.count("math") >= len(formulas(lesson))  # headings stand in the table of contents as well
    assert "script" in page.tags  # the theme's own, which are in the folder
    assert not any("mathjax" in address.lower() for address in page.loaded)


def test_docstrings_are_readable(site):
    run, recipe = (Page(site / "reference" / f"gantutor.train.{name}.html").text for name in ("run", "recipe"))
    assert "(N, *shape)" in run
    assert "R3GAN =" in recipe
    assert "<function" not in recipe.partition("R3GAN =")[0]
    assert "penalty_every: int = 16" in recipe


@needs_browser
def test_on_a_phone_no_page_scrolls_sideways(site):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 390, "height": 800})
        for path in pages(site):
            view.goto(path.as_uri())
            width = view.evaluate("document.scrollingElement.scrollWidth")
            assert width <= 390, f"{path.name} is {width} pixels wide"
        browser.close()
