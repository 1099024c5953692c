"""The Spaces entry point: hands the pages their engines and launches."""

import os
import threading

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from PIL import Image

from nst import arbitrary, compare, fast
from nst.estimate import estimate
from nst.hub import bundled, load
from nst.images import MOST_BYTES
from nst.machine import calibration
from nst.optimize import stylize
from nst.pages.parts import CSS, THEME
from nst.pages.site import site
from nst.steps import last


def build() -> gr.Blocks:
    """The whole app, ready to launch."""
    blocks = site(stylize, estimate, fast.stylize, arbitrary.stylize, compare.run)
    blocks.queue(max_size=16)
    return blocks


def warm_up() -> None:
    """Measures the machine and runs the first style once."""
    calibration()
    first = load(next(iter(bundled().values())))
    last(fast.stylize(Image.new("RGB", (256, 256)), first, fast.FastSettings()))


LAUNCH = {
    "theme": THEME,
    "css": CSS,
    "max_file_size": MOST_BYTES,
    "show_error": False,
    "footer_links": ["api", "gradio", "settings"],
    "run_history": False,
    "enable_monitoring": False,
}

if __name__ == "__main__":
    threading.Thread(target=warm_up, daemon=True).start()  # ready when the first visitor is
    build().launch(**LAUNCH)
