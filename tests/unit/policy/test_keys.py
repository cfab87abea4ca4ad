# SPDX-License-Identifier: Apache-2.0
"""The table of keys and how text becomes values."""

import dataclasses

import ddt
import hypothesis
from hypothesis import strategies
import jsonschema
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from tests.unit.policy import cases


@ddt.ddt
class TestTable(testtools.TestCase):

    def test_keys_are_the_policys_fields(self):
        self.assertEqual([field.name for field in dataclasses.fields(keys.Policy)],
                         list(keys.KEYS))

    def test_table_cannot_be_changed(self):
        with testtools.ExpectedException(TypeError):
            keys.KEYS['extra'] = keys.KEYS['priority']

    @ddt.data(*keys.KEYS)
    def test_declaration(self, name):
        key = keys.KEYS[name]
        self.assertEqual(name, key.name)
        self.assertTrue(key.help.endswith('.'), key.help)
        self.assertLessEqual(key.sources, keys.ALL)
        self.assertIn('flavor', key.sources)
        if key.kind == 'int':
            self.assertLessEqual(key.minimum, key.default)
            self.assertLessEqual(key.default, key.maximum)
            if key.image_floor is not None:
                self.assertEqual('lower', key.gentler)
        if key.unit == 'ms':
            self.assertTrue(name.endswith('_ms'))

    @ddt.data(*keys.KEYS)
    def test_default_is_a_value(self, name):
        key = keys.KEYS[name]
        self.assertEqual(key.default, key.parse(key.text(key.default)))

    @ddt.data(*keys.KEYS)
    def test_text_and_back(self, name):
        key = keys.KEYS[name]

        @hypothesis.given(cases.values_of(key))
        def check(value):
            self.assertEqual(value, key.parse(key.text(value)))
            self.assertEqual(value, key.parse(list(value) if key.kind == 'list' else value))
        check()

    @ddt.data(*keys.KEYS)
    def test_any_text_is_a_value_or_a_bad_value(self, name):
        key = keys.KEYS[name]

        @hypothesis.given(strategies.text() | strategies.none() | strategies.floats()
                          | strategies.lists(strategies.integers()) | strategies.booleans())
        def check(given):
            try:
                value = key.parse(given)
            except exception.BadValue as error:
                self.assertEqual((name, given), (error.key, error.value))
                self.assertTrue(error.reason)
            else:
                self.assertIsInstance(value, type(key.default))
        check()


ANYTHING = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.text() | strategies.floats()
    | strategies.integers() | strategies.sampled_from(sorted(keys.WORDS)),
    lambda inner: strategies.lists(inner, max_size=4))


@ddt.ddt
class TestJsonSchema(testtools.TestCase):

    @ddt.data(*keys.KEYS)
    def test_each_value_fits_and_what_fits_is_a_value(self, name):
        key = keys.KEYS[name]
        schema = key.json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        judge = jsonschema.Draft202012Validator(schema)

        @hypothesis.given(cases.values_of(key))
        def check_value(value):
            judge.validate(list(value) if isinstance(value, tuple) else value)
        check_value()

        @hypothesis.given(cases.values_of(key).map(
            lambda value: list(value) if isinstance(value, tuple) else value) | ANYTHING)
        def check_anything(given):
            if judge.is_valid(given):
                key.parse(given)
        check_anything()

    @ddt.data(('bandwidth_mib_s', 'In MiB/s. 0 means no cap.'), ('max_downtime_ms', 'In ms.'),
              ('remedies', 'permits nothing.'))
    @ddt.unpack
    def test_the_description_has_the_unit(self, name, end):
        self.assertTrue(keys.KEYS[name].json_schema()['description'].endswith(end))

    @ddt.data('remedies', 'required_features')
    def test_none_is_a_list_of_nothing(self, name):
        judge = jsonschema.Draft202012Validator(keys.KEYS[name].json_schema())
        for given in ('none', ['none'], []):
            judge.validate(given)
            self.assertEqual((), keys.KEYS[name].parse(given))
        word = (keys.KEYS[name].choices or ('tpm',))[0]
        for given in (word, '', f'none,{word}', ['none', word], [word, 'none'], ['none', 'none']):
            self.assertFalse(judge.is_valid(given), given)

    def test_limits(self):
        schema = keys.KEYS['max_throttle_percent'].json_schema()
        self.assertEqual(('integer', 1, 99),
                         (schema['type'], schema['minimum'], schema['maximum']))
        self.assertEqual(['abort', 'post_copy', 'pause', 'continue'],
                         keys.KEYS['on_stall'].json_schema()['enum'])


class TestWho(testtools.TestCase):

    def test_what_a_retune_may_change(self):
        self.assertEqual(
            ['profile', 'max_downtime_ms', 'bandwidth_mib_s', 'max_bandwidth_mib_s',
             'timeout_seconds', 'timeout_seconds_per_gib', 'on_timeout', 'remedies', 'on_stall',
             'max_throttle_percent'], [key.name for key in keys.retunable()])

    def test_a_request_may_set_all_that_a_retune_may_and_what_counts_at_the_start(self):
        names = [key.name for key in keys.requestable()]
        self.assertLess({key.name for key in keys.retunable()}, set(names))
        self.assertLess({'initial_downtime_ms', 'parallel_connections', 'compression'},
                        set(names))


