# SPDX-License-Identifier: Apache-2.0
"""The guest's domains on the three hosts, and libvirt's job that goes on by itself.

What libvirt does on its own when a link, a daemon, a QEMU or a host goes is told here, its one
hazard included: where the reply to Finish is lost, it lets the guest run on the source as well.
"""

from __future__ import annotations

from collections import abc
import enum
import random

from nova_migpolicy.recovery import evidence

Source = evidence.Source
Destination = evidence.Destination

#: how many of its steps the copy and post-copy take, and how long such a step is
COPY_STEPS, POST_COPY_STEPS, STEP_S = (1, 16), (1, 8), (0.5, 2.0)
CONFIRM_S = (0.0, 0.5)
#: after so long a destination whose source has gone notices it
GIVES_UP_S = (0.5, 10.0)
#: how often libvirt lets the source run when the reply to Finish is lost, and not leave it paused
RESUMES = 0.5
#: how often a domain that has left stays defined on the source
STAYS_DEFINED = 0.2

# What only an operator can set right.
FINISH_LOST = 'the reply to Finish was lost, and both hosts ran the guest'
HALF_DIED = 'a half of the guest in post-copy died'
DIED_THERE = 'the guest died after it had arrived'
SOURCE_WAS_ON = 'the source that was evacuated was on'
TORN = 'the written record was torn'

_HALVES = (Destination.POST_COPY, Destination.POST_COPY_FAILED)
_WITH_MEMORY = (Source.RUNNING, Source.PAUSED, Source.POST_COPY, Source.POST_COPY_FAILED)


class Stage(enum.Enum):
    """How far libvirt's migration has come."""

    NONE = 'none'
    COPY = 'copy'
    #: all has been sent, the guest is paused, and the destination does not run it yet
    SWITCH = 'switchover'
    #: the destination runs it, and the source does not know
    CONFIRM = 'to be confirmed'
    POST_COPY = 'post-copy'


