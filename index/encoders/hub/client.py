"""The only module that uses huggingface_hub: quiet, without telemetry, errors translated.

All requests go through its client. It reads HF_ENDPOINT, HF_HUB_OFFLINE and
HF_HUB_DOWNLOAD_TIMEOUT when it is first imported, the proxy variables at the first request, and
HF_TOKEN (or `hf auth login`) at every request.

Its own download of a file is not used. Since release 1.0 that restarts after an interruption,
and it may bypass the client with a protocol of its own (Xet).
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from nmm.index.errors import HubError, UnreachableError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo

Result = TypeVar("Result")

# Statuses caused by the proxy or by the hub's load or health, not by the request.
TRANSIENT_STATUSES = frozenset({407, 408, 425, 429})
NOT_A_HUB = "What answers there is not a model hub: the network's login page, perhaps."


def list_repository(repository: str, revision: str, patience: float) -> ModelInfo:
    """Return the commit of a revision, and the name, size and hash of each of its files.

    Raises:
        HubError: The hub refuses the request.
        UnreachableError: The hub cannot be reached. A hanging name server can take longer than
            `patience` seconds: see :func:`run_with_timeout`.
    """
    api = _load()
    with _translate_errors(repository, revision):
        return api.model_info(repository, revision=revision, files_metadata=True, timeout=patience)


def read_file(repository: str, path: str, commit: str, start: int) -> Generator[bytes]:
    """Yield the content of a file from a byte offset on, as it arrives.

    It ends when the hub stops sending, whether the file is complete or not. Nothing is retried.

    Raises:
        HubError: The hub refuses the request.
        UnreachableError: The connection fails, or stalls until the client times out.
    """
    _load()
    from huggingface_hub import constants, get_session, hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # exported lazily
        build_hf_headers,
        hf_raise_for_status,
    )

    with _translate_errors(repository, commit):
        headers = build_hf_headers(
            library_name="nmm",
            library_version=version("nmm"),
            headers={
                # A range of compressed content is not a range of the file.
                "Accept-Encoding": "identity",
                **({"Range": f"bytes={start}-"} if start else {}),
            },
        )
        url = hf_hub_url(repository, path, revision=commit)
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            hf_raise_for_status(response)
            if "text/html" in response.headers.get("Content-Type", ""):
                raise _unreachable(NOT_A_HUB)
            # A server without ranges sends the whole file.
            skip = 0 if response.status_code == 206 else start
            for block in response.iter_bytes():
                yield block[skip:]
                skip = max(0, skip - len(block))


def run_with_timeout(patience: float, work: Callable[[], Result]) -> Result:
    """Return what `work` returns, or raise what it raises, within a time limit.

    HTTP timeouts do not cover a hanging name server. The thread that waits for one ends when it
    can, or with the process.

    Args:
        patience: The time limit, in seconds.
        work: A request to the hub.

    Raises:
        UnreachableError: It takes longer.
    """
    _load()  # the time that importing takes does not count
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001  (raised in the waiting thread)
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(patience)
    except FutureTimeoutError as error:
        raise _unreachable(f"It did not answer within {patience:g} seconds.") from error


def endpoint() -> str:
    """Return the address of the hub."""
    return _load().endpoint


def _load() -> HfApi:
    """Import huggingface_hub without its messages and its telemetry."""
    with warnings.catch_warnings():
        # At import it warns of environment variables that it no longer supports.
        warnings.simplefilter("ignore")
        from huggingface_hub import HfApi, constants

    # With telemetry, it asks the hub before its first request how to identify the program that
    # runs it, and reports that and the version of torch.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    logger = logging.getLogger("huggingface_hub")
    if logger.level == logging.WARNING:  # its default; HF_HUB_VERBOSITY can ask for more
        logger.setLevel(logging.CRITICAL)
    return HfApi(library_name="nmm", library_version=version("nmm"))


@contextmanager
def _translate_errors(repository: str, revision: str) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except HubError:
        raise
    except HfHubHTTPError as error:
        raise _http_error(error, repository, revision) from error
    except OfflineModeIsEnabled as error:
        raise _unreachable("HF_HUB_OFFLINE is set.", hint="Unset it, and try again.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise _unreachable(NOT_A_HUB) from error
    except Exception as error:  # its HTTP library differs between major releases
        raise _unreachable(str(error) or type(error).__name__) from error


def _unreachable(
    why: str, hint: str = "Check the network, the proxy and HF_ENDPOINT, and try again."
) -> UnreachableError:
    return UnreachableError(
        f"The model hub at {endpoint()} cannot be reached.",
        code="hub-unreachable",
        why=why,
        hint=hint,
        url=endpoint(),
    )


def _http_error(error: HfHubHTTPError, repository: str, revision: str) -> HubError:
    from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

    status = error.response.status_code
    said = f"{status} {error.response.reason_phrase}".rstrip()
    page = f"{endpoint()}/{repository}"
    if status >= 500 or status in TRANSIENT_STATUSES:
        return _unreachable(f"It answered: {said}.")
    if status in {401, 403}:
        cause = "The repository does not exist, or is not open to everyone."
        hint = "Accept its licence on that page, and set HF_TOKEN to a token of your account."
        code = "hub-access-denied"
        if status == 401 and "Authorization" in error.response.request.headers:
            # With an expired token the hub refuses even what is open to everyone.
            cause = "It may have rejected the token."
            hint = "Set HF_TOKEN to a valid token, or unset it."
            code = "hub-token-rejected"
        return HubError(
            f"The hub refuses access to {page}.",
            code=code,
            why=f"It answered: {said}. {cause}",
            hint=hint,
            url=page,
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            f"The repository {page} has no revision {revision!r}.",
            code="hub-revision-missing",
            hint="Choose another model.",
            url=page,
            revision=revision,
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return HubError(
            f"A file of {page} is no longer there.",
            code="hub-file-gone",
            why=f"The hub listed it at the commit {revision}, and does not find it.",
            hint="Try again later.",
            url=page,
        )
    if status == 404:
        return HubError(
            f"There is no repository {page}.",
            code="hub-repository-missing",
            hint="Check HF_ENDPOINT, or choose another model.",
            url=page,
        )
    return HubError(
        f"The hub does not provide {page}.",
        code="hub-refused",
        why=f"It answered: {said}.",
        hint="Try again later.",
        url=page,
    )
