"""A server that plays painter and judge, and builds against it."""

import time
from types import SimpleNamespace

import openai
import pytest
from tests.data.open_world import studio_server as module


@pytest.fixture(scope="session")
def studio_server():
    """The module of the server."""
    return module


@pytest.fixture
def studio(studio_server, monkeypatch):
    """A running server; clients in this process do not wait before they try again."""
    patient = SimpleNamespace(time=time.time, sleep=lambda seconds: None)
    monkeypatch.setattr(openai._base_client, "time", patient)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    with studio_server.serving() as server:
        yield server


@pytest.fixture
def make_workshop(studio, tmp_path):
    """A function that makes workshops of the server."""
    from strokewise.data.open_world.workshop import ModelChoice, PainterChoice, Workshop
    from strokewise.io.services import Prices, QueryLimits

    def make(cache="cache", workers=1, painter=None, writer=None, **limits):
        return Workshop(
            painter or PainterChoice("served", "brush-1", 16, studio.url, prices=Prices(picture=0.02)),
            ModelChoice("judge-1", studio.url, Prices(1000, 5000)),
            QueryLimits(**limits),
            tmp_path / cache,
            workers,
            ModelChoice(writer, studio.url, Prices(2000, 8000)) if writer else None,
        )

    return make
