"""`assay`: every subcommand exists and takes what it is given; help is instant; a wrong folder is one line."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from assay import cli
from assay.analysis import claims


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_takes_by_name_what_it_is_given(name):
    command = cli.COMMANDS[name]
    module, _, function = command.target.partition(":")
    found = inspect.signature(getattr(import_module(module), function)).parameters
    given = {
        options.get("dest", argument.strip("-").replace("-", "_")) for argument, options in command.arguments.items()
    }
    assert given <= set(found)
    assert {key for key, one in found.items() if one.default is one.empty} <= given


def test_verdicts_are_those_of_claims():
    assert set(cli.VERDICTS) == set(claims.VERDICTS)


def test_help_imports_nothing_heavy_and_lists_every_command():
    code = "import sys; from assay import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(bool({'torch', 'dvc', 'mlflow', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"    {name}" in done.stdout for name in cli.COMMANDS)


def test_a_wrong_folder_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "dvc.yaml" in line
    assert "assay plan" in line


@pytest.mark.parametrize("arguments", [["decide", "--minutes", "-1"], ["follow", "--interval", "0"], ["export", "x"]])
def test_a_wrong_argument_is_named(arguments, capsys):
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert "--" in capsys.readouterr().err.splitlines()[-1]
