"""What a person sees in a browser: MLflow's pages over a tracked repository, the report's page, and DVC's plots.

The browser is the system's Chromium, without a window. `ASSAY_SCREENSHOTS=<folder>` keeps a picture of each page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright
from ruamel.yaml import YAML

from assay.core import files
from assay.report import vega
from assay.tracking.store import opened
from assay.tracking.sync import sync
from tests.unit.report.report_site import write_report
from tests.unit.tracking.tracking_repository import write_arm, write_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: chromium)")

ARMS = {"line": {"midpoint": 1, "ensemble": 2}, "hard": {"last": 1}, "swa": {"last": 1, "average": 1}}
PATIENCE = 60_000  # milliseconds: other tests may share the core


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE)
        yield chromium
        chromium.close()


@contextmanager
def page_of(browser: Browser, name: str, **context: object) -> Iterator[tuple[Page, list[str]]]:
    """A page of a browser that remembers nothing, and what goes wrong on it."""
    opened_ = browser.new_context(**context)
    opened_.set_default_timeout(PATIENCE)
    page, wrong = opened_.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    yield page, wrong
    if folder := os.environ.get("ASSAY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    opened_.close()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> Path:
    """A repository with four arms in its database."""
    root = tmp_path_factory.mktemp("tracked")
    write_repository(root)
    write_arm(root, "hard", ARMS["hard"], accuracy=[0.97, 0.98], validation=(0.95, 0.96))
    write_arm(root, "swa", ARMS["swa"], accuracy=[0.7, 0.8])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with opened(root) as store:
            (root / "page").write_text(sync(store, ARMS).page)
    return root


@pytest.fixture(scope="module")
def server(tracked) -> Iterator[str]:
    """The address of an MLflow server over the database, on this machine alone and on a port that was free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tracked / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--backend-store-uri", f"sqlite:///{tracked}/mlflow.db"],
            stdout=log, stderr=log, cwd=tracked, start_new_session=True, env={**os.environ, **quiet},
        )  # fmt: skip
    try:
        _wait_for(f"{address}/health", process, tracked / "server.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # it has workers of its own
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


def cell(page: Page, run: str, column: str) -> object:
    """A cell of the table of runs: the row's number is the same in each of the parts that the grid is drawn in."""
    row = page.locator(".ag-row").filter(has=page.get_by_role("link", name=run, exact=True)).first
    number = row.get_attribute("row-index")
    return page.locator(f".ag-row[row-index='{number}'] [col-id*='{column}']").first


def test_the_table_of_runs_and_the_comparison_of_three(server, tracked, browser):
    with page_of(browser, "runs", viewport={"width": 1900, "height": 900}) as (page, _):
        page.goto(server + (tracked / "page").read_text())
        for name in ("baseline", *ARMS, "report"):
            expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
        names = page.locator(".ag-center-cols-container, .ag-pinned-left-cols-container").get_by_role("link")
        order = [name for name in names.all_inner_texts() if name in {"baseline", *ARMS, "report"}]
        assert order == ["hard", "line", "baseline", "swa", "report"]  # by accuracy, the best first
        for column in (
            "difference",
            "members",
            "test_accuracy",
            "test_accuracy_std",
            "test_nll",
            "train_samples",
            "verdict",
        ):
            expect(page.locator(".ag-header").get_by_text(column, exact=True).first).to_be_visible()
        expect(cell(page, "hard", "test_accuracy")).to_have_text("0.975")
        expect(cell(page, "line", "test_accuracy")).to_have_text("0.9")
        expect(cell(page, "line", "difference")).to_have_text("0.05")
        expect(cell(page, "line", "verdict")).to_have_text("reproduced")
        expect(page.get_by_text("5 matching runs")).to_be_visible()
        for name in ("baseline", "line", "hard"):
            row = page.locator(".ag-row").filter(has=page.get_by_role("link", name=name, exact=True)).first
            row.locator("input[type=checkbox]").first.check()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible()
        expect(page.locator("svg.main-svg").first).to_be_visible()  # the chart
        for name in ("baseline", "line", "hard"):
            expect(page.get_by_text(name, exact=True).first).to_be_visible()
        for parameter in ("beta", "method"):  # what differs is chosen by itself
            expect(page.locator("svg.main-svg").get_by_text(parameter, exact=True).first).to_be_visible()


def test_a_run_shows_its_curves_and_the_report_its_page(server, browser, tracked):
    with page_of(browser, "curves", viewport={"width": 1500, "height": 900}) as (page, _):
        page.goto(server + (tracked / "page").read_text())
        page.get_by_role("link", name="report", exact=True).click()
        expect(page.get_by_text("All arms compared")).to_be_visible()
        expect(page.get_by_role("cell", name="reproduced")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name="line", exact=True).click()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_placeholder("Search metric charts").fill("validation_loss")
        expect(page.get_by_role("heading", name="validation_loss")).to_be_visible()
        expect(page.locator("svg.main-svg .scatterlayer .trace").first).to_be_attached()


def test_the_page_of_the_champion(server, browser):
    with page_of(browser, "champion", viewport={"width": 1500, "height": 900}) as (page, _):
        page.goto(f"{server}/#/models/digits-linear")
        expect(page.get_by_text('mlflow.pytorch.load_model("models:/digits-linear@champion")')).to_be_visible()
        expect(page.get_by_text("@ champion").first).to_be_visible()
        page.get_by_role("link", name="Version 1").click()
        expect(page.get_by_text("hard/last")).to_be_visible()
        expect(page.get_by_text("Its own test accuracy is 0.9800.")).to_be_visible()
        expect(page.get_by_role("link", name="hard-last").first).to_be_visible()
        page.get_by_role("link", name="hard-last").first.click()
        expect(page.get_by_role("link", name="digits-linear")).to_be_visible()  # and not "Not registered"
        expect(page.get_by_text("the normalisation is inside")).to_be_visible()
        expect(page.get_by_text("test_accuracy", exact=True).first).to_be_visible()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """The address of a report that the present code makes of made-up results."""
    return (write_report(tmp_path_factory.mktemp("report")) / "metrics/report/index.html").as_uri()


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("report-light", {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}}),
        ("report-dark", {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}}),
        ("report-phone", {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}),
    ],
)
def test_the_report_reads_on_every_screen(report, browser, name, context):
    with page_of(browser, name, **context) as (page, wrong):
        page.goto(report)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for verdict in ("reproduced", "refuted"):
            expect(page.get_by_text(re.compile(rf"\b{verdict}\b")).first).to_be_visible()
        page.evaluate("document.querySelectorAll('.chart').forEach((one) => { if (one.offsetParent) draw(one); })")
        charts = page.locator("figure svg.marks:visible")
        expect(charts.first).to_be_visible()
        # nothing sticks out of the page, and no chart out of its place; a wide table scrolls in a frame of its own
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        width = page.evaluate("document.documentElement.clientWidth")
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in map(_box, charts.all()))
        text, ground = (
            page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor")
        )
        assert (_light(ground) < _light(text)) == (name == "report-dark"), (text, ground)
        expect(charts).to_have_count(page.locator(".chart:visible").count())
        charts.first.locator(".role-mark path").last.hover()
        expect(page.locator("#vg-tooltip-element")).to_contain_text("times what matters")
        assert wrong == []


