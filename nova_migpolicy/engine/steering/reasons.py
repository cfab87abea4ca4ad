# SPDX-License-Identifier: Apache-2.0
"""The sentences of a judgement, with numbers and units; nothing is decided here."""

from __future__ import annotations

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import planner as planner_mod


def evidence(seen: list[passes_mod.Pass], cap_mib_s: int, plateau_bytes: int | None) -> str:
    """The evidence that the passes give."""
    after = [one for one in seen if one.number > 0]
    if not after:
        return 'No pass is over yet'
    sent = figures.rate(after[-1].wire_rate)
    flat = outlook.plateau(after)
    remained = f'{figures.size(sum(one.end_bytes for one in flat) / len(flat))} remained'
    if len(flat) > 1:
        return f'{remained} after each of the last {len(flat)} passes at {sent}'
    text = f'{remained} after pass {after[-1].number} at {sent}'
    if plateau_bytes is not None and plateau_bytes < 0.9 * after[-1].end_bytes:
        text += f' and it would level off at about {figures.size(plateau_bytes)}'
    return text


def measures(plan: planner_mod.Plan, now: settings_mod.Settings) -> str:
    """The settings that a plan changes, as a condition."""
    new = plan.settings
    parts = []
    if new.cap_mib_s != now.cap_mib_s:
        parts.append(f'at {new.cap_mib_s} MiB/s' if new.cap_mib_s else 'without a bandwidth cap')
    if new.promised_ms != now.promised_ms:
        parts.append(f'with a blackout of up to {figures.blackout(new.promised_ms)} allowed')
    if new.throttle_percent != now.throttle_percent:
        parts.append(f'with the guest slowed by up to {new.throttle_percent} %')
    return ' and '.join(parts)


def prospect(plan: planner_mod.Plan, now: settings_mod.Settings,
             seen: dirtying.Estimate) -> str:
    """The expected effect and cost of a plan."""
    left = figures.size(seen.remaining)
    if isinstance(plan.step, remedies.StartPostCopy):
        return (f'post-copy runs the guest at the destination now and fetches the {left} in '
                f'about {figures.span(plan.seconds)}')
    if isinstance(plan.step, remedies.Pause):
        sent = measures(plan, now)
        about = 'at most' if plan.at_most else 'about'
        return (f'pausing the guest ends it in {about} {figures.span(plan.seconds)}'
                f'{" " + sent if sent else ""}, and all of that is blackout')
    will = 'will' if plan.certain else 'may'
    when = f'in about {figures.span(plan.seconds)}' if plan.certain else (
        f'in {figures.span(plan.seconds)} at best,')
    return (f'{measures(plan, now)} it {will} finish {when} with a blackout of about '
            f'{figures.blackout(plan.blackout_ms)}')


def exhausted(permitted: planner_mod.Permitted, now: settings_mod.Settings) -> str:
    """The permitted remedies, none of which is enough."""
    parts = []
    for remedy in permitted.remedies:
        if remedy == remedies.BANDWIDTH and now.cap_mib_s:
            top = permitted.max_bandwidth_mib_s
            parts.append(f'bandwidth up to {top} MiB/s' if top else 'any bandwidth')
        elif remedy == remedies.DOWNTIME:
            parts.append(f'a blackout of up to {figures.blackout(permitted.max_downtime_ms)}')
        elif remedy == remedies.AUTO_CONVERGE:
            parts.append(f'a throttle of up to {permitted.max_throttle_percent} %')
    if not parts:
        return 'no remedy is permitted'
    return f'the permitted remedies ({", ".join(parts)}) are not enough'
