"""Gradio's blocks with a gate before every event and a sentence for whatever fails in one."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import to_thread
from gradio.block_function import BlockFunction
from gradio.exceptions import Error

from nst.names import Problem
from nst.pages.payloads import admitted
from nst.pages.storage import Storage, StorageFull
from nst.pages.words import failed, note, refusal, where

LOG = logging.getLogger("nst.pages")
PICTURES = ("image", "imageslider", "gallery", "imageeditor")  # components that take files
MISFIT = (
    "This request does not fit: an input is missing, or has a wrong type or value. The page "
    "“Use via API” at the foot of this app lists what each endpoint takes."
)
TITLE = "This request does not fit"
LONGEST = 100  # letters of a session's name
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class GuardedBlocks(gr.Blocks):
    """No event sees a file that is not the visitor's to name, and none fails without a sentence.

    The log has one line for a request that was refused, and nothing of its contents.
    """

    def __init__(self, storage: Storage, most_bytes: int, **options: Any) -> None:
        """Blocks over the storage of this process; `most_bytes` is the limit of one picture."""
        super().__init__(**options)
        self.storage, self.most_bytes = storage, most_bytes

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *rest: Any, **options: Any
    ) -> list[Any]:
        """Gradio's own, after the gate. Raises `gr.Error`.

        The inputs themselves are changed, so that no event keeps pictures as text.
        """
        try:
            # Gradio itself gives the session's name to events that cancel others.
            if not isinstance(inputs, list) or len(inputs) > max(1, len(block_fn.inputs)):
                raise note(MISFIT, TITLE)
            inputs[:] = await to_thread.run_sync(
                _sent, block_fn, inputs, self.storage, self.most_bytes
            )
            return await super().preprocess_data(block_fn, inputs, *rest, **options)
        except Exception as error:
            LOG.warning("Refused a request for %s: %s", _name(block_fn), type(error).__name__)
            raise _as_note(error) from None

    async def process_api(  # type: ignore[override]  # others come by name, or are refused
        self, block_fn: BlockFunction | int, inputs: list[Any], **options: Any
    ) -> dict[str, Any]:
        """Gradio's own; files are remembered. Raises `gr.Error` whatever happens."""
        session = str(options.get("session_hash") or "")
        try:
            if len(session) > LONGEST:
                raise note(MISFIT, TITLE)
            answer = await super().process_api(block_fn, inputs, **options)
        except Error as error:
            error.print_exception = False
            if isinstance(block_fn, BlockFunction) and block_fn.is_validator_function:
                return {"data": _said_under(block_fn, error.message)}
            raise
        except Problem as error:
            LOG.warning("Refused a request for %s: %s", _name(block_fn), type(error).__name__)
            raise refusal(error) from None
        except OSError as error:
            LOG.error("%s failed: %s", _name(block_fn), where(error))
            raise (refusal(StorageFull()) if error.errno in FULL_DISK else failed()) from None
        except Exception as error:
            LOG.error("%s failed: %s", _name(block_fn), where(error))
            raise failed() from None
        finally:
            # A copy of the whole page a session, read by links to a state alone, which are closed.
            if state := options.get("state"):
                state.config_values.clear()
        shown = [inputs, answer.get("data")]
        await to_thread.run_sync(lambda: self.storage.use(session, _files(shown, self.storage)))
        return answer


def _as_note(error: Exception) -> Error:
    """Why a request was refused, without what it was."""
    if isinstance(error, Problem):
        return refusal(error, "This cannot be used")
    return note(error.message if isinstance(error, Error) else MISFIT, TITLE)


def _sent(
    block_fn: BlockFunction, inputs: list[Any], storage: Storage, most_bytes: int
) -> list[Any]:
    """The inputs of a request, as far as they are admitted."""
    kinds = [block.get_block_name() for block in block_fn.inputs] or [""]
    return [
        admitted(value, storage, most_bytes, picture=kind in PICTURES)
        for value, kind in zip(inputs, kinds, strict=False)
    ]


def _said_under(block_fn: BlockFunction, words: str) -> list[dict[str, Any]]:
    """What a check answers that could not be made: the sentence, under the first input."""
    return [gr.validate(bool(place), words) for place in range(len(block_fn.inputs))]


def _name(block_fn: BlockFunction | int) -> str:
    return str(getattr(block_fn, "api_name", None) or "an event")


def _files(value: Any, storage: Storage) -> Iterator[Path]:
    """All files of this process's storage that a value names, as itself or as what has changed."""
    if isinstance(value, str) and value.startswith(str(storage.folder)):
        if found := storage.find(value):
            yield found
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _files(part, storage)
