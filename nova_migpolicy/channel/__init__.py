# SPDX-License-Identifier: Apache-2.0
"""The RPC between nova-api and nova-compute and between hosts: both ends, the methods once.

It carries plain data, and knows neither the asking side nor the answering one.
"""
