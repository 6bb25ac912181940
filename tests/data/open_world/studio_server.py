"""A server that plays painter and judge of the open world, and misbehaves on request.

Its painter marks a canvas with a color that follows from the words it was given; its judge recomputes these
marks, and finds fault where it is told to. Its writer words facts in a language that its reader understands.
"""

import base64
import hashlib
import io
import json
import re
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image
from tests.local_server import running

from strokewise.data.open_world.taxonomy import load_taxonomy

GOOD = {"shows": True, "fault": None, "analysis": "All is as described.", "refine": None}
FITS = {"consistent": True, "analysis": "It fits.", "refine": None, "instruction": None, "description": None}
BAD = {"shows": False, "fault": "wrong count", "analysis": "One too few.", "refine": "Add another one."}


class Studio(ThreadingHTTPServer):
    """Answers chat completions by ``judge`` or ``critic``, and images by a color of the words.

    Attributes:
        judge: gives the JSON value of a check of a canvas, from text and pictures.
        critic: gives that of a critique of a plan or a canvas.
        writer: gives texts of the facts that are requested, which are its argument.
        faults: functions of a handler that answer the next requests instead, one after the other.
        seen: what was requested, as (path, text).
        refuses: names of form fields that are refused, as by services that do not know them.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.judge = lambda text, pictures: GOOD
        self.critic = lambda text, pictures: FITS
        self.writer = write
        self.faults, self.seen, self.refuses, self.size = [], [], (), None
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def count(self, end):
        """Requests to paths with this end."""
        return sum(path.endswith(end) for path, _ in self.seen)


def color_of(text):
    return tuple(hashlib.sha256(text.encode()).digest()[:3])


def png(size, color, below=None):
    image = Image.new("RGB", size, color)
    if below is not None:  # the lower half shows the canvas that was edited
        width, height = size
        image.paste(below.resize(size).crop((0, height // 2, width, height)), (0, height // 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write(text):
    """Texts of a request, in the language of this server's reader, and in the manner that is asked for."""
    facts, manner = facts_of(text), text.rpartition("Manner: ")[2].split()[0]
    return {
        "prompt": f"{manner}: {of_scene(facts['scene'])}",
        "strokes": [
            {"instruction": f"{manner}! {of_stroke(one)}", "description": f"see: {of_scene(one['scene'])}"}
            for one in facts["strokes"]
        ],
    }


def facts_of(text):
    """The facts in a request to the writer."""
    return json.JSONDecoder().raw_decode(text, text.index("{"))[0]


def of_thing(one):
    return f"{one['count']} [{', '.join(one['attributes'])}] {one['name']}"


def of_scene(scene):
    parts = [of_thing(one) for one in scene["things"]]
    parts += [f"({relation})" for relation in scene["relations"]]
    return "; ".join([*parts, f"@ {scene['place'] or ''}", f"= {scene['style']}"])


def of_stroke(stroke):
    ends = [of_thing(one) if one else "" for one in (stroke["before"], stroke["after"])]
    after = stroke["after"]["name"] if stroke["action"] == "add" else None
    own = [f"({one})" for one in stroke["scene"]["relations"] if after and one.startswith(f"{after} ")]
    return " > ".join([stroke["action"], *ends, "; ".join(own)])


def read_thing(text):
    found = re.fullmatch(r"(\d+) \[(.*)\] (.+)", text)
    attributes = [value for value in found[2].split(", ") if value]
    return {"name": found[3], "count": int(found[1]), "attributes": attributes}


def read_relations(text):
    """Relations as a reader states them, who knows the names of relations and of nothing else."""
    found = []
    for stated in re.findall(r"\(([^)]+)\)", text):
        name = next(one for one in RELATIONS if f" {one} " in stated)
        subject, _, target = stated.partition(f" {name} ")
        found.append({"subject": f"the {subject}", "name": f"to the {name}", "target": target})
    return found


def read_scene(text):
    parts = text.partition(": ")[2].split("; ")
    things = [read_thing(one) for one in parts if one[0].isdigit()]
    place, style = (next((one[2:] for one in parts if one[0] == mark), None) or None for mark in "@=")
    return {"things": things, "relations": read_relations(text), "place": place, "style": style}


def read_stroke(text):
    action, before, after, _ = (one.strip() for one in text.partition("! ")[2].split(">"))
    ends = {name: read_thing(one) if one else None for name, one in (("before", before), ("after", after))}
    return {"action": action, **ends, "relations": read_relations(text), "place": None, "style": None}


READERS = {"StatedScene": read_scene, "StatedStroke": read_stroke}
RELATIONS = sorted((one.name for one in load_taxonomy().relations), key=len, reverse=True)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        fields, text = self.read(body)
        with server.lock:
            server.seen.append((self.path, text))
            fault = server.faults.pop(0) if server.faults else None
        if fault is not None:
            fault(self)
        elif refused := [name for name in server.refuses if name in fields]:
            self.send(400, {"error": {"message": f"Unknown parameter: '{refused[0]}'."}})
        elif self.path.endswith("/chat/completions"):
            self.complete(fields, text)
        else:
            self.paint(fields, text)

    def read(self, body):
        """The fields of a request, and its text."""
        kind = self.headers["Content-Type"]
        if kind.startswith("application/json"):
            fields = json.loads(body)
            if "messages" in fields:
                return fields, fields["messages"][1]["content"][0]["text"]
            return fields, fields["prompt"]
        form = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        fields = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
        values = {name: part.get_payload(decode=True) for name, part in fields.items()}
        return {k: v if k == "image" else v.decode() for k, v in values.items()}, values["prompt"].decode()

    def complete(self, fields, text):
        pictures = [
            Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2])))
            for part in fields["messages"][1]["content"][1:]
        ]
        asked = fields["response_format"]["json_schema"]["name"]
        if asked == "Wording":
            answer = self.server.writer(text)
        elif asked in READERS:
            answer = READERS[asked](text.rpartition("Text: ")[2])
        else:
            answer = (self.server.critic if asked == "Opinion" else self.server.judge)(text, pictures)
        message = {"role": "assistant", "content": json.dumps(answer)}
        self.send(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": fields["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100},
            },
        )

    def paint(self, fields, text):
        size = self.server.size or tuple(map(int, fields["size"].split("x")))
        below = Image.open(io.BytesIO(fields["image"])) if "image" in fields else None
        data = png(size, color_of(f"{text} {fields.get('seed')}"), below)
        self.send(200, {"created": 0, "data": [{"b64_json": base64.b64encode(data).decode()}]})

    def send(self, status, value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def status(code, message="no", kind=None):
    """A failure."""
    return lambda handler: handler.send(code, {"error": {"message": message, "code": kind}})


def answered(value):
    """Status 200 and anything."""
    return lambda handler: handler.send(200, value)


def cut(handler):
    """Half an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


def serving():
    """A running server, as a context."""
    return running(Studio())
