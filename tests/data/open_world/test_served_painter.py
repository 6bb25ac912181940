"""A painter behind an images API, and the budget that it shares with a judge."""

import base64
import json

import pytest
from PIL import Image
from pydantic import BaseModel

from strokewise.critics.vlm_client import VlmClient
from strokewise.data.served_painter import KeptCanvases, ServedPainter
from strokewise.errors import ConfigError, InputError, ServiceError
from strokewise.io import services
from strokewise.io.services import Budget, Prices, QueryLimits, Service, Spent, spent_in


class Word(BaseModel):
    word: str


@pytest.fixture
def make_painter(studio):
    def make(size=16, limits=None, budget=None, prices=None):
        return ServedPainter("brush-1", size, studio.url, "key", budget or Budget(limits), prices)

    return make


def paint(painter, canvas=None, seed=1):
    return painter.paint(canvas, "add a cat.", "a photo of a cat", None, seed)


class TestServedPainter:
    def test_first_canvases_are_generated_and_others_edited(self, studio, make_painter, studio_server):
        painter = make_painter()
        first = paint(painter)
        assert first.getpixel((0, 0)) == studio_server.color_of("a photo of a cat 1")
        second = paint(painter, first, seed=2)
        assert second.getpixel((0, 0)) == studio_server.color_of("add a cat. 2")
        assert second.getpixel((0, 15)) == first.getpixel((0, 15))
        assert [path for path, _ in studio.seen] == ["/v1/images/generations", "/v1/images/edits"]

    def test_services_without_seeds(self, studio, make_painter, studio_server):
        studio.refuses = ("seed", "response_format")
        painter = make_painter()
        canvas = paint(painter)
        assert canvas.getpixel((0, 0)) == studio_server.color_of("a photo of a cat None")
        paint(painter, canvas)
        assert len(studio.seen) == 3

    def test_services_with_sizes_of_their_own(self, studio, make_painter):
        studio.size = (24, 24)
        assert paint(make_painter()).size == (16, 16)
        studio.size = (24, 16)
        with pytest.raises(ServiceError, match="24x16 pixels in place of 16x16"):
            paint(make_painter())

    @pytest.mark.parametrize("fault", ["status", "cut", "garbage", "no picture"])
    def test_failures_are_tried_again(self, studio, make_painter, studio_server, fault):
        faults = {
            "status": studio_server.status(503),
            "cut": studio_server.cut,
            "garbage": studio_server.answered(b"<html>"),
            "no picture": studio_server.answered({"data": [{"url": "http://elsewhere/1.png"}]}),
        }
        studio.faults = [faults[fault]] * 2
        assert paint(make_painter()).size == (16, 16)
        assert len(studio.seen) == 3

    def test_what_is_no_picture(self, studio, make_painter, studio_server):
        studio.faults = [studio_server.answered({"data": [{"b64_json": base64.b64encode(b"no").decode()}]})]
        with pytest.raises(ServiceError, match="the picture of brush-1"):
            paint(make_painter())

    def test_a_prompt_that_is_refused_is_no_failure_of_the_service(self, studio, make_painter, studio_server):
        studio.faults = [studio_server.status(400, "your prompt was rejected", "moderation_blocked")]
        with pytest.raises(InputError, match="the painter refuses this one: your prompt was rejected"):
            paint(make_painter())

    def test_other_refusals_are(self, studio, make_painter, studio_server):
        studio.faults = [studio_server.status(401, "wrong key")]
        with pytest.raises(ServiceError, match=r"the painter brush-1 refused .*wrong key.*check the key"):
            paint(make_painter())

    def test_a_key_of_its_own(self, studio, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(
            ConfigError, match="no key for the painter: set PAINTER_API_KEY or OPENAI_API_KEY"
        ):
            ServedPainter("brush-1", 16, studio.url)
        monkeypatch.setenv("PAINTER_API_KEY", "mine")
        assert paint(ServedPainter("brush-1", 16, studio.url)).size == (16, 16)


class TestKeptCanvases:
    def test_nothing_is_painted_twice(self, studio, make_painter, tmp_path):
        kept = KeptCanvases(make_painter, "brush-1", tmp_path)
        first = paint(kept)
        again = paint(KeptCanvases(make_painter, "brush-1", tmp_path))
        assert (first.tobytes(), len(studio.seen)) == (again.tobytes(), 1)
        for changed in (
            lambda: paint(kept, first),
            lambda: paint(kept, seed=2),
            lambda: paint(KeptCanvases(make_painter, "brush-2", tmp_path)),
        ):
            before = len(studio.seen)
            changed()
            assert len(studio.seen) == before + 1

    def test_damaged_ones_are_painted_again(self, studio, make_painter, tmp_path):
        kept = KeptCanvases(make_painter, "brush-1", tmp_path)
        first = paint(kept)
        (path,) = tmp_path.rglob("*.png")
        path.write_bytes(b"half")
        assert paint(kept).tobytes() == first.tobytes()
        assert Image.open(path).size == (16, 16)


class TestBudget:
    def test_judge_and_painter_share_it(self, studio, make_painter, tmp_path):
        studio.judge = lambda text, pictures: {"word": "yes"}
        budget = Budget(QueryLimits(requests=3), tmp_path)
        painter = make_painter(budget=budget, prices=Prices(picture=0.5))
        judge = VlmClient("judge-1", studio.url, "key", budget=budget, prices=Prices(1000, 5000))
        paint(painter)
        judge.query("task", "text", Word)
        paint(painter)
        assert budget.spent == Spent(3, 100, 2 * 0.5 + (80 * 1000 + 20 * 5000) / 1e6)
        with pytest.raises(ServiceError, match="limit of 3 requests is reached"):
            judge.query("task", "text", Word)
        assert spent_in(tmp_path) == budget.spent

    def test_money_is_limited(self, make_painter):
        painter = make_painter(limits=QueryLimits(cost=1.0), prices=Prices(picture=0.4))
        for _ in range(3):
            paint(painter)
        with pytest.raises(ServiceError, match=r"limit of 1\.0 cost is reached"):
            paint(painter)

    def test_what_was_spent_before_counts(self, make_painter, tmp_path):
        limits = QueryLimits(requests=5)
        paint(make_painter(budget=Budget(limits, tmp_path)))
        before = spent_in(tmp_path)
        assert before == Spent(1, 0, 0.0)
        halves = [make_painter(budget=Budget(limits, tmp_path, before, workers=2)) for _ in range(2)]
        for painter in halves:
            paint(painter)
            paint(painter)
            with pytest.raises(ServiceError, match="limit of 5 requests is reached"):
                paint(painter)
        assert spent_in(tmp_path) == Spent(5, 0, 0.0)

    def test_what_lost_workers_spent_counts(self, tmp_path, monkeypatch):
        monkeypatch.setattr(services, "NEWS", 0.0)
        limits = QueryLimits(requests=8)
        alive, lost = (Budget(limits, tmp_path, Spent(), workers=2) for _ in range(2))
        for _ in range(4):
            assert lost.admit() is None
        replacement = Budget(limits, tmp_path, spent_in(tmp_path), workers=2)
        for _ in range(8):
            for budget in (alive, replacement):
                budget.admit()
        assert spent_in(tmp_path).requests == 8

    def test_a_damaged_ledger(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps({"requests": "many"}))
        with pytest.raises(ConfigError, match=r"a\.json"):
            spent_in(tmp_path)

    def test_prices_by_token_need_stated_tokens(self, make_painter):
        with pytest.raises(ServiceError, match="does not state how many tokens"):
            paint(make_painter(prices=Prices(input=1.0)))

    def test_services_say_who_lacks_what(self):
        with pytest.raises(ConfigError, match="the painter's address cannot be"):
            Service("painter", "m", "ftp://x", "key", Budget(), None, lambda data: None, 1)
