# SPDX-License-Identifier: Apache-2.0
"""Rules change nothing, and the state is changed by its own methods alone."""

from __future__ import annotations

import ast
import inspect
import pathlib

import fixtures
import testtools

from nova_migpolicy.engine import controller
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

ENGINE = pathlib.Path(inspect.getfile(controller)).parent
#: the methods of the state that change it, and the modules that call them
CHANGES = {
    'sampled': {'estimation/observer'}, 'resized': {'estimation/observer'},
    'enter': {'controller'}, 'issue': {'controller'}, 'applied': {'controller'},
    'refused': {'controller'}, 'take_over': {'controller'},
    'forgive': {'steering/orders', 'steering/retune'}, 'retuned': {'steering/retune'},
}


def foreign(text):
    """The places where a module sets what is not its own: an attribute of anything but self."""
    return [node.lineno for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del))
            and not (isinstance(node.value, ast.Name) and node.value.id == 'self')]


def changing(text):
    """The methods of the state that a module calls, of those that change it."""
    return {node.func.attr for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in CHANGES and ast.unparse(node.func.value) in (
                'state', 'self._state')}


class TestRules(testtools.TestCase):

    def modules(self):
        return {path.relative_to(ENGINE).with_suffix('').as_posix(): path.read_text()
                for path in sorted(ENGINE.rglob('*.py'))}

    def test_nobody_sets_what_is_not_its_own(self):
        found = {name: foreign(text) for name, text in self.modules().items()}
        self.assertEqual({}, {name: lines for name, lines in found.items() if lines})

    def test_the_state_is_changed_where_it_is_said_to_be(self):
        found = {}
        for name, text in self.modules().items():
            for method in changing(text):
                found.setdefault(method, set()).add(name)
        self.assertEqual(CHANGES, found)

    def test_a_rule_changes_neither_the_state_nor_the_observation(self):
        asked, names = set(), {rule.decide.__name__ for rule in controller.RULES}

        def checked(rule):
            def decide(state, seen):
                before = repr((vars(state), seen))
                found = rule.decide(state, seen)
                self.assertEqual(before, repr((vars(state), seen)), rule.decide.__name__)
                asked.add(rule.decide.__name__)
                return found

            return rule._replace(decide=decide)

        self.useFixture(fixtures.MockPatchObject(
            controller, 'RULES', tuple(map(checked, controller.RULES))))
        for load, setup in ((guests.sweep(1024, 200, 80), {}),
                            (guests.idle(512), {'disk_mib': 2000, 'disk_write_mib_s': 60}),
                            (guests.sweep(512, 300, 300), {'outages': ((20.0, 400.0),)})):
            made, plant = run.start(
                keys.Policy(bandwidth_mib_s=50, timeout_seconds=200, timeout_seconds_per_gib=0),
                precopy.Setup(load, link_mib_s=1000, **setup))
            run.steer(made, plant, until_s=500.0)
        self.assertEqual(names, asked)

    def test_each_method_that_changes_it_is_known(self):
        tree = ast.parse(inspect.getsource(state_mod))
        [made] = [node for node in tree.body
                  if isinstance(node, ast.ClassDef) and node.name == 'State']
        sets = {method.name for method in made.body if isinstance(method, ast.FunctionDef)
                if any(isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                       for node in ast.walk(method))
                or any(word in ast.unparse(method) for word in ('.pop(', '.extend(', '.clear('))}
        self.assertEqual(set(CHANGES) | {'__init__'},
                         {name for name in sets if name != '_answer'})

    def test_the_checks_themselves(self):
        self.assertEqual([2], foreign('def rule(state, seen):\n    state.error = 1\n'))
        self.assertEqual([], foreign('class One:\n    def go(self):\n        self.error = 1\n'))
        self.assertEqual({'forgive'}, changing('def rule(state):\n    state.forgive(())\n'))

    def test_each_rule_and_its_condition_say_what_they_are(self):
        for rule in controller.RULES:
            for one in (rule.decide, rule.when):
                self.assertRegex(inspect.getdoc(one).splitlines()[0], r'^[A-Z].*\.$')
