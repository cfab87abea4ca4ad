# SPDX-License-Identifier: Apache-2.0
"""Which troubles in Nova's logs are Nova's own, by recorded ones, wherever the checkout lies."""

import pathlib

import testtools

from tests.stack.support import hostile
from tests.stack.support import logs
from tests.stack.support import verdict
from tests.stack.support import wire
from tests.unit.stack import cases

DEEP, PLAIN = b'[' * 5000, b'{"x": 1}'
FORM = ((b'Content-Type', b'multipart/form-data; boundary='),)
CUT = ((b'Content-Length', b'500'),)
SITE = '{venv}/lib/python3.11/site-packages'
MANAGER = 'nova/compute/manager.py", line 9613, in live_migration_abort'


def request(method='PUT', target='/v2.1/servers/x', headers=(), body=PLAIN, kind='action'):
    return hostile.Request(kind, 'admin', method, target, tuple(headers), body)


class TestNovasOwn(testtools.TestCase):

    def check(self, wanted, name, **sent):
        for checkout in cases.CHECKOUTS:
            [found] = logs.troubles(cases.recorded(name, checkout))
            self.assertIs(wanted, verdict.is_novas_own(
                request(**sent), found, pathlib.Path(checkout) / 'nova_migpolicy'),
                (name, checkout, sent))

    def test_a_body_that_is_not_utf8(self):
        self.check(True, 'body-is-not-utf8', body=b'\xff')
        self.check(False, 'body-is-not-utf8')

    def test_a_body_that_is_nested_deep(self):
        self.check(True, 'body-is-deep', body=DEEP)
        self.check(False, 'body-is-deep', body=b'[' * 50)

    def test_a_body_that_ours_should_have_refused(self):
        self.check(False, 'body-is-deep-and-was-ours', method='POST', body=DEEP)

    def test_a_form(self):
        self.check(True, 'form-without-boundary', headers=FORM)
        self.check(False, 'form-without-boundary')

    def test_a_method_in_the_query(self):
        self.check(True, 'method-in-the-query', target='/v2.1/servers/x?_method=GET')
        self.check(False, 'method-in-the-query')

    def test_a_body_that_is_shorter_than_it_says(self):
        self.check(True, 'body-is-cut-off', headers=CUT)
        self.check(False, 'body-is-cut-off')

    def test_an_address_that_ours_has_seen(self):
        self.check(False, 'address-is-not-utf8-and-was-ours', target='/v2.1/servers/%ff/action')

    def test_what_is_ours_is_never_novas(self):
        for sent in ({'body': b'\xff'}, {'body': DEEP}, {'headers': FORM}, {'headers': CUT},
                     {'target': '/v2.1/%ff'}, {'target': '/v2.1/x?_method=GET'},
                     {'kind': 'delete', 'headers': CUT}):
            self.check(False, 'fault-of-ours', **sent)

    def test_an_error_of_novas_for_another_reason(self):
        """The same error elsewhere in the same file is not excused."""
        for name, sent, old, new in (
                ('body-is-not-utf8', {'body': b'\xff'}, 'in _process_stack', 'in serialize'),
                ('body-is-deep', {'body': DEEP}, 'in _from_json', 'in serialize'),
                ('body-is-not-utf8', {'body': b'\xff'}, 'UnicodeDecodeError', 'KeyError')):
            text = cases.recorded(name)
            self.assertIn(old, text)
            [found] = logs.troubles(text.replace(old, new))
            self.assertFalse(verdict.is_novas_own(request(**sent), found))

    def test_a_critical_line(self):
        [found] = logs.troubles('2026-11-27 10:00:00.000 7 CRITICAL nova [-] Unhandled error\n')
        self.assertFalse(verdict.is_novas_own(request(body=b'\xff'), found))
        self.assertFalse(verdict.was_not_in_time(found))


