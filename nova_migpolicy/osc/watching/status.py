# SPDX-License-Identifier: Apache-2.0
"""The status of a migration at one time, from the plugin or from Nova alone.

Every field may be missing and any may be of a wrong type: a value that cannot be understood is
None. Only one thing is judged here: the outcome of a migration.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

_UNKNOWN = vocabulary.Meaning(None)
_WAITS = {'accepted': 'Nova chooses and checks a destination',
          'queued': 'max_concurrent_live_migrations of its source host are under way'}


@dataclasses.dataclass(frozen=True)
class View:
    """A migration as it is now; bytes, MiB/s, milliseconds and seconds as the names say.

    :ivar age_s: the age of the figures, None if it is not known
    """

    status: str = ''
    phase: str = ''
    age_s: float | None = 0.0
    source: str = ''
    destination: str = ''
    percent: float | None = None
    remaining_bytes: float | None = None
    bandwidth_mib_s: float | None = None
    pass_number: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None
    converges: bool | None = None
    blackout_ms: float | None = None
    promised_ms: float | None = None
    throttle_percent: float | None = None
    deadline_in_s: float | None = None
    makes_deadline: bool | None = None
    held: tuple[str, ...] = ()
    waits_for: str = ''
    outcome: str = ''
    reason: str = ''
    final: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing will change again, for Nova as well."""
        return bool(self.outcome) and (
            self.status in vocabulary.FINAL_STATUSES or self.phase == vocabulary.DONE)

    @property
    def waiting(self) -> bool:
        """Whether it has not begun."""
        return self.phase in (vocabulary.QUEUED, vocabulary.WAITING)


def of_plugin(body: Mapping[str, Any]) -> View:
    """Read the plugin's ``progress``."""
    memory, disk = _map(body, 'memory'), _map(body, 'disk')
    eta, settings = _map(body, 'eta_seconds'), _map(body, 'settings')
    status = words.text(body.get('status'))
    phase = words.text(body.get('phase')) or _phase(status) or vocabulary.PREPARING
    said = words.text(body.get('outcome'))
    # Nova has given it up, and its host has not.
    is_mended = status == vocabulary.NOVA_ERROR and not said and phase in vocabulary.MENDED
    left = [words.number(one.get('remaining_bytes')) for one in (memory, disk)]
    known = [one for one in left if one is not None]
    held = body.get('held')
    return View(
        status=status,
        phase=phase,
        age_s=words.number(body.get('age_seconds')),
        source=words.text(body.get('source_host')),
        destination=words.text(body.get('destination_host')),
        percent=_percent(body.get('percent')),
        remaining_bytes=sum(known) if known else None,
        bandwidth_mib_s=words.number(body.get('bandwidth_mib_s')),
        pass_number=words.number(body.get('pass_number')),
        eta_low_s=words.number(eta.get('low')), eta_high_s=words.number(eta.get('high')),
        converges=_truth(body.get('converges')),
        blackout_ms=words.number(body.get('expected_blackout_ms')),
        promised_ms=words.number(settings.get('max_downtime_ms')),
        throttle_percent=words.number(body.get('throttle_percent')),
        deadline_in_s=words.number(body.get('deadline_in_seconds')),
        makes_deadline=_truth(body.get('makes_deadline')),
        held=tuple(words.text(one) for one in held) if isinstance(held, (list, dict)) else (),
        waits_for=words.text(body.get('waits_for')) or _WAITS.get(status, ''),
        outcome='' if is_mended else _outcome(said, status),
        reason=words.text(body.get('reason')), final=_map(body, 'final'))


def of_nova(row: Mapping[str, Any], before: View | None = None) -> View:
    """Read Nova's own row of a migration, where the plugin cannot be asked.

    :param before: the view before this one; the percentage does not fall below its
    """
    status = words.text(row.get('status'))
    total = done = left = 0.0
    for what in ('memory', 'disk'):
        total += words.number(row.get(f'{what}_total_bytes')) or 0
        done += words.number(row.get(f'{what}_processed_bytes')) or 0
        left += words.number(row.get(f'{what}_remaining_bytes')) or 0
    percent = _percent(100 * (total - left) / total) if total else None
    if before is not None and before.percent is not None:
        percent = max(before.percent, percent or 0.0)
    return View(
        status=status, phase=_phase(status) or vocabulary.RUNNING,
        source=words.text(row.get('source_compute')),
        destination=words.text(row.get('dest_compute')),
        percent=percent, remaining_bytes=left if total else None,
        waits_for=_WAITS.get(status, ''), outcome=_outcome('', status))


def _outcome(said: str, status: str) -> str:
    """Return the outcome: the plugin knows it, and Nova whether its own next steps succeeded."""
    of_status = vocabulary.NOVA_STATUS.get(status, _UNKNOWN).outcome or ''
    if said not in vocabulary.OUTCOMES or (
            said == vocabulary.COMPLETED and of_status == vocabulary.FAILED):
        return of_status
    return vocabulary.COMPLETED if of_status == vocabulary.COMPLETED else said


def _phase(status: str) -> str | None:
    """Return the phase for Nova's status, where Nova alone can tell."""
    return vocabulary.NOVA_STATUS.get(status, _UNKNOWN).phase


def _map(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def _percent(value: object) -> float | None:
    known = words.number(value)
    return None if known is None else min(100.0, max(0.0, known))


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
