"""Sessions on one engine: joining, leaving, failing, editing, branching, and the memory they hold."""

import gc
import weakref
from dataclasses import replace

import pytest

from strokewise.errors import ConfigError, InputError, ServiceError
from strokewise.inference import Engine, PaintingOptions, Policy, ProtocolFormat, Request, SinglePass, Think
from strokewise.inference.policies import Begin, End, Instruct, Say
from strokewise.trajectory.values import Message, Step, StopReason, Verdict

ALWAYS = ProtocolFormat("always", "always")  # an untrained model draws in this format, whatever it writes
OPTIONS = PaintingOptions(steps=2, max_rounds=3, max_tokens=100, temperature=5.0)


@pytest.fixture
def engine(generator, tiny_tokenizer):
    return Engine(generator, tiny_tokenizer, "tiny", batch=1)


def begin(engine, prompt="a cup", seed=1, **more):
    return engine.open(Request(prompt, seed), OPTIONS, protocol=ALWAYS, **more)


def made(session):
    """Everything that was made, to the bit."""
    trajectory = session.trajectory()
    steps = [
        (step.message, step.seed, step.image and (step.image.size, step.image.tobytes()))
        for step in trajectory.steps
    ]
    return steps, trajectory.stop


def drain(engine):
    return [(session.name, event) for session, event in engine.run()]


@pytest.fixture
def alone(generator, tiny_tokenizer):
    def run(prompt, seed):
        engine = Engine(generator, tiny_tokenizer, "tiny")
        session = begin(engine, prompt, seed)
        drain(engine)
        assert session.done
        return made(session)

    return run


@pytest.fixture
def count_tokens(tiny_model):
    """A list that receives the number of tokens of every pass through the decoder."""
    counts = []
    handle = tiny_model.language.register_forward_pre_hook(
        lambda module, args, kwargs: counts.append(args[0].shape[0] * args[0].shape[1]), with_kwargs=True
    )
    yield counts
    handle.remove()


# --- joining and leaving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 4])
def test_a_session_joins_while_others_are_under_way(generator, tiny_tokenizer, alone, batch):
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=batch)
    first = begin(engine, "a cup", 1)
    list(engine.advance())
    second = begin(engine, "two red cups", 2)
    drain(engine)
    for session, (prompt, seed) in ((first, ("a cup", 1)), (second, ("two red cups", 2))):
        steps, stop = made(session)
        expected, expected_stop = alone(prompt, seed)
        assert stop == expected_stop
        assert [step[:2] for step in steps] == [step[:2] for step in expected]
        if batch == 1:
            assert steps == expected


def test_a_cancelled_session_keeps_what_it_has_and_disturbs_nobody(engine, alone):
    engine.batch = 2
    first, second = begin(engine, "a cup", 1), begin(engine, "a bus", 2)
    while second.number < 1:
        list(engine.advance())
    engine.batch = 1
    engine.cancel(second)
    events = drain(engine)
    assert made(first)[1] == alone("a cup", 1)[1]
    assert (second.stop, len(second.trajectory().images)) == (StopReason.CANCELLED, 1)
    assert [e.reason for name, e in events if name == second.name and e.type == "finished"] == ["cancelled"]


def test_beside_a_cancelled_and_a_failed_session_others_are_equal_to_the_bit(engine, alone):
    class Broken(Policy):
        def message(self, session):
            raise ServiceError("the judge is away")

    good = [begin(engine, "a cup", 1), begin(engine, "two red cups", 2)]
    gone, failed = begin(engine, "a bus", 3), begin(engine, "a dog", 4, policy=Broken())
    list(engine.advance())
    engine.cancel(gone)
    events = drain(engine)
    assert [made(session) for session in good] == [alone("a cup", 1), alone("two red cups", 2)]
    assert (failed.stop, str(failed.error)) == (StopReason.FAILED, "the judge is away")
    assert [e.type for name, e in events if name == failed.name] == ["error"]


def test_an_error_in_a_shared_stage_fails_the_sessions_it_struck_and_no_others(engine, alone, monkeypatch):
    write = engine.generator.write

    def failing(contexts, options, seeds):
        if options.max_tokens == 5:
            raise ConfigError("nobody writes so little")
        return write(contexts, options, seeds)

    engine.batch = 3
    struck = [
        engine.open(Request(prompt, 2), replace(OPTIONS, max_tokens=5), protocol=ALWAYS)
        for prompt in ("a bus", "a dog")
    ]
    other = begin(engine, "a cup", 1)
    with monkeypatch.context() as patched:
        patched.setattr(engine.generator, "write", failing)
        drain(engine)
    assert [(session.stop, str(session.error)) for session in struck] == [
        ("failed", "nobody writes so little")
    ] * 2
    assert other.error is None
    assert made(other) == alone("a cup", 1)


