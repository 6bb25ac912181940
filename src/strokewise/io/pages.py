"""HTML pages from the templates of the package: one stylesheet, pictures inside, nothing fetched.

Templates escape every value (autoescape) and refuse names that are not given (StrictUndefined). Knows Jinja2
and how a picture becomes a data URL; what a page shows is decided by the module that owns it.
"""

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from jinja2 import Environment


class Embedded(NamedTuple):
    """A picture inside a page: its data URL, and its size in pixels."""

    url: str
    width: int
    height: int


def embedded(image: Image.Image, longest: int) -> Embedded:
    """Return a picture for a template, scaled down where its longer side has more than ``longest`` pixels."""
    shown = image if image.mode == "RGBA" else image.convert("RGB")
    if max(shown.size) > longest:
        shown = shown.copy()
        shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Embedded(f"data:image/png;base64,{data}", shown.width, shown.height)


def render_template(template: str, **values: Any) -> str:
    """Return the page of a template in ``strokewise/templates``, from the values that it names."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # late: the command line starts without it

    return Environment(
        loader=PackageLoader("strokewise"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
