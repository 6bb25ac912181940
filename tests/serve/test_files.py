"""Sessions as files and back, and corrections as training records that are read like any other."""

import io
import json
import zipfile

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.serve.conftest import Api
from tests.serve.test_sessions import canvas

from strokewise.data.checking import faults_of
from strokewise.data.storage import read
from strokewise.trajectory.files import from_row, load


@pytest.fixture(scope="module")
def branched(server):
    """A session whose first plan and whose first canvas were corrected by a person."""
    with Api(server.url) as client:
        session = client.wait(client.create(until="canvas"))
        path = f"/v1/sessions/{session['id']}"
        words = {"ins": "add a red apple in the top.", "des": "a red apple at the top; a white background."}
        client.ok("POST", f"{path}/nodes/0/edit", {"message": words, "until": "canvas"})
        session = client.wait(session)
        things = [{"name": "apple", "color": "green", "box": [0.1, 0.4, 0.35, 0.65]}]
        drawn = client.ok("POST", "/v1/world/render", {"things": things})["image"]
        return client.ok("POST", f"{path}/nodes/0/edit", {"canvas": drawn, "run": False})


def exported(api, session, format):
    answer = api.get(f"/v1/sessions/{session['id']}/export?format={format}")
    assert answer.is_success, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return answer.content


def test_a_zip_is_a_trajectory_and_the_whole_tree(api, branched, tmp_path):
    with zipfile.ZipFile(io.BytesIO(exported(api, branched, "zip"))) as archive:
        archive.extractall(tmp_path)
    found = load(tmp_path / "trajectory")
    assert found.images[-1].tobytes() == canvas(api, branched, branched["head"]).tobytes()
    assert len(list((tmp_path / "pictures").iterdir())) == 3


def test_a_parquet_row_is_a_trajectory(api, branched):
    row = pq.read_table(io.BytesIO(exported(api, branched, "parquet"))).to_pylist()[0]
    assert from_row(row, "the row").prompt == branched["prompt"]


@pytest.mark.parametrize("format", ["zip", "page", "json"])
def test_what_goes_out_comes_back(api, branched, format):
    data = exported(api, branched, format)
    again = api.ok("POST", "/v1/sessions/import", files={"file": ("session", data)})
    assert again["id"] != branched["id"]
    for one, other in zip(branched["nodes"], again["nodes"], strict=True):
        assert (one["text"], one["parent"], one["edited"]) == (
            other["text"],
            other["parent"],
            other["edited"],
        )
        assert canvas(api, branched, one["id"]).tobytes() == canvas(api, again, other["id"]).tobytes()
    assert (again["status"], again["head"]) == ("paused", branched["head"])


def test_a_page_shows_itself_and_fetches_nothing(api, branched):
    text = exported(api, branched, "page").decode()
    assert branched["prompt"] in text
    assert "http://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("session"),
        lambda value: value["session"]["nodes"][1].update(parent=5),
        lambda value: value["session"]["nodes"][1].update(step=7),
        lambda value: value["session"].update(head=99),
        lambda value: value["session"].update(size=[64, 64]),
        lambda value: value["session"]["options"].update(steps=10**6),
        lambda value: value["pictures"].pop("0"),
        lambda value: value["pictures"].update({"0": "AAAA"}),
    ],
)
def test_damaged_files_are_refused(api, branched, change):
    value = json.loads(exported(api, branched, "json"))
    change(value)
    answer = api.post("/v1/sessions/import", files={"file": ("x", json.dumps(value).encode())})
    assert answer.status_code == 422, answer.text
    for data in (b"", b"PK\x03\x04 nothing", b"<html>"):
        assert api.post("/v1/sessions/import", files={"file": ("x", data)}).status_code == 422


def test_corrections_become_records_that_are_read(api, branched, tmp_path):
    path = f"/v1/sessions/{branched['id']}/nodes"
    plan = api.ok("POST", f"{path}/1/record", {})
    sketch = api.ok("POST", f"{path}/2/record", {})
    right = api.ok("POST", f"{path}/0/record", {"accept": True})
    assert (plan["subset"], plan["label"]) == ("conflict", "wrong")
    assert (sketch["subset"], sketch["label"]) == ("alignment", "negative")
    assert (right["subset"], right["label"]) == ("alignment", "positive")
    assert api.ok("POST", f"{path}/1/record", {})["id"] == plan["id"]
    assert api.post(f"{path}/0/record", json={}).json()["error"]["code"] == "conflict"
    listed = api.ok("GET", "/v1/records")
    assert (listed["conflict"], listed["alignment"]) == (1, 2)
    for subset, labels in (("conflict", ["wrong"]), ("alignment", ["negative", "positive"])):
        data = api.get(f"/v1/records/export?subset={subset}").content
        zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
        found = [record for _, record in read(tmp_path / subset)]
        assert [record.label for record in found] == labels
        assert [fault for record in found for fault in faults_of(record)] == []
    both = api.get("/v1/records/export")
    assert {name.split("/")[0] for name in zipfile.ZipFile(io.BytesIO(both.content)).namelist()} == {
        "conflict",
        "alignment",
    }
    assert "apple" in found[0].trajectory.steps[-1].message.refine
    assert found[0].trajectory.steps[-1].verdict.sketch is False
    assert api.delete(f"/v1/records/{plan['id']}").status_code == 204
    assert api.delete(f"/v1/records/{plan['id']}").status_code == 404
    assert api.get("/v1/records/export?subset=conflict").status_code == 409
    assert isinstance(found[0].trajectory.images[0], Image.Image)
