"""The page's endpoint as a program sees it, through Gradio's own client."""

import json
import threading
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from nst.pages.sessions import LOST
from nst.pictures.images import read_report
from nst.settings.catalog import paintings, photos
from nst.settings.recipe import Recipe
from tests.pages.conftest import PATIENCE

PHOTO, PAINTING = photos()["neuschwanstein"].path, paintings()["starry_night"].path


@pytest.fixture
def connect(server):
    return lambda: Client(server.url, verbose=False)


@pytest.fixture
def client(connect):
    return connect()


def submit(client, photo=PHOTO, painting=PAINTING, **settings):
    """Starts a run; settings by the label of their input."""
    described = client.view_api(return_format="dict", print_info=False)
    parameters = described["named_endpoints"]["/stylize"]["parameters"]
    names = {parameter["label"]: parameter["parameter_name"] for parameter in parameters}
    chosen = {"Size": 96, "Iterations": 30} | settings
    return client.submit(
        photo=handle_file(photo),
        painting=handle_file(painting),
        api_name="/stylize",
        **{names[label]: value for label, value in chosen.items()},
    )


def test_the_engines_are_endpoints_and_every_setting_has_a_default(client):
    described = client.view_api(return_format="dict", print_info=False)
    assert sorted(described["named_endpoints"]) == [
        "/any",
        "/compare",
        "/fast",
        "/stylize",
        "/sweep",
    ]
    parameters = described["named_endpoints"]["/stylize"]["parameters"]
    assert [p["label"] for p in parameters[:5]] == [
        "Photo",
        "Painting",
        "Preset",
        "Size",
        "Iterations",
    ]
    assert all(parameter["parameter_has_default"] for parameter in parameters)


def test_a_run_yields_its_progress_and_then_the_files(client, engine):
    updates = list(submit(client, Iterations=60, Seed=4))
    assert len(updates) >= 3
    words = [update[0] for update in updates if isinstance(update[0], str)]
    assert "of 60" in words[0]
    assert "60 iterations" in words[-1]
    status, canvas, pair, curve, used, png, settings, lapse = latest(updates)
    assert "Done" in status
    assert len(pair) == 2
    with Image.open(png) as result, Image.open(canvas) as seen:
        assert result.format == "PNG"
        assert max(result.size) == max(seen.size) == 96
    report = read_report(png).as_dict()
    recipe = Recipe.read(report["settings"])
    assert (recipe.size, recipe.iterations, recipe.seed) == (96, 60, 4)
    assert json.loads(Path(settings).read_text("utf-8")) == report == used
    assert "style" in json.dumps(curve)
    with Image.open(lapse) as frames:
        assert frames.is_animated


def test_the_final_answer_has_all_files(client, engine):
    """A program that only waits for the end must not be left with the time-lapse alone."""
    answer = submit(client, Size=64, Iterations=6).result(timeout=60)
    files = [answer[1], *answer[5:]]
    assert [isinstance(file, str) and Path(file).is_file() for file in files] == [True] * 4


def latest(updates):
    """The last thing that each output was given."""
    columns = zip(*updates, strict=True)
    return [next(filter(None, map(plain, reversed(column)))) for column in columns]


def plain(value):
    is_change = isinstance(value, dict) and value.get("__type__") == "update"
    return value.get("value") if is_change else value


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"Content weight": -1}, "content.weight"),
        ({"Style layers": "conv9_9=1"}, "conv9_9"),
        ({"Preset": "quikc"}, "quick"),
        ({"Size": 8}, "64"),
        ({"Iterations": 0}, "iterations"),
        ({"Size": 2048, "Iterations": 10000}, "limit"),
    ],
    ids=str,
)
def test_a_bad_setting_is_answered_with_a_sentence(client, engine, settings, words):
    with pytest.raises(AppError) as refused:
        submit(client, **settings).result(timeout=60)
    says_one_sentence(str(refused.value), words)
    assert engine.started == 0


@pytest.mark.parametrize("kind", ["text", "truncated", "empty", "svg"])
def test_a_bad_picture_is_answered_with_a_sentence(client, engine, tmp_path, kind):
    content = {
        "text": ("notes.jpg", b"not a picture"),
        "truncated": ("cut.jpg", PHOTO.read_bytes()[:3000]),
        "empty": ("empty.png", b""),
        "svg": ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    }
    name, data = content[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AppError) as refused:
        submit(client, photo=tmp_path / name).result(timeout=60)
    says_one_sentence(str(refused.value), name)
    assert engine.started == 0


def says_one_sentence(message, words):
    assert words in message
    assert "Traceback" not in message
    assert "\n" not in message
    assert message[-1] in ".?"


def test_two_visitors_are_painted_for_one_after_the_other(connect, engine):
    jobs = [submit(connect(), Seed=seed, Iterations=20) for seed in (1, 2)]
    waiting = [threading.Thread(target=job.result, kwargs={"timeout": 120}) for job in jobs]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    assert engine.started == 2
    assert engine.most == 1
    seeds = [read_report(latest(job.outputs())[5]).settings["seed"] for job in jobs]
    assert seeds == [1, 2]


def test_cancelling_a_run_stops_the_engine(client, engine):
    job = submit(client, Iterations=4000)
    engine.wait_for(active=1)
    next(iter(job))
    job.cancel()
    engine.wait_for(LOST + PATIENCE, active=0)  # to the server, the connection was lost
    assert engine.started == 1