def _box(locator) -> dict[str, float]:
    return locator.bounding_box()


def _light(colour: str) -> float:
    """The mean of a CSS colour's red, green and blue."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_dvcs_plots_are_drawn_without_a_network(browser, tmp_path_factory):
    """With the committed `.dvc`, and Vega where `make install` puts it."""
    root = write_report(tmp_path_factory.mktemp("plots"))
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, check=True)
    shutil.copytree(REPOSITORY / ".dvc/plots", root / ".dvc/plots", dirs_exist_ok=True)
    for name in ("config", "page.html"):
        shutil.copy(REPOSITORY / ".dvc" / name, root / ".dvc")
    files.write_text(root / ".venv/vega.js", vega.script())
    stages = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")["stages"]
    plots = stages["compare"]["plots"]
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"compare": {"cmd": "true", "plots": plots}}}))
    subprocess.run(["dvc", "plots", "show"], cwd=root, check=True, capture_output=True)
    with page_of(browser, "dvc-plots", offline=True, viewport={"width": 1300, "height": 900}) as (page, wrong):
        page.goto((root / "dvc_plots/index.html").as_uri())
        charts = page.locator("svg.marks")
        expect(charts).to_have_count(len(plots))
        marks = ".mark-rect.role-mark path, .mark-line.role-mark path"
        for i in range(len(plots)):  # a bar for each variant, a line for each arm
            expect(charts.nth(i).locator(marks).nth(2)).to_be_attached()
        assert not [line for line in wrong if line.startswith("failed") or "rror" in line]
