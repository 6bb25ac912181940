"""The studio as people use it, in a real browser, before a real server."""

import io
import re
import signal
import socket
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect
from tests.serve.studio import running_browser, studio_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with running_browser() as found:
        yield found


@pytest.fixture
def studio(browser, server):
    with studio_of(browser, server.url, accept_downloads=True) as found:
        yield found


def canvas_of(studio, node):
    answer = studio.page.request.get(studio.url + node["canvas"])
    return Image.open(io.BytesIO(answer.body())).convert("RGB")


def test_painting_from_words_that_the_model_was_not_trained_on(studio):
    studio.write("2 TVs over a settee")
    expect(studio.page.locator("#reading")).to_contain_text("two tvs above a couch")
    studio.button("Paint", exact=True).click()
    studio.finished()
    expect(studio.page.get_by_role("heading", level=1)).to_have_text("2 TVs over a settee")
    expect(studio.page.locator(".frame img")).to_have_attribute("alt", re.compile("^Canvas of step"))
    expect(studio.page.locator(".judgment")).to_contain_text("The oracle says")
    expect(studio.page.locator(".judgment .critic .mark").first).to_be_visible()
    studio.keys("k")
    expect(studio.page.locator(".judgment .critic")).to_have_count(0)
    assert studio.nodes.count() == len(studio.session()["nodes"])


def test_words_that_cannot_be_read_are_explained(studio):
    studio.page.get_by_label("Prompt", exact=True).fill("a red dragon")
    expect(studio.page.locator(".refusal")).to_contain_text("dragon")
    studio.button("Paint", exact=True).click()
    expect(studio.page.get_by_role("alert")).to_contain_text("dragon")
    expect(studio.page.get_by_label("Prompt", exact=True)).to_have_value("a red dragon")


def test_the_vocabulary_puts_words_into_the_prompt(studio):
    studio.page.get_by_text("What the model knows").click()
    studio.button("green", exact=True).click()
    studio.page.get_by_label("Find a thing").fill("dog")
    studio.button("dog", exact=True).click()
    expect(studio.page.get_by_label("Prompt", exact=True)).to_have_value("green dog")
    for picture in studio.page.locator(".vocabulary .things img").all():
        assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0


def test_step_by_step_and_stop(studio):
    studio.write("a red apple left of a blue bus")
    studio.button("Paint step by step").click()
    expect(studio.status).to_have_text("Stopped")
    (node,) = studio.session()["nodes"]
    assert (node["state"], node["canvas"]) == ("written", None)
    expect(studio.page.locator(".words .part.ins")).to_contain_text("add")
    studio.button("Step", exact=True).click()
    expect(studio.page.locator(".tree .node img")).to_have_count(1)
    expect(studio.status).to_have_text("Stopped")
    assert [one["state"] for one in studio.session()["nodes"]] == ["finished"]
    studio.button("One canvas").click()
    expect(studio.page.locator(".tree .node img")).to_have_count(2)
    expect(studio.status).to_have_text("Stopped")
    studio.page.locator("main").focus()
    studio.keys("Space")
    studio.finished()


def test_stopping_and_cancelling_what_is_under_way(studio):
    studio.write("a photo of three green dogs", steps=100)
    studio.button("Paint", exact=True).click()
    expect(studio.page.locator(".stages .now")).to_be_visible()
    studio.button("Stop").click()
    expect(studio.status).to_have_text("Stopped")
    before = len(studio.session()["nodes"])
    studio.button("Continue", exact=True).click()
    expect(studio.page.locator(".stages .now")).to_be_visible()
    studio.button("Cancel", exact=True).click()
    expect(studio.status).to_have_text("Cancelled.")
    assert len(studio.session()["nodes"]) >= before


def test_an_inspection_is_shown_in_lines_and_escape_leaves_its_words(studio):
    studio.paint()
    lines = studio.page.locator(".words .part.inspect p")
    expect(lines.locator("strong")).to_have_text(["the sketch shows:", "prompt:", "plan:"])
    inspection = studio.session()["nodes"][-1]["message"]["inspect"]
    assert " ".join(lines.all_inner_texts()) == inspection
    studio.keys("w")
    expect(studio.page.get_by_label("Inspection of the canvas before")).to_have_value(inspection)
    studio.page.locator(".edit-words textarea").first.press("Escape")
    expect(studio.page.locator(".edit-words")).to_have_count(0)
    assert all(node["author"] == "model" for node in studio.session()["nodes"]), "nothing was applied"


