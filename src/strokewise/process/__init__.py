"""Inference: contexts that grow, the generator that writes and paints in them."""

from strokewise.process.context import Context, Entry
from strokewise.process.generator import Continuation, Generator
from strokewise.process.painting import Painted, PaintEvent, PaintOptions, Preview
from strokewise.process.writing import Constraint, TextStep, WriteEvent, WriteOptions, Written

__all__ = [
    "Constraint",
    "Context",
    "Continuation",
    "Entry",
    "Generator",
    "PaintEvent",
    "PaintOptions",
    "Painted",
    "Preview",
    "TextStep",
    "WriteEvent",
    "WriteOptions",
    "Written",
]
