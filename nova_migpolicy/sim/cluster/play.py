# SPDX-License-Identifier: Apache-2.0
"""One seed, played: in safety nothing may go wrong ever, in liveness all agrees at the end."""

from __future__ import annotations

import dataclasses
import enum

from nova_migpolicy.recovery import table
from nova_migpolicy.sim.cluster import checks
from nova_migpolicy.sim.cluster import computes as computes_mod
from nova_migpolicy.sim.cluster import faults as faults_mod
from nova_migpolicy.sim.cluster import hands as hands_mod
from nova_migpolicy.sim.cluster import looking
from nova_migpolicy.sim.cluster import requests as requests_mod
from nova_migpolicy.sim.cluster import world as world_mod

#: after the last fault, or the end of libvirt's own job, all has to agree within this
AGREE_S = 60.0
#: faults in safety begin and end until then
SAFETY_S = 200.0
#: in liveness, when the last fault ends
MENDED_S = (20.0, 90.0)


class Mode(enum.Enum):
    """What is asked of the world."""

    SAFETY = 'safety'
    LIVENESS = 'liveness'


@dataclasses.dataclass(frozen=True)
class Played:
    """How a seed went.

    :param broken: the invariant that does not hold, or nothing
    :param steps: recovery's, in their order
    :param end: where the guest is at the end by Nova, or why it is held
    """

    seed: int
    mode: Mode
    faults: tuple[str, ...]
    broken: str
    steps: tuple[table.Step, ...]
    end: str
    seconds: float


def play(seed: int, mode: Mode, story: list[str] | None = None) -> Played:
    """Play a seed.

    :param story: what happens is added to it, a sentence a line
    """
    world = world_mod.World(2 * seed + (mode is Mode.SAFETY), story)
    chance = world.chance
    looks = looking.Looks(world)
    hands = hands_mod.Hands(world, post_copies=chance.choice((0.0, 0.0, 0.2)))
    computes = computes_mod.Computes(world, looks, hands)
    requests = requests_mod.Requests(world, looks, computes, resumes=chance.random() < 0.5)
    faults = faults_mod.Faults(world, requests)
    requests.begin()
    broken = ''
    try:
        if mode is Mode.SAFETY:
            faults.draw(chance.randint(3, 10))
            world.go(SAFETY_S)
        else:
            faults.draw(chance.randint(1, 4))
            _come_to_rest(world, faults, requests)
    except world_mod.Violation as violation:
        broken = str(violation)
        world.say(f'VIOLATION: {violation}')
    return Played(seed, mode, tuple(faults.drawn), broken, tuple(computes.steps),
                  _end(world), world.now_s)


def _come_to_rest(world: world_mod.World, faults: faults_mod.Faults,
                  requests: requests_mod.Requests) -> None:
    world.go(world.chance.uniform(*MENDED_S))
    faults.mend()
    began_s = world.now_s
    while world.qemus.is_moving and world.now_s < began_s + 300.0:
        world.go(world.now_s + 1.0)
    world.go(world.now_s + AGREE_S)
    checks.at_the_end(world)


def _end(world: world_mod.World) -> str:
    if world.rows.lock:
        return f'held: {world.rows.lock}'
    return 'deleted' if world.rows.is_deleted else f'on the {world.rows.host}'
