"""The server process: system, gRPC and metrics together."""

from __future__ import annotations

from contextlib import ExitStack

import structlog
import uvloop

from scada.actors.facade import Facade
from scada.actors.metrics import SystemCollector, serve_metrics
from scada.actors.ports import check_port
from scada.actors.system import System
from scada.api.server import ApiThread
from scada.core.clock import SystemClock, make_clock
from scada.core.secret_values import use_source
from scada.core.settings import Settings
from scada.security.identities import seal_key
from scada.security.policy import PolicyFiles
from scada.security.renewable_identity import RenewableIdentity
from scada.security.revocation_memory import RevocationMemory
from scada.security.secrets_store import SecretStore
from scada.security.session import SERVER_ROLE, SessionPolicy, SessionServer
from scada.security.sm2 import self_test
from scada.security.standing import StandingRights
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust

_log = structlog.get_logger("server")

SERVER_IDENTITY = "server"


class Server:
    """Starts everything in the order in which it can be undone.

    Args:
        settings: the configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closing = ExitStack()

    def start(self) -> None:
        """Prove the cryptography, open the databases, start the actors, listen.

        Raises:
            ScadaError: a port is taken, a key is wrong, a database or the model cannot be opened.
        """
        settings = self._settings
        for port, purpose in (
            (settings.api.port, "views"),
            (settings.api.control_port, "controls"),
            (settings.metrics.port, "metrics"),
        ):
            check_port(settings.api.host if purpose != "metrics" else settings.metrics.host, port, purpose)
        _log.info("cryptography", sm2=self_test())
        # authentication goes by the host's clock, whatever rate the plant's time runs at
        host_clock = SystemClock()
        use_source(SecretStore(settings.security.keys).get)
        security = settings.security
        memory = RevocationMemory(security.revoked)
        trust = Trust(
            security.keys,
            host_clock,
            lists_demanded=security.revocation_lists == "required",
            files=PolicyFiles(security.keys, security.roles, security.zones),
            memory=memory,
        )
        tls = TlsTrust(settings.security.keys, memory=memory) if settings.api.tls else None
        identity = RenewableIdentity(security.keys, SERVER_IDENTITY, host_clock, trust=trust, role=SERVER_ROLE)
        sessions = SessionServer(
            site=settings.site.name,
            identity=identity,
            trust=trust,
            clock=host_clock,
            control_window_s=security.control_window_s,
            policy=SessionPolicy(
                secrecy=security.secrecy,
                idle_s=60 * security.idle_minutes,
                one_control_session=security.one_control_session,
                rekey_after_s=60 * security.rekey_minutes,
                tls_names={name: frozenset(names) for name, names in security.tls_names.items()},
            ),
            tls_digests=tls.digests if tls else frozenset,
        )
        clock, seal = make_clock(settings.clock.rate, settings.clock.epoch_ns), seal_key(security.keys, identity.current)
        system = System(settings, clock, StandingRights(trust, host_clock), seal)
        with ExitStack() as undo:
            undo.callback(system.stop)
            system.start()
            facade = Facade(system)
            undo.callback(facade.audit.close)
            facade.audit.trust = trust
            facade.audit.keep(identity, settings, host_clock, facade.report)
            api = ApiThread(
                facade,
                sessions,
                settings.api,
                uvloop.new_event_loop,
                tls=tls,
                controls_work=lambda: system.control.health.state == "running",
            )
            api.start()
            undo.callback(api.stop)
            collector = SystemCollector(facade.status, system.supervisor.addresses)
            undo.callback(serve_metrics(settings.metrics, collector))
            self._closing = undo.pop_all()
        _log.info("server up", site=settings.site.name, points=len(system.tables.points), channels=len(system.tables.channels))

    def stop(self) -> None:
        """Stop listening, then the channels, then everything else; what waits is handled and committed."""
        self._closing.close()
        _log.info("server stopped")
