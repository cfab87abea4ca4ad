# SPDX-License-Identifier: Apache-2.0
"""A policy of which values and origins are left, perhaps written by another version."""

import json

import ddt
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve


@ddt.ddt
class TestRead(testtools.TestCase):

    @ddt.data({}, {'profile': 'evacuate'}, {'profile': 'nova'}, {'profile': 'very_large'},
              {'remedies': 'none', 'max_downtime_ms': '77', 'timeout_seconds': '0'})
    def test_what_was_written_down_is_the_policy_again(self, flavor):
        before = resolve.resolve(resolve.Sources(flavor=flavor))
        written = json.loads(json.dumps(before.to_dict()))
        after = resolve.read(written['policy'], written['origins'])
        self.assertEqual((before.policy, dict(before.origins)),
                         (after.policy, dict(after.origins)))

    def test_what_only_the_other_version_knows_is_left_out(self):
        found = resolve.read({'max_downtime_ms': 99, 'haste': 3},
                             {'max_downtime_ms': 'flavor', 'haste': 'image'})
        self.assertEqual(keys.Policy(max_downtime_ms=99), found.policy)
        self.assertEqual('flavor', found.origins['max_downtime_ms'])
        self.assertEqual('default', found.origins['on_stall'])
        self.assertNotIn('haste', found.origins)

    @ddt.data(('max_downtime_ms', 'long'), ('max_downtime_ms', None), ('max_downtime_ms', -1),
              ('max_downtime_ms', [5]), ('remedies', ['magic']), ('remedies', [1]),
              ('on_stall', 'pray'), ('on_stall', 7), ('profile', {}))
    @ddt.unpack
    def test_a_value_that_the_key_cannot_have_is_refused(self, key, value):
        error = self.assertRaises(exception.BadValue, resolve.read, {key: value}, {})
        self.assertIn(key, str(error))
