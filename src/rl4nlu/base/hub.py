"""What a user can do about a fault of the Hugging Face hub."""

from __future__ import annotations

import os

UNREACHABLE = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ProxyError",
    "ReadTimeout",
}


def advice(error: BaseException, revision: str | None) -> str | None:
    """What a user can do about a fault of the hub, told by the kinds of `error` and its causes; None for other faults."""
    kinds: set[str] = set()
    status: int | None = None
    cause: BaseException | None = error
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        status = status or getattr(getattr(cause, "response", None), "status_code", None)
        cause = cause.__cause__ or cause.__context__
    token = bool(os.environ.get("HF_TOKEN"))
    # datasets hides the cause of its own kind of error; its words remain
    rows, said = "DatasetNotFoundError" in kinds, str(error)
    if "GatedRepoError" in kinds or (rows and "gated" in said):
        if token:
            return (
                "it is gated, and the account of the token in HF_TOKEN has no access: accept its licence on its page of "
                "the hub with that account, and wait until access is granted"
            )
        return (
            "it is gated: accept its licence on its page of the hub, make an access token in your account's settings, "
            "and set it where the workflow is started: export HF_TOKEN=..."
        )
    if "RevisionNotFoundError" in kinds or (rows and said.startswith("Revision")):
        return f"it has no revision {revision!r}"
    if "RepositoryNotFoundError" in kinds or rows:
        return "there is no such hub repository, or it is private: check its name" + (
            ", or whether the account of the token in HF_TOKEN may read it" if token else ", or set HF_TOKEN"
        )
    if status == 401:
        return (
            "the hub refuses the token in HF_TOKEN: make a new one" if token else "the hub wants a token: set HF_TOKEN"
        )
    if UNREACHABLE & kinds:
        return (
            "the hub cannot be reached and the files are not in its cache: fetch them where there is a network "
            "(`snakemake models data`), with an HF_HOME that this machine sees too, or name a folder"
        )
    return None
