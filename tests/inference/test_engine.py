"""The loop over stages, with a generator that writes from a script, and with the tiny model."""

from itertools import zip_longest
from types import SimpleNamespace

import pytest
from PIL import Image

from strokewise.errors import ConfigError, ContextLengthError, InputError
from strokewise.inference import (
    PROTOCOL_FORMATS,
    STROKEWISE,
    Engine,
    Painted,
    PaintingOptions,
    Preview,
    ProtocolFormat,
    Request,
    SinglePass,
)
from strokewise.inference.messages import Draft
from strokewise.inference.painter import raising
from strokewise.inference.policies import PromptAsInstruction
from strokewise.inference.writing import TextStep, Written
from strokewise.io.schema import checked
from strokewise.sequence import ImageLimits
from strokewise.trajectory.events import AnyEvent
from strokewise.trajectory.values import Message, Step, Verdict, to_parts

PLAN = "<ins>add a cup</ins> <des>a cup in the center</des>"
NEXT = "the sketch shows the plan. <ins>add a bus</ins> <des>a cup and a bus</des>"
MEND = "the sketch shows two cups instead of one. <refine>remove a cup</refine>"
DONE = "the plan fits the prompt. the sketch shows the plan."


class ScriptedContext:
    """Remembers what was read: entries of ids, or of an image."""

    def __init__(self):
        self.entries, self.script, self.following = [], [], "text"

    @property
    def length(self):
        return sum(len(entry.ids) or 1 for entry in self.entries)

    @property
    def position(self):
        return self.length

    @property
    def has_image(self):
        return any(entry.image for entry in self.entries)

    def fork(self):
        other = ScriptedContext()
        other.entries = [SimpleNamespace(**vars(entry)) for entry in self.entries]
        for entry in other.entries:
            entry.ids = list(entry.ids)
        other.script, other.following = list(self.script), self.following
        return other

    def truncate(self, tokens):
        entry = self.entries[-1]
        entry.ids = entry.ids[: len(entry.ids) - (self.length - tokens)]
        entry.closed = False


# A family that draws whatever it writes, as an untrained model must.
ALWAYS = ProtocolFormat("always", "always")


