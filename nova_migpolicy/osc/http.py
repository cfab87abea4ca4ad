# SPDX-License-Identifier: Apache-2.0
"""Requests to Nova's API and to the paths that the plugin adds to it.

Answers are JSON objects; everything else is an error of `errors`. There is no retry here:
`watching.polling`, which asks repeatedly, has its own pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions

from nova_migpolicy.osc import errors

#: The version of the plugin's own API that these commands speak.
OURS = 'migration-policy 1.0'
#: The microversion of Nova's API, where Nova has it.
NEWEST = (2, 90)
_HEADER = 'OpenStack-API-Version'
#: Seconds without an answer until a request is given up.
TIMEOUT_S = 30.0

Params = Mapping[str, Any]


class Api:
    """The compute API with one user's credentials.

    :param adapter: a keystoneauth adapter for the compute service
    :param timeout_s: seconds that a request may take
    """

    def __init__(self, adapter: Any, timeout_s: float = TIMEOUT_S) -> None:
        self._adapter = adapter
        self._timeout_s = timeout_s
        self._version: str | None = None

    def nova(self, method: str, path: str, *, params: Params | None = None,
             json: object = None) -> dict[str, Any]:
        """Ask Nova itself.

        :raises Refused: Nova's answer is an error
        :raises Unreachable: there is no answer
        """
        return self._ask(method, path, f'compute {self._microversion()}', params, json)[1]

    def migrate(self, server: str, wanted: Mapping[str, Any]) -> None:
        """Start a live migration; with ``migpolicy`` in it the plugin must be there.

        :param wanted: the body of os-migrateLive
        :raises NoPlugin: Nova does not know the policy in the body
        :raises Refused: the answer is an error
        :raises Unreachable: there is no answer
        """
        version = f'compute {self._microversion()}'
        if 'migpolicy' in wanted:
            version += f', {OURS}'
        try:
            self._ask('POST', f'/servers/{server}/action', version, None,
                      {'os-migrateLive': wanted})
        except errors.Refused as error:
            # Nova's own words for a property that it does not know.
            if error.code == 400 and "'migpolicy' was unexpected" in error.sentence:
                raise errors.NoPlugin(400, f'{errors.INSTALL}, or leave out the policy') from None
            raise

    def ours(self, method: str, path: str, *, params: Params | None = None,
             json: object = None) -> tuple[int, dict[str, Any]]:
        """Ask the plugin; return the status (200, 202) and the body.

        :raises NoPlugin: this Nova's API does not have it
        :raises Refused: its answer is an error
        :raises Unreachable: there is no answer
        """
        return self._ask(method, path, f'compute {self._microversion()}, {OURS}', params, json,
                         ours=True)

    def _ask(self, method: str, path: str, version: str, params: Params | None,
             json: object, ours: bool = False) -> tuple[int, dict[str, Any]]:
        headers = {_HEADER: version, 'Accept': 'application/json'}
        try:
            answer = self._adapter.request(
                path, method, headers=headers, params=dict(params or {}), raise_exc=False,
                timeout=self._timeout_s, **({} if json is None else {'json': json}))
        except ksa_exceptions.ConnectionError as error:
            raise errors.Unreachable(f"Nova's API does not answer: {error}") from None
        except ksa_exceptions.ClientException as error:
            raise errors.Failed(f"Nova's API cannot be asked: {error}") from None
        body = _body(answer)
        status = int(answer.status_code)
        plugin = 'migration-policy' in answer.headers.get(_HEADER, '')
        if status >= 400:
            said = errors.sentence(status, body, answer.text)
            if ours and not plugin and status in (404, 405):
                raise errors.NoPlugin(status, errors.INSTALL)
            raise errors.Refused(status, said)
        if body is None and answer.content:
            raise errors.Unreachable(
                f"what answered {status} at {answer.url} is not Nova's API: it sent no JSON; a "
                'proxy, or a wrong endpoint in the catalogue?')
        return status, body or {}

    def _microversion(self) -> str:
        if self._version is None:
            newest = None
            try:
                data = self._adapter.get_endpoint_data()
                newest = data.max_microversion if data else None
            except ksa_exceptions.ClientException:
                pass    # The request itself, which comes next, reports the error.
            major, minor = min(NEWEST, newest or NEWEST)
            self._version = f'{major}.{minor}'
        return self._version


def _body(answer: Any) -> dict[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
