"""`python -m stages.compare`: what the report says, that it needs nothing else, and that its bytes do not vary."""

import json
import os
import platform
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from assay.analysis import curves
from assay.cli import show
from assay.core.errors import AssayError
from stages import compare

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(compared, monkeypatch):
    monkeypatch.chdir(compared)
    return compared


@pytest.fixture
def page(folder) -> str:
    return (folder / "metrics/report/index.html").read_text()


class Strict(HTMLParser):
    """Fails on tags that do not nest, and collects what a reader sees and what a browser would fetch."""

    VOID = ("meta", "link", "br", "img", "hr")
    CDATA_CONTENT_ELEMENTS = ("script", "style")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.text, self.fetched, self.ids = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.note(attributes)

    def handle_startendtag(self, tag, attributes):
        self.note(attributes)

    def note(self, attributes):
        found = dict(attributes)
        self.fetched += [value for key, value in attributes if key in ("src", "href", "xlink:href", "data")]
        self.ids += [found["id"]] if "id" in found else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title", "script"} & set(self.open):
            self.text.append(data)


def test_the_page_is_well_formed_and_fetches_nothing(page):
    parsed = Strict(page)
    assert all(target.startswith("#") for target in parsed.fetched)
    assert "@import" not in page
    assert "url(http" not in page
    assert len(page) < 3_000_000
    own = re.sub(r'<script id="vega">.*?</script>', "", page, flags=re.DOTALL)  # can fetch, if a chart names an address
    assert not re.search(r'fetch\(|XMLHttpRequest|import\(|<script [^>]*src|"url"', own)


def test_the_charts_in_the_page_do_not_share_names(page):
    ids = Strict(page).ids
    assert len(ids) == len(set(ids))


def test_the_page_says_what_was_found(page):
    text = " ".join(" ".join(Strict(page).text).split())
    assert "3 claims tested: 1 reproduced, 1 refuted, 1 undecided." in text
    assert (
        page.index('id="advice"')
        < page.index('id="verdicts"')
        < page.index('id="results"')
        < page.index('id="parameters"')
    )
    assert "Fixed & sound: 1 < 2 | true." in text
    assert "Not as in the paper: all of it" in text
    assert "Accuracy of cyclic at most 50 points worse than that of baseline" in text
    assert "NLL of baseline better" in text
    assert "than that of cyclic" in text
    assert "(less is better)" in text
    assert "line/ensemble" in text
    assert " batches fixed" in text
    assert "ab" * 32 in text
    assert "10 seeds, 400 test examples, intervals of 95 %; those of claims are stricter." in text
    assert "NLL, Brier and ECE: less is better. ECE has 20 bins." in text
    assert "Test examples by class: 0 (40), 1 (40), " in text
    assert "The largest class, 0, is 10.0 % of them." in text
    assert {"Balanced accuracy", "Macro F1"} <= {part.strip() for part in Strict(page).text}


def test_the_page_escapes_what_a_claim_says(page):
    assert "Fixed &amp; sound: 1 &lt; 2 | true." in page


def test_verdicts_do_not_rest_on_colour_alone(page):
    for mark, verdict in (("✓", "reproduced"), ("✗", "refuted"), ("?", "undecided")):
        assert re.search(rf"{re.escape(mark)}</b> {verdict}", page)


def test_the_reports_first_lines_say_what_to_use(folder, page):
    markdown = (folder / "metrics/report/report.md").read_text()
    for text in (page, markdown):
        for question in ("At no more training than the baseline", "Cheaper to run, without loss", "To drop"):
            assert text.index(question) < text.index("Accuracy of cyclic")
    lines = (folder / "metrics/report/advice.md").read_text()
    assert lines.startswith("3 claims tested: ")
    assert lines[lines.index("- **At no more") :] in markdown
    assert "<strong><code>line/midpoint</code></strong>" in page


def test_light_and_dark_and_print_and_phone(page):
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 620px", 'name="viewport"'):
        assert rule in page


