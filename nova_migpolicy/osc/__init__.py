# SPDX-License-Identifier: Apache-2.0
"""The `openstack` commands: see, retune, cancel and start live migrations from anywhere.

They speak HTTP to Nova's API and run where neither Nova nor libvirt is installed. What they share
with the hosts is only the table of policy keys.
"""
