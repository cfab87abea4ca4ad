# SPDX-License-Identifier: Apache-2.0
"""The status of a migration as plain data for users, alike for a running one and one that ended.

The monitor's thread makes it after each sample and replaces the last one, so that any other thread
may read it. Unknown figures are None.
"""

from __future__ import annotations

from collections.abc import Mapping
import datetime
from typing import Any

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Phase = samples.Phase

MIB = 1 << 20
# The earliest end of a migration that is not over: figures have one decimal.
_SOONEST_S = 0.1

Status = Mapping[str, Any]


def phase_of(phase: Phase, *, switched: bool, ended: bool) -> str:
    """The phase in words.

    :param switched: the guest has stopped on the source for the switchover
    :param ended: libvirt's job is over, and the rest is up to Nova
    """
    if ended:
        return vocabulary.FINISHING
    words: str = phase.value
    if phase is Phase.POST_COPY:
        return words
    if switched:
        return vocabulary.SWITCHOVER
    return words


def of_running(
    controller: controller_mod.Controller,
    sample: samples.Sample | None,
    *,
    phase: str,
    percent: float,
    at_s: float,
    started_at: datetime.datetime,
    last_decision: Mapping[str, Any] | None,
    waits_for: str | None = None,
) -> dict[str, Any]:
    """The status of a running migration.

    :param sample: the last one; None before the first
    :param at_s: now, on the monitor's clock
    :param waits_for: the obstacle that keeps the monitor from knowing more
    """
    facts, forecast = controller.facts, controller.forecast
    deadline_s = facts.deadline_s
    view = vocabulary.blank_status(
        phase=phase, percent=round(percent, 1), started_at=_text(started_at),
        elapsed_seconds=round(at_s - facts.started_s, 1),
        pass_number=forecast.pass_number if forecast else None,
        settings=settings(controller), held=sorted(controller.held),
        last_decision=decision(last_decision), waits_for=waits_for)
    if sample is not None:
        view.update(
            age_seconds=round(max(0.0, at_s - sample.at_s), 1),
            memory=sizes(sample, 'memory'), disk=sizes(sample, 'disk'),
            bandwidth_mib_s=_mib(sample.memory_rate_bytes_s),
            dirty_mib_s=_mib(sample.dirty_bytes_s), throttle_percent=sample.throttle_percent)
    if deadline_s is not None:
        view.update(
            deadline_in_seconds=round(deadline_s - at_s, 1),
            deadline_at=_text(started_at + datetime.timedelta(
                seconds=deadline_s - facts.started_s)))
    if forecast is not None and phase not in (vocabulary.ABORTING, vocabulary.FINISHING):
        view.update(_forecast(forecast))
    return view


def settings(controller: controller_mod.Controller) -> dict[str, int]:
    """The settings in force."""
    now = controller.settings
    return {'bandwidth_mib_s': now.cap_mib_s, 'max_downtime_ms': now.promised_ms,
            'qemu_limit_ms': now.limit_ms,
            'max_throttle_percent': controller.held.get(
                terms_mod.THROTTLE, controller.policy.max_throttle_percent)}


def _forecast(forecast: controller_mod.Forecast) -> dict[str, Any]:
    known: dict[str, Any] = {'expected_blackout_ms': _round(forecast.blackout_ms, 0),
                             'converges': forecast.converges,
                             'makes_deadline': forecast.makes_deadline}
    known['eta_seconds'] = _eta(
        {'low': forecast.eta_low_s, 'expected': forecast.eta_s, 'high': forecast.eta_high_s}, 0.0)
    return known


def _eta(ends: Mapping[str, float | None], age_s: float) -> dict[str, float | None] | None:
    """The remaining seconds, from those expected some time ago; never 0, as it is not over.

    None where no end is in sight, and where the latest end has passed: it is unknown then.
    """
    latest_s = ends['expected'] if ends['high'] is None else ends['high']
    if ends['expected'] is None or latest_s is None or latest_s <= age_s:
        return None
    return {name: None if end_s is None else max(_SOONEST_S, round(end_s - age_s, 1))
            for name, end_s in ends.items()}


def aged(view: Status, age_s: float) -> dict[str, Any]:
    """A status made `age_s` ago, with its times brought up to date."""
    seen_s = view['age_seconds'] + age_s
    fresh = {**view, 'age_seconds': round(seen_s, 1)}
    if fresh['elapsed_seconds'] is not None and fresh['outcome'] is None:
        fresh['elapsed_seconds'] = round(fresh['elapsed_seconds'] + age_s, 1)
    if fresh['deadline_in_seconds'] is not None:
        fresh['deadline_in_seconds'] = round(fresh['deadline_in_seconds'] - age_s, 1)
    if fresh['eta_seconds'] is not None:
        fresh['eta_seconds'] = _eta(fresh['eta_seconds'], seen_s)
    return fresh


def sizes(sample: samples.Sample, kind: str) -> dict[str, int | None]:
    """The bytes of 'memory' or 'disk' in a sample."""
    return {f'{part}_bytes': getattr(sample, f'{kind}_{part}_bytes')
            for part in ('total', 'processed', 'remaining')}


def decision(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The fields of a journal's decision that are shown."""
    if record is None:
        return None
    return {name: record.get(name) for name in ('time', 'at', 'rule', 'reason', 'actions')}


def _text(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec='milliseconds')


def _mib(rate_bytes_s: int | None) -> float | None:
    return None if rate_bytes_s is None else round(rate_bytes_s / MIB, 1)


def _round(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
