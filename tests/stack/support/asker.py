# SPDX-License-Identifier: Apache-2.0
"""A compute host that asks others where a server is, by the plugin's own code; a program.

It reads a question a line from its input, `{"host": …, "args": {"server": …}}`, and prints the
evidence's name.
"""

from __future__ import annotations

import json
import sys

import nova.conf
from nova import config
from nova import context

from nova_migpolicy.channel import client
from nova_migpolicy.compute import peers


def main() -> None:
    """Serve until the input ends."""
    config.parse_args(['asker', '--config-file', sys.argv[1]])
    nova.conf.CONF.set_override('log_file', None)
    channel = client.Channel('nova-compute')
    for line in sys.stdin:
        wanted = json.loads(line)
        found = peers.ask(channel, context.get_admin_context(), wanted['host'],
                          wanted['args']['server'])
        sys.stdout.write(json.dumps(found.destination.name) + '\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
