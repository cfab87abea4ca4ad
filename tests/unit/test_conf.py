# SPDX-License-Identifier: Apache-2.0
"""The options in nova.conf and the sample that is made from them."""

import io
import pathlib

from oslo_config import cfg
from oslo_config import generator
import testtools

from nova_migpolicy import conf as options
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles

ROOT = pathlib.Path(__file__).parents[2]


class TestOptions(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.conf = cfg.ConfigOpts()
        options.register_opts(self.conf)
        self.conf([], project='nova', default_config_files=[], default_config_dirs=[])

    def test_each_key_has_an_option_that_is_not_set(self):
        for name in keys.KEYS:
            self.assertIsNone(self.conf.migpolicy[name], name)

    def test_registering_twice_does_no_harm(self):
        options.register_opts(self.conf)

    def test_all_options_can_be_changed_while_the_service_runs(self):
        [(group, opts)] = options.list_opts()
        self.assertEqual('migpolicy', group.name)
        self.assertEqual([], [opt.name for opt in opts if not opt.mutable])
        self.assertEqual(len(opts), len({opt.name for opt in opts}))

    def test_range_of_a_key_is_the_options(self):
        self.conf.set_override('max_downtime_ms', 2_000_000, group='migpolicy')
        self.assertRaises(ValueError, self.conf.set_override, 'max_downtime_ms', 0,
                          group='migpolicy')
        self.assertRaises(ValueError, self.conf.set_override, 'on_stall', 'stop',
                          group='migpolicy')

    def test_images_cannot_be_given_keys_that_are_not_theirs(self):
        self.conf.set_override('image_keys', ['max_downtime_ms'], group='migpolicy')
        self.assertRaises(ValueError, self.conf.set_override, 'image_keys',
                          ['migration_network'], group='migpolicy')


class TestSamples(testtools.TestCase):

    def test_committed_sample_is_the_generated_one(self):
        conf = cfg.ConfigOpts()
        generator.register_cli_opts(conf)
        conf(['--config-file', str(ROOT / 'etc/oslo-config-generator/nova_migpolicy.conf')],
             project='generator')
        # Called with a file of our own: the configured one is the committed sample.
        out = io.StringIO()
        generator.generate(conf, output_file=out)
        sample = ROOT / 'etc/nova_migpolicy/nova_migpolicy.conf.sample'
        self.assertEqual(
            out.getvalue(), sample.read_text(encoding='utf-8'),
            'run oslo-config-generator --config-file etc/oslo-config-generator/'
            'nova_migpolicy.conf')

    def test_example_of_profiles_can_be_used(self):
        path = str(ROOT / 'etc/nova_migpolicy/profiles.yaml')
        found = profiles.load(path)
        self.assertTrue(any(profile.path == path for profile in found.values()))
