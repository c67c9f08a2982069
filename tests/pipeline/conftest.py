"""What tests of the plan and of CI share: a team's repository of shell commands, filled once a file."""

import pytest
import shell_pipeline


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The repository that filled the remote, and its git origin."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "remote").mkdir()
    return shell_pipeline.create(folder, str(folder / "remote"))