def test_the_markdown_twin_has_whole_tables(folder):
    text = (folder / "metrics/report/report.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
        assert re.fullmatch(r"[|:-]+", table.splitlines()[1])
    assert [len(table.splitlines()) for table in tables[:4]] == [3, 3, 3, 9]
    assert r"1 < 2 \| true." in text
    assert "![" in text
    assert text.endswith("\n")


def test_charts_are_svg_with_a_title_and_a_dark_side(folder):
    charts = list((folder / "metrics/report").rglob("*.svg"))
    assert {path.stem for path in charts} >= {"equal_cost", "differences", "calibration", "members", "learning_curves"}
    for path in charts:
        root = ET.parse(path).getroot()
        assert root.find("{http://www.w3.org/2000/svg}title").text
        style = root.find("{http://www.w3.org/2000/svg}style").text
        assert "prefers-color-scheme:dark" in style
        text = path.read_text()
        for what, colour in set(re.findall(r'(fill|stroke)="(#[^"]+)"', text)):
            assert f'[{what}="{colour}"]' in style, "a colour that dark ground does not change"
    text = (folder / "metrics/report/figures/differences.svg").read_text()
    assert all(label in text for label in ("cyclic", "line/ensemble", "difference to the baseline, points"))


def test_every_chart_has_its_numbers_beside_it_and_under_the_pointer(folder, page):
    for name in ("equal_cost", "calibration", "members", "learning_curves"):
        section = page[page.index(f'<section id="{name}">') :]
        section = section[: section.index("</section>")]
        assert "<details>" in section
        assert section.count('"tip":') >= 3
    assert "line/ensemble: " in page


def test_a_section_without_data_is_absent(page):
    for name in ("pruning", "subspaces", "trajectories", "label_noise"):
        assert f'id="{name}"' not in page


def test_the_bytes_do_not_vary(folder):
    def files():
        return {path: path.read_bytes() for path in (folder / "metrics").rglob("*") if path.is_file()}

    first = files()
    assert {path.name for path in first} >= {"summary.csv", "claims.json", "index.html", "report.md", "results.csv"}
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}  # this process has another seed
    subprocess.run([sys.executable, "-m", "stages.compare"], cwd=folder, env=environment, check=True)
    assert files() == first
    text = (folder / "metrics/report/index.html").read_text()
    assert str(folder) not in text
    assert platform.node() not in text or len(platform.node()) < 5


def test_fail_on_is_an_exit_code(folder, capsys):
    assert show.report("refuted") == 1
    assert capsys.readouterr().err == "refuted: hopeless\n"
    assert (folder / "metrics/claims.json").exists()


def test_without_arms_and_claims(site, monkeypatch):
    monkeypatch.chdir(site.root)
    folder = site.root
    site.params()
    assert show.report("refuted") == 0
    assert json.loads((folder / "metrics/claims.json").read_text()) == []
    assert "No claims to decide" in (folder / "metrics/report/index.html").read_text()


def test_one_seed_has_no_intervals(site, monkeypatch):
    monkeypatch.chdir(site.root)
    folder = site.root
    site.seeds = (100,)
    for name in ("baseline", "cyclic"):
        site.arm(name)
    claim = (
        "{id: a, paper: b, statement: c, arm: cyclic, against: baseline, metric: ece, verdict: better, matters: 0.01}"
    )
    site.params("{cyclic: {method: sgd}}", f"[{claim}]")
    compare.main()
    found = json.loads((folder / "metrics/claims.json").read_text())[0]
    assert (found["verdict"], found["interval"]) == ("undecided", None)
    assert "1 seed: too few for a look." in (folder / "metrics/report/index.html").read_text()


def test_a_claim_on_a_variant_that_is_not_there_leaves_the_old_report(folder):
    before = (folder / "metrics/claims.json").read_bytes()
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("line/midpoint", "line/middle"))
    with pytest.raises(AssayError, match=r"claims.hopeless.arm: line has no variant 'middle'; .*midpoint, ensemble"):
        compare.main()
    assert (folder / "metrics/claims.json").read_bytes() == before


HEADER = "arm,seed,step,split,loss,accuracy\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}a,0,1,train,1,x\n", "could not convert string to float: 'x'"),
        (f"{HEADER}a,0,1,train,1,1\na,1,2,train,1,1\n", r"\(0, 2\)"),
        ("arm,seed\na,0\n", "'step'"),
    ],
)
def test_a_damaged_curve_is_named(tmp_path, text, message):
    path = tmp_path / "line.csv"
    path.write_text(text)
    with pytest.raises(AssayError, match=rf"line.csv: not a table of curves \((line 2: )?{message}\)"):
        curves.read(path)


def test_a_curve_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AssayError, match=r"line.csv: not found; `dvc pull` fetches it, `dvc repro` writes it"):
        curves.read(tmp_path / "line.csv")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(f"{HEADER}a,0,1,train,1,0.81\na,0,1,validation,1,0.7", id="inside-a-number"),
        pytest.param(f"{HEADER}a,0,1,train,1,1\na,0,1,validation,1,1\na,0,2,train,1,1\n", id="before-a-split"),
    ],
)
def test_a_curve_that_was_cut_off_is_refused(tmp_path, text):
    path = tmp_path / "line.csv"
    path.write_text(text)
    line = r"line.csv: not a table of curves \(it is cut off.*; run `rm -r .*line.csv; chmod .*; dvc repro`"
    with pytest.raises(AssayError, match=line):
        curves.read(path)
