"""The Spaces entry point: hands the page its engine and launches."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from nst.estimate import estimate
from nst.optimize import stylize
from nst.pages.parts import CSS, THEME
from nst.pages.stylize import page


def build() -> gr.Blocks:
    """The whole app, ready to launch."""
    blocks = page(stylize, estimate)
    blocks.queue(max_size=16)
    return blocks


LAUNCH = {
    "theme": THEME,
    "css": CSS,
    "max_file_size": "15mb",
    "show_error": False,
    "footer_links": ["api", "gradio", "settings"],
    "run_history": False,
    "enable_monitoring": False,
}

if __name__ == "__main__":
    build().launch(**LAUNCH)
