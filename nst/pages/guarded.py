"""Gradio's blocks with a gate before every event and a sentence for whatever fails in one."""

import errno
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.exceptions import Error

from nst.names import Problem
from nst.pages.payloads import admitted
from nst.pages.storage import FULL, Storage
from nst.pages.words import FAILED, note, refusal

LOG = logging.getLogger("nst.pages")
PICTURES = ("image", "imageslider", "gallery", "imageeditor")  # components that take files
MISFIT = note(
    "This request does not fit: an input is missing, or has a wrong type or value. The page "
    "“Use via API” at the foot of this app lists what each endpoint takes.",
    "This request does not fit",
)


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
        """Gradio's own, after the gate."""
        try:
            checked = _sent(block_fn, inputs, self.storage, self.most_bytes)
            return await super().preprocess_data(block_fn, checked, *rest, **options)
        except Exception as error:
            LOG.warning("Refused a request for %s: %s", _name(block_fn), type(error).__name__)
            raise _as_note(error) from None

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], **options: Any
    ) -> dict[str, Any]:
        """Gradio's own; every exception becomes a sentence, and files are remembered."""
        session = str(options.get("session_hash") or "")
        try:
            answer = await super().process_api(block_fn, inputs, **options)
        except Error as error:
            error.print_exception = False
            if getattr(block_fn, "is_validator_function", False):
                return {"data": _said_under(block_fn, error.message)}
            raise
        except Problem as error:
            LOG.warning("Refused a request for %s: %s", _name(block_fn), type(error).__name__)
            raise refusal(error) from None
        except OSError as error:
            LOG.error("%s failed: %s", _name(block_fn), _where(error))
            raise (refusal(FULL) if error.errno in FULL_DISK else FAILED) from None
        except Exception as error:
            LOG.error("%s failed: %s", _name(block_fn), _where(error))
            raise FAILED from None
        self.storage.use(session, _files([inputs, answer.get("data")], self.storage))
        return answer


def _as_note(error: Exception) -> Error:
    """Why a request was refused, without what it was."""
    if isinstance(error, Problem):
        return refusal(error, "This cannot be used")
    return note(error.message, MISFIT.title) if isinstance(error, Error) else MISFIT


FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _sent(block_fn: BlockFunction, inputs: Any, storage: Storage, most_bytes: int) -> list[Any]:
    """The inputs of a request, as far as they are admitted."""
    if not isinstance(inputs, list):
        raise MISFIT
    kinds = [getattr(block, "get_block_name", str)() for block in block_fn.inputs]
    kinds += [""] * (len(inputs) - len(kinds))
    return [
        admitted(value, storage, most_bytes, picture=kind in PICTURES)
        for value, kind in zip(inputs, kinds, strict=False)
    ]


def _said_under(block_fn: BlockFunction, words: str) -> list[dict[str, Any]]:
    """What a check answers that could not be made: the sentence, under the first input."""
    return [gr.validate(bool(place), words) for place in range(len(block_fn.inputs))]


def _name(block_fn: BlockFunction | int) -> str:
    return str(getattr(block_fn, "api_name", None) or "an event")


def _where(error: Exception) -> str:
    """Kind and place of an error, without its words, which may hold a visitor's values."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f"{Path(last.filename).name}:{last.lineno}" if last else "?"
    return f"{type(error).__name__} at {place}"


def _files(value: Any, storage: Storage) -> Iterator[Path]:
    """All files of this process's storage that a value names."""
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and (found := storage.find(path)):
            yield found
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _files(part, storage)
