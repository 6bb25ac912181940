"""Sessions over HTTP: painted, stopped, corrected, branched, and what is refused."""

import base64
import io
import json

import pytest
from PIL import Image
from tests.serve.conftest import FAST, Api

from strokewise.trajectory.events import Envelope
from strokewise.trajectory.files import load


@pytest.fixture(scope="module")
def finished(server):
    """A session that was painted to its end: do not change it."""
    with Api(server.url) as client:
        return client.painted(seed=3)


def picture(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def canvas(api, session, node):
    answer = api.get(session["nodes"][node]["canvas"])
    assert answer.headers["content-type"] == "image/png"
    return picture(answer.content)


def test_a_session_is_a_tree_of_steps(api, finished, server):
    assert (finished["status"], finished["error"]) == ("finished", None)
    nodes = finished["nodes"]
    assert [node["parent"] for node in nodes] == [None, *range(len(nodes) - 1)]
    assert [node["step"] for node in nodes] == list(range(len(nodes)))
    assert nodes[0]["stages"] == ["plan", "sketch"]
    assert nodes[-1]["stop"] == finished["stop"]
    assert canvas(api, finished, 0).size == (128, 128)


def test_it_paints_what_the_painter_paints(api):
    from strokewise.inference.painter import Painter

    found = api.painted("a green dog", seed=5)
    painter = Painter.load("nano", "cpu")
    expected = painter.paint("a green dog", 5, **FAST)
    assert [node["text"] for node in found["nodes"]] == [step.message.text() for step in expected.steps]
    assert canvas(api, found, 0).tobytes() == expected.images[0].tobytes()


def test_events_tell_all_and_are_rejoined(api):
    session = api.create(seed=4)
    seen = []
    for number, kind, event in api.events(session):
        seen.append((number, kind, event))
        if kind == "state" and event["session"]["status"] == "finished":
            break
    kinds = [kind for _, kind, _ in seen]
    assert kinds[0] == "snapshot"
    assert {"text_started", "text_delta", "image_preview", "image_finished", "node"} <= set(kinds)
    numbers = [int(number.partition(".")[2]) for number, _, _ in seen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    texts = [event["text"] for _, kind, event in seen if kind == "text_finished"]
    # A message may be finished before anybody listens; then it is in the snapshot.
    before = [node["text"] for node in seen[0][2]["session"]["nodes"]]
    assert [*before, *texts] == [node["text"] for node in api.wait(session)["nodes"]]
    pieces = None
    for _, kind, event in seen:
        if kind == "text_started":
            pieces = ""
        elif kind == "text_delta" and pieces is not None:
            pieces += event["text"]
        elif kind == "text_finished" and pieces is not None:
            assert pieces == event["text"], "all of it is told before it is finished"


def test_a_listener_continues_after_the_last_event_it_saw(api):
    session = api.create(seed=6)
    first = []
    for number, kind, event in api.events(session):
        first.append((number, kind, event))
        if kind == "text_finished":
            break
    rest = []
    for number, kind, event in api.events(session, last=first[-1][0]):
        rest.append((number, kind, event))
        if kind == "finished":
            break
    assert rest[0][1] == "node"
    assert int(rest[0][0].partition(".")[2]) == int(first[-1][0].partition(".")[2]) + 1
    _, kind, event = next(api.events(session, last="another.3"))
    assert (kind, event["session"]["id"]) == ("snapshot", session["id"])


def test_painting_events_are_those_of_the_schema(api):
    session = api.create(seed=8)
    painting = {"text_started", "text_delta", "text_finished", "image_started", "image_finished", "finished"}
    with api.stream("GET", f"/v1/sessions/{session['id']}/events") as answer:
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind in painting:
                envelope = Envelope.from_json(json.loads(line.removeprefix("data: ")))
                assert envelope.painting == session["id"]
            if kind == "finished" and not line:
                break


def test_single_stages(api):
    session = api.wait(api.create(until="stage"))
    assert (session["status"], session["stop"], len(session["nodes"])) == ("paused", None, 1)
    assert (session["nodes"][0]["state"], session["nodes"][0]["canvas"]) == ("written", None)
    path = f"/v1/sessions/{session['id']}"
    api.ok("POST", f"{path}/continue", {"until": "stage"})
    session = api.wait(session)
    assert (session["nodes"][0]["state"], len(session["nodes"])) == ("finished", 1)
    api.ok("POST", f"{path}/continue", {"until": "canvas"})
    session = api.wait(session)
    assert [bool(node["canvas"]) for node in session["nodes"]] == [True, True]


def test_stopping_and_going_on_changes_nothing(api, finished):
    session = api.create(seed=3, until="stage")
    while api.wait(session)["status"] == "paused":
        api.ok("POST", f"/v1/sessions/{session['id']}/continue", {"until": "stage"})
    again = api.wait(session)
    assert [node["text"] for node in again["nodes"]] == [node["text"] for node in finished["nodes"]]
    assert canvas(api, again, 1).tobytes() == canvas(api, finished, 1).tobytes()


def test_pause(api):
    session = api.create(options=FAST | {"steps": 60})
    paused = api.ok("POST", f"/v1/sessions/{session['id']}/pause")
    assert paused["pausing"] or paused["status"] == "paused"
    assert api.wait(session)["status"] == "paused"
    refused = api.post(f"/v1/sessions/{session['id']}/pause")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")


def test_words_are_edited_beside_the_old_ones(api, finished):
    session = api.ok("POST", f"/v1/sessions/{finished['id']}/copy", {"node": 0})
    words = {
        "ins": "add a green dog in the lower left.",
        "des": "a green dog in the lower left; a white background.",
    }
    api.ok("POST", f"/v1/sessions/{session['id']}/nodes/0/edit", {"message": words, "until": "canvas"})
    session = api.wait(session)
    old, new = session["nodes"]
    assert (new["parent"], new["edited_from"], new["author"]) == (None, 0, "person")
    assert (sorted(new["edited"]), new["message"]["ins"]) == (["des", "ins"], words["ins"])
    assert old["text"] == finished["nodes"][0]["text"]
    assert canvas(api, session, 0).tobytes() == canvas(api, finished, 0).tobytes()
    assert canvas(api, session, 1).tobytes() != canvas(api, finished, 0).tobytes()
    assert session["head"] == 1


def test_a_canvas_is_given_and_the_model_goes_on(api, finished):
    session = api.ok("POST", f"/v1/sessions/{finished['id']}/copy", {"node": 0})
    # Where and as large as nano was trained to see things; its words for others may be unreadable.
    things = [{"name": "apple", "color": "red", "box": [0.0078, 0.3828, 0.2422, 0.6172]}]
    drawn = api.ok("POST", "/v1/world/render", {"things": things})["image"]
    api.ok("POST", f"/v1/sessions/{session['id']}/nodes/0/edit", {"canvas": drawn})
    session = api.wait(session)
    assert (session["nodes"][1]["edited"], session["nodes"][1]["parent"]) == (["canvas"], None)
    assert canvas(api, session, 1).tobytes() == picture(base64.b64decode(drawn)).tobytes()
    assert session["nodes"][2]["parent"] == 1
    assert session["nodes"][2]["verdict"] is not None


def test_a_verdict_is_edited_without_painting_again(api, finished):
    session = api.ok("POST", f"/v1/sessions/{finished['id']}/copy", {})
    number = len(session["nodes"]) - 1
    body = {"verdict": {"plan": True, "sketch": False}, "run": False}
    session = api.ok("POST", f"/v1/sessions/{session['id']}/nodes/{number}/edit", body)
    assert session["nodes"][-1]["verdict"].items() >= body["verdict"].items()
    assert session["nodes"][-1]["parent"] == session["nodes"][number]["parent"]


def test_branches_keep_what_was_there(api, finished):
    session = api.ok("POST", f"/v1/sessions/{finished['id']}/copy", {})
    path = f"/v1/sessions/{session['id']}"
    api.ok("POST", f"{path}/continue", {"node": None, "seed": 9, "until": "canvas"})
    session = api.wait(session)
    assert session["nodes"][-1]["parent"] is None
    assert session["nodes"][-1]["seed"] == 9
    api.ok(
        "POST",
        f"{path}/continue",
        {"node": 0, "instruction": "add a green dog on the right", "until": "canvas"},
    )
    session = api.wait(session)
    assert session["nodes"][-1]["parent"] == 0
    assert "green dog" in session["nodes"][-1]["message"]["ins"]
    assert session["nodes"][: len(finished["nodes"])][0]["text"] == finished["nodes"][0]["text"]


def test_an_edit_interrupts_what_is_painted(api):
    session = api.create(options=FAST | {"steps": 100})
    for _, kind, _ in api.events(session):
        if kind == "image_preview":
            break
    found = api.ok("POST", f"/v1/sessions/{session['id']}/nodes/0/edit", {"message": {"ins": "add a cat."}})
    assert found["head"] == 1
    cancelled = api.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    assert (cancelled["status"], cancelled["stop"]) == ("finished", "cancelled")
    assert [node["canvas"] for node in cancelled["nodes"]] == [None, None]
    api.ok("POST", f"/v1/sessions/{session['id']}/continue", {"until": "canvas", "seed": 1})
    assert api.wait(session)["nodes"][1]["canvas"] is not None


def test_the_critic_speaks_of_every_canvas(api, finished):
    for _, kind, event in api.events(finished):
        nodes = event["session"]["nodes"] if kind == "snapshot" else [event["node"]] if kind == "node" else []
        if any(node["id"] == 1 and node["critic"] for node in nodes):
            break
    found = api.ok("GET", f"/v1/sessions/{finished['id']}")["nodes"][0]["critic"]
    assert (found["by"], found["plan"], found["prompt"]) == ("oracle", True, False)
    assert found["things"]


def test_names_stars_lists_and_deletion(api):
    session = api.wait(api.create("a purple cat", until="stage"))
    path = f"/v1/sessions/{session['id']}"
    assert api.ok("PATCH", path, {"name": "mine", "star": True})["name"] == "mine"
    assert api.ok("PATCH", f"{path}/nodes/0", {"name": "first", "star": True})["star"]
    found = api.ok("GET", "/v1/sessions?q=purple&star=true")["sessions"]
    assert [one["id"] for one in found] == [session["id"]]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.ok("GET", "/v1/sessions?q=purple")["sessions"] == []


def test_the_same_key_makes_one_session(api):
    body = {"prompt": "a white cup", "until": "stage", "options": FAST}
    answers = [api.post("/v1/sessions", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = api.post("/v1/sessions", json=body | {"seed": 1}, headers={"Idempotency-Key": "once"})
    assert other.status_code == 409


def test_a_picture_is_edited(api, random_image):
    session = api.wait(api.create("a red apple", image=png(random_image(64, 32)), until="stage"))
    assert session["size"] == [64, 128]
    assert picture(api.get(session["source"]).content).size == (128, 64)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "  "}, None),
        ({"prompt": "a unicorn"}, None),
        ({"prompt": "a cup", "seed": -1}, "seed"),
        ({"prompt": "a cup", "seed": "1"}, "seed"),
        ({"prompt": "a cup", "sed": 1}, "sed"),
        ({"prompt": "a cup", "image": "AAAA"}, "image"),
        ({"prompt": "a cup", "image": "%%%"}, "image"),
        ({"prompt": "a cup", "options": {"steps": 5000}}, "options.steps"),
        ({"prompt": "a cup", "options": {"steps": 101}}, "options.steps"),
        ({"prompt": "a cup", "options": {"size": [100, 100]}}, None),
        ({"prompt": "a cup", "options": {"temperature": -1}}, "options.temperature"),
        ({"prompt": "x" * 3000}, "prompt"),
        ({"prompt": "a \ud800 cup"}, "prompt"),
        ({"prompt": "a cup", "instruct": ["<ins>x</ins>"]}, None),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(api, body, param):
    answer = api.post("/v1/sessions", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert len(error["message"]) > 10


def test_edits_that_cannot_be(api, finished):
    path = f"/v1/sessions/{finished['id']}"
    last = len(finished["nodes"]) - 1
    for number, body, status in [
        (0, {}, 422),
        (0, {"message": {"ins": finished["nodes"][0]["message"]["ins"]}}, 422),
        (0, {"message": {"ins": "a </ins> cat"}}, 422),
        (last, {"canvas": png(Image.new("RGB", (128, 128)))}, 422),
        (99, {"verdict": {"plan": True}}, 404),
    ]:
        assert api.post(f"{path}/nodes/{number}/edit", json=body).status_code == status, body
    assert api.post(f"{path}/continue", json={"node": last}).status_code == 409
    assert api.post(f"{path}/continue", json={"node": 99}).status_code == 404
    assert api.get(f"{path}/nodes/{last}/canvas.png").status_code == 404
    assert len(api.ok("GET", path)["nodes"]) == last + 1


def test_the_folder_of_a_session_is_a_trajectory(api, finished, server):
    folder = next(path for path in server_data(server).glob(f"sessions/{finished['id']}"))
    found = load(folder)
    assert len(found.images) == sum(bool(node["canvas"]) for node in finished["nodes"])
    assert found.prompt == finished["prompt"]


def server_data(server):
    from pathlib import Path

    return Path(server.log.name).parent / "data"


def test_the_world_is_described(api):
    world = api.ok("GET", "/v1/world")
    assert {
        "name": "apple",
        "icon": "/v1/world/icons/apple.png",
        "aspect": pytest.approx(1, abs=0.3),
    } in world["classes"]
    icon = api.get("/v1/world/icons/apple.png?color=red&size=32")
    assert max(picture(icon.content).size) == 32
    assert api.get("/v1/world/icons/unicorn.png").status_code == 422
    assert world["examples"]
    for text in world["examples"]:
        assert api.ok("POST", "/v1/world/prompt", {"prompt": text})["prompt"]
    assert api.post("/v1/world/prompt", json={"prompt": "a unicorn"}).json()["error"]["code"] == "prompt"


def test_what_is_drawn_is_recognized(api):
    things = [
        {"name": "apple", "color": "red", "box": [0.05, 0.4, 0.3, 0.65]},
        {"name": "bus", "color": "blue", "box": [0.6, 0.4, 0.9, 0.64]},
    ]
    drawn = api.ok("POST", "/v1/world/render", {"things": things, "background": "sand"})
    found = api.ok("POST", "/v1/world/recognize", drawn)
    assert (found["background"], found["unknown"]) == ("sand", 0)
    assert [(one["name"], one["color"]) for one in found["things"]] == [("apple", "red"), ("bus", "blue")]
    wrong = api.post("/v1/world/render", json={"things": [{"name": "unicorn", "box": [0, 0, 1, 1]}]})
    assert wrong.status_code == 422


def test_two_nodes_are_compared(api, finished):
    answer = api.get(f"/v1/sessions/{finished['id']}/difference?a=0&b=1")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).mode == "RGBA"
