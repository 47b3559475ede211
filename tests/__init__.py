"""Tests of zaqar_gateway; the folders mirror the package."""

from hypothesis import HealthCheck, settings

# A machine that is busy with something else fails no test by that.
settings.register_profile("zaqar-gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zaqar-gateway")
