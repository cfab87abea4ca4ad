# SPDX-License-Identifier: Apache-2.0
"""Each of Nova's private names is where it is expected, and takes what it is given."""

import os
import re
from unittest import mock

import nova.version

from nova_migpolicy.compute import compat
from nova_migpolicy import exception
from nova_migpolicy import nova_contract
from tests.contract import base


class Example:
    """Something to find fault with."""

    def __init__(self, one):
        self._kept = one

    def method(self, one, two, three=3):
        pass

    def many(self, one, *rest, flag=False):
        pass


class TestNames(base.ContractCase):

    def test_nothing_has_moved(self):
        wrong = nova_contract.mismatches(nova_contract.NAMES + nova_contract.API_NAMES)
        self.assertEqual([], wrong, '\n'.join(wrong))

    def test_each_name_is_there_once_with_its_use(self):
        paths = [name.path for name in nova_contract.NAMES + nova_contract.API_NAMES]
        self.assertEqual(len(paths), len(set(paths)))
        for name in nova_contract.NAMES + nova_contract.API_NAMES:
            self.assertTrue(name.use)


class TestTheComparison(base.ContractCase):

    def check(self, words, path, *args, **kwargs):
        name = nova_contract.Name(f'{__name__}:{path}', 'prove it', *args, **kwargs)
        wrong = nova_contract.mismatches([name])
        if words is None:
            self.assertEqual([], wrong)
        else:
            self.assertEqual(1, len(wrong))
            self.assertIn(words, wrong[0])
            self.assertIn('needed to prove it', wrong[0])

    def test_all_as_expected(self):
        self.check(None, 'Example.method', ('one', 'two', 'three='))
        self.check(None, 'Example.method', ('one', 'two'))
        self.check(None, 'Example.method', ('one', 'zwei|two'))
        self.check(None, 'Example.many', ('one', '*rest', 'flag='))
        self.check(None, 'Example.__init__', ('one',), sets=('_kept',))

    def test_gone(self):
        self.check('is not there', 'Example.other', ())
        self.assertIn('is not there', nova_contract.mismatches(
            [nova_contract.Name('nova.no_such_module:thing', 'prove it')])[0])

    def test_renamed_parameter(self):
        self.check('has no parameter zwei in place 2', 'Example.method', ('one', 'zwei'))

    def test_missing_parameter(self):
        self.check('has no parameter four in place 4', 'Example.method',
                   ('one', 'two', 'three', 'four'))

    def test_new_parameter_without_a_default(self):
        self.check('needs two as well: it takes (self, one, two, three=3)', 'Example.method',
                   ('one',))

    def test_lost_default(self):
        self.check('needs two', 'Example.method', ('one', 'two='))

    def test_no_longer_several(self):
        self.check('takes only one two', 'Example.method', ('one', '*two'))

    def test_no_longer_set(self):
        self.check('does not set _other', 'Example.__init__', ('one',), sets=('_other',))


class TestRelease(base.ContractCase):

    def test_this_is_the_one_that_was_meant(self):
        number, _ = compat.nova_release()
        self.assertEqual(os.environ.get('MIGPOLICY_NOVA', str(number)), str(number))
        if number > 31 and 'OS_NOVA_DISABLE_EVENTLET_PATCHING' in os.environ:
            self.assertEqual(os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] == 'true',
                             compat.is_threaded())

    def test_this_one_is_supported(self):
        compat.check_nova()
        self.assertIn(compat.nova_release()[0], compat.RELEASES)

    def test_declared_range_is_the_supported_one(self):
        with open('setup.cfg', encoding='utf-8') as stream:
            lowest, above = re.search(r'nova>=(\d+)\.0\.0,<(\d+)', stream.read()).groups()
        self.assertEqual((min(compat.RELEASES), max(compat.RELEASES) + 1),
                         (int(lowest), int(above)))

    def refused(self):
        return str(self.assertRaises(exception.UnsupportedNova, compat.check_nova))

    def test_another_version(self):
        for text in ('30.2.1', '35.0.0', '35.0.0.0rc1', 'unknown'):
            with mock.patch.object(nova.version, 'version_string', lambda text=text: text):
                sentence = self.refused()
            self.assertIn(f'its version is {text}', sentence)
            self.assertIn('works with Nova 31 (2025.1), 32 (2025.2), 33 (2026.1), 34 (2026.2)',
                          sentence)
            self.assertIn('compute_driver = libvirt.LibvirtDriver', sentence)

    def test_versions_of_packagers(self):
        for text in ('34.1.0.dev7', '1!34.0.0', '31.0.0+distro1'):
            with mock.patch.object(nova.version, 'version_string', lambda text=text: text):
                compat.check_nova()

    def test_a_moved_name(self):
        moved = nova_contract.Name('nova.compute.utils:gone', 'prove it')
        sentences = nova_contract.mismatches([moved])
        with mock.patch.object(nova_contract, 'mismatches', lambda *names: sentences):
            self.assertIn('nova.compute.utils:gone is not there; it is needed to prove it',
                          self.refused())
