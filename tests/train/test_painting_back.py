"""After training on a few samples the model writes, draws and stops as they do, unaided."""

from dataclasses import replace

import pytest
import torch

from strokewise.datasets.samples import SampleText
from strokewise.flow import Guidance
from strokewise.inference import Generator, Painted, PaintOptions, WriteOptions, Written
from strokewise.train.config import Dropout, WeightedSource
from strokewise.train.trainer import Trainer

PAINT = PaintOptions(num_steps=12, shift=1.0, guidance=Guidance.off())


@pytest.fixture(scope="module")
def trained(toy, start, tmp_path_factory):
    config = toy.config(start)
    config = replace(
        config,
        sources=(WeightedSource("strokes", 1.0, toy.Toy(10)),),
        steps=1200,
        learning_rate=4e-3,
        warmup_steps=20,
        final_lr=0.02,
        pack_tokens=1200,
        packs_per_step=1,
        ema_decay=0.98,
        dropout=Dropout(0, 0, 0, 0),
        running=replace(config.running, save_every=10**6),
    )
    torch.set_num_threads(1)
    run = Trainer(config, tmp_path_factory.mktemp("trained"))
    while run.step < config.steps:
        run.train_step()
    run.model.eval()
    with run.averages.applied():
        yield run, Generator(run.model, run.data.special)


def written(generator, context):
    events = list(generator.write([context], WriteOptions(max_tokens=8)))
    assert isinstance(events[-1], Written)
    return events[-1].ids[0]


def painted(generator, context):
    events = list(generator.paint([context], [(16, 16)], PAINT, seeds=[3]))
    assert isinstance(events[-1], Painted)
    return events[-1].latents[0]


@pytest.mark.slow
def test_ten_trajectories_are_written_and_painted_again(trained, toy):
    """Each text to the token, each decision what comes next, each image nearest to its own."""
    run, generator = trained
    canvases = [toy.canvas(c) for c in [[a] for a in range(4)] + [[a, b] for a in range(4) for b in range(4)]]
    latents = torch.stack([run.encoder.encode([_bytes(c)])[0] for c in canvases])
    right = total = 0
    for index in range(10):
        sample = toy.Toy(10).sample(index)
        context = generator.context()
        generator.read([context], [sample.parts[0].ids])
        for i, part in enumerate(sample.parts[1:], 1):
            if isinstance(part, SampleText):
                assert i == 1 or generator.continuations([context]) == ["text"]
                assert written(generator, context) == part.ids
                continue
            assert generator.continuations([context]) == ["image"]
            found = painted(generator, context)
            wanted = run.encoder.encode([_bytes(part.pixels)])[0]
            distances = (latents - found).square().flatten(1).sum(1)
            nearest = latents[distances.argmin()]
            right, total = right + torch.equal(nearest, wanted), total + 1
        assert generator.continuations([context]) == ["end"]
    assert total == 20
    assert right >= 19


def _bytes(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)
