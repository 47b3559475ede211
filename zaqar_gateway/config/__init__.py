"""Settings: read from a file, the environment and the command line, checked once, frozen.

``settings`` is the one place where a setting is described; ``kinds`` says what its value may be.  What checks them at
start (``reading``), the sample file and ``zaqar-gateway check-config`` (``table``), and the table in the documentation
follow from it.
"""

from zaqar_gateway.config.endpoints import on_loopback, without_tls
from zaqar_gateway.config.reading import ConfigError, load
from zaqar_gateway.config.settings import Listen, Settings
from zaqar_gateway.config.table import (
    ALIASES,
    ENVIRONMENT_PREFIX,
    FILE_VARIABLE,
    MASK,
    OPTIONS,
    Option,
    effective,
    sample,
    to_toml,
)

__all__ = [
    "ALIASES",
    "ENVIRONMENT_PREFIX",
    "FILE_VARIABLE",
    "MASK",
    "OPTIONS",
    "ConfigError",
    "Listen",
    "Option",
    "Settings",
    "effective",
    "load",
    "on_loopback",
    "sample",
    "to_toml",
    "without_tls",
]
