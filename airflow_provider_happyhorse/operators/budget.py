"""Before paying: what a clip should cost, and whether the cap and the account's balance allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.exceptions import BudgetExceeded

if TYPE_CHECKING:
    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.operators.clip import Clip


def check_budget(clip: Clip, *, hook: HappyHorseHook, log: TaskLog) -> None:
    """Log the estimate with what it assumes, and refuse what the cap or the balance does not allow.

    :raises BudgetExceeded: it is estimated above the cap or the balance, or there is a cap and no known price; nothing was submitted.
    """
    estimate, service = clip.estimate, hook.service.name
    cap = "" if clip.max_credits is None else f", cap {clip.max_credits}"
    assumed = f"; assumed: {', '.join(estimate.assumed)}" if estimate.assumed else ""
    log.info("[%s] %s: %s (prices of %s%s)%s", clip.name, service, _price(clip, hook), estimate.prices_of, cap, assumed)
    if clip.max_credits is not None and (estimate.credits is None or estimate.credits > clip.max_credits):
        why = "its price is unknown" if estimate.credits is None else f"it is estimated at {_price(clip, hook)}"
        raise BudgetExceeded(
            f"[{clip.name}] refused: {why} and the cap is {clip.max_credits} credits ({service}); nothing was submitted. Raise the cap or "
            "ask for less, and clear this task"
        )
    if hook.settings.check_balance:
        _check_balance(clip, hook=hook, log=log)


def _check_balance(clip: Clip, *, hook: HappyHorseHook, log: TaskLog) -> None:
    """Ask for the balance, one request, and refuse what it certainly does not pay for.

    Where it is not known, or the price is not, the submission is sent: the service refuses what the account cannot pay for, and charges
    nothing for that (happy-horse.ai, API reference, 403 ``insufficient_credits``). A guard that fails must not stop every video.
    """
    try:
        balance = hook.send(hook.service.credits(), attempts=1).remaining
    except ServiceError as error:
        log.warning("[%s] the balance could not be asked for (%s); the service itself refuses what it does not pay for", clip.name, error)
        return
    if balance is None:
        log.warning("[%s] the service's answer names no balance; the service itself refuses what it does not pay for", clip.name)
        return
    needed = clip.estimate.credits
    if balance >= (1 if needed is None else needed):
        log.info("[%s] the balance is %g credits (%s)", clip.name, balance, hook.service.name)
        return
    raise BudgetExceeded(
        f"[{clip.name}] refused: the balance is {balance:g} credits ({hook.service.name}) and it is estimated at {_price(clip, hook)}; "
        "nothing was submitted. Top up the account and clear this task"
    )


def _price(clip: Clip, hook: HappyHorseHook) -> str:
    if clip.estimate.credits is None:
        return "unknown price"
    credit_price = hook.settings.credit_price
    shown = f" ({credit_price.of(clip.estimate.credits)})" if credit_price else ""
    return f"{clip.estimate.credits} credits{shown}"
