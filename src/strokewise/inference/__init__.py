"""Inference: contexts that grow, the generator that writes and paints in them, the loop over stages."""

from strokewise.inference.context import Context, Entry
from strokewise.inference.formats import PROTOCOL_FORMATS, STROKEWISE, ProtocolFormat
from strokewise.inference.generator import Continuation, Generator
from strokewise.inference.loop import Process
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.painting import Painted, PaintEvent, PaintOptions, Preview
from strokewise.inference.writing import Constraint, TextStep, WriteEvent, WriteOptions, Written

__all__ = [
    "PROTOCOL_FORMATS",
    "STROKEWISE",
    "Constraint",
    "Context",
    "Continuation",
    "Entry",
    "Generator",
    "PaintEvent",
    "PaintOptions",
    "Painted",
    "PaintingOptions",
    "Preview",
    "Process",
    "ProtocolFormat",
    "Request",
    "TextStep",
    "WriteEvent",
    "WriteOptions",
    "Written",
]
