# SPDX-License-Identifier: Apache-2.0
"""The built-in profiles and the file that adds others."""

import os
import tempfile

import ddt
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve


class WithFile(testtools.TestCase):

    def write(self, text):
        handle, path = tempfile.mkstemp(suffix='.yaml')
        self.addCleanup(os.unlink, path)
        with os.fdopen(handle, 'w', encoding='utf-8') as stream:
            stream.write(text)
        return path

    def load(self, text):
        return profiles.load(self.write(text))


@ddt.ddt
class TestBuiltIn(testtools.TestCase):

    def test_names(self):
        self.assertEqual(
            {'balanced', 'minimal_downtime', 'post_copy', 'suspend_if_needed', 'evacuate',
             'very_large', 'nova'}, set(profiles.BUILT_IN))

    @ddt.data(*profiles.BUILT_IN)
    def test_values_can_be_written_in_a_flavor(self, name):
        profile = profiles.BUILT_IN[name]
        self.assertTrue(profile.description)
        for key, value in profile.values.items():
            self.assertEqual(value, keys.KEYS[key].parse(keys.KEYS[key].text(value)))
        needed = {'parallel_connections'} & set(profile.values)
        self.assertEqual(name in {'post_copy', 'evacuate', 'very_large'}, bool(needed))
        self.assertEqual(set(keys.KEYS) - profiles.SITE_KEYS | needed, set(profile.values))

    @ddt.data(*profiles.BUILT_IN)
    def test_no_contradiction_inside(self, name):
        resolved = resolve.resolve(resolve.Sources(operator={'profile': name}))
        self.assertEqual((), resolved.problems)
        for key, value in profiles.BUILT_IN[name].values.items():
            self.assertEqual(value, getattr(resolved.policy, key))

    def test_balanced_is_the_default_policy(self):
        for key, value in profiles.BUILT_IN['balanced'].values.items():
            self.assertEqual(value, getattr(keys.Policy(), key))

    @ddt.data(*profiles.BUILT_IN)
    def test_every_profile_ends_or_is_stock(self, name):
        values = profiles.BUILT_IN[name].values
        self.assertTrue(values['timeout_seconds'] or values['timeout_seconds_per_gib'])

    def test_stock_figures(self):
        values = profiles.BUILT_IN['nova'].values
        self.assertEqual((500, 800, 'abort'), (
            values['max_downtime_ms'], values['timeout_seconds_per_gib'], values['on_timeout']))


@ddt.ddt
class TestFile(WithFile):

    def test_adds_a_profile_and_keeps_the_built_in_ones(self):
        found = self.load('gold:\n  max_downtime_ms: 80\n  remedies: [bandwidth, downtime]\n'
                          '  description: ours\n')
        self.assertEqual(set(profiles.BUILT_IN) | {'gold'}, set(found))
        self.assertEqual({'max_downtime_ms': 80, 'remedies': ('bandwidth', 'downtime')},
                         dict(found['gold'].values))
        self.assertEqual('ours', found['gold'].description)

    def test_lists_may_be_text(self):
        found = self.load('gold:\n  remedies: bandwidth, pause\n')
        self.assertEqual(('bandwidth', 'pause'), found['gold'].values['remedies'])

    def test_changes_a_built_in_one_key_by_key(self):
        found = self.load('balanced:\n  max_downtime_ms: 400\n')
        self.assertEqual(400, found['balanced'].values['max_downtime_ms'])
        self.assertEqual('abort', found['balanced'].values['on_stall'])
        self.assertEqual(500, profiles.BUILT_IN['balanced'].values['max_downtime_ms'])

    def test_based_on_another_in_any_order(self):
        found = self.load('b:\n  based_on: a\n  max_downtime_ms: 70\n'
                          'a:\n  based_on: post_copy\n  priority: 7\n')
        self.assertEqual('post_copy', found['b'].values['on_stall'])
        self.assertEqual(7, found['b'].values['priority'])
        self.assertEqual(70, found['b'].values['max_downtime_ms'])
        self.assertEqual(300, found['a'].values['max_downtime_ms'])

    def test_empty_file(self):
        self.assertEqual(set(profiles.BUILT_IN), set(self.load('# nothing yet\n')))

    @ddt.data(
        ('- a\n', 'it must map names of profiles to their keys'),
        ('a: 3\n', 'it must map keys to values'),
        ('1:\n  priority: 3\n', '1 is not a name'),
        ("'a b':\n  priority: 3\n", "profile 'a b'"),
        ("'':\n  priority: 3\n", 'empty name'),
        ('nova:\n  priority: 3\n', "profile 'nova': it means Nova's own behaviour"),
        ('a:\n  max_downtime_ms: long\n',
         "profile 'a', max_downtime_ms = 'long': not a whole number"),
        ('a:\n  max_downtime: 3\n', 'did you mean max_downtime_ms'),
        ('a:\n  profile: b\n', 'use based_on'),
        ('a:\n  based_on: b\n', "based_on = 'b': there is no such profile; there are balanced"),
        ('a:\n  based_on: [b]\n', 'not a text'),
        ('a:\n  based_on: a\n', 'in a circle'),
        ('a:\n  based_on: b\nb:\n  based_on: a\n', 'in a circle'),
        ('a:\n  priority: 3\n  priority: 4\n', "'priority' is given twice"),
        ('a:\n  priority: 3\na:\n  priority: 4\n', "'a' is given twice"),
        ('a: [\n', 'not YAML'),
        ('a: !!python/object/apply:os.getcwd []\n', 'not YAML'),
        ('? [a]\n: 3\n', 'not YAML'),
        ('? {a: b}\n: 3\n', 'not YAML'),
        ('a:\n  priority: 2001-99-99\n', 'not YAML'),
        ('a: &a\n  timeout_seconds: *a\n', 'not a whole number'))
    @ddt.unpack
    def test_broken(self, text, words):
        path = self.write(text)
        error = self.assertRaises(exception.BadProfiles, profiles.load, path)
        self.assertIn(words, str(error))
        self.assertIn(path, str(error))

    def test_not_text(self):
        path = self.write('')
        with open(path, 'wb') as stream:
            stream.write(b'a: \xff\xfe\x00')
        self.assertRaises(exception.BadProfiles, profiles.load, path)

    def test_missing_file(self):
        error = self.assertRaises(exception.BadProfiles, profiles.load, '/nonexistent/p.yaml')
        self.assertEqual('profiles file /nonexistent/p.yaml: No such file or directory',
                         str(error))
