# SPDX-License-Identifier: Apache-2.0
"""A program: the control channel of a plugin of another version, in the place of a host's.

    other_version.py HOST

It speaks version 2.0 alone, and says so on its output when it listens.
"""

from __future__ import annotations

import sys
import types

from oslo_config import cfg
from oslo_service import backend

from lab.openstack import layout

NAME = 'migpolicy'


def main() -> None:
    """Listen until it is ended."""
    # It has to be chosen before the bus's library is there, which would take eventlet.
    backend.init_backend(backend.BackendType.THREADING)
    import oslo_messaging as messaging

    cfg.CONF([], project='nova', default_config_files=[])
    messaging.set_transport_defaults('nova')
    # Whatever it can do, nobody of ours can call it.
    endpoint = types.SimpleNamespace(target=messaging.Target(namespace=NAME, version='2.0'))
    server = messaging.get_rpc_server(
        messaging.get_rpc_transport(cfg.CONF, url=layout.TRANSPORT),
        messaging.Target(topic=NAME, server=sys.argv[1]), [endpoint], executor='threading')
    server.start()
    sys.stdout.write('listening\n')
    sys.stdout.flush()
    server.wait()


if __name__ == '__main__':
    main()
