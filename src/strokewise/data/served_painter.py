"""A painter behind an OpenAI-compatible images API; canvases that are kept, so that none is paid for twice.

This file knows generations and edits. It refuses to know how requests are sent and limited (``io.services``)
and which instruction comes next.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from strokewise.data.canvas_painters import CanvasPainter
from strokewise.errors import ServiceError
from strokewise.io.atomic import write_bytes
from strokewise.io.outside import decode_picture
from strokewise.io.services import Budget, Prices, Service
from strokewise.trajectory.files import encode_png
from strokewise.world.layout import Scene

MAX_BYTES = 64 * 2**20  # of one answer
# What services name when they take no seeds, or always answer with the picture itself.
_ABOUT_EXTRAS = re.compile(r"seed|response_format|unknown parameter|extra", re.IGNORECASE)


class ServedPainter:
    """A model at a service: the first canvas from its description, later ones by editing; for threads."""

    def __init__(
        self,
        model: str,
        size: int,
        base_url: str | None = None,
        api_key: str | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> None:
        """Paint canvases of ``size`` pixels a side; the rest is as for ``VlmClient``.

        Raises:
            ConfigError: if there is no key (PAINTER_API_KEY, OPENAI_API_KEY), or key or address cannot be.
        """
        self.model, self.size = model, size
        self._service = Service(
            "painter", model, base_url, api_key, budget or Budget(), prices, _check_pictures, MAX_BYTES
        )
        self._takes_extras = True

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Edit the canvas by the instruction, or paint the description from scratch.

        Raises:
            InputError: if the service refuses this instruction or description.
            ServiceError: if it refuses, keeps failing, paints in another format, or the limits are reached.
        """
        images: Any = self._service.client.images
        width, height = (self.size, self.size) if canvas is None else canvas.size
        if canvas is None:
            request = partial(images.generate, prompt=description)
        else:
            file = ("canvas.png", encode_png(canvas), "image/png")
            request = partial(images.edit, prompt=instruction, image=file)
        extras = {"response_format": "b64_json", "extra_body": {"seed": seed}} if self._takes_extras else {}
        response = self._service.call(
            partial(request, model=self.model, size=f"{width}x{height}", n=1, **extras),
            _ABOUT_EXTRAS if extras else None,
        )
        if response is None:
            self._takes_extras = False
            return self.paint(canvas, instruction, description, scene, seed)
        self._service.charge(response.usage, pictures=1)
        return self._fitted(response.data[0].b64_json, width, height)

    def _fitted(self, encoded: str, width: int, height: int) -> Image.Image:
        """Return the picture of an answer at the canvas's size; services have sizes of their own."""
        painted = decode_picture(base64.b64decode(encoded), f"the picture of {self.model}", ServiceError)
        if painted.width * height != painted.height * width:
            raise ServiceError(
                f"{self.model} painted {painted.width}x{painted.height} pixels in place of {width}x{height};"
                " take a painter of such pictures"
            )
        fits = painted.size == (width, height)
        return painted if fits else painted.resize((width, height), Image.Resampling.LANCZOS)


class KeptCanvases:
    """A painter whose canvases are kept on the disk, under a digest of all that decides them."""

    def __init__(self, load: Callable[[], CanvasPainter], name: str, folder: Path) -> None:
        """Keep what a painter paints.

        Args:
            load: gives the painter, of any kind; called when something is to be painted.
            name: of the painter with its settings; another name, other canvases.
            folder: of the canvases.
        """
        self._load, self.name, self.folder = load, name, folder
        self._painter: CanvasPainter | None = None
        self._loading = threading.Lock()

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Return the canvas that is kept, or else one that the painter paints; a damaged one is painted
        again.
        """
        before = None if canvas is None else hashlib.sha256(encode_png(canvas)).hexdigest()
        query = json.dumps([self.name, before, instruction, description, seed])
        digest = hashlib.sha256(query.encode()).hexdigest()
        path = self.folder / digest[:2] / f"{digest}.png"
        try:
            return decode_picture(path.read_bytes(), path, ServiceError)
        except (OSError, ServiceError):
            data = encode_png(self._loaded().paint(canvas, instruction, description, scene, seed))
        write_bytes(path, data, ServiceError)
        return decode_picture(data, path, ServiceError)  # the same whether it was kept or painted

    def _loaded(self) -> CanvasPainter:
        with self._loading:
            if self._painter is None:
                self._painter = self._load()
            return self._painter


def _check_pictures(data: bytes) -> None:
    """Raise ValueError unless a body holds a picture as base64."""
    try:
        picture = base64.b64decode(json.loads(data)["data"][0]["b64_json"], validate=True)
    except (ValueError, LookupError, TypeError, RecursionError):
        picture = b""
    if not picture:
        raise ValueError("the service's response holds no picture as base64 (b64_json)")
