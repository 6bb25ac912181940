"""OpenAI's own client against the running server, as it is."""

import base64
import io

import openai
import pytest
from PIL import Image


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


FAST = {"num_inference_steps": 2, "guidance_scale": 1.0, "seed": 3}


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    buffer.seek(0)
    buffer.name = "image.png"
    return buffer


def test_models(client):
    assert [model.id for model in client.models.list()] == ["nano"]
    assert client.models.retrieve("nano").id == "nano"


def test_pictures_of_a_prompt(client, api):
    answer = client.images.generate(prompt="A red apple!", n=2, size="128x128", extra_body=FAST)
    assert len(answer.data) == 2
    first, second = answer.data
    assert opened(first.b64_json).size == (128, 128)
    assert first.b64_json != second.b64_json
    assert first.revised_prompt == "a red apple"
    assert (first.seed, second.seed) == (3, 4)
    assert first.texts[0].startswith("<ins>")
    session = api.ok("GET", f"/v1/sessions/{first.trajectory_id}")
    assert [node["text"] for node in session["nodes"]] == first.texts
    assert answer.usage.total_tokens > 10


def test_other_formats(client, server):
    answer = client.images.generate(prompt="a red apple", output_format="jpeg", extra_body=FAST)
    assert opened(answer.data[0].b64_json).format == "JPEG"
    answer = client.images.generate(prompt="a red apple", response_format="url", extra_body=FAST)
    assert answer.data[0].url.startswith(server.url)


def test_a_picture_while_it_is_painted(client):
    events = list(
        client.images.generate(prompt="a red apple", stream=True, partial_images=1, extra_body=FAST)
    )
    assert {event.type for event in events[:-1]} == {"image_generation.partial_image"}
    assert [event.partial_image_index for event in events[:-1]] == list(range(len(events) - 1))
    assert events[-1].type == "image_generation.completed"
    assert opened(events[-1].b64_json).size == (128, 128)
    assert events[-1].texts
    assert events[-1].usage.output_tokens > 10


def test_a_picture_is_edited_where_the_mask_is_clear(client):
    source = Image.new("RGB", (128, 128), "white")
    mask = Image.new("RGBA", (128, 128), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 128, 64))
    answer = client.images.edit(image=png(source), mask=png(mask), prompt="a red apple", extra_body=FAST)
    painted = opened(answer.data[0].b64_json).convert("RGB")
    assert painted.crop((0, 64, 128, 128)).getcolors() == [(128 * 64, (255, 255, 255))]
    events = list(client.images.edit(image=[png(source)], prompt="a red apple", stream=True, extra_body=FAST))
    assert events[-1].type == "image_edit.completed"


def test_refusals_are_the_clients_own_errors(client):
    with pytest.raises(openai.UnprocessableEntityError, match="unicorn"):
        client.images.generate(prompt="a unicorn")
    with pytest.raises(openai.NotFoundError, match="nano"):
        client.images.generate(prompt="a cup", model="gpt-image-1")
    with pytest.raises(openai.UnprocessableEntityError, match="size"):
        client.images.generate(prompt="a cup", size="huge")
    with pytest.raises(openai.UnprocessableEntityError, match="alpha"):
        client.images.edit(
            image=png(Image.new("RGB", (9, 9))), mask=png(Image.new("RGB", (9, 9))), prompt="a cup"
        )
    with pytest.raises(openai.UnprocessableEntityError, match="n"):
        client.images.generate(prompt="a cup", n=0)


def test_a_response_is_words_and_canvases(client):
    tools = [{"type": "image_generation"}]
    answer = client.responses.create(model="nano", input="a red apple", tools=tools, extra_body={"seed": 3})
    assert answer.status == "completed"
    assert "<ins>" in answer.output_text
    calls = [item for item in answer.output if item.type == "image_generation_call"]
    assert opened(calls[0].result).size == (128, 128)
    again = client.responses.retrieve(answer.id)
    assert again.output_text == answer.output_text


def test_a_response_is_streamed_and_taken_up_again(client):
    tools = [{"type": "image_generation", "partial_images": 2}]
    with client.responses.stream(model="nano", input="a red apple", tools=tools) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert {"response.output_text.delta", "response.image_generation_call.partial_image"} <= set(kinds)
    assert kinds[-1] == "response.completed"
    assert final.output_text
    rest = list(client.responses.retrieve(final.id, stream=True, starting_after=len(kinds) - 4))
    assert [event.sequence_number for event in rest] == [len(kinds) - 3, len(kinds) - 2, len(kinds) - 1]
    assert rest[-1].response.output_text == final.output_text


def test_a_response_in_the_background_is_cancelled(client):
    answer = client.responses.create(model="nano", input="two cats and a pink umbrella", background=True)
    assert answer.status in ("queued", "in_progress")
    assert client.responses.cancel(answer.id).status == "cancelled"
    assert client.responses.retrieve(answer.id).status == "cancelled"
    client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_a_response_goes_on_from_the_one_before(client, api):
    first = client.responses.create(model="nano", input="a red apple", extra_body={"seed": 3})
    second = client.responses.create(model="nano", input="a blue bus", previous_response_id=first.id)
    session = api.ok("GET", f"/v1/sessions/{second.metadata['trajectory_id']}")
    assert session["source"] is not None
