"""The commands that look at a store are reached through ``python -m data_prep``."""

from __future__ import annotations

import pytest

from data_prep import __main__ as cli


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    output = capsys.readouterr().out
    assert stop.value.code == 0 and f"usage: python -m data_prep {command}" in output and "exit code: 0" in output


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_says_in_one_line_that_there_is_no_store(command: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([command, "/no/such/store"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: /no/such/store: no such folder"
