"""The number of paintings at once that free memory allows."""

import pytest
import torch

from strokewise.cli.batches import fitted_batch, parse_batch
from strokewise.errors import ConfigError
from strokewise.inference import room
from strokewise.models.bagel import costs


def test_a_session_is_counted_as_the_table_of_info_does(tiny_model):
    config = tiny_model.config
    cache = costs.cache_bytes(config.language, config.max_positions, torch.float32.itemsize)
    assert room.session_bytes(tiny_model) == room.COPIES * cache


@pytest.mark.parametrize(("sessions", "batch"), [(0.1, 1), (1.9, 1), (6.5, 5), (10_000, room.MOST)])
def test_as_many_as_fit_and_never_none(tiny_model, monkeypatch, sessions, batch):
    free = int(sessions * room.session_bytes(tiny_model))
    monkeypatch.setattr(room, "free_bytes", lambda device: free)
    assert room.fitting_batch(tiny_model)[0] == batch


def test_memory_of_the_host_is_read():
    assert 2**20 < room.free_bytes(torch.device("cpu")) < 2**50


def test_the_choice_is_told(generator, monkeypatch, capsys):
    painter = type("Painter", (), {"generator": generator})
    assert fitted_batch(parse_batch("3"), painter) == 3
    assert capsys.readouterr().err == ""
    assert fitted_batch(parse_batch("auto"), painter) >= 1
    assert "GB are free, a session takes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "all", "4097", "1.5", ""])
def test_other_batches_are_refused(text):
    with pytest.raises(ConfigError, match="it is 1 to 4,096, or auto"):
        parse_batch(text)
