# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, and when: drawn from the seed, and mended at a moment after the last of it."""

from __future__ import annotations

from collections import abc

from nova_migpolicy.sim.cluster import qemus as qemus_mod
from nova_migpolicy.sim.cluster import requests as requests_mod
from nova_migpolicy.sim.cluster import world as world_mod

SOURCE, DESTINATION, THIRD = world_mod.HOSTS

#: within so many seconds all faults begin
WITHIN_S = 25.0
#: how long a fault lasts at most, mostly
LASTS_S = 45.0
FREEZES_S = 300.0
#: how often the record is torn when nova-compute is killed
TEARS = 0.05


class Faults:
    """Draw and cause them."""

    def __init__(self, world: world_mod.World, requests: requests_mod.Requests) -> None:
        self._world = world
        self._requests = requests
        self._chance = world.chance
        world.on_death = self._died
        #: their kinds
        self.drawn: list[str] = []
        #: none begins any more
        self.are_over = False

    def draw(self, number: int) -> None:
        """Have so many faults happen."""
        chance = self._chance
        for name in chance.choices(list(KINDS), weights=[one for _, one in KINDS.values()],
                                   k=number):
            self.drawn.append(name)
            self._world.after(chance.uniform(0.0, WITHIN_S), self._cause, KINDS[name][0])

    def _cause(self, fault: abc.Callable[[Faults], None]) -> None:
        if not self.are_over:
            fault(self)

    def mend(self) -> None:
        """End all that still lasts; none begins any more."""
        world = self._world
        self.are_over = True
        world.say('all faults are over')
        world.bad_messages = 0.0
        world.qemus.link = world.database = True
        for host in world_mod.HOSTS:
            world.computes[host].dies_in = None
            self._power_on(host)
            self._daemon_on(host)
            world.thaw(host)
            world.start(host)
        self._ask_again()

    def _ask_again(self) -> None:
        """Users and operators see through what they have begun."""
        rows = self._world.rows
        if rows.is_evacuating:
            self._requests.evacuate()
        elif rows.is_deleting:
            self._requests.delete()
        else:
            return
        self._world.after(15.0, self._ask_again)

    def _for(self, most_s: float = LASTS_S) -> float:
        """Draw how long one lasts: mostly short."""
        return most_s * self._chance.random() ** 2

    def _host(self) -> str:
        return self._chance.choices(world_mod.HOSTS, weights=(6, 3, 1))[0]

    # nova-compute.

    def _kill(self) -> None:
        host = self._host()
        self._world.kill(host)
        self._tear()
        self._world.after(self._for(), self._world.start, host)

    def _kill_at_a_step(self) -> None:
        host = self._host()
        self._world.computes[host].dies_in = self._chance.randrange(30)

    def _died(self, host: str) -> None:
        self._tear()
        self._world.after(self._for(), self._world.start, host)

    def _freeze(self) -> None:
        host = self._host()
        self._world.freeze(host)
        self._world.after(self._for(FREEZES_S), self._world.thaw, host)

    def _tear(self) -> None:
        world = self._world
        if world.computes[SOURCE].is_up or self._chance.random() > TEARS or (
                not world.paper.tear()):
            return
        world.say('the written record is torn')
        world.qemus.hazards.add(qemus_mod.TORN)

    # Hosts, and what is on them.

    def _power_off(self) -> None:
        host = self._chance.choice((SOURCE, SOURCE, DESTINATION))
        self._off(host)
        self._world.after(self._for(2 * LASTS_S), self._power_on, host)

    def _power_off_and_evacuate(self) -> None:
        self._off(SOURCE)
        self._world.after(10.0, self._evacuate)
        self._world.after(self._chance.uniform(5.0, 2 * LASTS_S), self._power_on, SOURCE)

    def _evacuate(self) -> None:
        if not self._world.powered[SOURCE]:
            self._requests.evacuate()

    def _off(self, host: str) -> None:
        world = self._world
        if not world.powered[host]:
            return
        world.say(f'the {host} goes off')
        world.powered[host] = world.answers[host] = False
        world.kill(host)
        world.computes[host].queue.clear()
        if host == SOURCE:
            world.qemus.source_died()
            world.qemus.broke_off()
        elif host == DESTINATION:
            world.qemus.destination_died()

    def _power_on(self, host: str) -> None:
        world = self._world
        if not world.powered[host]:
            world.say(f'the {host} comes on')
            world.powered[host] = world.answers[host] = True
            world.after(self._chance.uniform(0.1, 5.0), world.start, host)

    def _restart_daemon(self) -> None:
        self._silence(self._chance.choice((SOURCE, DESTINATION)))

    def _silence(self, host: str) -> None:
        world = self._world
        if not world.powered[host]:
            return
        world.say(f'libvirtd on the {host} ends')
        world.answers[host] = False
        world.after(self._for(20.0), self._daemon_on, host)

    def _daemon_on(self, host: str) -> None:
        world = self._world
        if not world.powered[host] or world.answers[host]:
            return
        world.say(f'libvirtd on the {host} is back')
        world.answers[host] = True
        if host == SOURCE:
            world.qemus.source_daemon_restarted()
        elif host == DESTINATION:
            world.qemus.destination_daemon_restarted()

    def _kill_qemu(self) -> None:
        world = self._world
        if self._chance.random() < 0.5:
            world.say('QEMU on the source is killed')
            world.qemus.source_died()
        else:
            world.say('QEMU on the destination is killed')
            world.qemus.destination_died()

    # What is between them.

    def _cut_link(self) -> None:
        self._world.say('the link is cut')
        self._world.qemus.link = False
        self._world.after(self._for(60.0), self._join)

    def _join(self) -> None:
        self._world.say('the link is back')
        self._world.qemus.link = True

    def _lose_messages(self) -> None:
        self._world.say('messages are lost, doubled and late')
        self._world.bad_messages = 0.5
        self._world.after(self._for(), self._carry_messages)

    def _carry_messages(self) -> None:
        self._world.bad_messages = 0.0

    def _lose_database(self) -> None:
        self._world.say("Nova's database is away")
        self._world.database = False
        self._world.after(self._for(), self._find_database)

    def _find_database(self) -> None:
        self._world.say("Nova's database is back")
        self._world.database = True

    # Users and operators.

    def _reboot(self) -> None:
        self._requests.start()

    def _delete(self) -> None:
        self._requests.delete()

    def _reset_state(self) -> None:
        self._requests.reset_state()

    def _evacuate_without_need(self) -> None:
        self._world.say('the source was said to be down')
        if self._chance.random() < 0.5:
            self._silence(SOURCE)
        if self._world.computes[SOURCE].is_up and not self._world.computes[SOURCE].is_frozen:
            self._requests.evacuate()

    def _evacuate_a_host_that_is_on(self) -> None:
        """Only its nova-compute is down, which may be back before the evacuation is over."""
        self._world.kill(SOURCE)
        self._world.after(5.0, self._evacuate_while_down)
        self._world.after(self._chance.uniform(5.0, 12.0), self._world.start, SOURCE)

    def _evacuate_while_down(self) -> None:
        if not self._world.computes[SOURCE].is_up:
            self._requests.evacuate()


#: what is done, and how often beside the others
KINDS: abc.Mapping[str, tuple[abc.Callable[[Faults], None], int]] = {
    'nova-compute is killed': (Faults._kill, 4),
    'nova-compute dies at a step': (Faults._kill_at_a_step, 12),
    'nova-compute is frozen': (Faults._freeze, 3),
    'a host goes off': (Faults._power_off, 3),
    'the source goes off and is evacuated': (Faults._power_off_and_evacuate, 4),
    'libvirtd restarts': (Faults._restart_daemon, 4),
    'QEMU is killed': (Faults._kill_qemu, 2),
    'the link is cut': (Faults._cut_link, 4),
    'messages are lost, doubled and late': (Faults._lose_messages, 4),
    'the database is away': (Faults._lose_database, 3),
    'the user reboots': (Faults._reboot, 4),
    'the user deletes': (Faults._delete, 1),
    'the state is reset': (Faults._reset_state, 2),
    'evacuated without need': (Faults._evacuate_without_need, 1),
    'evacuated while only nova-compute is down': (Faults._evacuate_a_host_that_is_on, 2),
}