class ScriptedGenerator:
    """Writes, in each context, what the script of its prompt says; paints one color for a seed.

    A script lists (text, what follows); None follows a text that is cut off, and what follows a canvas is a
    text unless the next entry is ("", "end").
    """

    def __init__(self, tokenizer, scripts, limit=10**6):
        self.tokenizer, self.special, self.limit = tokenizer, tokenizer.special, limit
        self.scripts = {prompt: list(script) for prompt, script in scripts.items()}
        self.canvas = ImageLimits(4, 8, 32)
        self.calls = []

    def context(self):
        return ScriptedContext()

    def check_length(self, position):
        if position > self.limit:
            raise ContextLengthError("too long")

    def read(self, contexts, texts, guided=True):
        self.calls.append(("read", len(contexts), guided))
        for context, ids in zip(contexts, texts, strict=True):
            self.check_length(context.position + len(ids) + 2)
            self._add(context, [1, *ids, 2])
            context.script = self.scripts.get(self.tokenizer.decode(list(ids)), context.script)

    def append(self, contexts, segments, guided=True):
        for context, (segment,) in zip(contexts, segments, strict=True):
            ids = [1] * segment.opens + segment.tokens.tolist() + [2] * segment.closes
            if segment.opens:
                self._add(context, ids, segment.closes)
            else:
                assert not context.entries[-1].closed
                context.entries[-1].ids += ids

    def _add(self, context, ids, closed=True):
        context.entries.append(SimpleNamespace(ids=ids, image=None, closed=closed))

    def see(self, contexts, images, latents=True):
        self.calls.append(("see", len(contexts)) if latents else ("view", len(contexts)))
        for context, image in zip(contexts, images, strict=True):
            context.entries.append(SimpleNamespace(ids=[], image=image, closed=True))
            context.following = "end" if context.script[:1] == [("", "end")] else "text"

    def write(self, contexts, options, seeds):
        self.calls.append(("write", len(contexts)))
        entries = [context.script.pop(0) for context in contexts]
        texts = [self.tokenizer.encode(text) for text, _ in entries]
        for step in zip_longest(*texts):
            yield TextStep(step)
        for context, ids, (_, following) in zip(contexts, texts, entries, strict=True):
            context.following = following
            if context.entries[-1].closed:
                self._add(context, [1, *ids, 2])
            else:
                context.entries[-1].ids += [*ids, 2]
                context.entries[-1].closed = True
        stops = {
            "inline image": self.special.image_start,
            "inline end": self.special.sequence_end,
            None: None,
        }
        yield Written(
            tuple(map(tuple, texts)),
            tuple(stops.get(following, self.special.text_end) for _, following in entries),
        )

    def continuations(self, contexts):
        return [context.following for context in contexts]

    def paint(self, contexts, sizes, options, seeds):
        self.calls.append(("paint", len(contexts), options))
        images = [
            Image.new("RGB", (width, height), (seed % 256, seed // 256 % 256, 9))
            for (height, width), seed in zip(sizes, seeds, strict=True)
        ]
        for i in range(options.previews):
            yield Preview(i + 1, options.num_steps, 0.5, tuple(images))
        if options.feedback != "none":
            self.see(contexts, images)
        yield Painted(tuple(images), ())


@pytest.fixture
def scripted(tiny_tokenizer):
    """Run scripts: the engine after all sessions ended, and its events by request."""

    def run(scripts, requests=None, protocol_format=STROKEWISE, limit=10**6, batch=8, policy=None, **options):
        scripts = scripts if isinstance(scripts, dict) else {"a cup": scripts}
        generator = ScriptedGenerator(tiny_tokenizer, scripts, limit)
        requests = requests or [Request(prompt, seed=7) for prompt in scripts]
        engine = Engine(generator, tiny_tokenizer, "scripted", batch)
        for request in requests:
            engine.open(request, PaintingOptions(**options), policy=policy, protocol=protocol_format)
        events = list(engine.run())
        engine.events = [[event for s, event in events if s.name == str(at)] for at in range(len(requests))]
        return engine

    return run


def of_type(events, kind):
    return [event for event in events if event.type == kind]


def test_a_whole_trajectory(scripted):
    script = [(PLAN, "image"), (MEND, "image"), (NEXT, "image"), (DONE, "end")]
    engine = scripted(script, previews=2, steps=5)
    (trajectory,) = engine.trajectories()
    assert [step.message.text() for step in trajectory.steps] == [PLAN, MEND, NEXT, DONE]
    assert [step.image is not None for step in trajectory.steps] == [True, True, True, False]
    assert (trajectory.stop, trajectory.model, trajectory.seed) == ("end", "scripted", 7)
    assert trajectory.steps[0].seed == 7
    assert len({step.seed for step in trajectory.steps}) == 4
    trajectory.check_protocol()
    assert trajectory.steps[0].verdict is None
    assert trajectory.steps[2].verdict == Verdict(None, True)
    assert trajectory.steps[3].verdict == Verdict(True, True)
    assert all(step.seconds >= 0 for step in trajectory.steps)


def test_events_tell_it_all(scripted):
    script = [(PLAN, "image"), (MEND, "image"), (DONE, "end")]
    (events,) = scripted(script, previews=2, steps=5).events
    kinds = [event.type for event in events if event.type != "text_delta"]
    canvas = ["image_started", "image_preview", "image_preview", "image_finished"]
    text = ["text_started", "text_finished"]
    assert kinds == [*text, *canvas, *text, *canvas, *text, "finished"]
    for number, whole in enumerate([PLAN, MEND, DONE]):
        deltas = [e.text for e in of_type(events, "text_delta") if e.step == number]
        assert "".join(deltas) == whole
        assert len(deltas) > 5
    assert [event.stage for event in of_type(events, "image_started")] == ["sketch", "refine"]
    assert [event.stage for event in of_type(events, "image_finished")] == ["sketch", "refine"]
    assert [event.step for event in of_type(events, "image_finished")] == [0, 1]
    assert events[-1].reason == "end"
    assert [checked(AnyEvent, event.to_json(), "event") for event in events] == events


@pytest.mark.parametrize(
    ("script", "options", "stop", "images"),
    [
        ([(PLAN, "image"), (NEXT, "image"), (NEXT, "image")], {"max_rounds": 2}, "rounds", 2),
        ([(PLAN, "image"), (NEXT, "image")], {"max_rounds": 1}, "rounds", 1),
        ([(PLAN, "image"), (MEND, "image"), (MEND, "image"), (DONE, "end")], {"max_rounds": 1}, "end", 3),
        ([(PLAN, "image"), (MEND, "image"), (MEND, "image")], {"max_images": 2}, "images", 2),
        ([(PLAN, None)], {}, "tokens", 0),
        ([(PLAN, "image"), ("the sket", None)], {}, "tokens", 1),
        ([(PLAN, "text")], {}, "protocol", 0),
        ([(PLAN, "end")], {}, "protocol", 0),
        ([("<ins>add a cup", "image")], {}, "protocol", 0),
        ([("", "end")], {}, "end", 0),
        ([(PLAN, "image"), ("", "end")], {}, "end", 1),
        ([(PLAN, "inline image"), (DONE, "inline end")], {}, "end", 1),
    ],
)
def test_why_it_ends(scripted, script, options, stop, images):
    engine = scripted(script, **options)
    (trajectory,) = engine.trajectories()
    assert trajectory.stop == stop
    assert len(trajectory.images) == images
    assert engine.events[0][-1].reason == stop


def test_a_model_that_ends_behind_a_canvas_writes_nothing_more(scripted):
    engine = scripted([(PLAN, "image"), ("", "end")])
    assert len(engine.trajectories()[0].steps) == 1
    assert len(of_type(engine.events[0], "text_started")) == 1


def test_what_breaks_the_protocol_is_kept_as_it_was_written(scripted):
    engine = scripted([(PLAN, "image"), ("so <ins>add</des>", "image")])
    (trajectory,) = engine.trajectories()
    assert trajectory.steps[1].message == Message("so <ins>add</des>")
    assert of_type(engine.events[0], "text_finished")[1].text == "so <ins>add</des>"


@pytest.mark.parametrize("text", ["", "<", "</des>", "<ins></ins>", "<des>", "<refine>" * 5, "a" * 300])
@pytest.mark.parametrize("following", ["text", "image", "end", None])
def test_no_text_of_a_model_is_an_exception(scripted, text, following):
    engine = scripted([(text, following), (text, "end")], max_images=1)
    assert engine.events[0][-1].type == "finished"


def test_a_full_context_ends_it(scripted):
    engine = scripted([(PLAN, "image"), (NEXT, "image")], limit=60, max_tokens=40)
    (trajectory,) = engine.trajectories()
    assert trajectory.stop == "context"
    assert len(trajectory.images) <= 1


def test_a_prompt_that_is_too_long_is_the_users_error(scripted):
    engine = scripted({"a" * 100: [(DONE, "end")], "a cup": [("", "end")]}, limit=50)
    assert [events[-1].type for events in engine.events] == ["error", "finished"]
    with pytest.raises(ContextLengthError):
        list(raising(iter([(engine.sessions["0"], None)])))


def test_a_single_pass_paints_right_after_the_prompt(scripted):
    engine = scripted([], policy=SinglePass())
    (trajectory,) = engine.trajectories()
    assert [(step.message, step.image is not None) for step in trajectory.steps] == [(Message(), True)]
    assert trajectory.stop == "single-pass"
    assert [e.type for e in engine.events[0]] == ["image_started", "image_finished", "finished"]
    assert ("see", 1) not in engine.generator.calls


def test_sizes(scripted, random_image):
    assert scripted([], policy=SinglePass()).trajectories()[0].images[0].size == (16, 16)
    assert scripted([], policy=SinglePass(), size=(8, 24)).trajectories()[0].images[0].size == (24, 8)
    wide = Request("a cup", source=random_image(40, 20))
    (trajectory,) = scripted({"a cup": []}, [wide], policy=SinglePass()).trajectories()
    assert trajectory.images[0].size == trajectory.source.size == (16, 8)
    with pytest.raises(InputError, match="not a multiple"):
        scripted([], size=(7, 8))


def test_an_image_to_edit_stands_before_the_prompt(scripted, random_image):
    request = Request("a cup", source=random_image(16, 16))
    engine = scripted({"a cup": [(PLAN, "image"), (DONE, "end")]}, [request])
    (trajectory,) = engine.trajectories()
    assert [call[0] for call in engine.generator.calls][:3] == ["see", "read", "write"]
    assert to_parts(trajectory)[0].size == (16, 16)
    guided = [call[2].guidance for call in engine.generator.calls if call[0] == "paint"]
    assert guided[0].renorm == "text_channel"


def test_guidance_differs_between_the_first_canvas_and_later_ones(scripted):
    engine = scripted(
        [(PLAN, "image"), (NEXT, "image"), (DONE, "end")], text_guidance=3.0, image_guidance=1.2
    )
    first, second = (call[2].guidance for call in engine.generator.calls if call[0] == "paint")
    assert (first.text_scale, first.interval, first.renorm) == (3.0, (0.4, 1.0), "global")
    assert (second.image_scale, second.interval, second.renorm) == (1.2, (0.0, 1.0), "text_channel")


# --- interventions ------------------------------------------------------------------------------------------


def test_the_first_strokes_may_be_the_callers(scripted, tiny_tokenizer):
    request = Request("a cup", instruct=("add a dog", "add a cat"))
    script = [
        ("a dog</des>", "image"),
        ("the sketch shows the plan. <ins>add a bus</ins> <des>a bus</des>", "image"),
        ("a dog and a cat</des>", "end"),  # whoever gives an instruction sees it painted
        (DONE, "end"),
    ]
    engine = scripted({"a cup": script}, [request])
    (trajectory,) = engine.trajectories()
    assert [step.message for step in trajectory.steps] == [
        Message(ins="add a dog", des="a dog"),
        Message("the sketch shows the plan.", ins="add a cat", des="a dog and a cat"),
        Message(DONE),
    ]
    assert len(trajectory.images) == 2
    for number, step in enumerate(trajectory.steps):
        deltas = [event.text for event in of_type(engine.events[0], "text_delta") if event.step == number]
        assert "".join(deltas) == step.message.text()


@pytest.mark.parametrize(
    "said", ["all fits.", "all fits", "all fits. <refine>x</refine>", "", "<des>", "a < b"]
)
def test_an_instruction_follows_whatever_the_model_said(scripted, tiny_tokenizer, said):
    request = Request("a cup", instruct=("add a dog", "add a cat"))
    script = [("a dog</des>", "image"), (said, "text"), ("a cat</des>", "image"), (DONE, "end")]
    engine = scripted({"a cup": script}, [request])
    step = engine.trajectories()[0].steps[1]
    inspect = "" if said == "<des>" else said.partition(" <refine>")[0]
    assert step.message == Message(inspect, ins="add a cat", des="a cat")
    assert step.image is not None


def test_a_description_that_does_not_end_is_closed_and_painted(scripted):
    request = Request("a cup", instruct=("add a dog",))
    engine = scripted({"a cup": [("a blue blue blue", None), (DONE, "end")]}, [request])
    (trajectory,) = engine.trajectories()
    first, last = trajectory.steps
    assert first.message == Message(ins="add a dog", des="a blue blue blue")
    assert first.image is not None
    assert (last.message.text(), trajectory.stop) == (DONE, "end")


def test_an_edit_begins_with_the_prompt_as_a_stroke(scripted):
    engine = scripted(
        {"add a dog": [("a dog</des>", "end"), (DONE, "end")]},
        [Request("add a dog")],
        policy=PromptAsInstruction(),
    )
    (trajectory,) = engine.trajectories()
    assert [step.message for step in trajectory.steps] == [
        Message(ins="add a dog", des="a dog"),
        Message(DONE),
    ]
    assert len(trajectory.images) == 1


def test_what_the_model_read_is_what_was_emitted(tiny_tokenizer):
    script = [("a dog</des>", "image"), ("all fits. <ins>x</ins>", "image"), ("a cat</des>", "image")]
    generator = ScriptedGenerator(tiny_tokenizer, {"a cup": [*script, (DONE, None)]})
    request = Request("a cup", instruct=("add a dog", "add a cat"))
    engine = Engine(generator, tiny_tokenizer)
    session = engine.open(request, PaintingOptions(max_images=2))
    context = session.context
    list(engine.run())
    texts = [tiny_tokenizer.decode(entry.ids) for entry in context.entries if entry.image is None]
    assert texts == [part for part in to_parts(engine.trajectories()[0]) if isinstance(part, str)]
    assert all(entry.ids[0] == 1 and entry.ids[-1] == 2 for entry in context.entries if entry.image is None)


def test_a_canvas_may_be_the_callers(scripted, random_image):
    mine = random_image(16, 16)
    request = Request("a cup", canvases={1: mine.resize((32, 32))})
    engine = scripted({"a cup": [(PLAN, "image"), (NEXT, "image"), (DONE, "end")]}, [request])
    (trajectory,) = engine.trajectories()
    assert trajectory.steps[1].image.size == (16, 16)
    assert trajectory.steps[0].seed is not None
    assert trajectory.steps[1].seed is None
    started = of_type(engine.events[0], "image_started")
    assert [event.num_steps for event in started] == [49, 0]


def test_a_painting_goes_on_after_corrected_steps(scripted, random_image):
    canvas = random_image(16, 16)
    first = Step(Message(ins="add a cup", des="a cup"), canvas)
    engine = scripted({"a cup": [(NEXT, "image"), (DONE, "end")]}, [Request("a cup", before=(first,))])
    (trajectory,) = engine.trajectories()
    assert trajectory.steps[0] == first
    assert [step.message.text() for step in trajectory.steps[1:]] == [NEXT, DONE]
    assert {event.step for event in engine.events[0][:-1]} == {1, 2}


@pytest.mark.parametrize("words", ["", "  ", "add <ins>", "</des>"])
def test_instructions_are_plain_words(words):
    with pytest.raises(InputError, match="plain words"):
        Request("a cup", instruct=(words,))


def test_requests_that_cannot_be():
    with pytest.raises(InputError, match="empty"):
        Request("  ")
    with pytest.raises(InputError, match="continues after a canvas"):
        Request("a cup", before=(Step(Message("x")),))
    with pytest.raises(InputError, match="seed"):
        Request("a cup", seed=-1)


@pytest.mark.parametrize(
    "options",
    [
        {"max_rounds": 0},
        {"max_images": 64},
        {"max_tokens": 0},
        {"steps": 0},
        {"temperature": -1},
        {"text_guidance": float("nan")},
        {"previews": -1},
        {"feedback": "none"},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(ConfigError):
        PaintingOptions(**options)


def test_unknown_options_are_named():
    with pytest.raises(ConfigError, match="unknown options sizes; known are steps, shift"):
        PaintingOptions().changed({"sizes": 3})


def test_a_single_pass_follows_no_instructions(scripted):
    with pytest.raises(ConfigError, match="single pass"):
        scripted({"a cup": []}, [Request("a cup", instruct=("add a dog",))], policy=SinglePass())


def test_an_abandoned_painting_keeps_what_was_made(tiny_tokenizer):
    generator = ScriptedGenerator(tiny_tokenizer, {"a cup": [(PLAN, "image"), (NEXT, "image")]})
    engine = Engine(generator, tiny_tokenizer)
    engine.open(Request("a cup"))
    for _, event in engine.run():
        if event.type == "image_started" and event.step == 1:
            break
    (trajectory,) = engine.trajectories()
    assert trajectory.stop == "interrupted"
    assert [step.message.text() for step in trajectory.steps] == [PLAN, NEXT]
    assert len(trajectory.images) == 1


# --- derivatives of BAGEL -----------------------------------------------------------------------------------


def test_a_derivative_with_a_system_prompt(scripted):
    script = [("i draw <image_start>", "text"), ("done", "text")]
    protocol_format = PROTOCOL_FORMATS["thinkmorph"].with_system("think")
    engine = scripted(script, protocol_format=protocol_format)
    (trajectory,) = engine.trajectories()
    assert engine.generator.calls[0] == ("read", 1, False)
    assert [step.message for step in trajectory.steps] == [Message("i draw <image_start>"), Message("done")]
    assert trajectory.stop == "end"
    assert trajectory.steps[1].verdict is None


def test_a_derivative_that_always_draws_is_bounded(scripted):
    engine = scripted([("so", "text")] * 9, protocol_format=ALWAYS, max_rounds=3)
    assert engine.trajectories()[0].stop == "rounds"
    assert len(engine.trajectories()[0].images) == 3


def test_a_derivative_is_instructed_by_a_whole_message(scripted):
    request = Request("a cup", instruct=("draw a line",))
    engine = scripted(
        {"a cup": [("done", "text")]}, [request], protocol_format=PROTOCOL_FORMATS["thinkmorph"]
    )
    (trajectory,) = engine.trajectories()
    assert [step.message.text() for step in trajectory.steps] == ["draw a line", "done"]
    assert len(trajectory.images) == 1


# --- many at once -------------------------------------------------------------------------------------------

SCRIPTS = {
    "a cup": [(PLAN, "image"), (NEXT, "image"), (DONE, "end")],
    "a bus": [(PLAN, "image"), (MEND, "image"), (NEXT, "image"), (NEXT, "image"), (DONE, "end")],
    "a dog": [("<des>", "image")],
    "a cat": [(PLAN, "image"), (DONE, "end")],
}


def without_times(trajectory):
    steps = [(step.message, step.verdict, step.seed, step.image) for step in trajectory.steps]
    return (trajectory.prompt, steps, trajectory.stop, trajectory.seed)


def test_many_become_what_each_becomes_alone(scripted, random_image):
    requests = [
        Request("a cup", 1),
        Request("a bus", 2, source=random_image(32, 16)),
        Request("a dog", 3),
        Request("a cat", 4),
    ]
    engine = scripted(SCRIPTS, requests)
    alone = [scripted(SCRIPTS, [request]) for request in requests]
    for i, one in enumerate(alone):
        assert without_times(engine.trajectories()[i]) == without_times(one.trajectories()[0])
        here = [event for event in engine.events[i] if event.type != "text_delta"]
        assert [event.type for event in here] == [e.type for e in one.events[0] if e.type != "text_delta"]
    writes = [call[1] for call in engine.generator.calls if call[0] == "write"]
    assert writes == [4, 3, 2, 1, 1]


def test_the_tiny_model_in_a_batch_as_alone(generator, tiny_tokenizer, random_image):
    options = PaintingOptions(steps=3, max_rounds=2, max_tokens=100, temperature=5.0)
    requests = [
        Request("a cup", 1),
        Request("two red cups left of a bus", 2, source=random_image(24, 16)),
        Request("a dog", 3, instruct=("add a dog",)),
    ]
    protocol_format = ALWAYS
    together = Engine(generator, tiny_tokenizer)
    for request in requests:
        together.open(request, options, protocol=protocol_format)
    list(together.run())
    assert [len(found.images) for found in together.trajectories()] == [2, 2, 2]
    for request, found in zip(requests, together.trajectories(), strict=True):
        alone = Engine(generator, tiny_tokenizer)
        alone.open(request, options, protocol=protocol_format)
        list(alone.run())
        (expected,) = alone.trajectories()
        assert [step.message for step in found.steps] == [step.message for step in expected.steps]
        assert found.stop == expected.stop
        assert len(found.images) == len(expected.images)
        for here, there in zip(found.images, expected.images, strict=True):
            difference = max(abs(a - b) for a, b in zip(here.tobytes(), there.tobytes(), strict=True))
            assert difference <= 2


@pytest.mark.parametrize("instruct", [(), ("add a cup",)])
@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_was_never_trained_ends_without_an_exception(generator, tiny_tokenizer, instruct, seed):
    options = PaintingOptions(steps=2, max_rounds=2, max_tokens=30, temperature=1.0)
    engine = Engine(generator, tiny_tokenizer)
    engine.open(Request("a cup", seed, instruct=instruct), options)
    events = list(engine.run())
    assert events[-1][1].reason in ("end", "rounds", "images", "tokens", "protocol", "context")


# --- drafts -------------------------------------------------------------------------------------------------


def test_half_a_character_waits_for_its_other_half():
    from tokenizers import Tokenizer as RawTokenizer
    from tokenizers import decoders, models, pre_tokenizers

    from strokewise.sequence import Tokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = RawTokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = Tokenizer(raw)
    draft = Draft(SimpleNamespace(number=0), None, tokenizer)
    pieces = []
    for token in tokenizer.encode("aé日!"):
        draft.ids.append(token)
        pieces.append(draft.new_text())
    assert pieces == ["a", "", "é", "", "", "日", "!"]
    assert draft.keep("aé") == ""
    assert draft.text == "aé"


def test_an_instructed_message_reads_as_if_it_had_been_written_at_once(
    generator, tiny_tokenizer, random_image, close
):
    first = Step(Message(ins="add a cup", des="a cup"), random_image(16, 16))
    requests = [
        Request("a cup", seed, before=(first,), instruct=("add a dog left of it",)) for seed in range(3)
    ]
    options = PaintingOptions(max_tokens=20, temperature=2.0)
    engine = Engine(generator, tiny_tokenizer)
    sessions = [engine.open(request, options) for request in requests]
    contexts = [session.context for session in sessions]
    texts = {
        int(session.name): event.text
        for session, event in engine.run()
        if event.type == "text_finished" and event.step == 1
    }
    assert len(texts) == 3
    for i, context in enumerate(contexts):
        assert "<ins>add a dog left of it</ins> <des>" in texts[i]
        entry = context.entries[4]
        assert tiny_tokenizer.decode(list(entry.ids)) == texts[i]
        fresh = generator.context()
        generator.read([fresh], [tiny_tokenizer.encode("a cup")])
        generator.read([fresh], [tiny_tokenizer.encode(first.message.text())])
        generator.see([fresh], [first.image])
        generator.read([fresh], [list(entry.ids[1:-1])])
        assert context.entries[4].ids == fresh.entries[4].ids
        close(context.entries[4].last, fresh.entries[4].last)
        assert context.entries[4].closed


def test_the_options_of_keywords_are_those_of_the_dataclass():
    from dataclasses import fields
    from typing import get_type_hints

    from strokewise.inference.options import OptionChanges

    options = get_type_hints(PaintingOptions)
    assert get_type_hints(OptionChanges) == {
        field.name: options[field.name] for field in fields(PaintingOptions)
    }
