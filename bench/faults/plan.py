# SPDX-License-Identifier: Apache-2.0
"""What is done to one migration: a pure function of a seed and a number.

The faults take turns in an order that the seed shuffles for each round, so that some twenty
numbers have all of them; the rest of a plan is drawn.
"""

from __future__ import annotations

import dataclasses
import enum
import random
from typing import Any, NamedTuple

from lab.openstack import dying

HOSTS = ('n1', 'n2')


class Phase(enum.Enum):
    """Where in the migration the fault begins."""

    PREPARING = 'preparing'
    DISKS = 'disks'
    BULK_COPY = 'bulk copy'
    PASSES = 'passes'
    POST_COPY = 'post-copy'
    FINISHING = 'finishing'
    #: it was cancelled right before
    ROLLBACK = 'rollback'


class Fault(enum.Enum):
    """What happens."""

    COMPUTE_KILLED = 'nova-compute is killed'
    COMPUTE_DIES = 'nova-compute dies at a step'
    COMPUTE_FROZEN = 'nova-compute is frozen'
    LIBVIRTD_RESTARTED = 'libvirtd is restarted'
    QEMU_KILLED = 'QEMU is killed'
    LINK_CUT = 'the link is cut'
    RABBITMQ_AWAY = 'RabbitMQ is away'
    DATABASE_AWAY = 'the database is away'
    #: its connections stay, and nothing comes back
    DATABASE_SILENT = 'the database is silent'
    CONDUCTOR_STOPPED = 'the conductor is stopped'
    DISK_FULL = "the destination's disk is full"
    POWERED_OFF = 'the source is powered off'
    DELETED = 'the server is deleted'


class Role(enum.Enum):
    """At which host it happens."""

    SOURCE = 'source'
    DESTINATION = 'destination'


_ALL = tuple(Phase)
_COPY = (Phase.DISKS, Phase.BULK_COPY, Phase.PASSES)
_BOTH = tuple(Role)


class Kind(NamedTuple):
    """What a fault may be: in which phases, at which hosts, for how many seconds (one of them)."""

    phases: tuple[Phase, ...]
    roles: tuple[Role, ...] = (Role.SOURCE,)
    seconds: tuple[float, ...] = (0.0,)


KINDS: dict[Fault, Kind] = {
    # How long it stays away: the copy may be over meanwhile, or not.
    Fault.COMPUTE_KILLED: Kind(_ALL, _BOTH, (0.0, 3.0, 12.0)),
    Fault.COMPUTE_DIES: Kind((Phase.PREPARING, Phase.FINISHING, Phase.ROLLBACK), _BOTH,
                             (0.0, 6.0)),
    # Longer than Nova waits for a sign of life; and longer than libvirt waits for a client.
    Fault.COMPUTE_FROZEN: Kind(_ALL, _BOTH, (15.0, 15.0, 40.0)),
    Fault.LIBVIRTD_RESTARTED: Kind(_ALL, _BOTH),
    Fault.QEMU_KILLED: Kind((*_COPY, Phase.POST_COPY, Phase.FINISHING, Phase.ROLLBACK), _BOTH),
    Fault.LINK_CUT: Kind((*_COPY, Phase.POST_COPY), _BOTH, (5.0, 5.0, 60.0)),
    Fault.RABBITMQ_AWAY: Kind(_ALL, (Role.SOURCE,), (30.0,)),
    Fault.DATABASE_AWAY: Kind(_ALL, (Role.SOURCE,), (30.0,)),
    Fault.DATABASE_SILENT: Kind(_ALL, (Role.SOURCE,), (30.0,)),
    Fault.CONDUCTOR_STOPPED: Kind(_ALL, (Role.SOURCE,), (20.0,)),
    Fault.DISK_FULL: Kind((Phase.PREPARING, Phase.DISKS), (Role.DESTINATION,), (15.0,)),
    # Until it is evacuated, and once more as long until it is back.
    Fault.POWERED_OFF: Kind((Phase.FINISHING,), (Role.SOURCE,), (10.0,)),
    Fault.DELETED: Kind(tuple(phase for phase in Phase if phase is not Phase.ROLLBACK)),
}
#: the greatest time from the begin of a phase to the fault, in seconds
SPAN_S = {Phase.PREPARING: 2.0, Phase.DISKS: 4.0, Phase.BULK_COPY: 2.0, Phase.PASSES: 4.0,
          Phase.POST_COPY: 3.0, Phase.FINISHING: 1.5, Phase.ROLLBACK: 1.0}


class Death(NamedTuple):
    """A step at which nova-compute dies: in which phase it comes, and at which host."""

    place: str
    phase: Phase
    role: Role = Role.SOURCE


