"""Entry of the ``scada`` command: sub-commands are imported when they are called, so that ``--help`` stays quick."""

from __future__ import annotations

import importlib
import sys

import click

from scada import __version__
from scada.core.errors import ScadaError

COMMANDS = {
    "agc": "Performance of regulation: reports of hours, days and months.",
    "alarms": "Alarms of a running server: list, shelve, take out of service, figures after EEMUA 191.",
    "audit": "The audit log: check it offline, read and export it, be a witness of its checkpoints.",
    "avc": "Voltage control: check plans of targets.",
    "channel": "Front-end channels: diagnosis, live frames, orders, recordings.",
    "config": "Check a configuration, print its schema or a commented example.",
    "ctl": "Operate a running server from a terminal.",
    "demo": "Start simulator, server and operator station on the demo grid.",
    "dispatch": "Upstream dispatch: send a signed set-point or schedule.",
    "doctor": "Find weak set-ups: keys, certificates, permissions, clock, listeners, audit log.",
    "events": "The event log: list, export, sequence of events, disturbance recall.",
    "history": "Recorded samples: query, export, import.",
    "hmi": "Start the operator station: serves the page on loopback and holds the operator's key.",
    "keys": "Identities and authorities: issue, renew, revoke, carry; secrets (SM2 keys and certificates).",
    "model": "Check and show a CIM model; draw its diagrams.",
    "opcua": "OPC UA: import points of a server, certificates, trust, users, our own server.",
    "replay": "Run a recorded IEC 104 trace through the live decoder.",
    "rest": "Reading for third parties over HTTP: serve, tokens, the published description.",
    "rtdb": "Check, dump, measure, back up and restore the real-time database.",
    "serve": "Start the server.",
    "sim": "Start the plant simulator and its outstations.",
    "smtls": "The way between client and server over SM2, SM3 and SM4 (TLS 1.3, RFC 8998).",
    "upstream": "Stations towards upstream control centres: state, rows of their forwarding tables.",
    "users": "Who may do what, where and from where; sessions; passwords of keys.",
}
"""Name and one line of help; module ``scada.cli.<name>`` holds ``command``."""


class LazyGroup(click.Group):
    """A click group that imports a sub-command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``scada.cli.<cmd_name>``."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        loaded = importlib.import_module(f"scada.cli.{cmd_name}").command
        assert isinstance(loaded, click.Command)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="scada")
def cli() -> None:
    """Real-time SCADA/EMS: IEC 104, Modbus and OPC UA in; signed gRPC out; AGC and AVC closing the loop."""


def main() -> None:
    """Run the command; a deliberate error is one line and exit code 1, never a traceback."""
    try:
        code = cli(prog_name="scada", standalone_mode=False)  # that of click's Exit, or what the command returned
    except ScadaError as error:
        click.echo(f"scada: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    if isinstance(code, int) and code:
        sys.exit(code)


if __name__ == "__main__":
    main()
