# SPDX-License-Identifier: Apache-2.0
"""The world of one server's live migration: hosts, messages, Nova's rows, and time.

Everything happens at a moment, one after the other, by one seed. What nova-compute does is a
program, a generator, which may be ended between any two of its steps.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import random
import typing

from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim import agenda as agenda_mod
from nova_migpolicy.sim.cluster import paper as paper_mod
from nova_migpolicy.sim.cluster import qemus as qemus_mod
from nova_migpolicy.sim import delivery

SOURCE, DESTINATION, THIRD = 'source', 'destination', 'third'
HOSTS = (SOURCE, DESTINATION, THIRD)
#: who calls another host waits no longer for the answer
CALL_S = 5.0
#: how often the user has paused the server before
PAUSED = 0.1
#: how long a step of a program takes
STEP_S = (0.001, 0.3)

Program = abc.Generator[typing.Any, typing.Any, typing.Any]


class Trouble(Exception):
    """Something that a program needs does not answer, or is not as it has to be."""


class Violation(Exception):
    """An invariant does not hold."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A request to a host, for which its caller waits.

    program: makes what the host does
    """

    host: str
    about: str
    program: abc.Callable[[], Program]


@dataclasses.dataclass
class Rows:
    """What Nova, placement, Neutron and Cinder have of the server and its migration."""

    host: str = SOURCE
    is_deleting: bool = False
    is_deleted: bool = False
    migrating: bool = False
    #: of the migration's status: the destination is asked to prepare
    is_preparing: bool = False
    status: evidence.Status = evidence.Status.MISSING
    server_allocation: str = SOURCE
    migration_allocation: str = ''
    #: which host's port binding is active
    bindings: dict[str, bool] = dataclasses.field(default_factory=lambda: {SOURCE: True})
    attachments: set[str] = dataclasses.field(default_factory=lambda: {SOURCE})
    #: why we have locked it
    lock: str = ''
    #: none, accepted, done or failed
    evacuation: str = 'none'
    #: the operator was wrong, the source was on
    is_unfenced: bool = False

    @property
    def is_evacuating(self) -> bool:
        """Whether an evacuation is under way."""
        return self.evacuation == 'accepted' and self.host == SOURCE


class Compute:
    """A host's nova-compute."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_up = True
        self.is_frozen = False
        self.life = 0
        #: after so many steps it dies
        self.dies_in: int | None = None
        self.held: list[tuple[_Task, object]] = []
        self.queue: list[tuple[_Task, object]] = []


@dataclasses.dataclass
class _Task:
    compute: Compute
    life: int
    program: Program
    done: abc.Callable[[object], None] | None = None


