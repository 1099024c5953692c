"""How the Hub is spoken to: the token goes to it alone, and its answers name no other place.

`huggingface_hub` makes file names of headers, without a look at them (2.4.0), and asks for access
to its newer store wherever an answer says, with the user's token.
"""

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory

from nst.names import Problem

if TYPE_CHECKING:
    from httpx2 import Client, Request, Response

NAMING = ("ETag", "X-Linked-ETag", "X-Repo-Commit")  # headers that become names of files
PLAIN = re.compile(r"\w[\w.=+-]{0,127}", re.ASCII)
STORE = "X-Xet-Hash"  # without which a file comes from the Hub itself


class BadAnswer(Problem):
    """Something that no Hub would say."""


def client() -> "Client":
    """For `huggingface_hub`, which makes all its requests by it."""
    made = default_client_factory()
    hooks = made.event_hooks
    made.event_hooks = {
        "request": [*hooks["request"], keep_token],
        "response": [*hooks["response"], check_names, forget_store],
    }
    return made


def keep_token(request: "Request") -> None:
    """Takes the user's token from what goes to another host than the Hub's."""
    if _origin(str(request.url)) != _origin(constants.ENDPOINT):
        request.headers.pop("Authorization", None)


def check_names(response: "Response") -> None:
    """Raises `BadAnswer` if a header that names a file could lead out of the cache's folder."""
    for header in NAMING:
        name = response.headers.get(header)
        # As the library takes it out of `W/"…"`.
        if name is not None and not PLAIN.fullmatch(name.lstrip("W/").strip('"')):
            raise BadAnswer(f"The Hub answered with a strange {header}, so nothing was saved.")


def forget_store(response: "Response") -> None:
    """Lets a file come the plain way: they are small here, and the answer says who gets a token."""
    response.headers.pop(STORE, None)


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc
