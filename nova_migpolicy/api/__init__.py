# SPDX-License-Identifier: Apache-2.0
"""HTTP: a filter in Nova's own API pipeline that adds to a server's migrations what Nova lacks.

It runs inside nova-api and asks the nova-compute on a migration's source host over RPC; it has
no state of its own.  None of this may be imported by nova-compute.
"""
