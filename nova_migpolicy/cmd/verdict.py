# SPDX-License-Identifier: Apache-2.0
"""What a trial comes to, in words and figures for people.

The reasons of decisions are the engine's own sentences and are not written here.
"""

from __future__ import annotations

from nova_migpolicy.cmd import trial as trial_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import words
from nova_migpolicy.policy import keys

OUTCOMES = {'completed': 'completes', 'aborted': 'is aborted', 'running': 'runs on'}
STOCK = 'not simulated'
STOCK_SENTENCE = (
    f"is Nova's own loop (profile {keys.STOCK_PROFILE}), which is not simulated here; in a "
    'checkout of the source, python -m bench measures it beside this engine.')
# Less of a guest's work is not worth a word.
_LITTLE_S = 0.5
_MANY_S = 1000.0


def outcome(trial: trial_mod.Trial) -> str:
    """How it ends, in a word or two."""
    return STOCK if trial.run is None else OUTCOMES[trial.run.end]


def verdict(trial: trial_mod.Trial) -> str:
    """A sentence on how it went, without the policy's name before it."""
    ran = trial.run
    if ran is None:
        return STOCK_SENTENCE
    took = words.span(ran.seconds)
    sent = words.size(ran.wire_bytes)
    if ran.end == 'completed':
        return f'completes {_in_time(trial, took)}{_blackout(trial)}{_lost(trial)}.'
    if ran.end == 'aborted':
        early = '' if trial.deadline_s is None or trial.deadline_s - ran.seconds < 1 else (
            f', {words.span(trial.deadline_s - ran.seconds)} before its deadline')
        return (f'is aborted after {took}{early}: the server stays where it is, and {sent} were '
                'sent for nothing.')
    late = ', past its deadline' if trial.deadline_s and ran.seconds > trial.deadline_s else ''
    return f'runs on: no end is in sight after {took}{late}, with {sent} sent.'


def _in_time(trial: trial_mod.Trial, took: str) -> str:
    ran, deadline_s = trial.run, trial.deadline_s
    by_itself = '' if ran is not None and ran.applied else ' by itself'
    if deadline_s is None or ran is None:
        return f'{by_itself.lstrip()} in {took}'.lstrip()
    if ran.seconds > deadline_s:
        return f'in {took}, {words.span(ran.seconds - deadline_s)} after its deadline'
    return f'{by_itself.lstrip()} in {took} of the {words.span(deadline_s)} it has'.lstrip()


def _blackout(trial: trial_mod.Trial) -> str:
    ran, promised_ms = trial.run, trial.case.policy.max_downtime_ms
    if ran is None or ran.blackout_ms is None:
        return ''
    felt = words.blackout(ran.blackout_ms)
    if trial.did(remedies.Pause) is not None:
        return (f'; the server stands still for {felt}, since a pause is outside of '
                f'max_downtime_ms ({promised_ms} ms)')
    if trial.did(remedies.StartPostCopy) is not None:
        return f'; the server moves first, with a blackout of {felt}, and its memory follows'
    kept = 'within' if ran.blackout_ms <= promised_ms else 'MORE than'
    return f', with a blackout of {felt}, {kept} the {promised_ms} ms promised'


def _lost(trial: trial_mod.Trial) -> str:
    ran = trial.run
    if ran is None or trial.did(remedies.Pause) is not None:
        return ''
    lost_s = ran.lost_s - (ran.blackout_ms or 0.0) / 1000
    return '' if lost_s < _LITTLE_S else (
        f'; on the way it loses {words.span(lost_s)} of the work of each busy processor')


def figures(trial: trial_mod.Trial) -> dict[str, object]:
    """The figures of a trial for JSON; None for what there is not."""
    ran, case = trial.run, trial.case
    found: dict[str, object] = {
        'policy': case.name, 'outcome': ran.end if ran else None, 'verdict': verdict(trial)}
    if ran is not None:
        found.update(
            total_seconds=round(ran.seconds, 3),
            deadline_seconds=trial.deadline_s,
            blackout_ms=None if ran.blackout_ms is None else round(ran.blackout_ms, 1),
            max_downtime_ms=case.policy.max_downtime_ms,
            lost_cpu_seconds=round(ran.lost_s, 3),
            wire_bytes=ran.wire_bytes, passes=ran.passes,
            decisions=[one.to_dict() for one in ran.decisions])
    found.update(
        values={name: list(value) if isinstance(value := getattr(case.policy, name), tuple)
                else value for name in keys.KEYS},
        origins=dict(case.origins), warnings=[*case.warnings, *trial.notes])
    return found


COLUMNS = ('policy', 'outcome', 'time', 'deadline', 'blackout', 'promised', 'lost work', 'sent',
           'passes')


def cells(trial: trial_mod.Trial) -> tuple[str, ...]:
    """A row under COLUMNS."""
    ran = trial.run
    if ran is None:
        return (trial.case.name, STOCK, *[''] * (len(COLUMNS) - 2))
    return (trial.case.name, outcome(trial), words.span(ran.seconds),
            'none' if trial.deadline_s is None else words.span(trial.deadline_s),
            'none' if ran.blackout_ms is None else words.blackout(ran.blackout_ms),
            words.blackout(trial.case.policy.max_downtime_ms),
            f'{ran.lost_s:.1f} s' if ran.lost_s < _MANY_S else words.span(ran.lost_s),
            words.size(ran.wire_bytes), f'{ran.passes:,}')
