"""Tests of zaqar_gateway; the folders mirror the package.

Properties are tried on the same examples each time, so that what fails has to do with what was changed.
``HYPOTHESIS_PROFILE=wide`` in the environment has other ones tried each time, and more of them.
"""

import os

from hypothesis import HealthCheck, settings

# A machine that is busy with something else fails no test by that.
settings.register_profile("same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("wide", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
