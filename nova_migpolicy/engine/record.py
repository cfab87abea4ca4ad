# SPDX-License-Identifier: Apache-2.0
"""The records that go into the engine and come out of it: facts, forecasts and decisions.

All of them are frozen and turn into plain dictionaries, since the journal, the log line, the
metrics and the plot are made from the same record. No judgement is made here.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import remedies

MIB = figures.MIB


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts known when a migration starts; the memory and disk sizes are in bytes.

    disk_bytes: to be copied of the disks; of sparse ones the allocated part. The real number shows
        when they are copied.
    link_mib_s: rate of the link between the two hosts, estimated low; None when not known, and
        then nothing is scaled by it.
    reach_mib_s: the highest rate observed on the link; None when not known.
    switchover_mib_s: set when QEMU was told the link's rate itself; its limit then means the
        real blackout as it is.
    can_throttle: auto-converge was armed at the start and its limits can be set.
    can_post_copy: the migration was started with post-copy permitted.
    can_hurry_disks: the rate of disks that are being mirrored can be set.
    sends_again: a page that the guest writes to between a sync and its being sent is sent once
        more after the next sync. KVM forgets the write when the page is sent, TCG does not.
    dirtied_bytes: different bytes that the guest dirtied in dirtied_seconds, shortly before the
        start; None when that was not measured.
    qemu_limit_ms, bandwidth_mib_s: the settings in force at the start (a cap of 0 is none). The
        limit is what QEMU has, which is not what the policy wants where that was refused.
    deadline_s: absolute, on the clock of the samples; None for no deadline. A retune moves it.
    """

    memory_bytes: int
    disk_bytes: int
    started_s: float
    link_mib_s: float | None = None
    reach_mib_s: float | None = None
    switchover_mib_s: float | None = None
    can_throttle: bool = False
    can_post_copy: bool = False
    can_hurry_disks: bool = False
    sends_again: bool = True
    dirtied_bytes: int | None = None
    dirtied_seconds: float = 1.0
    qemu_limit_ms: int = 300
    bandwidth_mib_s: int = 0
    deadline_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The expected end of a migration if its settings stay as they are.

    eta_low_s, eta_s, eta_high_s: seconds from now; None when no end is in sight.
    blackout_ms: the real blackout expected then.
    plateau_bytes: expected to remain after every pass when it does not converge.
    bandwidth_mib_s: the actual rate of sending; dirty_mib_s: newly dirtied memory, at least.
    pass_number: 0 during the bulk copy, 1 for the first pass after it.
    """

    converges: bool
    eta_low_s: float | None = None
    eta_s: float | None = None
    eta_high_s: float | None = None
    blackout_ms: float | None = None
    plateau_bytes: int | None = None
    bandwidth_mib_s: float | None = None
    dirty_mib_s: float | None = None
    pass_number: int = 0
    writable_set_bytes: int | None = None
    deadline_in_s: float | None = None
    makes_deadline: bool | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal; unknown ones are left out."""
        return {key: round(value, 3) if isinstance(value, float) else value
                for key, value in vars(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Decision:
    """The actions to take now, and the reason: one sentence with its numbers.

    rule is a short fixed label for metrics. The actions are to be applied in their order; a
    decision without actions only reports something that an operator should know.

    refused: an operator's order cannot be done; the reason names the phase and what to do next.
    again: an earlier decision, retried after a refusal: there is nothing new to report.
    course: the course from now on; None where it does not change.
    """

    at_s: float
    actions: tuple[remedies.Action, ...]
    rule: str
    reason: str
    forecast: Forecast | None = None
    refused: bool = False
    again: bool = False
    course: course_mod.Course | None = dataclasses.field(
        default=None, compare=False, repr=False)

    @classmethod
    def silent(cls, at_s: float, course: course_mod.Course) -> Decision:
        """A decision that says and does nothing, but enters another course."""
        return cls(at_s, (), '', '', course=course)

    @property
    def is_silent(self) -> bool:
        """Whether it says and does nothing."""
        return not (self.reason or self.actions)

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'at_s': round(self.at_s, 3),
                'actions': [action.to_dict() for action in self.actions],
                'rule': self.rule, 'reason': self.reason,
                **({'refused': True} if self.refused else {}),
                'forecast': self.forecast.to_dict() if self.forecast else None}
