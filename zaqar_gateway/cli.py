"""The console script ``zaqar-gateway``.

What a command needs is imported by that command: signals that come in the meantime have to find the handlers of ``run``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

import zaqar_gateway
from zaqar_gateway import signals

_DESCRIPTION = "OpenStack Messaging (Zaqar v2) over HTTP and WebSocket, on Twisted and Redis."


def _parser() -> argparse.ArgumentParser:
    from zaqar_gateway import config

    parser = argparse.ArgumentParser("zaqar-gateway", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"zaqar-gateway {zaqar_gateway.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    # The options of run are twistd's; argparse passes them on, --help too.
    commands.add_parser(
        "run", add_help=False, help="serve in the foreground; 'zaqar-gateway run --help' shows its options"
    )

    text = (
        "Validate a file, the environment, the policy file and the plug-ins, and print the settings in effect, passwords"
        " masked."
    )
    check = commands.add_parser("check-config", help="validate the settings and print them", description=text)
    check.add_argument("-c", "--config", metavar="FILE", help=f"file with settings; default: {config.FILE_VARIABLE}")
    sample = check.add_mutually_exclusive_group()
    sample.add_argument("--sample", action="store_true", help="print a file with every setting and its meaning instead")
    sample.add_argument(
        "--sample-policy", action="store_true", help="print a policy file with every rule and its default instead"
    )

    text = (
        "Print a description of the API for machines, as JSON, of what a gateway with these settings serves: openapi"
        " (OpenAPI 3.1) of HTTP, asyncapi (AsyncAPI 3.0) of WebSocket."
    )
    describe = commands.add_parser("describe", help="print a description of the API for machines", description=text)
    describe.add_argument("kind", choices=("openapi", "asyncapi"), help="which one")
    describe.add_argument("-c", "--config", metavar="FILE", help=f"file with settings; default: {config.FILE_VARIABLE}")

    text = "Print the versions of the gateway and of what it runs on."
    commands.add_parser("version", help="print versions", description=text)
    return parser


def run(arguments: Sequence[str]) -> int:
    """Serve in the foreground, with Twisted's own machinery, until a signal ends it."""
    signals.until_it_runs()
    from twisted.python import usage
    from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]  # has it, in no __all__

    from zaqar_gateway.options import Options

    if not {"-h", "--help"}.isdisjoint(arguments):
        shown = Options()
        shown.synopsis = "Usage: zaqar-gateway run [options]"
        print(shown)
        return 0
    options = ServerOptions()
    try:
        options.parseOptions(["--nodaemon", "--pidfile=", "zaqar-gateway", *arguments])
    except usage.UsageError as error:
        print(f"zaqar-gateway run: {error}", file=sys.stderr)
        return 2
    runApp(options)
    return 0


def check_config(path: str | None) -> int:
    """Validate the settings, and what they name, and print them."""
    from zaqar_gateway import config
    from zaqar_gateway.operations import policy
    from zaqar_gateway.plugins import PluginError
    from zaqar_gateway.policyfile import PolicyFile, PolicyFileError
    from zaqar_gateway.tap import check

    try:
        settings = config.load(path, os.environ, {})
        warnings = PolicyFile(settings.policy_path, policy.Policy()).load()
        check(settings)
    except (config.ConfigError, PolicyFileError, PluginError) as error:
        print(error, file=sys.stderr)
        return 1
    for warning in warnings:
        print(warning, file=sys.stderr)
    print(config.effective(settings), end="")
    return 0


def sample() -> int:
    """Print a file with every setting."""
    from zaqar_gateway import config

    print(config.sample(), end="")
    return 0


def sample_policy() -> int:
    """Print a policy file with every rule."""
    from zaqar_gateway.operations import policy

    print(policy.sample(), end="")
    return 0


def describe(kind: str, path: str | None) -> int:
    """Print a description of what a gateway with some settings serves."""
    from zaqar_gateway import config
    from zaqar_gateway.describing import description

    try:
        settings = config.load(path, os.environ, {})
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(description(kind, settings), end="")
    return 0


def version() -> int:
    """Print versions."""
    import twisted

    from zaqar_gateway import config
    from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer
    from zaqar_gateway.storage.redis.embedded.program import find_server

    print(f"zaqar-gateway {zaqar_gateway.__version__}")
    print(f"Python {platform.python_version()}")
    print(f"Twisted {twisted.__version__}")
    try:
        server = find_server(config.load(None, os.environ, {}).storage.redis_server)
    except config.ConfigError as error:
        print(f"Redis: the settings cannot be used:\n{error}")
    except NoRedisServer as error:
        print(f"Redis: {error}")
    else:
        print("{} {}.{} ({})".format(server.name, *server.version, server.program))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: the words after the program's name; default: those of this process.
    :return: the exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        return run(words[1:])
    given = _parser().parse_args(words)
    if given.command == "version":
        return version()
    if given.command == "describe":
        return describe(given.kind, given.config)
    if given.sample:
        return sample()
    if given.sample_policy:
        return sample_policy()
    return check_config(given.config)
