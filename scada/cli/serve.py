"""``scada serve``: the server."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click


@click.command(name="serve")
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=Path("scada.toml"), show_default=True, help="Configuration."
)
def command(config: Path) -> None:
    """Start the server: channels, database, alarms, control, AGC/AVC, history, gRPC.

    Stops cleanly on Ctrl-C or SIGTERM: channels first, then what waits is committed. See `scada config example`.
    """
    # the matrices are small: threads of the linear algebra library would only take processors from the actors
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from scada.api.tls_versions import refuse_tls_1_2

    refuse_tls_1_2()
    from scada.core.log import configure_logging
    from scada.core.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log.level, settings.log.format)
    sys.setswitchinterval(0.0005)

    from scada.cli.companion import COMPANION_LOOK_S, Companion
    from scada.cli.server import Server
    from scada.cli.stopping import StopAsked

    stop = StopAsked(signal.SIGINT, signal.SIGTERM)
    server = Server(settings)
    server.start()
    wanted = [name for name, enabled in (("opcua", settings.opcua.enabled), ("rest", settings.rest.enabled)) if enabled]
    argv = [sys.executable, "-m", "scada"]
    companions = [Companion([*argv, name, "serve", "-c", str(config), "--parent", str(os.getpid())]) for name in wanted]
    try:
        while not stop.wait(COMPANION_LOOK_S if companions else None):
            for companion in companions:
                companion.attend()
    finally:
        for companion in companions:
            companion.stop()
        server.stop()
