"""Why the Hub did not do what was asked of it, in sentences."""

import errno

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from nst.checkpoints import client

BUNDLED_WORK = "The bundled checkpoints need no network."


def sentence(error: Exception, place: str, advice: str = BUNDLED_WORK) -> str:
    """Why the Hub did not do it, and what works instead."""
    return f"{_reason(error, place)} {advice}".strip()


def _reason(error: Exception, place: str) -> str:
    causes = _causes(error)
    if strange := next((cause for cause in causes if isinstance(cause, client.BadAnswer)), None):
        return str(strange)
    statuses = [_status(cause) for cause in causes if isinstance(cause, HfHubHTTPError)]
    numbers = {getattr(cause, "errno", None) for cause in causes}
    if isinstance(error, GatedRepoError):
        return (
            f"`{place}` is gated: accept its terms on the Hub and set HF_TOKEN to a token that "
            "may read it."
        )
    if isinstance(error, RepositoryNotFoundError) and "Invalid" not in str(error):
        return f"`{place}` does not exist on the Hub, or is private and needs HF_TOKEN."
    if 401 in statuses or isinstance(error, RepositoryNotFoundError | LocalTokenNotFoundError):
        return f"The Hub answered with error 401 for `{place}`: HF_TOKEN must hold a valid token."
    if isinstance(error, RevisionNotFoundError):
        return f"`{place}`: the repository has no such revision."
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return f"`{place}`: the repository has no such file."
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return f"`{place}` is not in the cache, and HF_HUB_OFFLINE forbids downloads."
    if numbers & {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full: `{place}` could not be saved."
    on_disk = any(isinstance(cause, OSError) and cause.filename for cause in causes)
    if on_disk or numbers & {errno.EROFS, errno.EACCES, errno.EPERM}:
        return "The Hub's cache folder cannot be written; HF_HOME names another."
    if status := next(filter(None, statuses), None):
        return f"The Hub answered with error {status} for `{place}`; try again later."
    if any(isinstance(cause, OSError) or _is_of_the_wire(cause) for cause in causes):
        return f"The Hub cannot be reached, or the connection broke, for `{place}`."
    return f"The Hub cannot be reached for `{place}`: something else answered, a log-in page?"


def _status(error: HfHubHTTPError) -> int | None:
    return getattr(error.response, "status_code", None)


def _is_of_the_wire(error: BaseException) -> bool:
    # The client library has been httpx and httpx2.
    return type(error).__module__.startswith("httpx")


def _causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
