# SPDX-License-Identifier: Apache-2.0
"""Settings are read as a whole, and stay as they are when the new ones are broken."""

import os
import tempfile

import ddt
import fixtures
from oslo_config import cfg
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import limit
from nova_migpolicy.policy import resolve
from nova_migpolicy import settings

LIBVIRT_OPTS = [
    cfg.IntOpt('live_migration_bandwidth', default=0),
    cfg.IntOpt('live_migration_downtime', default=500),
    cfg.IntOpt('live_migration_downtime_steps', default=10),
    cfg.IntOpt('live_migration_completion_timeout', default=800),
    cfg.StrOpt('live_migration_timeout_action', default='abort'),
    cfg.IntOpt('live_migration_parallel_connections', default=1),
]


class Base(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.path = os.path.join(self.folder, 'nova.conf')
        self.profiles = os.path.join(self.folder, 'p.yaml')
        self.addCleanup(self.remove)

    def remove(self):
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        os.rmdir(self.folder)

    def write(self, path, text):
        with open(path, 'w', encoding='utf-8') as stream:
            stream.write(text)

    def conf(self, text='', libvirt=True):
        self.write(self.path, text)
        conf = cfg.ConfigOpts()
        if libvirt:
            conf.register_opts(LIBVIRT_OPTS, group='libvirt')
        conf(['--config-file', self.path], project='nova')
        return conf

    def store(self, text='', **more):
        return settings.Store(self.conf(text, **more))

    def policy(self, store, **sources):
        return resolve.resolve(store.settings.sources(**sources))


@ddt.ddt
class TestRead(Base):

    def test_nothing_set(self):
        store = self.store()
        self.assertEqual(({}, {}), (dict(store.settings.operator), dict(store.settings.libvirt)))
        self.assertEqual('profile balanced', store.settings.describe())

    def test_keys(self):
        got = self.policy(self.store(
            '[migpolicy]\nprofile = post_copy\nmax_downtime_ms = 250\n'
            'remedies = bandwidth, pause\nrequired_features =\n'))
        self.assertEqual(('post_copy', 250, ('bandwidth', 'pause'), ()), (
            got.policy.profile, got.policy.max_downtime_ms, got.policy.remedies,
            got.policy.required_features))
        self.assertEqual('nova.conf', got.origins['remedies'])

    def test_no_remedies(self):
        got = self.policy(self.store('[migpolicy]\nremedies = none\n'))
        self.assertEqual((), got.policy.remedies)

    def test_request_limits(self):
        store = self.store('[migpolicy]\nrequest_limits = max_downtime_ms:-800\n')
        self.assertEqual({'max_downtime_ms': limit.Limit(high=800)},
                         dict(store.settings.request_limits))
        self.assertIn('requests are limited in max_downtime_ms', store.settings.describe())
        got = self.policy(store, request={'max_downtime_ms': 800})
        self.assertEqual(800, got.policy.max_downtime_ms)
        for source in ('request', 'retune'):
            error = self.assertRaises(exception.BadRequest, self.policy, store,
                                      **{source: {'max_downtime_ms': 801}})
            self.assertIn('nova.conf [migpolicy] request_limits', str(error))

    def test_image_limits(self):
        store = self.store('[migpolicy]\nimage_keys = max_downtime_ms,on_stall\n'
                           'image_limits = max_downtime_ms:50-800,on_stall:pause|post_copy\n')
        self.assertEqual({'max_downtime_ms': limit.Limit(50, 800),
                          'on_stall': limit.Limit(high=('pause', 'post_copy'))},
                         dict(store.settings.image_limits))
        got = self.policy(store, image={'max_downtime_ms': '900', 'on_stall': 'pause'})
        self.assertEqual((800, 'pause'), (got.policy.max_downtime_ms, got.policy.on_stall))

    @ddt.data(
        ('profile = golden', "profile = 'golden': there is no such profile; there are balanced"),
        ('max_downtime_ms = 5oo', 'max_downtime_ms'),
        ('on_stall = stop', 'on_stall'),
        ('remedies = pray', 'remedies'),
        ('remedies = pause,none', "remedies = ['pause', 'none']"),
        ('image_keys = migration_network', 'image_keys'),
        ('image_limits = max_downtime_ms:9', 'image_limits'),
        ('image_limits = max_downtim:9-', 'did you mean max_downtime_ms'),
        ('request_limits = max_downtime_ms:9', 'request_limits'),
        ('profiles_file = /nonexistent/p.yaml',
         'profiles file /nonexistent/p.yaml: No such file or directory'))
    @ddt.unpack
    def test_broken_at_the_start(self, line, words):
        error = self.assertRaises(exception.MigPolicyError, self.store, f'[migpolicy]\n{line}\n')
        self.assertIn(words, str(error))

    def test_broken_profiles_at_the_start(self):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: fast\n')
        error = self.assertRaises(exception.BadProfiles, self.store,
                                  f'[migpolicy]\nprofiles_file = {self.profiles}\n')
        self.assertEqual((self.profiles, 'gold', 'max_downtime_ms', 'fast'),
                         (error.path, error.profile, error.key, error.value))

    def test_describe(self):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 60\n')
        store = self.store(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n'
            'remedies = none\nimage_keys = profile\n[libvirt]\nlive_migration_bandwidth = 50\n')
        self.assertEqual(
            'profile gold, bandwidth_mib_s=50, max_bandwidth_mib_s=50, remedies=none; profiles '
            'from the file: gold; images may set profile', store.settings.describe())


class TestNovasOptions(Base):

    def test_cap_is_start_and_ceiling(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_bandwidth = 50\n'))
        self.assertEqual((50, 50), (got.policy.bandwidth_mib_s, got.policy.max_bandwidth_mib_s))
        self.assertEqual('nova.conf [libvirt]', got.origins['bandwidth_mib_s'])

    def test_ceiling_can_be_lifted(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_bandwidth = 50\n'
                                     '[migpolicy]\nmax_bandwidth_mib_s = 0\n'))
        self.assertEqual((50, 0), (got.policy.bandwidth_mib_s, got.policy.max_bandwidth_mib_s))

    def test_connections(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_parallel_connections = 3\n'))
        self.assertEqual(3, got.policy.parallel_connections)

    def test_stock_profile_shows_what_nova_does(self):
        got = self.policy(self.store(
            '[libvirt]\nlive_migration_downtime = 700\nlive_migration_bandwidth = 50\n'
            'live_migration_completion_timeout = 100\n'
            'live_migration_timeout_action = force_complete\n'),
            flavor={'profile': 'nova'})
        self.assertEqual((700, 70, 50, 100, 'force_complete'), (
            got.policy.max_downtime_ms, got.policy.initial_downtime_ms,
            got.policy.bandwidth_mib_s, got.policy.timeout_seconds_per_gib,
            got.policy.on_timeout))

    def test_without_nova(self):
        self.assertEqual({}, dict(self.store(libvirt=False).settings.libvirt))


@ddt.ddt
class TestReload(Base):

    def reloading(self, text):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 60\n')
        conf = self.conf(text)
        store = settings.Store(conf)
        store.reload_on_sighup()
        return conf, store

    def test_new_values(self):
        conf, store = self.reloading('[migpolicy]\nmax_downtime_ms = 250\n')
        self.write(self.path, '[migpolicy]\nmax_downtime_ms = 350\nprofile = post_copy\n')
        conf.mutate_config_files()
        got = self.policy(store).policy
        self.assertEqual((350, 'post_copy'), (got.max_downtime_ms, got.on_stall))
        self.assertIn('settings are in force', self.log.output)

    def test_new_profiles_in_the_same_file(self):
        conf, store = self.reloading(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n')
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 70\n')
        conf.mutate_config_files()
        self.assertEqual(70, self.policy(store).policy.max_downtime_ms)

    def test_nothing_new_says_nothing(self):
        conf, store = self.reloading(f'[migpolicy]\nprofiles_file = {self.profiles}\n')
        before = store.settings
        conf.mutate_config_files()
        self.assertEqual(before, store.settings)
        self.assertNotIn('in force', self.log.output)

    @ddt.data('gold: [\n', 'silver:\n  max_downtime_ms: 9\n', 'gold:\n  max_downtime_ms: 0\n',
              None)
    def test_broken_profiles_leave_the_old_ones(self, text):
        conf, store = self.reloading(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n')
        before = store.settings
        os.unlink(self.profiles)
        if text is not None:
            self.write(self.profiles, text)
        conf.mutate_config_files()
        self.assertIs(before, store.settings)
        self.assertEqual(60, self.policy(store).policy.max_downtime_ms)
        self.assertIn('The [migpolicy] settings in force stay', self.log.output)

    @ddt.data('max_downtime_ms = 5oo', 'profile = silver', 'image_limits = a:b',
              'on_stall = stop')
    def test_broken_options_leave_all_of_the_old_ones(self, line):
        conf, store = self.reloading('[migpolicy]\nmax_throttle_percent = 20\n')
        self.write(self.path, f'[migpolicy]\nmax_throttle_percent = 30\n{line}\n')
        conf.mutate_config_files()
        self.assertEqual(20, self.policy(store).policy.max_throttle_percent)
        self.assertIn('settings in force stay', self.log.output)
