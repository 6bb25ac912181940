"""The page and its files, held in memory and packed once.

The page names every module, so that a browser asks for all of them at once and not for one after the
other, and holds the answers to its first two questions. Its files lie below a folder that is named after
their contents: a browser keeps them for good, and asks for none of them a second time. Knows files and HTML;
not what the page does.
"""

import gzip
import hashlib
import json
import mimetypes
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from strokewise.serve import problems

STATIC = Path(str(files("strokewise.serve") / "static"))
FOR_GOOD = "public, max-age=31536000, immutable"


class Page:
    """The page of a server; an installation without its files has none."""

    def __init__(self, folder: Path = STATIC) -> None:
        """Read and pack the files."""
        found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.*"))}
        contents = {name: path.read_bytes() for name, path in found.items()}
        digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + data for name, data in contents.items()))
        self.version = digest.hexdigest()[:16]
        self.packed = {name: gzip.compress(data, mtime=0) for name, data in contents.items()}
        self.html = self._html(contents) if "index.html" in contents else None

    def _html(self, contents: dict[str, bytes]) -> str:
        """Return the page with the addresses of this version, and a link to every module in its head."""
        page = contents["index.html"].decode().replace('"static/', f'"static/{self.version}/')
        modules = [name for name in contents if name.endswith(".js")]
        links = [f'<link rel="modulepreload" href="static/{self.version}/{name}">' for name in modules]
        return page.replace("</head>", "\n".join([*links, "</head>"]))

    def response(self, request: Request, known: Mapping[str, object]) -> Response:
        """Return the page; ``known`` is what it need not ask for.

        Raises:
            RequestError: if this installation has no page.
        """
        if self.html is None:
            raise problems.not_found("page in this installation")
        text = json.dumps(known, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        data = f'<script type="application/json" id="known">{text}</script>\n</body>'
        html = self.html.replace("</body>", data).encode()
        return _packed(request, gzip.compress(html, 1), "text/html; charset=utf-8", {})

    async def file(self, request: Request) -> Response:
        """Return a file of the page.

        Raises:
            RequestError: if there is none of that name in this version.
        """
        version, name = request.path_params["version"], request.path_params["name"]
        if version != self.version or name not in self.packed:
            raise problems.not_found(f"file {name} of the page; load the page again")
        kind = mimetypes.guess_type(name)[0] or "text/plain"
        return _packed(request, self.packed[name], kind, {"cache-control": FOR_GOOD})


def _packed(request: Request, data: bytes, kind: str, headers: dict[str, str]) -> Response:
    """Packed bytes, or as they were for one who cannot unpack them."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            data, media_type=kind, headers=headers | {"content-encoding": "gzip", "vary": "accept-encoding"}
        )
    return Response(gzip.decompress(data), media_type=kind, headers=headers | {"vary": "accept-encoding"})
