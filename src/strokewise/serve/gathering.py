"""What is told of all sessions, made of the answers of all replicas. Values only; who asks is ``front``."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import Response

from strokewise.serve.limits import LISTED

Query = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        """Return it as it is sent."""
        response = Response(self.body, self.status)
        own = [pair for pair in self.headers if pair[0].lower() != b"content-length"]
        response.raw_headers = [*own, (b"content-length", str(len(self.body)).encode())]
        return response

    def with_json(self, value: Any) -> "Answer":
        """Return the same with another body."""
        return Answer(self.status, self.headers, json.dumps(value, ensure_ascii=False).encode())


Answers = Mapping[int, Answer]  # by the replica's number; all of them successful, and at least one


@dataclass(frozen=True)
class Rule:
    """How answers are merged.

    Attributes:
        merge: of the answers and the query.
        complete: whether one of a lost replica may not be missing.
    """

    merge: Callable[[Answers, Query], Answer]
    complete: bool = False


def rule(method: str, path: str) -> Rule | None:
    """Return how a request to all replicas is answered; None for one that goes to one of them."""
    if method == "DELETE" and path.startswith("/v1/records/"):
        return Rule(lambda answers, query: _first(answers), complete=True)
    return _RULES.get(path) if method == "GET" else None


def _sessions(answers: Answers, query: Query) -> Answer:
    values = [json.loads(answer.body) for answer in answers.values()]
    found = [session for value in values for session in value["sessions"]]
    found.sort(key=lambda session: -session["created"])
    limit = int(query.get("limit", LISTED))
    more = len(found) > limit or any(value["more"] for value in values)
    return _first(answers).with_json({"sessions": found[:limit], "more": more})


def _server(answers: Answers, query: Query) -> Answer:
    values = [json.loads(answer.body) for answer in answers.values()]
    queue = {name: sum(value["queue"][name] for value in values) for name in values[0]["queue"]}
    return _first(answers).with_json(values[0] | {"queue": queue})


def _records(answers: Answers, query: Query) -> Answer:
    values = [json.loads(answer.body) for answer in answers.values()]
    counts = {name: sum(value[name] for value in values) for name in values[0] if name != "records"}
    records = [record for value in values for record in value["records"]]
    records.sort(key=lambda record: record["created"])
    return _first(answers).with_json(counts | {"records": records})


def _data_sets(answers: Answers, query: Query) -> Answer:
    """Return one archive: a data set of each replica, in folders that are read as one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, answer in answers.items():
            with zipfile.ZipFile(io.BytesIO(answer.body)) as part:
                for name in part.namelist():
                    subset, _, file = name.partition("/")
                    archive.writestr(f"{subset}/{number}/{file}", part.read(name))
    first = _first(answers)
    return Answer(first.status, first.headers, buffer.getvalue())


def _metrics(answers: Answers, query: Query) -> Answer:
    """Return the numbers of all replicas, each with the replica's number as a label."""
    families: dict[str, Metric] = {}
    for number, answer in answers.items():
        for family in text_string_to_metric_families(answer.body.decode()):
            known = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            for sample in family.samples:
                known.add_sample(sample.name, {**sample.labels, "replica": str(number)}, sample.value)
    first = _first(answers)
    return Answer(first.status, first.headers, generate_latest(_Families(list(families.values()))))


@dataclass(frozen=True)
class _Families:
    """A registry that holds what was read."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families


def _first(answers: Answers) -> Answer:
    return next(iter(answers.values()))


_RULES = {
    "/v1/sessions": Rule(_sessions),
    "/v1/server": Rule(_server),
    "/metrics": Rule(_metrics),
    "/v1/records": Rule(_records, complete=True),
    "/v1/records/export": Rule(_data_sets, complete=True),
}