@ddt.ddt
class TestParse(testtools.TestCase):

    @ddt.data((' 300 ', 300), ('+7', 7), (12, 12), (12.0, 12))
    @ddt.unpack
    def test_numbers(self, given, value):
        self.assertEqual(value, keys.KEYS['max_downtime_ms'].parse(given))

    @ddt.data(('5oo', 'not a whole number'), ('', 'not a whole number'),
              ('1.5', 'not a whole number'), (1.5, 'not a whole number'),
              (True, 'not a whole number'),
              ('9' * 40, 'not a whole number'), ('0', 'below the minimum of 1'),
              ('-3', 'below the minimum of 1'), ('2000001', 'above the maximum of 2000000'))
    @ddt.unpack
    def test_bad_numbers(self, given, reason):
        error = self.assertRaises(
            exception.BadValue, keys.KEYS['max_downtime_ms'].parse, given)
        self.assertEqual(reason, error.reason)
        self.assertEqual(f'max_downtime_ms = {given!r}: {reason}', str(error))

    @ddt.data(('', ()), ('none', ()), ('pause', ('pause',)),
              ('post_copy, bandwidth', ('post_copy', 'bandwidth')),
              ('downtime pause', ('downtime', 'pause')), (['downtime'], ('downtime',)),
              (['none'], ()), ([], ()))
    @ddt.unpack
    def test_lists(self, given, value):
        self.assertEqual(value, keys.KEYS['remedies'].parse(given))

    @ddt.data('bandwith', 'downtime,downtime', 'none,pause', ['none', 'pause'], [1], 3)
    def test_bad_lists(self, given):
        self.assertRaises(exception.BadValue, keys.KEYS['remedies'].parse, given)

    @ddt.data('remedies', 'required_features')
    def test_none_stands_alone(self, name):
        word = (keys.KEYS[name].choices or ('tpm',))[0]
        for given in (f'none,{word}', ['none', word], [word, 'none'], 'none none'):
            error = self.assertRaises(exception.BadValue, keys.KEYS[name].parse, given)
            self.assertEqual('none stands alone; leave it out, or the other words', error.reason)

    def test_bad_choice_names_the_choices(self):
        error = self.assertRaises(exception.BadValue, keys.KEYS['on_stall'].parse, 'stop')
        self.assertEqual("'stop' is not one of abort, post_copy, pause, continue", error.reason)

    @ddt.data(('drain', 100), (' user ', 50), ('maintenance', 20), (0, 0), ('77', 77), (50.0, 50))
    @ddt.unpack
    def test_priority_is_a_class_or_a_number(self, given, points):
        self.assertEqual(points, keys.KEYS['priority'].parse(given))

    @ddt.data('urgent', 'Drain', 'drain,user', '', -1, 101, '101', 0.5, None, True, ['drain'])
    def test_a_priority_that_is_neither(self, given):
        error = self.assertRaises(exception.BadValue, keys.KEYS['priority'].parse, given)
        self.assertEqual('it has to be drain (100), user (50), maintenance (20), or a number from '
                         '0 to 100', error.reason)

    def test_words_are_for_those_that_have_them(self):
        self.assertRaises(exception.BadValue, keys.KEYS['timeout_seconds'].parse, 'user')

    @ddt.data('priority', 'on_busy_destination')
    def test_what_counts_for_slots_is_of_the_start(self, name):
        self.assertTrue(keys.KEYS[name].in_effect)
        self.assertNotIn(keys.KEYS[name], keys.retunable())
        self.assertIn(keys.KEYS[name], keys.requestable())

    @ddt.data('a b', 'x' * 64, '-x', 'ü', 'a\nb')
    def test_bad_names(self, given):
        self.assertRaises(exception.BadValue, keys.KEYS['migration_network'].parse, given)

    def test_unknown_key_proposes_a_close_one(self):
        error = self.assertRaises(exception.UnknownKey, keys.find, 'max_downtim')
        self.assertIn('did you mean max_downtime_ms', str(error))

    @ddt.data(('parallel_connections', '1 to 255'),
              ('compression', 'one of none, xbzrle, zlib, zstd'),
              ('bandwidth_mib_s', '0 to 1000000 MiB/s (0: no cap)'),
              ('required_features', 'a list of names; or none'), ('profile', 'a name'))
    @ddt.unpack
    def test_allows(self, name, text):
        self.assertEqual(text, keys.KEYS[name].allows())


class TestPolicy(testtools.TestCase):

    def test_deadline_is_the_sum_of_both_parts(self):
        policy = keys.Policy(timeout_seconds=100, timeout_seconds_per_gib=10)
        self.assertEqual(100 + 10 * (4 + 20.5), policy.deadline_seconds(4, 20.5))

    def test_deadline_of_one_part(self):
        self.assertEqual(60, keys.Policy(
            timeout_seconds=60, timeout_seconds_per_gib=0).deadline_seconds(4, 20))
        self.assertEqual(8, keys.Policy(
            timeout_seconds=0, timeout_seconds_per_gib=2).deadline_seconds(4, 0))

    def test_no_deadline(self):
        policy = keys.Policy(timeout_seconds=0, timeout_seconds_per_gib=0)
        self.assertIsNone(policy.deadline_seconds(4, 20))

    def test_what_the_default_may_do(self):
        policy = keys.Policy()
        self.assertEqual(
            (False, False, False, False),
            (policy.may_post_copy, policy.may_pause, policy.may_throttle, policy.is_stock))

    def test_post_copy_may_be_asked_for_in_three_places(self):
        for changes in ({'remedies': ('post_copy',)}, {'on_stall': 'post_copy'},
                        {'on_timeout': 'post_copy'}):
            self.assertTrue(keys.Policy(**changes).may_post_copy, changes)

    def test_pause_may_be_asked_for_in_three_places(self):
        for changes in ({'remedies': ('pause',)}, {'on_stall': 'pause'},
                        {'on_timeout': 'pause'}, {'on_timeout': 'force_complete'}):
            self.assertTrue(keys.Policy(**changes).may_pause, changes)

    def test_stock(self):
        self.assertTrue(keys.Policy(profile='nova').is_stock)
