"""One question to the Hugging Face hub, before anything is downloaded from it."""

from __future__ import annotations

from associated_learning.errors import InputError, needs_extra

__all__ = ["ask_hub"]

_PATIENCE = 10.0  # seconds for the answer


def ask_hub(rest: str, what: str) -> None:
    """Raise InputError if the hub lacks a model or is out of reach: one question, no retries."""
    with needs_extra("hf", "a model of the Hugging Face hub"):
        from huggingface_hub import HfApi, constants, try_to_load_from_cache
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    cached = isinstance(try_to_load_from_cache(rest, "config.json"), str)
    if cached or constants.HF_HUB_OFFLINE:
        return
    try:
        HfApi().model_info(rest, timeout=_PATIENCE)
    except GatedRepoError:
        return  # its files tell what is to be done
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{what} The Hugging Face hub has no model of that name either, or a private one; "
            "check the spelling (hf:OWNER/MODEL), or log in."
        ) from error
    except Exception as error:  # whatever stands between here and the hub
        raise InputError(
            f"{what} The Hugging Face hub cannot be asked for it ({error}). Check the name and "
            "the network, or give the path of a folder."
        ) from error