def test_an_edited_plan_becomes_a_branch(studio):
    studio.paint()
    first = studio.session()["nodes"]
    studio.keys("Home", "w")
    studio.page.get_by_label("Stroke", exact=True).fill("add a green dog in the upper left.")
    studio.page.get_by_label("Scene after it", exact=True).fill(
        "a green dog in the upper left; a white background."
    )
    studio.keys("Control+Enter")
    expect(studio.nodes.filter(has=studio.page.locator(".badge.person"))).to_have_count(1)
    studio.finished()
    session = studio.session()
    edited = next(node for node in session["nodes"] if node["author"] == "person")
    kept = [node | {"critic": None} for node in session["nodes"][: len(first)]]  # the critic takes its time
    assert kept == [node | {"critic": None} for node in first], "nothing is overwritten"
    assert set(edited["edited"]) == {"ins", "des"}
    assert edited["message"]["ins"] == "add a green dog in the upper left."
    assert edited["canvas"]

    studio.keys("Control+z")
    expect(studio.selected).to_have_attribute("aria-label", re.compile("^Step 1$"))
    studio.keys("Control+Shift+z", "Home")
    studio.go_to(edited["id"])
    studio.keys("*")
    expect(studio.selected.locator(".badge.star")).to_be_visible()
    studio.keys("F2")
    studio.page.get_by_label("Name of this step").fill("with a dog")
    studio.keys("Enter")
    expect(studio.selected.locator(".name")).to_have_text("with a dog")

    studio.button("Keep as training record").click()
    expect(
        studio.page.get_by_role("status").filter(has_text="the plan of step 1 was corrected")
    ).to_be_visible()
    studio.button("Training records").click()
    expect(studio.page.get_by_role("dialog")).to_contain_text("conflict")
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Export data set").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert any(name.startswith("conflict/") for name in archive.namelist())


def test_the_next_stroke_in_words(studio):
    studio.paint("a red apple")
    studio.keys("Home", "i")
    studio.page.get_by_label("Next stroke").fill("add a green dog in the lower left")
    before = studio.page.locator(".tree .node").count()
    studio.keys("Enter")
    expect(studio.page.locator(".tree .node").nth(before)).to_be_visible()
    studio.finished()
    assert any("green dog" in (node["message"]["ins"] or "") for node in studio.session()["nodes"])


def test_comparing_two_branches(studio):
    studio.paint("a red apple")
    studio.keys("Home", "Shift+G")
    expect(studio.nodes.filter(has=studio.page.locator("img"))).to_have_count(2)
    studio.finished()
    studio.page.locator("main").focus()
    studio.keys("c")
    shown = studio.page.locator(".compare .pair img")
    expect(shown).to_have_count(2)
    sources = shown.evaluate_all("all => all.map(one => one.src)")
    assert len(set(sources)) == 2
    studio.keys("c")
    expect(shown.first).to_have_attribute("src", re.compile(re.escape(sources[1].split("/v1/")[1])))
    studio.keys("m")
    divider = studio.page.get_by_label("Divider")
    divider.focus()
    studio.keys("ArrowRight")
    expect(divider).to_have_value("51")
    studio.keys("m")
    difference = studio.page.locator(".compare .single img")
    expect(difference).to_be_visible()
    assert difference.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    studio.keys("Escape")
    expect(studio.page.locator(".compare")).to_have_count(0)


def test_dragging_a_thing(studio):
    studio.paint("a red apple")
    studio.keys("v")
    thing = studio.page.locator(".thing").first
    expect(thing).to_have_attribute("aria-label", "red apple")
    before, surface = thing.bounding_box(), studio.page.locator(".surface").bounding_box()
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    to_right = x < surface["x"] + surface["width"] / 2
    studio.page.mouse.move(x, y)
    studio.page.mouse.down()
    studio.page.mouse.move(surface["x"] + surface["width"] * (0.8 if to_right else 0.2), y, steps=6)
    studio.page.mouse.up()
    studio.button("blue", exact=True).click()
    studio.page.get_by_label("Add a thing").select_option("dog")
    expect(studio.page.locator(".thing")).to_have_count(2)
    studio.keys("Control+z")
    expect(studio.page.locator(".thing")).to_have_count(1)
    studio.button("Apply and stop").click()
    expect(studio.status).to_have_text("Stopped")
    node = next(node for node in studio.session()["nodes"] if node["author"] == "person")
    assert node["edited"] == ["canvas"]
    answer = studio.page.request.post(
        f"{studio.url}/v1/world/recognize",
        data={"session": studio.session()["id"], "node": node["id"]},
    ).json()
    (found,) = answer["things"]
    assert (found["name"], found["color"]) == ("apple", "blue")
    middle = (found["box"][0] + found["box"][2]) / 2
    assert middle > 0.6 if to_right else middle < 0.4
    expect(studio.page.locator(".judgment .critic")).to_contain_text("seen blue")


