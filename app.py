"""The Spaces entry point: hands the pages their engines, launches, and ends in good order."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Gradio asks its own server whether it is there, which no proxy can know.
os.environ["no_proxy"] = f"{os.environ.get('no_proxy', '')},127.0.0.1,localhost".lstrip(",")
os.environ["NO_PROXY"] = os.environ["no_proxy"]

import gradio as gr

from nst import arbitrary, compare, fast
from nst.estimate import estimate
from nst.names import Problem
from nst.optimize import stylize
from nst.pages.server import PORT, gradio_files, options, warm_up
from nst.pages.services import Services, services
from nst.pages.site import site


def build(found: Services) -> gr.Blocks:
    """The whole app over its services, ready to launch."""
    blocks = site(found, stylize, estimate, fast.stylize, arbitrary.stylize, compare.run)
    blocks.queue(max_size=None, api_open=False, default_concurrency_limit=None)
    return blocks


def main() -> int:
    """Serves until a signal comes; the exit status."""
    parent = os.environ.get("GRADIO_TEMP_DIR")
    try:
        found = services(Path(parent) if parent else None)
    except Problem as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    status = 0
    with gradio_files(found):
        try:
            blocks = build(found)
            port = int(os.environ.get("GRADIO_SERVER_PORT", PORT))
            blocks.launch(server_port=port, prevent_thread_lock=True, **options(blocks, found))
            warm_up(found)
            ending.wait()
            blocks.close()
        except OSError as error:
            print(f"Error: {error}", file=sys.stderr)  # noqa: T201
            status = 1
        if not found.close():
            os._exit(status)  # torch would end the process with an abort
    return status


if __name__ == "__main__":
    sys.exit(main())
