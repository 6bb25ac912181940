"""Inference: contexts that grow, the generator that writes and paints in them, the loop over stages."""

from strokewise.process.context import Context, Entry
from strokewise.process.dialect import DIALECTS, STROKEWISE, Dialect
from strokewise.process.generator import Continuation, Generator
from strokewise.process.loop import Process
from strokewise.process.options import PaintingOptions, Request
from strokewise.process.painting import Painted, PaintEvent, PaintOptions, Preview
from strokewise.process.writing import Constraint, TextStep, WriteEvent, WriteOptions, Written

__all__ = [
    "DIALECTS",
    "STROKEWISE",
    "Constraint",
    "Context",
    "Continuation",
    "Dialect",
    "Entry",
    "Generator",
    "PaintEvent",
    "PaintOptions",
    "Painted",
    "PaintingOptions",
    "Preview",
    "Process",
    "Request",
    "TextStep",
    "WriteEvent",
    "WriteOptions",
    "Written",
]