def test_an_answer_that_events_overtook_changes_nothing(studio):
    """The critic may have judged a corrected canvas before the page learns that it was taken."""
    found = studio.page.evaluate(
        """async () => {
          const app = document.querySelector("script[src$='app.js']").src;
          const { later } = await import(app.replace("app.js", "session.js"));
          const [known, same, restarted] = ["a.10", "a.10", "b.2"].map((id) => ({ event_id: id }));
          const [older, newer] = ["a.9", "a.11"].map((id) => ({ event_id: id }));
          return [later(known, older) === known, later(known, same) === same,
            later(known, newer) === newer, later(known, restarted) === restarted];
        }"""
    )
    assert found == [True] * 4


def test_things_by_keyboard(studio):
    studio.paint("a red apple")
    studio.keys("v")
    thing = studio.page.locator(".thing").first
    thing.focus()
    left = thing.bounding_box()["x"]
    studio.keys("ArrowLeft", "ArrowLeft") if left > 400 else studio.keys("ArrowRight", "ArrowRight")
    expect(studio.button("Apply and continue")).to_be_enabled()
    studio.keys("Delete")
    expect(thing).to_have_count(0)
    studio.keys("Escape")
    expect(studio.page.locator(".editor")).to_have_count(0)
    assert all(node["author"] == "model" for node in studio.session()["nodes"]), "nothing was applied"


