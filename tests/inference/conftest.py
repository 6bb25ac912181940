"""A naive engine to compare with: no cache, no batch, everything packed and read anew for each number."""

from itertools import pairwise

import pytest
import torch

from strokewise.flow import combine, timesteps
from strokewise.sequence import Kind, Segment, pack, to_image


class Naive:
    """Writes and paints from a list of segments, one full pass a token or step, one branch at a time."""

    def __init__(self, generator):
        self.model, self.spec, self.special = generator.model, generator.spec, generator.special
        self.generator = generator
        self.rows = 0

    def run(self, segments):
        packed = pack([[segments]], self.spec)
        self.rows += 1
        with torch.no_grad():
            return self.model(packed, packed.layout.mask()), packed

    def next_logits(self, segments):
        hidden, packed = self.run(segments)
        last = packed.layout.place[0, : packed.num_understanding].argmax()
        return self.model.text_logits(hidden.understanding[0, last])

    def write(self, segments, max_tokens, prefix=(), stop_ids=()):
        """Greedy ids, without delimiters, and the id that ended the text."""
        ids = list(prefix)
        while len(ids) < max_tokens + len(prefix):
            logits = self.next_logits([*segments, Segment.text(ids, closes=False)])
            token = int(logits.argmax())
            if token == self.special.text_end or token in stop_ids:
                return ids, token
            ids.append(token)
        return ids, None

    def velocity(self, segments, latents, grid, time):
        noised = Segment(Kind.NOISED, latents, grid=grid, noise=latents, time=time)
        hidden, _ = self.run([*segments, noised])
        return self.model.velocity(hidden.generation[0, -len(latents) :])

    def paint(self, segments, grid, noise, options, system=0):
        """Final latent tokens; the first ``system`` texts are in every branch."""
        guidance, latents = options.guidance, noise
        images = [i for i, segment in enumerate(segments) if not segment.is_text]
        cut = segments[: max(system, 1 + max(images, default=-1))]
        texts = [segment for segment in segments if segment.is_text]
        for time, following in pairwise(timesteps(options.num_steps, options.shift)):
            v = self.velocity(segments, latents, grid, time)
            if guidance.acts_at(time):
                without_text = self.velocity(cut, latents, grid, time)
                without_image = None
                if guidance.image_scale > 1 and images:
                    without_image = self.velocity(texts, latents, grid, time)[None]
                v = combine(v[None], without_text[None], without_image, guidance)[0]
            latents = latents - v * (time - following)
        return latents

    def decode(self, latents, grid):
        with torch.no_grad():
            return to_image(self.model.decode_image(latents, *grid))

    def segments_of(self, image):
        with torch.no_grad():
            return self.generator.image_segments(image)


@pytest.fixture(scope="session")
def naive(generator):
    return Naive(generator)


@pytest.fixture(scope="session")
def build(generator):
    """A context that has read segments, one pass each."""

    def make(segments, system=0):
        context = generator.context()
        for i, segment in enumerate(segments):
            generator.append([context], [[segment]], guided=i >= system)
        return context

    return make


@pytest.fixture(scope="session")
def close():
    """Equal within what batching and order of sums may change in float32."""

    def check(found, expected, tolerance=1e-4):
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)

    return check


@pytest.fixture
def count_rows(tiny_model):
    """A list that receives the number of rows of every pass through the decoder."""
    counts = []
    handle = tiny_model.language.register_forward_pre_hook(
        lambda module, args, kwargs: counts.append(len(args[0])), with_kwargs=True
    )
    yield counts
    handle.remove()