def test_a_prompt_without_room_fails_alone(engine, alone):
    good, bad = begin(engine, "a cup", 1), begin(engine, "cup " * 4000, 2)
    engine.batch = 2
    drain(engine)
    assert bad.stop == "failed"
    assert good.stop == alone("a cup", 1)[1]


def test_more_sessions_than_the_batch_wait_their_turn(engine):
    first, second = begin(engine, "a cup", 1), begin(engine, "a bus", 2)
    while not first.done:
        list(engine.advance())
        assert second.number == 0
    drain(engine)
    assert second.done


def test_names_are_unique_and_batches_positive(engine, generator, tiny_tokenizer):
    begin(engine, name="mine")
    with pytest.raises(ConfigError, match="already"):
        begin(engine, name="mine")
    with pytest.raises(ConfigError, match="batch is 0"):
        Engine(generator, tiny_tokenizer, batch=0)


# --- memory -------------------------------------------------------------------------------------------------


def test_memory_is_accounted_for_and_freed(engine):
    assert engine.memory() == 0
    session = begin(engine)
    drain(engine)
    held = engine.memory()
    entries = [entry for context in session.contexts() for entry in context.entries]
    blocks = [block for entry in entries for block in (entry.block, entry.alone) if block is not None]
    pieces = [tensor.untyped_storage() for block in blocks for tensor in (block.keys, block.values)]
    assert held == sum({piece.data_ptr(): piece.nbytes() for piece in pieces}.values()) > 0
    branch = engine.fork(session, 1)
    assert engine.memory() == held
    references = [weakref.ref(block) for context in session.contexts() for block in context.blocks]
    del entries, blocks, pieces
    engine.close(branch)
    engine.close(session)
    gc.collect()
    assert engine.memory() == 0
    assert not any(reference() for reference in references)


def test_an_abandoned_session_frees_its_memory(engine):
    session = begin(engine)
    for _, event in engine.run():
        if event.type == "image_started" and event.step == 1:
            break
    references = [weakref.ref(block) for context in session.contexts() for block in context.blocks]
    engine.close(session)
    gc.collect()
    assert session.stop == "cancelled"
    assert not any(reference() for reference in references)
    assert not engine.pending()


def test_contexts_that_are_not_kept_are_freed_at_the_end(engine):
    session = begin(engine, keep=False)
    drain(engine)
    assert engine.memory() == 0
    with pytest.raises(ConfigError, match="not kept"):
        session.fork("branch", 1)
    with pytest.raises(ConfigError, match="not kept"):
        session.replace(0, message=Message("so"))


# --- branching and editing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_branch_continues_alike_without_reading_its_past_again(engine, count_tokens, at):
    session, spent = begin(engine), {}
    while not session.done:
        if session.state == "write":
            spent.setdefault(session.number, sum(count_tokens))
        list(engine.advance())
    total = sum(count_tokens)
    branch = engine.fork(session, at)
    count_tokens.clear()
    drain(engine)
    assert made(branch) == made(session)
    assert sum(count_tokens) == total - spent[at]


def test_a_branch_may_have_another_seed_and_policy(engine):
    session = begin(engine)
    drain(engine)
    other, planned = (
        engine.fork(session, 1, seed=99),
        engine.fork(session, 1, policy=Always(Say(Message("draw a line")))),
    )
    drain(engine)
    assert made(other)[0][0] == made(planned)[0][0] == made(session)[0][0]
    assert made(other)[0][1] != made(session)[0][1]
    assert [step.message.text() for step in planned.steps[1:3]] == ["draw a line"] * 2


def test_branches_that_cannot_be(engine):
    session = begin(engine)
    with pytest.raises(ConfigError, match="not read its prompt"):
        session.fork("early", 0)
    list(engine.advance())
    with pytest.raises(ConfigError, match="no step 7"):
        session.fork("late", 7)


class Always(Policy):
    """Gives the same reply to every question."""

    def __init__(self, reply):
        self.reply = reply

    def message(self, session):
        return self.reply


