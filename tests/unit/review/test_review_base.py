"""The base: the commit that git means by a name, and never another one without a word."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from assay.core.errors import AssayError
from assay.review import markdown, snapshot

if TYPE_CHECKING:
    from pathlib import Path


class Repository:
    """A git repository with a few commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.folder, capture_output=True, check=True)
        return done.stdout.decode(errors="replace").strip()

    def commit(self, subject: str | bytes) -> str:
        path = self.folder.parent / "message"
        path.write_bytes(subject if isinstance(subject, bytes) else subject.encode())
        self.git("commit", "-q", "--allow-empty", "--allow-empty-message", "-F", str(path))
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """Branch `work` with one, two, three; origin's main went another way after one, and origin/HEAD points to it."""
    made = Repository(tmp_path_factory.mktemp("template"))
    made.git("init", "-q", "-b", "main", "--template=")
    made.commit("one")
    made.git("checkout", "-qb", "elsewhere")
    made.commit("main two")
    made.commit("main three")
    made.git("update-ref", "refs/remotes/origin/main", "HEAD")
    made.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    made.git("checkout", "-q", "main")
    made.git("branch", "-qD", "elsewhere")
    made.git("checkout", "-qb", "work")
    made.commit("two")
    made.commit("three")
    return made.folder


@pytest.fixture
def repository(template, tmp_path) -> Repository:
    shutil.copytree(template, tmp_path / "repository")
    return Repository(tmp_path / "repository")


def subjects(repository: Repository, name: str) -> tuple[str, str]:
    """Of the commit that is compared with, and of the one that the name means."""
    found = snapshot.find_base(repository.folder, name)
    return found.commit.subject, found.named.subject


def test_what_is_no_branch_is_what_git_says_here(repository):
    repository.git("tag", "-a", "-m", "annotated", "v2", "HEAD~1")
    repository.git("tag", "light", "HEAD~1")
    repository.git("checkout", "-q", "HEAD~1")
    repository.git("checkout", "-q", "work")
    sha = repository.git("rev-parse", "HEAD~1")
    for name in ("HEAD~1", "@^", "work~1", "v2", "light", "refs/tags/v2", ":/two", "@{-1}", sha, sha[:10]):
        assert subjects(repository, name) == ("two", "two"), name


def test_head_is_never_the_origins(repository):
    found = snapshot.find_base(repository.folder, "HEAD")
    assert found.commit.subject == "three"
    assert found.is_head
    assert "it is HEAD, so only uncommitted changes can differ" in found.text(repr)


def test_the_second_parent_and_the_upstream(repository):
    repository.git("merge", "-q", "-m", "merged", "origin/main")
    assert subjects(repository, "HEAD^2") == ("main three", "main three")
    repository.git("remote", "add", "origin", ".")
    repository.git("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    repository.git("branch", "-q", "--set-upstream-to", "origin/main")
    found = snapshot.find_base(repository.folder, "@{u}")
    assert (found.commit.subject, found.reference) == ("main three", "refs/remotes/origin/main")


def test_a_branch_is_the_origins_and_both_commits_are_said(repository):
    assert subjects(repository, "main") == ("one", "main three")
    text = snapshot.find_base(repository.folder, "main").text(repr)
    assert "\n" not in text
    one, three = repository.git("rev-parse", "main"), repository.git("rev-parse", "origin/main")
    assert text == (
        f"Compared with {one[:12]} 'one', where this branch left 'main' (refs/remotes/origin/main), which is now at "
        f"{three[:12]} 'main three'."
    )
    repository.git("branch", "-q", "local", "HEAD~1")
    assert snapshot.find_base(repository.folder, "local").reference == "refs/heads/local"


def test_a_branch_goes_before_a_tag_or_an_abbreviated_hash_of_its_name_and_the_text_says_which(repository):
    other = repository.git("rev-parse", "HEAD~1")
    for name in ("both", other[:8]):
        repository.git("update-ref", f"refs/heads/{name}", "HEAD~2")
        repository.git("tag", name, "HEAD~1")
        assert subjects(repository, name) == ("one", "one")
        assert f"(refs/heads/{name})" in snapshot.find_base(repository.folder, name).text(repr)
        repository.git("update-ref", f"refs/remotes/origin/{name}", "origin/main")
        assert snapshot.find_base(repository.folder, name).reference == f"refs/remotes/origin/{name}"
        assert subjects(repository, f"refs/tags/{name}") == ("two", "two")
    repository.git("update-ref", f"refs/remotes/origin/{other}", "origin/main")
    assert subjects(repository, other) == ("two", "two")  # a whole hash is that commit, whatever else has its name


def test_a_base_that_this_branch_has_not_reached_and_a_detached_head(repository):
    repository.git("checkout", "-q", "--detach", "main")
    found = snapshot.find_base(repository.folder, "work")
    assert (found.commit.subject, found.named.subject, found.is_head) == ("one", "three", True)


def test_a_name_without_a_commit_is_one_line(repository):
    for name in ("nowhere", "", "--all", "^main", "main..work", "HEAD~9", "HEAD^{tree}", "@{u}", "a b"):
        with pytest.raises(AssayError, match=r"no such branch or commit here; `git fetch origin`") as caught:
            snapshot.find_base(repository.folder, name)
        assert "\n" not in str(caught.value)


def test_a_shallow_clone_and_separate_histories_are_told_apart(repository, tmp_path):
    shallow = tmp_path / "shallow"
    url = f"file://{repository.folder}"
    repository.git("clone", "-q", "--depth", "1", "--branch", "work", "--no-single-branch", url, str(shallow))
    for name in ("main", "HEAD~1"):
        with pytest.raises(AssayError, match="this clone is shallow: git fetch --unshallow origin"):
            snapshot.find_base(shallow, name)
    repository.git("checkout", "-q", "--orphan", "alone")
    repository.commit("alone")
    with pytest.raises(AssayError, match="no commit in common with this branch; they have separate histories"):
        snapshot.find_base(repository.folder, "work")


def test_a_subject_is_only_text(repository):
    repository.commit("`a` ``b`` | <details> @somebody #1 *x*")
    found = snapshot.find_base(repository.folder, "HEAD").text(markdown.code)
    assert "``` `a` ``b`` | <details> @somebody #1 *x* ```" in found
    repository.git("config", "i18n.commitEncoding", "unknown")  # git cannot convert it, and prints these very bytes
    repository.commit(b"caf\xe9 \xff")
    assert snapshot.find_base(repository.folder, "HEAD").commit.subject.startswith("caf")
    repository.commit("")
    assert "'(no subject)'" in snapshot.find_base(repository.folder, "HEAD").text(repr)


def test_a_snapshot_is_read_beside_its_own_params_where_the_repository_is_a_folder_of_another(repository):
    inner = repository.folder / "inner"
    inner.mkdir()
    (repository.folder / "params.yaml").write_text("which: outer\n")
    (inner / "params.yaml").write_text("which: inner\n")
    repository.git("add", "-A")
    repository.commit("both")
    assert snapshot.read(inner, "HEAD").params == {"which": "inner"}


@pytest.mark.parametrize("text", ["a: 2026-13-45", "a: [", "a: " + 2000 * "["])
def test_a_params_yaml_of_the_base_that_is_no_yaml_is_one_line(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(AssayError, match=r"params\.yaml: not valid YAML: .+") as caught:
        snapshot.read(tmp_path)
    assert "\n" not in str(caught.value)
