"""What sessions read before they write or paint: prompt, source, earlier steps; in some formats all anew.

Knows contexts, texts and pictures; refuses to know what is made after them, and in which order.
"""

from PIL import Image

from strokewise.errors import StrokewiseError
from strokewise.inference.generator import Generator
from strokewise.inference.histories import Past, ReadText
from strokewise.inference.refining import read_in_place
from strokewise.inference.session import Session, SessionState
from strokewise.sequence import Tokenizer, load_rgb
from strokewise.trajectory.values import Step


def read_beginnings(generator: Generator, tokenizer: Tokenizer, sessions: list[Session]) -> None:
    """Read what stands before the first message: system prompt, source, prompt, earlier steps.

    Args:
        generator: reads, all sessions in one batch.
        tokenizer: of its model.
        sessions: which have read nothing, and share their system prompt; those whose prompt is too long fail.
    """
    encode, system = tokenizer.encode, encode_all(tokenizer, sessions[0].protocol.system)
    sessions = _with_prompt_room(generator, tokenizer, sessions, len(system))
    if not sessions:
        return
    contexts = [session.context for session in sessions]
    if system:
        generator.read(contexts, [system] * len(contexts), guided=False)
    sources = [(s.context, s.request.source) for s in sessions if s.request.source is not None]
    if sources:
        generator.see([context for context, _ in sources], [image for _, image in sources])
    generator.read(contexts, [encode(session.request.prompt) for session in sessions])
    for session in sessions:
        for step in session.request.before:
            _read_step(generator, tokenizer, session, step)
        session.opened()


def _read_step(generator: Generator, tokenizer: Tokenizer, session: Session, step: Step) -> None:
    """Read a step that was made before this session, as it was read when it was made."""
    assert step.image is not None, "requests are checked"
    image = fit_canvas(step.image, session.size)
    session.message = step.message
    session.begin_message()
    generator.read([session.context], [tokenizer.encode(step.message.text())])
    session.begin_canvas()
    if session.replaces_sketch:
        read_in_place(generator, tokenizer, session, image)
    else:
        generator.see([session.context], [image])
    session.read_step(step)


def read_anew(generator: Generator, tokenizer: Tokenizer, session: Session) -> None:
    """Give a session a new context where its format reads everything anew before each stage."""
    if session.protocol.history is None:
        return
    texts = tuple(step.message.text() for step in session.steps)
    under_way = session.message.text() if session.state is SessionState.PAINT else None
    given = session.request.source is not None
    past = Past(session.protocol.system, session.request.prompt, given, texts, under_way)
    context = generator.context()
    for part in session.protocol.history(past):
        if isinstance(part, ReadText):
            generator.read([context], [tokenizer.encode(part.text)], part.guided)
        else:
            source = session.request.source if part.step is None else session.steps[part.step].image
            assert source is not None, "steps behind others end in a canvas"
            generator.see([context], [fit_canvas(source, session.size)], part.latents)
    session.context = context


def _with_prompt_room(
    generator: Generator, tokenizer: Tokenizer, sessions: list[Session], system: int
) -> list[Session]:
    """Return those whose prompt fits; the others fail."""
    for session in sessions:
        try:
            check_prompt_room(generator, tokenizer, session.request.prompt, system)
        except StrokewiseError as error:
            session.fail(error)
    return [session for session in sessions if not session.done]


def check_prompt_room(generator: Generator, tokenizer: Tokenizer, prompt: str, system: int = 0) -> None:
    """Refuse a prompt (ContextLengthError) that leaves no room behind a system prompt of that many ids."""
    generator.check_length(len(tokenizer.encode(prompt)) + system + 4)


def fit_canvas(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image as RGB in the (height, width) of the canvases."""
    image, (height, width) = load_rgb(image), size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def encode_all(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return ids of a text that may be empty."""
    return tokenizer.encode(text) if text else []