def test_a_message_is_replaced_and_its_canvas_painted_anew(engine, count_tokens):
    session = begin(engine)
    drain(engine)
    before = made(session)[0]
    session.replace(1, message=Message("draw a line"))
    assert not session.done
    assert engine.pending()
    count_tokens.clear()
    events = drain(engine)
    after = made(session)[0]
    assert after[0] == before[0]
    assert after[1][0] == Message("draw a line")
    assert after[1][2] != before[1][2]
    assert len(after) == len(before)
    assert [event.type for _, event in events].count("finished") == 1


def test_a_canvas_is_replaced_and_its_message_stays(engine, random_image):
    session, mine = begin(engine), random_image(16, 16)
    drain(engine)
    before = made(session)[0]
    session.replace(1, canvas=mine)
    drain(engine)
    after = made(session)[0]
    assert after[0] == before[0]
    assert after[1] == (before[1][0], None, ((16, 16), mine.tobytes()))
    assert after[2] != before[2]


def test_behind_a_replaced_canvas_the_context_is_that_of_a_session_which_was_given_it(engine, random_image):
    session, mine = begin(engine), random_image(16, 16)
    drain(engine)
    session.replace(1, canvas=mine)
    given = engine.open(Request("a cup", 1, canvases={1: mine}), OPTIONS, protocol=ALWAYS)
    drain(engine)
    assert made(given) == made(session)
    contexts = session.context, given.context
    one, other = ([(entry.kind, entry.ids) for entry in context.entries] for context in contexts)
    assert one == other
    for ours, theirs in zip(*(context.blocks for context in contexts), strict=True):
        assert ours.keys.equal(theirs.keys)


def test_a_branch_behind_a_replaced_canvas_has_read_the_new_one(engine, random_image):
    session = begin(engine)
    drain(engine)
    session.replace(1, canvas=random_image(16, 16))
    while session.number < 2:
        list(engine.advance())
    branch = engine.fork(session)
    drain(engine)
    assert made(branch) == made(session)


def test_a_session_cancelled_between_two_groups_gets_no_further_stage(engine):
    engine.batch = 2
    first = begin(engine, "a cup", 1)
    second = engine.open(Request("a bus", 2), replace(OPTIONS, max_tokens=90), protocol=ALWAYS)
    list(engine.advance())
    for session, _ in engine.advance():
        if session is first:
            engine.cancel(second)
    assert (second.stop, second.steps, second.usage.text_tokens) == ("cancelled", [], 0)
    assert first.usage.text_tokens > 0


PLAN = Message(ins="add a cup", des="a cup")
FIX = Message("the sketch shows two cups.", refine="remove a cup")


@pytest.mark.parametrize(
    "message",
    [
        Message("the sketch shows the plan.", ins="add a bus", des="a cup and a bus"),
        Message("the sketch shows two cups.", refine="remove a cup", ins="add a bus", des="a cup and a bus"),
        Message("the sketch shows a dog.", ins="add a bus", des="a cup and a bus"),
    ],
)
def test_any_part_of_a_tagged_step_can_be_replaced(generator, tiny_tokenizer, message, random_image):
    engine = Engine(generator, tiny_tokenizer, batch=1)
    session = engine.open(Request("a cup", 1), OPTIONS, policy=Plans([PLAN, FIX]))
    drain(engine)
    assert [step.message for step in session.steps] == [PLAN, FIX]
    session.replace(1, message=message, verdict=Verdict(True, False), canvas=random_image(16, 16))
    drain(engine)
    assert session.steps[1].message == message
    assert session.steps[1].verdict == Verdict(True, False)
    assert session.steps[1].image.tobytes() == random_image(16, 16).tobytes()


def test_a_verdict_alone_is_a_value_beside_the_message(generator, tiny_tokenizer):
    engine = Engine(generator, tiny_tokenizer, batch=1)
    session = engine.open(Request("a cup", 1), OPTIONS, policy=Plans([PLAN, FIX]))
    drain(engine)
    session.replace(1, verdict=Verdict(None, False))
    drain(engine)
    assert session.steps[1].message == FIX
    assert session.steps[1].verdict == Verdict(None, False)


def test_a_verdict_that_is_given_is_that_of_its_step_alone(generator, tiny_tokenizer):
    engine = Engine(generator, tiny_tokenizer, batch=1)
    session = engine.open(Request("a cup", 1), OPTIONS, policy=Plans([PLAN, FIX, Message("in other words.")]))
    drain(engine)
    session.replace(1, message=FIX, verdict=Verdict(True, False))
    drain(engine)
    assert [step.verdict for step in session.steps] == [None, Verdict(True, False), None]


