"""The parts of the server that need no process: the line, the streams, and words of corrections."""

import asyncio
import json
import math

import pytest
from PIL import Image
from pydantic import ValidationError

from strokewise.data.corrections import accepted, corrected
from strokewise.errors import InputError
from strokewise.inference.options import PaintingOptions
from strokewise.serve.live import Live
from strokewise.serve.problems import RequestError
from strokewise.serve.stream import MAX_BYTES, MAX_EVENTS, Listener, Stream
from strokewise.serve.values import Options, State
from strokewise.serve.waiting import Waiting
from strokewise.trajectory.events import ImagePreview, TextDelta
from strokewise.trajectory.values import Message, Step, Trajectory


def live(client, name):
    state = State(
        id=name, prompt="a cup", seed=0, model="", size=(8, 8), options=PaintingOptions(), status="queued"
    )
    return Live("owner", client, state)


def test_a_client_that_asks_for_much_is_not_served_before_others():
    waiting = Waiting(10)
    for client, name in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")]:
        waiting.add(live(client, name))
    planned = [one.id for one in waiting.order([])]
    assert planned == ["a1", "b1", "c1", "a2", "a3"]
    taken, running = [], []
    while (one := waiting.take(running)) is not None:
        taken.append(one.id)
        running.append(one)
    assert taken == planned


def test_who_was_served_longest_ago_is_next():
    waiting = Waiting(10)
    for name in ("a1", "b1", "a2", "b2"):
        waiting.add(live(name[0], name))
    assert [waiting.take([]).id for _ in range(4)] == ["a1", "b1", "a2", "b2"]


def test_nobody_takes_more_than_half_of_the_places():
    waiting = Waiting(4)
    waiting.add(live("a", "a1"))
    waiting.check("a", 3.0)
    waiting.add(live("a", "a2"))
    with pytest.raises(RequestError) as refused:
        waiting.check("a", 3.0)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "3"})
    waiting.check("b", 3.0, 2)
    with pytest.raises(RequestError):
        waiting.check("b", 3.0, 3)


def test_a_stream_is_bounded_and_says_what_was_lost():
    stream = Stream("s")
    for number in range(10_000):
        stream.add(TextDelta(0, str(number)))
    assert len(stream.frames) == MAX_EVENTS
    assert stream.after(100) is None
    assert [frame.number for frame in stream.after(9_997)] == [9_998, 9_999]
    assert stream.after(9_999) == []
    assert stream.after(10_000) is None
    for _ in range(20):
        stream.add(ImagePreview(0, 1, 2, b"x" * (MAX_BYTES // 8)))
    assert sum(len(frame.data) for frame in stream.frames) <= MAX_BYTES


def test_a_listener_is_woken_from_another_thread():
    async def listen():
        stream, listener = Stream("s"), Listener()
        stream.join(listener)
        await asyncio.to_thread(stream.add, TextDelta(0, "x"))
        assert await listener.wait(5)
        stream.leave(listener)
        assert not stream.listeners

    asyncio.run(listen())


def test_requests_know_every_option_of_painting():
    options = vars(PaintingOptions(interval=(0.25, 1.0), size=(64, 32), renorm="global"))
    sent = json.loads(json.dumps(options))
    assert Options.model_validate(sent).changes() == {k: v for k, v in options.items() if v is not None}


@pytest.mark.parametrize(
    "sent",
    [{"shift": math.nan}, {"steps": 2.0}, {"interval": [0, 2]}, {"size": [8]}, {"solver": "other"}, {"x": 1}],
)
def test_options_are_refused(sent):
    with pytest.raises(ValidationError):
        Options.model_validate(sent)


def step(des, color="white"):
    return Step(Message("", None, "paint", des), Image.new("RGB", (64, 64), color))


def test_corrections_outside_the_sprite_world_are_in_plain_words():
    worse = Trajectory("a gnome by a well", (step("a dwarf"),))
    record = corrected(worse, step("a gnome", "red"))
    assert (record.subset, record.label) == ("conflict", "wrong")
    assert record.trajectory.steps[-1].message.des == "a gnome"
    assert "a gnome" in record.trajectory.steps[-1].message.refine
    record = corrected(worse, step("a dwarf", "red"))
    assert (record.subset, record.label) == ("alignment", "negative")
    assert accepted(worse, "conflict").label == "right"
    with pytest.raises(InputError, match="two canvases"):
        corrected(worse, Step(Message("", None, "paint", "x")))