def test_brush_stays_inside_the_mask(studio):
    studio.paint("a red apple")
    parent = studio.session()["nodes"][0]
    studio.keys("x")
    surface = studio.page.locator(".surface canvas")
    expect(surface).to_be_focused()

    def draw(points):
        box = surface.bounding_box()
        (x, y), *rest = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        studio.page.mouse.move(x, y)
        studio.page.mouse.down()
        for point in rest:
            studio.page.mouse.move(*point, steps=4)
        studio.page.mouse.up()

    draw([(0.1, 0.5), (0.45, 0.5)])
    studio.keys("b")
    studio.page.get_by_label("Color", exact=True).fill("#0000ff")
    draw([(0.1, 0.5), (0.9, 0.5)])
    studio.button("Apply and stop").click()
    expect(studio.status).to_have_text("Stopped")
    node = next(node for node in studio.session()["nodes"] if node["author"] == "person")
    old, new = canvas_of(studio, parent), canvas_of(studio, node)
    high, wide = studio.session()["size"]
    assert new.getpixel((wide // 4, high // 2)) == (0, 0, 255)
    outside = (wide * 6 // 10, 0, wide, high)
    assert old.crop(outside).tobytes() == new.crop(outside).tobytes()


def test_reload_in_the_middle(studio):
    studio.write("a photo of three green dogs", steps=100)
    studio.button("Paint", exact=True).click()
    expect(studio.page.locator(".stages .now")).to_be_visible()
    place = studio.page.url
    studio.page.reload()
    assert studio.page.url == place
    expect(studio.page.locator(".stages .now")).to_be_visible()
    studio.finished()


def test_two_browsers_see_the_same_painting(browser, studio):
    studio.write("a red apple left of a blue bus")
    studio.button("Paint step by step").click()
    expect(studio.status).to_have_text("Stopped")
    with studio_of(browser, studio.url) as other:
        other.page.goto(studio.page.url)
        expect(other.status).to_have_text("Stopped")
        other.button("Continue", exact=True).click()
        studio.finished()
        other.finished()
        assert studio.nodes.count() == other.nodes.count()


def test_saved_page_opens_again(studio):
    studio.paint("a red apple")
    nodes = studio.session()["nodes"]
    studio.keys("s")
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Page to share").click()
    first, saved = studio.page.url, download.value.path()
    page = saved.with_name("saved.html")
    page.write_bytes(saved.read_bytes())
    studio.page.locator(".list input[type=file]").set_input_files(page)
    studio.page.wait_for_url(lambda url: "#/" in url and url != first)
    expect(studio.nodes).to_have_count(len(nodes))
    assert [node["message"] for node in studio.session()["nodes"]] == [node["message"] for node in nodes]


def test_recall(studio):
    studio.paint("a red apple")
    studio.keys("a")
    expect(studio.page.get_by_label("Prompt", exact=True)).to_have_value("a red apple")
    studio.page.get_by_text("Options", exact=False).first.click()
    expect(studio.page.get_by_label("Flow steps")).to_have_value("2")
    studio.page.get_by_label("Prompt", exact=True).fill("")
    studio.page.get_by_label("Prompt", exact=True).focus()
    studio.keys("Alt+ArrowUp")
    expect(studio.page.get_by_label("Prompt", exact=True)).to_have_value("a red apple")


def test_narrow_screens_do_not_scroll_sideways(browser, server):
    with studio_of(browser, server.url) as studio:
        studio.page.set_viewport_size({"width": 390, "height": 844})

        def width():
            return studio.page.evaluate("document.documentElement.scrollWidth")

        studio.page.get_by_text("What the model knows").click()
        assert width() == 390
        studio.paint("a red apple")
        assert width() == 390
        for key, shown in (("w", ".edit-words"), ("v", ".thing-bar"), ("b", ".surface canvas")):
            studio.keys(key)
            expect(studio.page.locator(shown)).to_be_visible()
            assert width() == 390, key
            if key != "v":
                studio.keys("Escape")
                expect(studio.page.locator(shown)).to_have_count(0)
                assert width() == 390, key
        studio.keys("?")
        expect(studio.page.locator("dialog .keys")).to_be_visible()
        assert width() == 390


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_server_that_goes_and_comes_back(browser, serving, tmp_path):
    port = free_port()
    with serving(tmp_path / "data", "--port", port) as process, studio_of(browser, process.url) as studio:
        studio.write("a photo of three green dogs", steps=100)
        studio.button("Paint", exact=True).click()
        expect(studio.page.locator(".stages .now")).to_be_visible()
        process.stop(signal.SIGKILL)
        expect(studio.page.locator(".notice.lost")).to_be_visible()
        with serving(tmp_path / "data", "--port", port):
            expect(studio.page.locator(".notice.lost")).to_have_count(0)
            expect(studio.status).to_have_text(re.compile("Interrupted"))
            studio.button("Continue", exact=True).click()
            studio.finished()


def test_a_prompt_outlives_an_unreachable_server(browser, serving, tmp_path):
    port = free_port()
    with serving(tmp_path / "data", "--port", port) as process, studio_of(browser, process.url) as studio:
        studio.write("a red apple")
        process.stop(signal.SIGKILL)
        studio.button("Paint", exact=True).click()
        expect(studio.page.locator(".notice.lost")).to_be_visible()
        expect(studio.page.get_by_label("Prompt", exact=True)).to_have_value("a red apple")
        with serving(tmp_path / "data", "--port", port):
            expect(studio.page.locator(".notice.lost")).to_have_count(0)
            studio.button("Paint", exact=True).click()
            studio.finished()


def test_a_full_queue(browser, serving, tmp_path):
    with (
        serving(tmp_path / "data", "--batch", "1", "--queue", "1") as process,
        studio_of(browser, process.url) as studio,
    ):
        request = {"prompt": "a photo of three green dogs", "options": {"steps": 100}}
        for _ in range(2):
            assert studio.page.request.post(f"{studio.url}/v1/sessions", data=request).ok
        studio.write("a red apple")
        studio.button("Paint", exact=True).click()
        expect(studio.page.get_by_role("alert")).to_contain_text("The queue is full")
        expect(studio.button("Try again")).to_be_visible()


def test_a_server_with_a_key(browser, serving, tmp_path):
    with (
        serving(tmp_path / "data", "--api-key", "correct-horse") as process,
        studio_of(browser, process.url) as studio,
    ):
        key = studio.page.get_by_label("API key")
        key.fill("wrong-horse")
        studio.keys("Enter")
        expect(studio.page.get_by_role("alert").filter(has_text="not accepted")).to_be_visible()
        key.fill("correct-horse")
        studio.keys("Enter")
        expect(studio.page.get_by_role("dialog")).to_have_count(0)
        studio.paint("a red apple")


def serious(page):
    """What axe-core finds that keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"][:120] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(browser, server, scheme):
    with studio_of(browser, server.url, color_scheme=scheme) as studio:
        studio.page.get_by_text("What the model knows").click()
        studio.page.get_by_label("Prompt", exact=True).fill("a red dragon")
        expect(studio.page.locator(".refusal")).to_be_visible()
        assert serious(studio.page) == []
        studio.paint("a red apple left of a blue bus")
        before = studio.page.locator(".tree .node").count()
        studio.keys("Home", "Shift+G")
        expect(studio.page.locator(".tree .node").nth(before)).to_be_visible()
        studio.finished()
        states = {
            ".canvas": [],
            ".edit-words": ["Home", "w"],
            ".thing-bar": ["Escape", "v"],
            ".surface canvas": ["x"],
            ".compare .pair": ["Escape", "c"],
            ".compare .slider": ["m"],
            "[aria-pressed=true][title^=Difference]": ["Escape", "d"],
            "dialog .keys": ["?"],
            "dialog .links": ["Escape", "s"],
        }
        for shown, keys in states.items():
            studio.keys(*keys)
            expect(studio.page.locator(shown)).to_be_visible()
            assert serious(studio.page) == [], shown
