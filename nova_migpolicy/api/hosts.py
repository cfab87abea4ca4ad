# SPDX-License-Identifier: Apache-2.0
"""Asks compute hosts for what belongs to them and to no project: all of them, or one.

All are asked side by side, within a bound. A host of which not all is known is named in the
answer, with the reason: nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any, Generic, TypeVar

from oslo_log import log as logging

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import parallel
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.api import versions

LOG = logging.getLogger(__name__)

# A host that does not answer takes 2 s. With the time to find the hosts the answer comes within
# 10 s.
BOUNDS = parallel.Bounds(at_once=24, per_host=1, begin_s=6.0, answer_s=8.5)

Body = TypeVar('Body')
Missing = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Question(Generic[Body]):
    """What is asked of hosts.

    :ivar rule: who may ask.
    :ivar method: of the control channel.
    :ivar subject: what only the host itself knows, for sentences.
    :ivar read: returns what a host has answered in the form that it has to have; raises TypeError
        where it has another.
    """

    rule: str
    method: str
    subject: str
    read: Callable[[Mapping[str, Any]], Body]


def permit(call: http.ApiCall, services: target_mod.Services, rule: str) -> None:
    """Let those pass who may do it with hosts.

    :raises errors.Refusal: 400, 403, 406
    """
    versions.check(call.request.headers.get(versions.HEADER))
    call.check_project()
    # A host is no project's: what a rule allows within a project does not allow this.
    services.rbac.check(call.context, rule, None)


def ask_all(call: http.ApiCall, services: target_mod.Services, question: Question[Body],
            **arguments: Any) -> tuple[list[tuple[str, Body]], list[Missing]]:
    """Ask all hosts, or the one that the query names.

    Return what they have answered, by name, and those of which nothing is known, each with the
    reason.

    :raises errors.Refusal: 400, 403, 404, 406, 503
    """
    permit(call, services, question.rule)
    query = http.read_query(call.request)
    schemas.check('host_query', query)
    missing: list[Missing] = []
    if 'host' in query:
        [host] = query['host']
        computes = [find(call, services, host)]
    else:
        computes, silent_cells = services.lookup.computes(call.context)
        missing += [unknown(None, 'The database of a cell does not answer: its hosts were not '
                                  "asked; nova-api's log says which.")] * silent_cells
    states = parallel.run(computes, lambda one: one.host,
                          lambda one: ask(services, one, question, **arguments), BOUNDS)
    told: list[tuple[str, Body]] = []
    for compute, state in zip(computes, states, strict=True):
        try:
            told.append((compute.host, _told(state, compute.host, question)))
        except errors.Refusal as error:
            missing.append(unknown(compute.host, error.message))
    return told, missing


def unknown(host: str | None, message: str) -> Missing:
    """Make the entry of a host of which not all is known; None for those of a cell."""
    return {'host': host, 'message': message}


def find(call: http.ApiCall, services: target_mod.Services, host: str) -> lookup_mod.Compute:
    """Find a host by its name.

    :raises errors.Refusal: 404; 503 if there is no nova-compute on it, or its cell does not answer
    """
    services.lookup.check_host(call.context, host)
    for compute in services.lookup.computes(call.context)[0]:
        if compute.host == host:
            return compute
    raise errors.Refusal(503, f'There is no nova-compute on {host}, or its cell does not answer.')


def ask(services: target_mod.Services, compute: lookup_mod.Compute, question: Question[Body],
        **arguments: Any) -> Body:
    """Ask one host; one that is down is not waited for.

    :raises errors.Refusal: 409, 503: it does not answer, has refused, or is not understood
    """
    host = compute.host
    if not services.lookup.is_up(compute):
        raise errors.Unreachable(503, f'nova-compute on {host} is down, and only it knows '
                                 f'{question.subject}; start it and try again.')
    found = services.ask(compute.context, host, question.method, **arguments)[1]
    try:
        if found is None:
            raise TypeError('there is no answer in it')
        return question.read(found)
    except TypeError as error:
        LOG.warning('The answer of %s to %s is not understood: %s', host, question.method, error)
        raise errors.Refusal(409, f'What {host} answers is not understood; bring nova_migpolicy '
                             'there and in nova-api to the same release.') from None


def _told(state: parallel.State, host: str, question: Question[Body]) -> Body:
    """Return what a host has told.

    :raises errors.Refusal: it has not
    """
    if isinstance(state, parallel.Left):
        raise errors.Refusal(503, f'{host} was not asked, or has not answered, within '
                             f'{BOUNDS.answer_s:g} s; ask for it alone, with host={host}.')
    if isinstance(state.error, errors.Refusal):
        raise state.error
    if state.error is not None:
        LOG.error('%s could not be asked for %s', host, question.subject, exc_info=state.error)
        raise errors.Refusal(500, f'{host} could not be asked: nova-api failed; its log has more.')
    told: Body = state.value
    return told
