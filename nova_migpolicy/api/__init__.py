# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: a filter in Nova's own API pipeline that adds paths to a server's migrations.

It runs inside nova-api and asks the nova-compute on a migration's source host over RPC; it has
no state of its own. None of this may be imported by nova-compute.
"""
