"""The doctor's report as a web page: what it shows, that it needs nothing else, and what it draws."""

import base64
import dataclasses
import io
import math
import pickle
import re
from html.parser import HTMLParser
from unittest import mock

import numpy as np
import pytest
import torch
from extras import BROWSER, needs_browser
from PIL import Image

from gantutor import doctor, publish
from gantutor.data import strokes
from gantutor.doctor import AILMENTS, Diagnosis, Evidence, Finding, specimens
from gantutor.doctor.images.extractors import FeatureExtractor
from gantutor.doctor.images.inputs import Case
from gantutor.errors import BadInput
from gantutor.metrics import classifier
from gantutor.publish import charts, report

N = 120
VOID = {"meta", "link", "img", "br"}
SVG_VOID = {"rect", "line", "circle", "polyline"}


class Page(HTMLParser):
    """The elements of a page in order, as (tag, attributes, text); raises unless each is closed where it has to be."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        said: list[str] = []
        self.elements.append((tag, dict(attrs), said))
        if tag not in VOID:
            self.open.append((tag, said))

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_VOID
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, said in self.open:
            said.append(data)

    def texts(self, tag: str) -> list[str]:
        return ["".join(said).strip() for name, _, said in self.elements if name == tag]

    def attributes(self, tag: str, **wanted: str) -> list[dict]:
        return [about for name, about, _ in self.elements if name == tag and wanted.items() <= about.items()]

    def pictures(self) -> dict[str, np.ndarray]:
        """By alternative text; of several with the same one the last."""
        return {
            about["alt"]: np.asarray(Image.open(io.BytesIO(base64.b64decode(about["src"].partition(",")[2]))))
            for about in self.attributes("img")
        }


def a_case(samples: torch.Tensor, real: torch.Tensor) -> Case:
    order = torch.arange(len(real))
    return Case(samples, samples, real, order, real, real, "", FeatureExtractor("", None), None)  # type: ignore[arg-type]


def noise(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def finding(name: str = "blurred", **options) -> Finding:
    return Finding(name, "moderate", (Evidence("the first number", 0.3, high=0.1),), **options)


def page(*findings: Finding, **options) -> Page:
    return Page(publish.report_html(Diagnosis(findings, "the data", "the judge", **options)))


# --- the page --------------------------------------------------------------------------------------------------------


def test_a_report_says_all_that_the_diagnosis_says():
    context = Evidence("the second number", 12, context=True)
    first = dataclasses.replace(finding(detail="In detail."), evidence=(*finding().evidence, context))
    d = Diagnosis((first, finding("noisy", since=12_000)), "the data", "the judge", ("A note.",))
    text = publish.report_html(d, command="gantutor diagnose x.npz")
    shown = Page(text)
    everything = " ".join(shown.texts("body"))
    for part in (d.data, d.judge, *d.notes, "In detail.", "gantutor diagnose x.npz", "0.3 too high by a factor of 3"):
        assert part in everything
    for each in d.findings:
        for part in (each.meaning, *each.to_try, each.lesson, each.severity, each.title):
            assert part in everything
    assert "It begins at step 12,000." in everything
    assert shown.texts("h1") == [AILMENTS["blurred"].meaning]
    assert [text.split()[1] for text in shown.texts("h2")[:2]] == ["Blurred", "Noisy"]
    assert {about["href"][1:] for about in shown.attributes("a")} == {
        about["id"] for about in shown.attributes("section") if "id" in about
    }
    assert shown.texts("h3").count("For context") == 1


def test_a_healthy_report_says_so():
    shown = page()
    assert shown.texts("h1") == ["Healthy: nothing was found."]
    assert "Try first" not in " ".join(shown.texts("body"))
    assert not shown.attributes("nav")


def test_a_report_says_beside_its_verdict_what_is_left_open():
    shown = page(open=("whether 2 < 3: give more",))
    assert "Left open: whether 2 < 3: give more." in " ".join(shown.texts("header"))


def test_a_report_runs_nothing_and_loads_nothing(tmp_path):
    """Whatever names and notes hold: no element and no attribute comes from them."""
    evil = '<script>alert("1")</script>"\'><img src=http://a.b/c.png onerror=alert(1)>&amp;'
    evidence = Evidence(evil, 0.5, high=0.1)
    sick = Finding("memorisation", "mild", (evidence,), evil, since=2.0)
    d = Diagnosis((sick,), evil, evil, (evil,), None, {evil: ([1, 2, 3], [1.0, 2.0, math.nan])}, (evil,))
    path = publish.write_report(d, tmp_path / "new" / "r.html", command=evil)
    text = path.read_text(encoding="utf-8")
    shown = Page(text)
    tags = {tag for tag, _, _ in shown.elements}
    assert not {"script", "img", "iframe", "object"} & tags
    assert not [name for _, about, _ in shown.elements for name in about if name.startswith("on")]
    links = [about[key] for _, about, _ in shown.elements for key in ("href", "src") if key in about]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"@import|url\(", text)
    assert "default-src 'none'" in shown.attributes("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert " ".join(shown.texts("body")).count('<script>alert("1")</script>') >= 6


def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        publish.write_report(Diagnosis((), "", ""), tmp_path / "file" / "r.html")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_texts_and_marks_can_be_told_from_the_paper(scheme):
    """WCAG 2 asks for 4.5 for text (1.4.3) and 3 for what is drawn (1.4.11)."""
    block = re.findall(r":root \{(.*?)\}", report.STYLE, re.DOTALL)[scheme]
    colours = {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
               for name, value in re.findall(r"--(\w+): (#\w+)", block)}  # fmt: skip
    assert len(colours) == 14
    for name in ("ink", "soft", "bad", "link", "mild", "moderate", "severe", "healthy"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["ink"], colours["panel"]) >= 4.5
    for name in ("real", "fake"):
        assert contrast(colours[name], colours["paper"]) >= 3, name
    assert contrast(colours["bad"], colours["good"]) >= 2.5  # the dot on the healthy range has a rim, too


# --- its pictures ----------------------------------------------------------------------------------------------------


def test_the_sheets_show_samples_beside_real_images():
    samples, real = noise(N, 1, 8, 8), noise(N, 1, 8, 8, seed=1)
    case = a_case(samples, real)
    shown = page(specimens=specimens.collect(case, samples)).pictures()
    assert sorted(shown) == ["30 images in rows of 5: real images", "30 images in rows of 5: samples"]
    for images, name in ((samples, "samples"), (real, "real images")):
        sheet = shown[f"30 images in rows of 5: {name}"]
        assert sheet.shape == (55, 46)
        third = sheet[1:9, 19:27]  # after two images and three lines
        assert np.abs(third - (images[2, 0].numpy() + 1) * 127.5).max() <= 0.5
    case.samples = samples / 2
    shown = page(specimens=specimens.collect(case, samples)).pictures()
    mended = shown["30 images in rows of 5: the same samples"]
    assert np.abs(mended[1:9, 19:27] - (samples[2, 0].numpy() / 2 + 1) * 127.5).max() <= 0.5


def test_a_copy_stands_above_what_it_copies(train, held):
    x = held.pixels[:N].clone()
    copied = torch.arange(20)
    x[copied] = (train.pixels[copied] + 0.02 * torch.randn(x[copied].shape)).clamp(-1, 1)
    d = doctor.examine(x, train, held_out=held)
    assert d.names[0] == "memorisation"
    kept = d.specimens
    assert len(kept.copies) == len(kept.originals) == specimens.PAIRS
    mine, theirs = (images.float() / 127.5 - 1 for images in (kept.copies, kept.originals))
    distances = torch.cdist(theirs.flatten(1), train.pixels[copied].flatten(1))  # (P, 20)
    assert (distances.min(1).values < 0.1).all()
    assert len(distances.argmin(1).unique()) == specimens.PAIRS
    assert ((mine - theirs).abs().mean((1, 2, 3)) < 0.02).all()
    pictures = Page(publish.report_html(d)).pictures()
    assert np.array_equal(pictures["Sample 6"], kept.copies[5, 0].numpy())
    assert np.array_equal(pictures["The training image nearest to it"], kept.originals[5, 0].numpy())
    assert not len(doctor.examine(held.pixels[:N], train, held_out=held).specimens.copies)


def test_fine_detail_is_shown_from_near_beside_what_looks_like_it():
    real = noise(N, 3, 80, 60)
    samples = real[40:43] * 0.9
    kept = specimens.collect(a_case(samples, real), samples)
    assert kept.details.shape == kept.real_details.shape == (3, 3, 32, 32)
    assert torch.equal(kept.real_details, specimens.as_bytes(real[40:43, :, 24:56, 14:46]))
    assert any("each pixel enlarged" in alt for alt in page(finding("checkerboard"), specimens=kept).pictures())
    assert not any("each pixel enlarged" in alt for alt in page(finding("low_fidelity"), specimens=kept).pictures())


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 28, 28), (4, 64, 64), (3, 128, 128), (3, 300, 200), (1, 8, 200)])
def test_a_diagnosis_stays_light(shape):
    x = noise(64, *shape)
    curve = specimens.thinned(range(100_000), torch.randn(100_000).tolist())
    case = a_case(x * 0.9, x)
    case.copies = torch.rand(64), torch.arange(64)
    kept = specimens.collect(case, x)
    d = Diagnosis((), "", "", (), kept, {str(k): curve for k in range(6)})
    assert len(pickle.dumps(d)) < 700_000
    assert kept.samples.shape[2] * shape[2] == pytest.approx(kept.samples.shape[3] * shape[1], rel=0.05)  # its shape
    assert len(kept.samples) >= 4
    shown = page(finding("noisy"), finding("memorisation"), specimens=kept)
    assert max(int(about["width"]) for about in shown.attributes("img")) <= report.SHEET + 20


def test_samples_that_are_not_finite_are_grey():
    real = noise(N, 1, 8, 8)
    case = a_case(real * math.nan, real)
    case.samples = case.samples[:0]
    kept = specimens.collect(case, case.samples)
    assert (kept.samples == 128).all()
    page(finding("noisy"), finding("memorisation"), specimens=kept)


def test_pictures_do_not_count_when_diagnoses_are_compared():
    a, b = (specimens.collect(a_case(x, x), x) for x in (noise(64, 1, 8, 8), noise(64, 1, 8, 8, seed=1)))
    assert Diagnosis((), "", "", (), a) == Diagnosis((), "", "", (), b)


# --- gauges ----------------------------------------------------------------------------------------------------------


def percent(about: dict, *names: str) -> list[float]:
    return [float(about[name].rstrip("%")) for name in names]


def test_the_dot_of_a_gauge_is_where_the_value_is():
    """Inside the healthy range if and only if the value is in it, whatever the scale; and within the gauge."""
    draw = np.random.default_rng(0)
    for _ in range(300):
        scale = 10.0 ** draw.integers(-6, 7)
        value, *ends = draw.normal(0, scale, 3)
        low, high = sorted(ends)
        bounds = [{"low": low, "high": high}, {"high": high}, {"low": low}, {"low": low, "high": low}]
        evidence = Evidence("x", value, **bounds[draw.integers(4)])
        shown = Page(charts.gauge(evidence))
        (start, width), (dot,) = (percent(*shown.attributes("rect", **{"class": "band"}), "x", "width"),
                                  percent(*shown.attributes("circle"), "cx"))  # fmt: skip
        assert -1e-6 <= start < start + width <= 100.01
        assert 0 <= dot <= 100
        assert evidence.low is not None or start == 0  # an open end goes on to the edge
        assert evidence.high is not None or start + width == pytest.approx(100, abs=0.01)
        beyond = max(start - dot, dot - start - width)
        assert beyond <= 0.011 if evidence.in_range else beyond >= -1.6  # a band is at least 1.5 wide
        (about,) = shown.attributes("div")
        assert (about["role"], about["aria-label"]) == ("img", str(evidence))


@pytest.mark.parametrize("value", [0.0, 3.0, math.inf, -math.inf, math.nan])
def test_a_gauge_for_any_number(value):
    for ends in ({"low": 0, "high": 0}, {"high": 0.0, "usual": 0.0}, {"low": 1.0}, {"usual": 2.0}):
        shown = Page(charts.gauge(Evidence("x", value, **ends)))
        assert "nan" not in "".join(str(about) for tag, about, _ in shown.elements if tag != "div")
        assert len(shown.attributes("circle")) == (not math.isnan(value))


# --- curves ----------------------------------------------------------------------------------------------------------


def points(shown: Page, style: str) -> list[np.ndarray]:
    """The lines of a plot, (N, 2) each, as shares of its width and height from the lower left."""
    lines = [about["points"] for about in shown.attributes("polyline") if about["class"].startswith(style)]
    size = np.array([charts.WIDTH, charts.HEIGHT])
    return [np.array([p.split(",") for p in line.split()], float) / size * [1, -1] + [0, 1] for line in lines]


def test_a_curve_is_drawn_where_its_values_are():
    steps, values = [10, 20, 50], [4.0, 0.0, 2.0]
    shown = Page(charts.plots({"d_loss": (steps, values)}, {"it <breaks>": 20, "not here": 99}))
    (line,) = points(shown, "raw")
    assert line == pytest.approx(np.array([[0, 1], [0.25, 0], [1, 0.5]]), abs=1e-3)
    (mark,) = shown.attributes("line", **{"class": "when"})
    assert float(mark["x1"]) / charts.WIDTH == 0.25
    assert shown.texts("li") == ["A step 20: it <breaks>", "B step 99: not here"]
    assert (
        "from step 10 to 50: 4 at first, 2 at the end, between 0 and 4"
        in shown.attributes("div", role="img")[0]["aria-label"]
    )


def test_exponential_growth_is_drawn_on_a_logarithmic_scale():
    steps = list(range(200))
    shown = Page(
        charts.plots({"g": (steps, [math.exp(k / 10) for k in steps]), "d": (steps, [1.0 + k for k in steps])})
    )
    for line in points(shown, "raw"):
        assert line[:, 0] == pytest.approx(line[:, 1], abs=0.01)  # both are straight
    assert [text.endswith("logarithmic scale") for text in shown.texts("figcaption")] == [True, False]


def test_values_that_are_not_finite_are_marked_and_break_the_line():
    shown = Page(charts.plots({"x": (range(6), [1.0, 2.0, math.nan, 2.0, 1.0, math.inf]), "y": ([1], [math.nan])}))
    assert [len(line) for line in points(shown, "raw")] == [2, 2]
    marks = [float(about["x1"]) / charts.WIDTH for about in shown.attributes("line", **{"class": "broken"})]
    assert marks == [0.4, 1]
    assert shown.texts("p") == ["y: none of its values is finite."]


@pytest.mark.parametrize("values", [[2.0], [0.0, 0.0], [-1e-30, 1e-30], [1e300, -1e300], [5e-324, 1.0], [-3.0, -3.0]])
def test_any_curve_can_be_drawn(values):
    shown = Page(charts.plots({"x": (range(len(values)), values)}))
    (line,) = points(shown, "raw")
    assert np.isfinite(line).all()
    assert -1e-6 <= line.min() <= line.max() <= 1 + 1e-6
    assert len([about for about in shown.attributes("span", **{"class": "y"})]) <= 8


@pytest.mark.parametrize(
    ("name", "kind"),
    [("d_loss", "D"), ("Loss_D", "D"), ("errD", "D"), ("D(x)", "D"), ("critic_loss", "D"), ("g_loss", "G"),
     ("lossG", "G"), ("D(G(z))", "G"), ("d_fake", "G"), ("g_grad_norm", "G"), ("fid", "other"), ("grad", "other")],
)  # fmt: skip
def test_blue_is_d_and_orange_is_g(name, kind):
    assert charts.whose(name) == kind


def test_a_thinned_curve_keeps_its_ends_its_peaks_and_its_gaps():
    values = [math.sin(k / 3000) for k in range(50_000)]
    values[31_234], values[7] = 9.0, -9.0
    values[45_000] = math.nan
    steps, kept = specimens.thinned(range(1, 50_001), values)
    assert len(kept) <= specimens.POINTS
    assert (steps[0], steps[-1]) == (1, 50_000)
    assert steps == sorted(set(steps))
    assert {31_235, 8, 45_001} <= set(steps)
    assert all(value == values[step - 1] or math.isnan(value) for step, value in zip(steps, kept, strict=True))
    assert specimens.thinned([3, 4], [1.0, 2.0]) == ([3, 4], [1.0, 2.0])


def test_the_curves_of_a_history_reach_the_report(sound, examine):
    d = examine(sound.pixels[:N], history={"d_loss": [1.0, None, 1.2] * 20})
    assert Page(publish.report_html(d)).texts("figcaption")[-1] == "d_loss"
    assert len(d.curves["d_loss"][1]) == 40


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [320, 390, 768, 1100])
def test_a_report_fits_its_window(tmp_path, width):
    from playwright.sync_api import sync_playwright

    x = noise(64, 3, 64, 64)
    case = a_case(x * 0.9, x)
    case.copies = torch.rand(64), torch.arange(64)
    curves = {"a_very_long_name_of_a_curve_" * 4: (range(100), list(range(100)))}
    found = finding("checkerboard", since=50), finding("memorisation")
    d = Diagnosis(found, "the/very/long/path/" * 9, "the judge", (), specimens.collect(case, x), curves)
    path = publish.write_report(d, tmp_path / "r.html", command="gantutor diagnose " + "x" * 200)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        window, said, asked = browser.new_page(viewport={"width": width, "height": 900}), [], []
        window.on("console", lambda message: said.append(message.text))
        window.on("request", lambda request: asked.append(request.url))
        window.goto(path.as_uri())
        assert window.evaluate("document.documentElement.scrollWidth") <= width
        assert window.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        browser.close()
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def test_real_images_are_shown_as_they_were_given():
    """Where samples lost values when they were saved, the real images are treated alike for the examination."""
    real = strokes.draw(1500, 0).pixels / 127.5 - 1
    clamped = (strokes.draw(400, 1).pixels / 127.5 - 1).clamp(min=0)
    with mock.patch.object(classifier, "recognise", return_value=None):
        d = doctor.examine(clamped, real)
    assert d.names[0] == "saved_wrongly"
    assert d.specimens.real.min() == 0
    assert d.specimens.samples.min() >= 127
