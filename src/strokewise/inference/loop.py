"""The loop over stages: write a message, paint the canvas it calls for, show it to the model, and again.

It advances any number of paintings together, each as if it were alone, and tells what happens as events.
What follows what is settled in ``course``, what a text says in ``formats``; how texts and pictures are made,
in ``generator``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from PIL import Image

from strokewise.errors import ConfigError
from strokewise.inference.course import Course
from strokewise.inference.formats import STROKEWISE, ProtocolFormat
from strokewise.inference.generator import Generator
from strokewise.inference.messages import Messages, has_room
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.painting import PaintOptions, Preview
from strokewise.sequence import ImageLimits, Tokenizer, load_rgb
from strokewise.trajectory.events import Event, Finished, ImageFinished, ImagePreview, ImageStarted
from strokewise.trajectory.files import encode_png
from strokewise.trajectory.values import Trajectory

Told = Iterator[tuple[int, Event]]


class Process:
    """Some paintings that advance together."""

    def __init__(
        self,
        generator: Generator,
        tokenizer: Tokenizer,
        requests: Sequence[Request],
        options: PaintingOptions | None = None,
        protocol_format: ProtocolFormat = STROKEWISE,
        model: str = "",
    ) -> None:
        """Prepare; nothing is computed before :meth:`run`.

        Args:
            generator: writes and paints.
            tokenizer: of its model.
            requests: what to paint.
            options: how.
            protocol_format: how the model's texts are to be read.
            model: its name, for the record.

        Raises:
            ConfigError: if a single pass is to follow instructions.
            InputError: if the model cannot paint canvases of the size asked for.
        """
        self.generator, self.tokenizer = generator, tokenizer
        self.options, self.protocol_format, self.model = options or PaintingOptions(), protocol_format, model
        if self.options.single_pass and any(r.instruct or r.before for r in requests):
            raise ConfigError("a single pass follows no instructions and goes on with nothing; leave one out")
        self.courses = [self._course(i, request) for i, request in enumerate(requests)]

    def run(self) -> Told:
        """Paint to the end; events with the number of the request they belong to.

        Abandoning the iterator leaves the trajectories as far as they came.

        Raises:
            ContextLengthError: if a prompt alone is longer than the model's positions.
        """
        self._open()
        told: set[int] = set()
        while len(told) < len(self.courses):
            yield from self._write([c for c in self.courses if c.doing == "write"])
            yield from self._paint([c for c in self.courses if c.doing == "paint"])
            for i, course in enumerate(self.courses):
                if course.doing == "done" and i not in told:
                    told.add(i)
                    yield i, Finished(len(course.steps), course.stop or "")

    def trajectories(self) -> list[Trajectory]:
        """What was painted so far, in the order of the requests."""
        return [course.trajectory(self.model) for course in self.courses]

    # --- beginnings --------------------------------------------------------------------------------------

    def _course(self, index: int, request: Request) -> Course:
        size = self.options.size or self._own_size(request.source)
        self.generator.canvas.check(*size)
        if request.source is not None:
            request = replace(request, source=self._fitted(request.source, size))
        canvases = {number: self._fitted(image, size) for number, image in request.canvases.items()}
        request = replace(request, canvases=canvases)
        return Course(index, request, self.protocol_format, self.options, self.generator.context(), size)

    def _own_size(self, source: Image.Image | None) -> tuple[int, int]:
        """The (height, width) a model paints by itself: like the source, else a square."""
        limits = self.generator.canvas
        # Twice the smallest side it is shown: 1024 for BAGEL, 128 for nano, what they were trained on.
        side = min(2 * limits.smallest, limits.largest)
        if source is None:
            return side, side
        width, height = ImageLimits(limits.stride, limits.smallest, side).fit(*load_rgb(source).size)
        return height, width

    def _fitted(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """A given image in the size of the canvases."""
        image, (height, width) = load_rgb(image), size
        return (
            image
            if image.size == (width, height)
            else image.resize((width, height), Image.Resampling.BICUBIC)
        )

    def _open(self) -> None:
        """Read what stands before the first message: system prompt, source, prompt, earlier steps."""
        generator, encode = self.generator, self.tokenizer.encode
        contexts = [course.context for course in self.courses]
        if self.protocol_format.system:
            generator.read(contexts, [encode(self.protocol_format.system)] * len(contexts), guided=False)
        sources = [(c.context, c.request.source) for c in self.courses if c.request.source is not None]
        if sources:
            generator.see(*map(list, zip(*sources, strict=True)))
        generator.read(contexts, [encode(course.request.prompt) for course in self.courses])
        for course in self.courses:
            for step in course.request.before:
                assert step.image is not None, "requests are checked"
                generator.read([course.context], [encode(step.message.text())])
                generator.see([course.context], [self._fitted(step.image, course.size)])

    # --- messages and canvases ---------------------------------------------------------------------------

    def _write(self, courses: list[Course]) -> Told:
        """Write one message in each."""
        courses = self._with_room(courses, 2 + self.options.max_tokens)
        if courses:
            messages = Messages(self.generator, self.tokenizer, self.protocol_format, self.options, courses)
            for course, event in messages.run():
                yield course.index, event

    def _paint(self, courses: list[Course]) -> Told:
        """Paint one canvas in each, or take the caller's."""
        courses = self._with_room(courses, 2)
        yield from self._take([course for course in courses if course.replacement is not None])
        courses = [course for course in courses if course.doing == "paint" and course.replacement is None]
        # Guidance depends on whether there is an image to be guided by, so these are two batches.
        groups = [[c for c in courses if c.context.has_image is seen] for seen in (False, True)]
        for after_image, group in enumerate(groups):
            if group:
                yield from self._paint_together(group, self.options.painting(bool(after_image)))

    def _paint_together(self, courses: list[Course], options: PaintOptions) -> Told:
        start = perf_counter()
        for course in courses:
            yield course.index, _started(course, options.num_steps)
        contexts, seeds = [c.context for c in courses], [c.seed("noise") for c in courses]
        sizes = [course.size for course in courses]
        for event in self.generator.paint(contexts, sizes, options, seeds):
            if isinstance(event, Preview):
                for course, image in zip(courses, event.images, strict=True):
                    png = encode_png(image)
                    yield course.index, ImagePreview(course.number, event.step, event.num_steps, png)
            else:
                yield from self._finish(courses, event.images, seeds, perf_counter() - start)

    def _take(self, courses: list[Course]) -> Told:
        """Go on with pictures given by the caller."""
        images = [image for course in courses if (image := course.replacement) is not None]
        if courses:
            start = perf_counter()
            self.generator.see([course.context for course in courses], images)
            for course in courses:
                yield course.index, _started(course, 0)
            yield from self._finish(courses, images, [None] * len(courses), perf_counter() - start)

    def _finish(
        self,
        courses: list[Course],
        images: Sequence[Image.Image],
        seeds: Sequence[int | None],
        seconds: float,
    ) -> Told:
        asks = self.protocol_format.trigger == "token" and not self.options.single_pass
        told = self.generator.continuations([c.context for c in courses]) if asks else ["text"] * len(courses)
        for course, image, seed, following in zip(courses, images, seeds, told, strict=True):
            event = ImageFinished(course.number, course.stage, encode_png(image), seconds)
            course.painted(image, seed, seconds, ends=following == "end")
            yield course.index, event

    def _with_room(self, courses: list[Course], tokens: int) -> list[Course]:
        """Those whose context may still grow that much; the others end here."""
        for course in courses:
            if not has_room(self.generator, course.context, tokens):
                course.finish("context")
        return [course for course in courses if course.doing != "done"]


def _started(course: Course, num_steps: int) -> ImageStarted:
    height, width = course.size
    return ImageStarted(course.number, course.stage, width, height, num_steps)
