# SPDX-License-Identifier: Apache-2.0
"""The wanted policy: its keys, the named profiles, and how sources are merged.

Pure Python without Nova, oslo, libvirt, clock, threads or logging. It says nothing about how a
migration is carried out; that is ``nova_migpolicy.engine``'s business.
"""
