"""`python -m nst`: every command, and `app`, which needs the pages."""

import sys

from nst.cli.main import app


@app.command("app")
def page() -> None:
    """Start the page in the browser, as `python app.py` does."""
    from nst.pages.launch import main  # Gradio takes seconds to import

    sys.exit(main())


if __name__ == "__main__":
    app(prog_name="python -m nst")
