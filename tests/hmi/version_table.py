"""Versions of the model as a table that a test drives: what an engineer orders is in ``acted`` and done at once."""

from __future__ import annotations

from scadapb.v1 import scada_pb2 as pb

HOUR_NS = 3_600_000_000_000
LOST = pb.Danger(key="point-lost:p1", text="point Beishan/110kV/L1/P goes", text_zh="测点 Beishan/110kV/L1/P 将消失")
DEAD = pb.Danger(key="shadow.goes_dead", text="2 pieces of equipment go dead", text_zh="2 个设备将失电")


class VersionTable:
    """Stands for :class:`scada.actors.engineering.Engineering`."""

    def __init__(self, now_ns: int) -> None:
        self.acted: list[object] = []
        self.refuse = ""
        self.table = [
            pb.ModelVersion(
                number=1,
                state="applied",
                maker="system",
                made_ns=now_ns - 50 * HOUR_NS,
                applied_ns=now_ns - 50 * HOUR_NS,
                applied_by="system",
                description="first start, from demo-grid",
                digest="e61c241421af" * 5,
                kept=True,
                previous=True,
            ),
            pb.ModelVersion(
                number=2,
                state="applied",
                maker="li",
                approver="wang",
                made_ns=now_ns - 20 * HOUR_NS,
                applied_ns=now_ns - 19 * HOUR_NS,
                applied_by="li",
                description="limits of the lines to Longtan after the thermal study",
                digest="9eb76a967bfb" * 5,
                base=1,
                stations=["Longtan"],
                counts={"warning": 46},
                kept=True,
                current=True,
                result="no point or channel was touched, no commit for 0.4 ms, 0.12 s in all",
            ),
            pb.ModelVersion(
                number=3,
                state="ready",
                maker="li",
                made_ns=now_ns - HOUR_NS,
                description="bay 2245 in Beishan is renewed",
                digest="d8dce36c8585" * 5,
                base=2,
                checked_on=2,
                stations=["Beishan"],
                counts={"error": 39, "new": 0, "warning": 47, "info": 310},
                dangers=[LOST, DEAD],
                lost=1,
                kept=True,
                result="39 errors, 0 of them new; 47 warnings; 14 objects come, 2 go, 31 values set; in Beishan",
            ),
            pb.ModelVersion(
                number=4,
                state="checking",
                maker="zhao",
                made_ns=now_ns - HOUR_NS // 60,
                description="addresses of Heishan",
                base=2,
                work="compare",
                progress=0.45,
            ),
        ]

    def version(self, number):
        return next(one for one in self.table if one.number == number)

    async def versions(self, limit):
        return pb.VersionList(versions=self.table[::-1], current=2, approval=True)

    async def detail(self, request):
        severities = ["error"] * 3 + ["warning"] * 47
        findings = [
            pb.FindingInfo(
                severity=severity,
                rule="point.source" if severity == "warning" else "schema.enum",
                place=f"SC-Beishan.xml:{100 + number}",
                path=f"Beishan/110kV/L{number}/P",
                text="point has neither a RemoteSource nor an expression: it will never have a value",
                hint="add one of them",
            )
            for number, severity in enumerate(severities)
            if request.severity in ("", severity)
        ]
        effects = [
            pb.EffectInfo(kind="point-lost", station="Beishan", text=LOST.text, text_zh=LOST.text_zh, dangerous=True),
            *[
                pb.EffectInfo(
                    kind="point-gained",
                    station="Beishan",
                    text=f"point Beishan/110kV/2245/{what} comes: Beishan RTU CA 1 IOA {ioa} type 36",
                    text_zh=f"新增测点 Beishan/110kV/2245/{what}: Beishan RTU CA 1 IOA {ioa} type 36",
                )
                for ioa, what in enumerate(("P", "Q", "I", "Uab"), 16401)
            ],
            pb.EffectInfo(
                kind="channel-rebound", text="channel Beishan RTU stays connected: 5 of its points and controls change"
            ),
        ]
        lines = ["shadow run on live values (sequence number 812)", "nodes/buses/live islands: 507/185/1 -> 511/186/1"]
        lines += ["points with a good value/all: 2464/2464 -> 2463/2467", f"refuse: {DEAD.text}", "verdict: do not apply"]
        return pb.VersionDetail(
            version=self.version(request.number),
            findings=findings[request.offset : request.offset + request.limit],
            findings_total=len(findings),
            effects=effects if request.number > 2 else [],
            shadow=pb.ShadowInfo(done=True, refuse=True, lines=lines, lines_zh=["试运行", "结论: 不可应用"])
            if request.number > 2
            else pb.ShadowInfo(),
        )

    async def order(self, request, principal, evidence):
        self.acted.append(request)
        if self.refuse:
            return pb.EngineeringReply(code="refused", reason=self.refuse, version=request.version)
        version = self.version(request.version)
        match request:
            case pb.ApproveRequest():
                version.approver, version.needs_approval = principal.name, False
            case pb.ApplyRequest():
                if missing := [danger for danger in version.dangers if danger.key not in request.confirm]:
                    return pb.EngineeringReply(code="unconfirmed", reason="not confirmed", unconfirmed=missing)
                self._run(version)
            case pb.RollbackRequest():
                self._run(version)
            case pb.WithdrawRequest():
                version.state = "withdrawn"
        return pb.EngineeringReply(accepted=True, version=request.version)

    def _run(self, version):
        for one in self.table:
            one.previous, one.current = one.current, False
        version.state, version.current, version.previous = "applied", True, False
