# SPDX-License-Identifier: Apache-2.0
"""The commands: ``andpop NAME`` is ``command`` of ``NAME.py``, listed under its ``GROUP``.

Every command is a thin call of ``flows.api``: options in, one result out, shown or as JSON.
"""
