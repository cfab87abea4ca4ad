# SPDX-License-Identifier: Apache-2.0
"""Our rules over the roles of real request contexts, and over an operator's policy file."""

import pathlib

import ddt
import fixtures
from nova import context as nova_context
from oslo_config import cfg
from oslo_policy import generator
from oslo_policy import opts
import testtools

from nova_migpolicy.api import errors
from nova_migpolicy.api import rbac as rbac_mod
from tests.unit.api import fakes

ROOT = pathlib.Path(__file__).parents[3]
_ADMIN = {'admin', 'manager', 'member', 'reader'}
_MANAGER = {'manager', 'member', 'reader'}
_ALL = (rbac_mod.SHOW, rbac_mod.TUNE, rbac_mod.POST_COPY, rbac_mod.PAUSE, rbac_mod.REQUEST,
        rbac_mod.CANCEL_ALL, rbac_mod.RECOVERY, rbac_mod.CAPACITY, rbac_mod.SET_CAPACITY)


def context(roles, project='p', **more):
    return nova_context.RequestContext('u', project, roles=list(roles), **more)


@ddt.ddt
class TestRules(testtools.TestCase):

    def setUp(self):
        super().setUp()
        # Nova asks its own rules whether somebody is an admin.
        self.useFixture(fakes.NovaConf(self.id()))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def rules(self, text=None):
        conf = cfg.ConfigOpts()
        conf([], project='nova', default_config_files=[], default_config_dirs=[])
        opts.set_defaults(conf)
        path = self.folder / 'policy.yaml'
        if text is not None:
            path.write_text(text)
        conf.set_override('policy_file', str(path), group='oslo_policy')
        return rbac_mod.Rbac(conf)

    def allowed(self, rules, who, project='p'):
        found = set()
        for rule in _ALL:
            try:
                rules.check(who, rule, project)
                found.add(rule)
            except errors.Refusal as error:
                self.assertEqual(403, error.code)
                self.assertIn(f'The rule {rule} does not allow it', error.message)
        return found

    @ddt.data((_ADMIN, set(_ALL)), (_MANAGER, {rbac_mod.POST_COPY, rbac_mod.PAUSE}),
              ({'member', 'reader'}, set()), ({'reader'}, set()), (set(), set()),
              ({'service'}, set()))
    @ddt.unpack
    def test_own_project(self, roles, rules):
        self.assertEqual(rules, self.allowed(self.rules(), context(roles)))

    def test_other_projects(self):
        self.assertEqual(set(_ALL), self.allowed(self.rules(), context(_ADMIN), 'q'))
        self.assertEqual(set(), self.allowed(self.rules(), context(_MANAGER), 'q'))

    def test_scope(self):
        self.assertEqual(set(), self.allowed(
            self.rules(), context(_ADMIN, None, system_scope='all')))

    def test_an_operators_file(self):
        rules = self.rules('"migpolicy:show": "role:reader and project_id:%(project_id)s"\n'
                           '"project_manager_or_admin": "role:helpdesk"\n'
                           '"os_compute_api:servers:migrations:delete": "!"\n')
        self.assertEqual({rbac_mod.SHOW}, self.allowed(rules, context(['reader'])))
        self.assertEqual(set(), self.allowed(rules, context(['reader']), 'q'))
        self.assertEqual({rbac_mod.POST_COPY, rbac_mod.PAUSE},
                         self.allowed(rules, context(['helpdesk'])))

    def test_what_is_no_projects_is_met_by_no_check_of_a_project(self):
        """A rule for managers of a project lets nobody cancel what is on a host."""
        rules = self.rules('"migpolicy:cancel_all": "role:manager and project_id:%(project_id)s '
                           'or rule:context_is_admin"\n')
        for who, project, allowed in (
                (context(['manager']), 'p', True), (context(['manager']), 'q', False),
                (context(['manager']), None, False), (context(['manager'], None), None, False),
                (context(_ADMIN), None, True), (context(_ADMIN), 'q', True)):
            self.assertEqual(allowed, rules.allows(who, rbac_mod.CANCEL_ALL, project),
                             (who.roles, project))

    def test_each_rule_is_documented(self):
        self.assertEqual(set(_ALL), {rule.name for rule in rbac_mod.list_rules()})
        for rule in rbac_mod.list_rules():
            self.assertTrue(rule.description and rule.operations)
            self.assertEqual(['project'], rule.scope_types)

    def test_committed_sample_is_the_generated_one(self):
        made = self.folder / 'policy.yaml.sample'
        generator.generate_sample([
            '--config-file', str(ROOT / 'etc/oslo-policy-generator/nova_migpolicy.conf'),
            '--output-file', str(made)], conf=cfg.ConfigOpts())
        sample = ROOT / 'etc/nova_migpolicy/policy.yaml.sample'
        self.assertEqual(
            made.read_text(), sample.read_text(),
            'run oslopolicy-sample-generator --config-file etc/oslo-policy-generator/'
            'nova_migpolicy.conf')