class World:
    """All of it.

    :param story: what happens is added to it, where there is one
    """

    def __init__(self, seed: int, story: list[str] | None = None) -> None:
        self.chance = random.Random(seed)
        self.story = story
        self._agenda = agenda_mod.Agenda()
        self.rows = Rows()
        self.paper = paper_mod.Paper(self.chance)
        self.computes = {name: Compute(name) for name in HOSTS}
        #: hosts that have power, and whose libvirtd answers
        self.powered = dict.fromkeys(HOSTS, True)
        self.answers = dict.fromkeys(HOSTS, True)
        self.database = True
        #: how probably a message is lost, doubled or late
        self.bad_messages = 0.0
        is_paused = self.chance.random() < PAUSED
        self.qemus = qemus_mod.Qemus(self.chance, self.after, self.say, is_paused)
        self.on_start: abc.Callable[[str], None] = lambda host: None
        #: one has died at a step
        self.on_death: abc.Callable[[str], None] = lambda host: None

    def say(self, line: str) -> None:
        """Add a sentence to the story."""
        if self.story is not None:
            self.story.append(f'{self.now_s:8.2f} s  {line}')

    # Time.

    @property
    def now_s(self) -> float:
        """The time."""
        return self._agenda.now_s

    def after(self, seconds: float, what: abc.Callable[..., None], *args: object) -> None:
        """Call a function later."""
        self._agenda.after(seconds, what, *args)

    def go(self, until_s: float) -> None:
        """Let time pass.

        :raises Violation: as soon as two copies run
        """
        while self._agenda.step(until_s):
            if self.qemus.running() > 1 and not self.qemus.is_doubled:
                raise Violation('two copies run')

    # Programs of nova-compute.

    def run(self, host: str, program: Program,
            done: abc.Callable[[object], None] | None = None) -> None:
        """Begin a program at a host, whose nova-compute is up."""
        compute = self.computes[host]
        self._step(_Task(compute, compute.life, program, done), None)

    def _step(self, task: _Task, value: object) -> None:
        """Let a program go on to its next stop, unless it has died or its process is frozen."""
        compute = task.compute
        if task.life != compute.life:
            return
        if compute.is_frozen:
            compute.held.append((task, value))
            return
        if compute.dies_in is not None:
            compute.dies_in -= 1
            if compute.dies_in < 0:
                self.kill(compute.name)
                self.on_death(compute.name)
                return
        try:
            asked = task.program.send(value)
        except StopIteration as end:
            if task.done is not None:
                task.done(end.value)
        except Trouble as trouble:
            if task.done is not None:
                task.done(trouble)
        else:
            if isinstance(asked, Call):
                self._call(task, asked)
            else:
                self.after(asked if asked is not None else self.chance.uniform(*STEP_S),
                           self._step, task, None)

    def kill(self, host: str) -> None:
        """End a nova-compute at once."""
        compute = self.computes[host]
        if compute.is_up:
            self.say(f'nova-compute on the {host} dies')
        compute.is_up = compute.is_frozen = False
        compute.life += 1
        compute.dies_in = None
        compute.held.clear()

    def start(self, host: str) -> None:
        """Start a nova-compute, if its host is on."""
        compute = self.computes[host]
        if compute.is_up or not self.powered[host]:
            return
        self.say(f'nova-compute on the {host} starts')
        compute.is_up = True
        compute.life += 1
        self.on_start(host)
        waiting, compute.queue = compute.queue, []
        for task, _ in waiting:
            task.life = compute.life
            self._step(task, None)

    def freeze(self, host: str) -> None:
        """Stop a nova-compute without its knowing."""
        compute = self.computes[host]
        if compute.is_up and not compute.is_frozen:
            self.say(f'nova-compute on the {host} is frozen')
            compute.is_frozen = True

    def thaw(self, host: str) -> None:
        """Let it go on."""
        compute = self.computes[host]
        if compute.is_frozen:
            self.say(f'nova-compute on the {host} thaws')
            compute.is_frozen = False
            held, compute.held = compute.held, []
            for task, value in held:
                self._step(task, value)

    # Messages.

    def deliver(self, host: str, program: abc.Callable[[], Program],
                done: abc.Callable[[object], None] | None, about: str) -> None:
        """Send a message to a host; it may be lost, doubled or late."""
        for delay_s in self._delays(about):
            self.after(delay_s, self._arrive, host, program, done)

    def _delays(self, about: str) -> list[float]:
        fate, delays_s = delivery.draw(self.chance, self.bad_messages)
        if fate:
            self.say(f'a message is {fate}: {about}')
        return delays_s

    def _arrive(self, host: str, program: abc.Callable[[], Program],
                done: abc.Callable[[object], None] | None) -> None:
        compute = self.computes[host]
        task = _Task(compute, compute.life, program(), done)
        if compute.is_up:
            self._step(task, None)
        elif self.powered[host] and self.chance.random() < 0.5:
            # It stays in the queue until there is one to read it.
            compute.queue.append((task, None))

    def _call(self, task: _Task, call: Call) -> None:
        waiting = [True]

        def answer(value: object) -> None:
            if waiting:
                waiting.clear()
                self._step(task, value)

        def back(value: object) -> None:
            for delay_s in self._delays(f'the answer to {call.about}'):
                self.after(delay_s, answer, value)

        self.after(CALL_S, answer, Trouble(f'the {call.host} does not answer {call.about}'))
        self.deliver(call.host, call.program, back, call.about)
