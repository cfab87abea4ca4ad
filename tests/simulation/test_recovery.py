# SPDX-License-Identifier: Apache-2.0
"""Recovery's table, plan, record and doors in a world whose hosts die, by 2,000 seeds.

A seed that fails is shown with its story; `python -m bench recovery --seed S` tells it, too.
"""

import dataclasses
from unittest import mock

import testtools
from testtools import content

from nova_migpolicy.recovery import doors
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import table
from nova_migpolicy.sim.cluster import play

SEEDS = 2000

Action = plan.Action
Destination = evidence.Destination
Kind = table.Kind
Mode = play.Mode
Written = evidence.Written


def rows(reason, **changes):
    """The table with other values in the rows of a reason, which there must be."""
    changed = tuple(dataclasses.replace(row, **changes) if row.reason == reason else row
                    for row in table.TABLE)
    if not any(row.reason == reason for row in table.TABLE):
        raise LookupError(reason)
    return mock.patch.object(table, 'TABLE', changed)


def actions(kind, *left_out):
    """The plan with a step that lacks actions."""
    return mock.patch.dict(plan.PLAN, {
        kind: tuple(one for one in plan.PLAN[kind] if one not in left_out)})


def open_doors():
    """Doors that ask nobody."""
    return mock.patch.object(doors, 'opening', lambda seen, here: doors.Opening(
        doors.Answer.START, 'the door is open'))


#: what is broken, how, and a part of what has to be found
BREAKS = {
    'a host that does not answer is taken for one that has nothing': (
        lambda: rows('the guest has stayed on the source',
                     destination={Destination.ABSENT, Destination.SILENT}),
        'two copies run'),
    'an awaited guest is taken for one that has arrived': (
        lambda: rows('the guest has arrived, and is shut off on the source',
                     destination={Destination.ARRIVED, Destination.INCOMING}),
        'nowhere else'),
    'a completed migration is taken for a finished one': (
        lambda: rows('it was completed, and the last of it may not have been done',
                     kind=Kind.NOTHING),
        'the record goes'),
    'an evacuation that is under way is not minded': (
        lambda: rows('Nova is moving, evacuating or deleting the server', kind=Kind.NOTHING),
        'the record goes'),
    'a second copy stays on a source that was evacuated': (
        lambda: rows('it was evacuated and runs where Nova has it, and the source has a second '
                     'copy', kind=Kind.HOLD), 'without need'),
    'a paused guest is not let run': (
        lambda: actions(Kind.ROLL_BACK, Action.LET_RUN), 'is paused'),
    'the copy on the source stays': (
        lambda: actions(Kind.FINISH, Action.REMOVE_SOURCE_COPY),
        'the source still has a domain'),
    'nothing is done in Nova': (
        lambda: actions(Kind.FINISH, Action.FINISH_IN_NOVA), 'the record goes'),
    'post-copy is never taken up': (
        lambda: rows('post-copy broke off, and both hosts have their part of the memory',
                     kind=Kind.HOLD), 'without need'),
    'doors ask nobody': (open_doors, 'two copies run'),
}


def first_failure(seeds, part=''):
    """The first of some seeds that does not hold, with this in what is told of it; or None."""
    return next((played for seed in seeds for mode in Mode
                 if (played := play.play(seed, mode)).broken and part in played.broken), None)


class TestRecovery(testtools.TestCase):

    def test_all_holds(self):
        failed = first_failure(range(SEEDS))
        if failed is not None:
            story = []
            play.play(failed.seed, failed.mode, story)
            self.addDetail('story', content.text_content('\n'.join(story)))
            self.fail(f'seed {failed.seed}, {failed.mode.value}: {failed.broken}')

    def test_a_seed_is_the_same_each_time(self):
        for mode in Mode:
            stories = [[], []]
            played = [play.play(7, mode, story) for story in stories]
            self.assertEqual(*played)
            self.assertEqual(*stories)
            self.assertGreater(len(stories[0]), 5)

    def test_most_of_the_table_is_reached(self):
        """Most of it: what is not are cases that other rows or libvirt leave no room for."""
        found = {(step.kind, step.reason) for seed in range(SEEDS)
                 for step in play.play(seed, Mode.SAFETY).steps}
        self.assertEqual(set(Kind) - {Kind.CLEAR}, {kind for kind, _ in found} - {Kind.CLEAR})
        rows_there = {(row.kind, row.reason) for row in table.TABLE}
        self.assertGreater(len(found & rows_there), 0.7 * len(rows_there))


class TestBreaks(testtools.TestCase):
    """What is wrong in the table, the plan or a door is found within as many seeds."""

    def check(self, name):
        broken, part = BREAKS[name]
        with broken():
            self.assertIsNotNone(first_failure(range(SEEDS), part), f'not found: {name}')

    def test_what_is_broken_is_found(self):
        for name in BREAKS:
            with self.subTest(name):
                self.check(name)
