"""Starts the app: hands the pages their engines, launches, and ends in good order.

The variables below must be set before Gradio is imported and before torch computes.
"""

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

VARIABLES = dict(os.environ)  # as they were given
# Gradio reads the port when it is imported, and ends there over one that is no number.
if not os.environ.get("GRADIO_SERVER_PORT", "0").isdecimal():
    del os.environ["GRADIO_SERVER_PORT"]

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Gradio asks its own server whether it is there, which no proxy can know.
os.environ["no_proxy"] = f"{os.environ.get('no_proxy', '')},127.0.0.1,localhost".lstrip(",")
os.environ["NO_PROXY"] = os.environ["no_proxy"]

# A kernel is compiled for each size of picture, and kept: enough of them for a step of a run.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "100")

if "SPACE_ID" in os.environ:  # there, visitors come through proxies in a private network
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "127.0.0.1,10.0.0.0/8,172.16.0.0/12")

import gradio as gr

from nst.engines import anypainting, trained
from nst.engines.estimate import estimate
from nst.engines.optimize import stylize
from nst.machine import prepare
from nst.names import Problem
from nst.pages.server import gradio_files, options, server_port, warm_up
from nst.pages.services import Services, services
from nst.pages.site import site
from nst.study import compare


def build(found: Services) -> gr.Blocks:
    """The whole app over its services, ready to launch."""
    blocks = site(found, stylize, estimate, trained.stylize, anypainting.stylize, compare.run)
    blocks.queue(max_size=None, api_open=False, default_concurrency_limit=None)
    return blocks


def main() -> int:
    """Serves until a signal comes; the exit status."""
    prepare()  # before any thread starts: memory that each has of its own is never given back
    try:
        port = server_port(VARIABLES)
        found = services(Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir()), "nst"))
    except Problem as error:
        return _refused(error)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        with gradio_files(found):
            blocks = build(found)
            blocks.launch(server_port=port, prevent_thread_lock=True, **options(blocks, found))
            warm_up(found)
            ending.wait()
            blocks.close()
    except Problem as error:  # in a file that the pages show
        return _refused(error)
    finally:
        ended = found.close()
    if not ended:
        sys.stdout.flush()
        os._exit(0)  # a step is still in torch, which would end the process with an abort
    return 0


def _refused(error: Problem) -> int:
    print(f"Error: {error}", file=sys.stderr)  # noqa: T201
    return 2
