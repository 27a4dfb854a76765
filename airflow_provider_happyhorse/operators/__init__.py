"""The operators; each name is imported when it is first used, so that one line imports any of them and none loads the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_happyhorse.operators.image import HappyHorseGenerateImageOperator
    from airflow_provider_happyhorse.operators.publish import HappyHorsePublishOperator
    from airflow_provider_happyhorse.operators.upload import HappyHorseUploadImageOperator
    from airflow_provider_happyhorse.operators.video import HappyHorseGenerateVideoOperator

_HOMES = {
    "HappyHorseGenerateImageOperator": "image",
    "HappyHorseGenerateVideoOperator": "video",
    "HappyHorsePublishOperator": "publish",
    "HappyHorseUploadImageOperator": "upload",
}

__all__ = [
    "HappyHorseGenerateImageOperator",
    "HappyHorseGenerateVideoOperator",
    "HappyHorsePublishOperator",
    "HappyHorseUploadImageOperator",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
