"""Inference: growing contexts, the generator that writes and paints in them, sessions, policies, engine."""

from strokewise.inference.context import Context, Entry
from strokewise.inference.engine import Engine
from strokewise.inference.formats import PROTOCOL_FORMATS, STROKEWISE, ProtocolFormat
from strokewise.inference.generator import Continuation, Generator
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.painting import Painted, PaintEvent, PaintOptions, Preview
from strokewise.inference.policies import Policy, SinglePass, Think
from strokewise.inference.session import Session
from strokewise.inference.usage import Usage
from strokewise.inference.writing import Constraint, TextStep, WriteEvent, WriteOptions, Written

__all__ = [
    "PROTOCOL_FORMATS",
    "STROKEWISE",
    "Constraint",
    "Context",
    "Continuation",
    "Engine",
    "Entry",
    "Generator",
    "PaintEvent",
    "PaintOptions",
    "Painted",
    "PaintingOptions",
    "Policy",
    "Preview",
    "ProtocolFormat",
    "Request",
    "Session",
    "SinglePass",
    "TextStep",
    "Think",
    "Usage",
    "WriteEvent",
    "WriteOptions",
    "Written",
]
