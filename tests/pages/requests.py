"""Raw requests to the running app, as somebody sends them who does not use its page."""

import json
import secrets
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE = 60


def get(server, path):
    """Status and body of an address below the server."""
    try:
        with urlopen(server.url + path, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def post(server, path, body, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(
        server.url + path, data, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


@dataclass(frozen=True)
class Event:
    """One of the app's events: its number, its name, and the values that its inputs begin with."""

    number: int
    name: str
    values: list


def events(server):
    """Every event of the running app that asks the server, public or not."""
    config = json.loads(get(server, "config")[1])
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    return [
        Event(d["id"], d["api_name"], [values[i] for i in d["inputs"]])
        for d in config["dependencies"]
        if d["backend_fn"]
    ]


def ask(server, number, data, session=None):
    """All messages that an event answers with, or the refusal to take it."""
    session = session or secrets.token_hex(8)
    body = {"fn_index": number, "data": data, "session_hash": session}
    status, answer = post(server, "gradio_api/queue/join", body)
    if status != 200:
        return [json.loads(answer)]
    return listen(server, session)


def listen(server, session):
    """What comes for a session, until nothing more will."""
    messages = []
    address = f"{server.url}gradio_api/queue/data?session_hash={session}"
    with urlopen(address, timeout=PATIENCE) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                messages.append(json.loads(line[6:]))
                if messages[-1]["msg"] == "close_stream":
                    break
    return messages


def a_run(server, iterations):
    """The number and the data of a small run of so many steps."""
    event = next(event for event in events(server) if event.name == "stylize")
    config = json.loads(get(server, "config")[1])
    labels = {c["id"]: c["props"].get("label") for c in config["components"]}
    inputs = next(d for d in config["dependencies"] if d["id"] == event.number)["inputs"]
    own = {"Size": 96, "Iterations": iterations}
    own |= {"Scales": "1", "Iterations of each scale": str(iterations)}
    values = zip(inputs, event.values, strict=True)
    return event.number, [own.get(labels[i], value) for i, value in values]
