# SPDX-License-Identifier: Apache-2.0
"""The direction of the imports between the rooms of the product."""

from __future__ import annotations

import ast
import collections
from collections import abc
import pathlib

import testtools

PACKAGE = pathlib.Path(__file__).parents[2] / 'nova_migpolicy'
ROOMS = frozenset(path.parent.name for path in PACKAGE.glob('*/__init__.py'))
#: the two ends of the channel
ENDS = {'channel.client', 'channel.server'}
#: from a room never to these (rooms, or modules), and why
FORBIDDEN = {
    'policy': (ROOMS - {'policy'}, 'it is pure, and the ground of all'),
    'engine': (ROOMS - {'engine', 'policy'}, 'it is pure'),
    'engine.estimation': ({'engine.steering', 'engine.controller'},
                          'what is known must not depend on what is decided'),
    'engine.steering': ({'engine.controller'}, 'it is made of these'),
    'recovery': (ROOMS - {'recovery'}, 'it is pure'),
    'capacity': (ROOMS - {'capacity'}, 'it is pure'),
    'sim': (ROOMS - {'sim', 'engine', 'policy', 'recovery', 'capacity'}, 'it is pure'),
    'sim.cluster': (ROOMS - {'sim', 'recovery'}, 'it knows no speed'),
    'sim.slots': (ROOMS - {'sim', 'capacity'}, 'it knows no guest'),
    'scheduler': (ROOMS - {'scheduler', 'capacity'}, 'nova-scheduler is another process'),
    'channel': (ROOMS - {'channel'}, 'it carries plain data'),
    'monitor': ((ROOMS - {'monitor', 'engine', 'policy', 'recovery', 'channel'}) | ENDS,
                'it knows no Nova'),
    'compute': ({'api', 'osc', 'cmd', 'sim'}, 'nova-api is another process'),
    'api': ({'compute', 'monitor', 'engine', 'osc', 'cmd', 'sim'},
            'nova-compute is another process'),
    'osc': (ROOMS - {'osc', 'policy'}, 'it runs on a laptop'),
    'cmd': ({'api', 'channel', 'compute', 'monitor', 'osc'}, 'it runs without Nova'),
}
#: the same thing seen from two sides
TWICE = {'account', 'cancel', 'capacity', 'change', 'disk_caps', 'disks', 'doors', 'errors',
         'hands', 'http', 'policies', 'record', 'recovery', 'retune', 'show', 'start', 'status'}


def imports(source: str) -> set[str]:
    """The product's modules that a module imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return {name.removeprefix('nova_migpolicy.') for name in found
            if name.startswith('nova_migpolicy.')}


def names(source: str) -> set[tuple[str, str]]:
    """The product's modules that a module imports, and by which name."""
    return {(f'{node.module}.{alias.name}', alias.asname or alias.name)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(
                'nova_migpolicy') for alias in node.names if alias.name.islower()}


def prefixes(parts: abc.Sequence[str]) -> set[str]:
    """A module with the packages that it is in."""
    return {'.'.join(parts[:number]) for number in range(1, len(parts) + 1)}


class TestImports(testtools.TestCase):

    def test_no_room_imports_what_it_must_not(self):
        wrong = set()
        for path in PACKAGE.glob('*/**/*.py'):
            module = path.relative_to(PACKAGE).with_suffix('').parts
            banned = set().union(*(rooms for room, (rooms, _) in FORBIDDEN.items()
                                   if room in prefixes(module)))
            wrong |= {('.'.join(module), name) for name in imports(path.read_text())
                      if prefixes(name.split('.')) & banned}
        self.assertEqual(set(), wrong)

    def test_every_room_has_a_rule(self):
        self.assertEqual(set(), ROOMS - set(FORBIDDEN))

    def test_a_name_in_two_rooms_is_one_thing_seen_from_two_sides(self):
        rooms = collections.defaultdict(set)
        for path in PACKAGE.rglob('*.py'):
            rooms[path.stem].add(path.parent)
        twice = {name for name, found in rooms.items() if len(found) > 1}
        self.assertEqual(TWICE, twice - {'__init__'})

    def test_a_module_goes_by_one_name(self):
        found = collections.defaultdict(set)
        for path in PACKAGE.rglob('*.py'):
            for module, name in names(path.read_text()):
                found[module].add(name)
        self.assertEqual({}, {module: by for module, by in found.items() if len(by) > 1})

    def test_the_check_itself(self):
        self.assertEqual(
            {('nova_migpolicy.engine.state', 'state_mod'),
             ('nova_migpolicy.engine.record', 'record')},
            names('from nova_migpolicy.engine import state as state_mod\n'
                  'from nova_migpolicy.engine import record, Some\nimport os\n'))
        self.assertEqual({'compute.session', 'api', 'exception'}, imports(
            'import os\nfrom nova_migpolicy.compute import session as mine\n'
            'def late():\n    from nova_migpolicy import api, exception\n'))