class Qemus:
    """The domains, and the job.

    :param later: calls a function after so many seconds
    :param is_paused: by its user, before the migration
    """

    def __init__(self, chance: random.Random, later: abc.Callable[..., None],
                 say: abc.Callable[[str], None], is_paused: bool) -> None:
        self._chance = chance
        self._later = later
        self._say = say
        self.is_paused = is_paused
        self.source = Source.PAUSED if is_paused else Source.RUNNING
        self.destination = Destination.ABSENT
        self.third = False
        self.job = False
        self.link = True
        #: what has happened that only an operator can set right
        self.hazards: set[str] = set()
        #: two copies may run by no doing of ours
        self.is_doubled = False
        self._stage = Stage.NONE
        self._left = 0
        self._attempt = 0

    @property
    def is_moving(self) -> bool:
        """Whether libvirt or QEMU is still at it, with a job or without."""
        return self._stage is not Stage.NONE or self.destination is Destination.INCOMING

    def running(self) -> int:
        """Return how many copies run."""
        return ((self.source is Source.RUNNING) + self.third
                + (self.destination is Destination.POST_COPY
                   or (self.destination is Destination.ARRIVED and not self.is_paused)))

    # What libvirt is asked to do.

    def prepare(self) -> None:
        """Let QEMU on the destination wait for the guest."""
        self.destination = Destination.INCOMING

    def start(self) -> None:
        """Begin the copy."""
        self._go(Stage.COPY, COPY_STEPS)

    def start_post_copy(self) -> None:
        """Switch to post-copy, where it is still in the copy."""
        if self._stage is Stage.COPY and self.source is Source.RUNNING:
            self.source, self.destination = Source.POST_COPY, Destination.POST_COPY
            self._go(Stage.POST_COPY, POST_COPY_STEPS)
            self._say('libvirt switches to post-copy')

    def resume_post_copy(self) -> bool:
        """Take post-copy up again, and return whether that worked."""
        if (not self.link or self.source is not Source.POST_COPY_FAILED
                or self.destination not in _HALVES):
            return False
        self.source, self.destination = Source.POST_COPY, Destination.POST_COPY
        self._go(Stage.POST_COPY, POST_COPY_STEPS)
        self._say('post-copy goes on')
        return True

    # What goes on by itself.

    def _go(self, stage: Stage, steps: tuple[int, int]) -> None:
        self.job = True
        self._stage = stage
        self._left = self._chance.randint(*steps)
        self._attempt += 1
        self._later(self._chance.uniform(*STEP_S), self._advance, self._attempt)

    def _advance(self, attempt: int) -> None:
        if attempt != self._attempt:
            return
        if not self.link:
            self.broke_off()
            return
        self._left -= 1
        if self._left <= 0:
            self._next()
        # The end is another attempt: this calls nothing any more.
        self._later(self._chance.uniform(*(CONFIRM_S if self._stage is Stage.CONFIRM else STEP_S)),
                    self._advance, attempt)

    def _next(self) -> None:
        if self._stage is Stage.COPY:
            self.source, self._stage = Source.PAUSED, Stage.SWITCH
            self._say('the guest is paused for the switchover')
        elif self._stage in (Stage.SWITCH, Stage.POST_COPY):
            self.destination, self._stage = Destination.ARRIVED, Stage.CONFIRM
            self._say('the guest has arrived on the destination')
        else:
            self._stop()
            self.source = (Source.MIGRATED if self._chance.random() < STAYS_DEFINED
                           else Source.ABSENT)
            self._say(f'libvirt has confirmed it: the domain on the source {self.source.value}')

    def _stop(self) -> None:
        self.job = False
        self._stage = Stage.NONE
        self._attempt += 1

    def _back(self) -> None:
        """The copy has failed: the guest runs on, and the destination will notice."""
        self._stop()
        if self.source is Source.PAUSED and not self.is_paused:
            self.source = Source.RUNNING
        self._say(f'the copy failed: the domain on the source {self.source.value}')
        self._later(self._chance.uniform(*GIVES_UP_S), self._give_up)

    def _give_up(self) -> None:
        if self.destination is Destination.INCOMING and self._stage is Stage.NONE:
            self.destination = Destination.ABSENT
            self._say('the destination has given up waiting')

    def broke_off(self) -> None:
        """The hosts do not hear of each other."""
        if self._stage in (Stage.COPY, Stage.SWITCH):
            self._back()
        elif self._stage is Stage.POST_COPY:
            self._stop()
            self.source, self.destination = (
                Source.POST_COPY_FAILED, Destination.POST_COPY_FAILED)
            self._say('post-copy broke off')
        elif self._stage is Stage.CONFIRM:
            self._lose_finish()

    def _lose_finish(self) -> None:
        self._stop()
        if self.source is Source.POST_COPY:
            self.source = Source.POST_COPY_FAILED
        elif not self.is_paused and self._chance.random() < RESUMES:
            self.source = Source.RUNNING
            self.hazards.add(FINISH_LOST)
            self.is_doubled = True
            self._say('the reply to Finish is lost, and libvirt lets the source run as well')
        else:
            self._say('the reply to Finish is lost, and the source stays paused')

    # What happens to libvirt, QEMU and the hosts.

    def source_daemon_restarted(self) -> None:
        """End or let go what libvirtd on the source was at."""
        if self._stage is Stage.COPY:
            self._back()
        elif self._stage is Stage.SWITCH:
            # It may have arrived: libvirt leaves it paused.
            self._stop()
            self._later(self._chance.uniform(*GIVES_UP_S), self._give_up)
        elif self._stage is Stage.CONFIRM and self.source is Source.PAUSED:
            self._stop()
        elif self._stage is not Stage.NONE:
            # Post-copy goes on without its job.
            self.job = False

    def destination_daemon_restarted(self) -> None:
        """End what libvirtd on the destination was at."""
        if self._stage in (Stage.COPY, Stage.SWITCH):
            self.destination = Destination.ABSENT
            self._back()
        elif self._stage is Stage.CONFIRM:
            self._lose_finish()
        elif self.destination is Destination.INCOMING:
            self.destination = Destination.ABSENT

    def source_died(self) -> None:
        """QEMU on the source, or all of the host, is gone."""
        if self.source in (Source.POST_COPY, Source.POST_COPY_FAILED):
            if self.destination is not Destination.ARRIVED:
                self.hazards.add(HALF_DIED)
            if self.destination is Destination.POST_COPY:
                self.destination = Destination.POST_COPY_FAILED
        moving = self._stage is not Stage.NONE
        self._stop()
        if self.source in _WITH_MEMORY:
            self.source = Source.SHUT_OFF
        if moving:
            self._later(self._chance.uniform(*GIVES_UP_S), self._give_up)

    def destination_died(self) -> None:
        """QEMU on the destination, or all of the host, is gone."""
        if self.destination in _HALVES:
            self.hazards.add(HALF_DIED)
            self.destination = Destination.ABSENT
            self._stop()
            self.source = (Source.POST_COPY_FAILED if self.source is Source.POST_COPY
                           else self.source)
        elif self.destination is Destination.ARRIVED:
            self.hazards.add(DIED_THERE)
            self.destination = Destination.SHUT_OFF
            if self._stage is Stage.CONFIRM:
                self._lose_finish()
        elif self.destination is Destination.INCOMING:
            self.destination = Destination.ABSENT
            if self._stage in (Stage.COPY, Stage.SWITCH):
                self._back()

    def boot(self, host: str) -> None:
        """Start the guest from its disk, in place of what the host has of it."""
        if host == 'source':
            self._stop()
            self.source = Source.RUNNING
        elif host == 'destination':
            self.destination = Destination.ARRIVED
        else:
            self.third = True
        self.is_paused = False

    def remove(self, host: str) -> str:
        """Take the guest from a host, and return what was lost by it that is nowhere else."""
        had = str(self.source.value if host == 'source' else self.destination.value)
        lost = self._would_lose(host)
        if host == 'source':
            moving = self._stage is not Stage.NONE
            self.source = Source.ABSENT
            if moving:
                self._later(self._chance.uniform(*GIVES_UP_S), self._give_up)
                if self.destination is Destination.POST_COPY:
                    self.destination = Destination.POST_COPY_FAILED
            self._stop()
        elif host == 'destination':
            self.destination = Destination.ABSENT
            if self._stage in (Stage.COPY, Stage.SWITCH):
                self._back()
        else:
            self.third = False
        return had if lost else ''

    def _would_lose(self, host: str) -> bool:
        if self.third:
            return host not in ('source', 'destination')
        if host == 'source':
            arrived = self.destination in (Destination.ARRIVED, Destination.SHUT_OFF)
            return self.source is Source.RUNNING or (
                self.source not in (Source.ABSENT, Source.MIGRATED) and not arrived)
        return self.destination not in (Destination.ABSENT, Destination.INCOMING)