class TestNotInTime(testtools.TestCase):

    def trouble(self, checkout=cases.CHECKOUTS[0], **changes):
        text = (cases.TRACES / 'cancel-was-not-in-time.log').read_text()
        for old, new in changes.values():
            self.assertIn(old, text)
            text = text.replace(old, new)
        [found] = logs.troubles(text.replace(
            '{ours}', f'{checkout}/nova_migpolicy').replace('{venv}', f'{checkout}/.venv'))
        return found, pathlib.Path(checkout) / 'nova_migpolicy'

    def test_novas_own_manager_knows_better(self):
        for checkout in cases.CHECKOUTS:
            self.assertTrue(verdict.was_not_in_time(*self.trouble(checkout)), checkout)

    def test_it_may_pass_what_notes_that_nova_is_at_it(self):
        """And nothing else of ours."""
        service = f'{SITE}/nova/service.py", line 99, in _tracked'
        for ours, is_excused in (('compute/hooks.py", line 166, in do', True),
                                 ('compute/hooks.py", line 166, in enter', False),
                                 ('compute/doors.py", line 166, in do', False)):
            self.assertEqual(is_excused, verdict.was_not_in_time(*self.trouble(
                where=(service, '{ours}/' + ours))), ours)

    def test_whatever_passes_our_driver_is_ours(self):
        """Such as a cancel that comes between Nova's word and the job, which is to be kept."""
        for checkout in cases.CHECKOUTS:
            for error in ('nova.exception.InvalidMigrationState: x',
                          'nova.exception.NoActiveMigrationForInstance: x',
                          'libvirt.libvirtError: no job is active on the domain'):
                self.assertFalse(verdict.was_not_in_time(*self.trouble(
                    checkout, where=(f'{SITE}/{MANAGER}',
                                     '{ours}/compute/driver.py", line 131, in _order'),
                    error=(self.last(), error))), (checkout, error))

    def test_other_errors_are_none_of_it(self):
        for error in ('nova.exception.NoActiveMigrationForInstance: x', 'KeyError: x',
                      'libvirt.libvirtError: no job is active on the domain'):
            self.assertFalse(verdict.was_not_in_time(*self.trouble(error=(self.last(), error))))
        self.assertFalse(verdict.was_not_in_time(*self.trouble(first=(
            "KeyError: '599", "TypeError: '599"))))
        self.assertFalse(verdict.was_not_in_time(*self.trouble(where=(
            'line 9613, in live_migration_abort', 'line 9613, in live_migration'))))

    def test_an_order_that_our_driver_refuses(self):
        """The only error that it raises of its own will, and nowhere else."""
        ours = (f'{SITE}/{MANAGER}', '{ours}/compute/driver.py", line 131, in _order')
        said = 'nova_migpolicy.compute.driver.OrderRefused: cancel: not possible in post-copy'
        one = {'error': (self.last(), said)}
        for checkout in cases.CHECKOUTS:
            found = self.trouble(checkout, where=ours, **one)
            self.assertTrue(verdict.is_refusal(*found), checkout)
            self.assertFalse(verdict.was_not_in_time(*found))
            self.assertFalse(verdict.is_refusal(*self.trouble(checkout)))
            self.assertFalse(verdict.is_refusal(*self.trouble(
                checkout, where=ours, error=(self.last(), 'KeyError: 5'))))
            self.assertFalse(verdict.is_refusal(*self.trouble(
                checkout, where=(ours[0], ours[1].replace('_order', '_prepare')), **one)))

    def last(self):
        text = (cases.TRACES / 'cancel-was-not-in-time.log').read_text()
        return logs.troubles(text)[0].errors[-1]


class TestAnswer(testtools.TestCase):

    JSON = ('Content-Type', 'application/json')
    OURS = ('OpenStack-API-Version', 'migration-policy 1.0')

    def judge(self, status, body, *headers, novas_own=False, method='GET'):
        return verdict.judge(request(method), wire.Answer(status, headers, body),
                             novas_own=novas_own)

    def test_an_error_of_the_server(self):
        fault = b'{"computeFault": {"code": 500, "message": "m"}}'
        self.assertIn('server', self.judge(500, fault, self.JSON))
        self.assertIsNone(self.judge(500, fault, self.JSON, novas_own=True))
        # What Nova does wrong is no excuse for what we say.
        self.assertIn('server', self.judge(500, fault, self.JSON, self.OURS, novas_own=True))

    def test_a_host_that_is_too_busy(self):
        said = (b'{"serviceUnavailable": {"code": 503, "message": "nova_migpolicy on n1 did not '
                b'answer within 2 s, though it runs: try again."}}')
        self.assertTrue(verdict.is_too_busy(wire.Answer(503, (self.JSON, self.OURS), said)))
        for answer in (wire.Answer(503, (self.JSON,), said),
                       wire.Answer(500, (self.JSON, self.OURS), said),
                       wire.Answer(503, (self.JSON, self.OURS), said.replace(b'2 s', b'').replace(
                           b'within', b''))):
            self.assertFalse(verdict.is_too_busy(answer), answer)
            self.assertIn('server', verdict.judge(request('GET'), answer))

    def test_a_form_that_is_not_novas(self):
        for novas_own in (False, True):
            for status, body, headers in (
                    (200, b'x', [self.OURS]), (200, b'x', [self.JSON]),
                    (400, b'{"a": 1, "b": 2}', [self.JSON]),
                    (400, b'{"badRequest": {"code": 404, "message": "m"}}', [self.JSON])):
                self.assertIsNotNone(self.judge(status, body, *headers, novas_own=novas_own))
            self.assertIsNone(self.judge(200, b'{}', self.JSON, novas_own=novas_own))
            self.assertIsNone(self.judge(
                400, b'{"badRequest": {"code": 400, "message": "m"}}', self.JSON,
                novas_own=novas_own))
