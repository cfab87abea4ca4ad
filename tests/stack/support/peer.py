# SPDX-License-Identifier: Apache-2.0
"""A compute host that calls the control channel of others with whatever it is told; a program.

It reads a call a line from its input, `{"host": …, "method": …, "args": {…}}`, and prints the
answer, or `{"error": …}` with the kind of what was raised there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import nova.conf
from nova import config
from nova import context
from nova import rpc
import oslo_messaging as messaging

TIMEOUT_S = 20


def call(client: Any, host: str, method: str, args: dict[str, Any]) -> Any:
    """Call a method of the control channel on a host."""
    try:
        return client.prepare(server=host, timeout=TIMEOUT_S).call(
            context.get_admin_context(), method, **args)
    except messaging.RemoteError as error:
        return {'error': error.exc_type}
    except messaging.MessagingException as error:
        return {'error': type(error).__name__}


def main() -> None:
    """Serve until the input ends."""
    config.parse_args(['peer', '--config-file', sys.argv[1]])
    nova.conf.CONF.set_override('log_file', None)
    client = rpc.get_client(messaging.Target(
        topic='migpolicy', namespace='migpolicy', version='1.0'))
    for line in sys.stdin:
        wanted = json.loads(line)
        answer = call(client, wanted['host'], wanted['method'], wanted['args'])
        sys.stdout.write(json.dumps(answer) + '\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
