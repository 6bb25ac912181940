"""The evaluation commands as a user calls them."""

import sys

import pytest

from strokewise.cli import main as cli


@pytest.fixture
def call(monkeypatch, capsys):
    """``strokewise eval ...``: exit status, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["strokewise", "eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run
