# SPDX-License-Identifier: Apache-2.0
"""Random faults at random moments of migrations, as `python -m bench faults` plays them.

The seed has all faults in its first numbers, in all phases, and few that last long.
"""

from __future__ import annotations

from bench.faults import plan as plan_mod
from bench.faults import play
from bench.faults import world as world_mod
from tests.stack.support import base

SEED = 2710
COUNT = 20


class RandomFaultsTest(base.StackTest):

    nova_conf = world_mod.nova_conf('migpolicy')
    seconds = 600

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.stack.mortal.issuperset(plan_mod.HOSTS):
            cls.stack.mortal = frozenset(plan_mod.HOSTS)
            cls.stack.restart()
        # Each plan has an option of its own in the files.
        cls.addClassCleanup(cls.stack.configure, cls.nova_conf)
        cls.world = world_mod.World(cls.stack)

    def check(self, plan):
        result = play.play(self.world, plan, None)
        again = ('python -m bench faults --driver migpolicy '
                 f'--seed {plan.seed} --only {plan.number}')
        self.assertFalse(result.is_violation, '\n'.join((
            f'{result.verdict}: {result.what}', plan.told(), *result.notes, again)))


def test(plan):
    return lambda self: self.check(plan)


for number in range(COUNT):
    setattr(RandomFaultsTest, f'test_number_{number:02}', test(plan_mod.plan(SEED, number)))