DEATHS = (
    Death(f'before {dying.MANAGER}_do_live_migration', Phase.PREPARING),
    Death(f'before {dying.MANAGER}_do_pre_live_migration_from_source', Phase.PREPARING),
    Death(f'after {dying.MANAGER}_do_pre_live_migration_from_source', Phase.PREPARING),
    Death(f'before {dying.DRIVER}pre_live_migration', Phase.PREPARING, Role.DESTINATION),
    Death(f'before {dying.MANAGER}_post_live_migration', Phase.FINISHING),
    Death('before nova.network.neutron:API.migrate_instance_start', Phase.FINISHING),
    Death(f'before {dying.DRIVER}post_live_migration', Phase.FINISHING),
    Death(f'before {dying.MANAGER}_post_live_migration_remove_source_vol_connections',
          Phase.FINISHING),
    Death(f'before {dying.DRIVER}post_live_migration_at_source', Phase.FINISHING),
    Death(f'after {dying.DRIVER}cleanup', Phase.FINISHING),
    Death(f'before {dying.RPC}post_live_migration_at_destination', Phase.FINISHING),
    Death(f'after {dying.RPC}post_live_migration_at_destination', Phase.FINISHING),
    Death(f'before {dying.MANAGER}_delete_allocation_after_move', Phase.FINISHING),
    Death(f'before {dying.MANAGER}post_live_migration_at_destination', Phase.FINISHING,
          Role.DESTINATION),
    Death(f'before {dying.DRIVER}post_live_migration_at_destination', Phase.FINISHING,
          Role.DESTINATION),
    Death(f'before {dying.MANAGER}_rollback_live_migration', Phase.ROLLBACK),
    Death(f'before {dying.MANAGER}_revert_allocation', Phase.ROLLBACK),
    Death(f'before {dying.MANAGER}_rollback_volume_bdms', Phase.ROLLBACK),
    Death(f'before {dying.RPC}rollback_live_migration_at_destination', Phase.ROLLBACK),
    Death(f'before {dying.DRIVER}rollback_live_migration_at_destination', Phase.ROLLBACK,
          Role.DESTINATION),
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One migration and its fault.

    :param source: the host that it leaves
    :param role: at which of its hosts the fault happens, where it happens at one
    :param delay_s: from the begin of the phase to the fault
    :param lasts_s: how long it lasts
    :param guest: 'idle' (moves by itself) or 'busy' (does not: it ends as `ending` says)
    :param policy: what completing it by force takes: 'post_copy' or 'pause'
    :param ending: of a migration that still runs after the fault: 'cancel' or 'complete'
    :param is_resumed: resume_guests_state_on_host_boot, for who starts again
    :param place: where nova-compute dies, for that fault
    """

    seed: int
    number: int
    fault: Fault
    phase: Phase
    source: str
    role: Role
    delay_s: float
    lasts_s: float
    guest: str
    policy: str
    ending: str
    is_resumed: bool
    place: str = ''

    @property
    def destination(self) -> str:
        """The host that it goes to."""
        return next(name for name in HOSTS if name != self.source)

    @property
    def host(self) -> str:
        """The host of the fault."""
        return self.source if self.role is Role.SOURCE else self.destination

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value.value if isinstance(value, enum.Enum) else value
                for name, value in dataclasses.asdict(self).items()}

    def told(self) -> str:
        """The plan in a line."""
        where = f' at the {self.role.value}' if len(KINDS[self.fault].roles) > 1 else ''
        lasts = f' for {self.lasts_s:g} s' if self.lasts_s else ''
        at = f' ({self.place})' if self.place else f', {self.delay_s:.1f} s into it'
        return f'{self.phase.value}: {self.fault.value}{where}{lasts}{at}; {self.guest} guest'


def plan(seed: int, number: int) -> Plan:
    """Return the plan of a number, from 0; the same for the same seed, always."""
    turn, place = divmod(number, len(KINDS))
    faults = list(KINDS)
    random.Random(f'{seed} round {turn}').shuffle(faults)
    fault = faults[place]
    chance = random.Random(f'{seed} number {number}')
    kind = KINDS[fault]
    phase, role, at = chance.choice(kind.phases), chance.choice(kind.roles), ''
    if fault is Fault.COMPUTE_DIES:
        at, phase, role = chance.choice(DEATHS)
    return Plan(
        seed=seed, number=number, fault=fault, phase=phase, role=role, place=at,
        source=chance.choice(HOSTS), delay_s=round(chance.uniform(0, SPAN_S[phase]), 2),
        lasts_s=chance.choice(kind.seconds), guest=_guest(chance, phase),
        policy=_policy(chance, phase), ending=chance.choice(('cancel', 'complete')),
        is_resumed=chance.random() < 0.5)


def _guest(chance: random.Random, phase: Phase) -> str:
    if phase is Phase.FINISHING:
        return 'idle'
    if phase in (Phase.PASSES, Phase.POST_COPY):
        return 'busy'
    return chance.choice(('idle', 'busy'))


def _policy(chance: random.Random, phase: Phase) -> str:
    drawn = chance.choice(('post_copy', 'pause'))
    return 'post_copy' if phase is Phase.POST_COPY else drawn