def test_a_message_may_be_replaced_before_its_canvas(engine):
    session = begin(engine)
    for _, event in engine.run():
        if event.type == "text_finished" and event.step == 1:
            break
    session.replace(1, message=Message("draw a line"))
    drain(engine)
    assert session.steps[1].message == Message("draw a line")


def test_edits_that_cannot_be(generator, tiny_tokenizer, random_image):
    engine = Engine(generator, tiny_tokenizer, batch=1)
    session = engine.open(Request("a cup", 1), OPTIONS, policy=Plans([PLAN, Message("all fits.")]))
    drain(engine)
    with pytest.raises(ConfigError, match="no step 5"):
        session.replace(5, message=PLAN)
    with pytest.raises(ConfigError, match="nothing to replace"):
        session.replace(0)
    with pytest.raises(InputError, match="announces no canvas"):
        session.replace(1, canvas=random_image(16, 16))
    assert [step.message for step in session.steps] == [PLAN, Message("all fits.")]


# --- policies -----------------------------------------------------------------------------------------------


class Plans(Policy):
    """Whole messages in order, then the end."""

    def __init__(self, messages):
        self.messages = messages

    def message(self, session):
        rest = self.messages[session.number :]
        return Say(rest[0]) if rest else End()


@pytest.fixture(params=["plain", "source", "earlier steps"])
def request_of(request, random_image):
    """Requests of all kinds: from the prompt alone, with an image to edit, after earlier steps."""

    def make(prompt="a cup", seed=1):
        if request.param == "source":
            return Request(prompt, seed, source=random_image(16, 16))
        if request.param == "earlier steps":
            return Request(prompt, seed, before=(Step(PLAN, random_image(16, 16)),))
        return Request(prompt, seed)

    return make


def run_one(generator, tokenizer, request, policy, options=OPTIONS, **more):
    engine = Engine(generator, tokenizer, batch=1)
    session = engine.open(request, options, policy=policy, **more)
    drain(engine)
    if session.error:
        raise session.error
    return session


def test_a_single_pass_is_one_canvas(generator, tiny_tokenizer, request_of):
    request = request_of()
    if request.before:
        with pytest.raises(ConfigError, match="single pass"):
            run_one(generator, tiny_tokenizer, request, SinglePass())
        return
    session = run_one(generator, tiny_tokenizer, request, SinglePass())
    assert (session.stop, len(session.steps), session.steps[0].message) == ("single-pass", 1, Message())
    assert (session.usage.images, session.usage.flow_steps, session.usage.text_tokens) == (1, 2, 0)


def test_thinking_is_one_message_and_one_canvas(generator, tiny_tokenizer, request_of):
    session = run_one(
        generator, tiny_tokenizer, request_of(), Think(), replace(OPTIONS, max_tokens=250), protocol=ALWAYS
    )
    made_here = session.steps[len(session.request.before) :]
    assert (session.stop, len(made_here), len(session.trajectory().images)) == (
        "think",
        1,
        1 + len(session.request.before),
    )


def test_whole_messages_are_painted_as_said(generator, tiny_tokenizer, request_of):
    request = request_of()
    messages = [PLAN, FIX, Message("all fits.")]
    session = run_one(generator, tiny_tokenizer, request, Plans(messages))
    assert [step.message for step in session.steps] == messages
    assert [step.image is not None for step in session.steps] == [True, True, False]
    assert session.stop == "end"
    assert session.usage.text_tokens == 0


def test_the_model_continues_what_somebody_begins(generator, tiny_tokenizer, request_of):
    request = request_of()
    session = run_one(generator, tiny_tokenizer, request, Always(Begin("so ")), protocol=ALWAYS)
    begun = session.steps[len(request.before) :]
    assert all(step.message.inspect.startswith("so ") for step in begun)
    assert session.usage.text_tokens > 0


def test_an_instruction_is_painted(generator, tiny_tokenizer, request_of):
    request = request_of()
    session = run_one(generator, tiny_tokenizer, request, Always(Instruct("draw a line")), protocol=ALWAYS)
    begun = session.steps[len(request.before) :]
    assert {step.message.text() for step in begun if step.image} == {"draw a line"}


def test_a_policy_may_supply_the_canvas(generator, tiny_tokenizer, request_of, random_image):
    class Mine(Plans):
        def canvas(self, session):
            return random_image(32, 32)

    session = run_one(generator, tiny_tokenizer, request_of(), Mine([PLAN]))
    assert session.steps[0].image.size == (16, 16)
    assert session.usage.images == 0
