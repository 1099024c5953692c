"""All pages together: one address, and what leads from one page to another."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from nst.pages import choices, compare, explore, link, reports, stylize
from nst.pages.answers import AnyPaintingEngine, Estimator, Stylizer, TrainedEngine
from nst.pages.comparing import Comparer
from nst.pages.dials import shown
from nst.pages.guarded import GuardedBlocks
from nst.pages.live import plot
from nst.pages.middleware import LEAVE
from nst.pages.parts import QUIET, Frame
from nst.pages.services import Services
from nst.pictures.limits import UPLOAD
from nst.study.choice import Comparison
from nst.study.figures import Figure

# A tab is known by a secret of its own, so that a page that is loaded anew finds its run again.
ARRIVE = f"""() => {{
  const secret = () => [...crypto.getRandomValues(new Uint32Array(4))].join('-');
  let tab = secret();
  try {{
    tab = sessionStorage.getItem('nst-tab') || tab;
    sessionStorage.setItem('nst-tab', tab);
  }} catch {{ /* a frame without storage */ }}
  addEventListener('pagehide', (event) => {{
    // Gradio loads a page anew as soon as a lost connection is back.
    const lost = [...document.querySelectorAll('.toast-wrap')]
      .some((toast) => toast.textContent.includes('Connection Lost'));
    const session = document.querySelector('#session textarea, #session input')?.value;
    if (event.persisted || lost || !session) return;
    const root = window.gradio_config?.root || location.origin;
    navigator.sendBeacon(root + '{LEAVE}?session=' + encodeURIComponent(session));
  }});
  return [tab];
}}"""


def site(
    services: Services,
    stylizer: Stylizer,
    estimate: Estimator,
    trained_network: TrainedEngine,
    any_painting: AnyPaintingEngine,
    comparer: Comparer,
) -> gr.Blocks:
    """The whole app over its engines."""
    with GuardedBlocks(
        services.storage, UPLOAD.bytes, title="Neural style transfer", analytics_enabled=False
    ) as blocks:
        gr.Markdown(
            "# Neural style transfer\nPick a photo and a style and see it painted at once; or take "
            "any painting and a preset and watch it grow. Compare variants, keep the result, share "
            "the link.",
            elem_classes="title",
        )
        address = gr.Textbox(visible="hidden", elem_id="address")
        tab = gr.Textbox(visible="hidden")
        session = gr.Textbox(visible="hidden", elem_id="session")

        def arrive(request: gr.Request, tab: str) -> str:
            name = str(request.session_hash)
            services.sessions.arrive(name, str(tab or "")[:80])
            return name

        arrived = blocks.load(arrive, tab, session, js=ARRIVE, **QUIET)
        with gr.Tabs(selected=link.MAIN, elem_id="pages") as tabs:
            frame = Frame(services, arrived, tabs, address)
            main = stylize.lay_out(frame, stylizer, estimate, trained_network, any_painting)
            compared = compare.lay_out(frame, comparer)
            grid = explore.lay_out(frame, comparer)
            again = reports.lay_out(frame)

        address.change(None, address, None, js=link.WRITE, api_visibility="private")
        main.onward.click(
            lambda photo, painting: (gr.Tabs(selected=compare.NAME), photo, painting),
            [main.photo, main.painting],
            [tabs, *compared[:2]],
            **QUIET,
        )
        for button, figure in again:
            button.click(_of(figure), None, [tabs, *compared[2:]], **QUIET)
        grid.drawn.select(_cell, grid.cells, [tabs, *main.place], **QUIET)
    return blocks


def _of(figure: Figure) -> Callable[[], tuple[Any, ...]]:
    choice = Comparison(by="figure", figure=figure.name)
    return lambda: (gr.Tabs(selected=compare.NAME), *compare.fields(choice))


def _cell(cells: explore.Cells | None, event: gr.SelectData) -> Any:
    """The cell of a grid that was clicked on, as the main page shows it."""
    found = explore.hit(cells, event)
    if found is None:
        return gr.skip()
    unmarked, off = (
        gr.Gallery(selected_index=None),
        gr.DownloadButton(value=None, interactive=False),
    )
    words = (
        "<p><b>From the grid.</b></p><p class='hint'>Stylize paints it again; "
        "change the size or any setting first.</p>"
    )
    nothing_else = (None, plot([]), None, off, off, off)  # of the run that was shown before
    return (
        gr.Tabs(selected=link.MAIN),
        *cells.pictures,
        *(unmarked, unmarked),
        *(words, cells.results.get(found.place), *nothing_else, gr.Tabs(selected="result")),
        found.preset,
        *shown(found.settings).values(),
        *choices.without_style(found.preset),
    )
