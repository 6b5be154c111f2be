"""An explanation of AGC or AVC as the API shows it."""

from __future__ import annotations

from scadapb.v1 import scada_pb2 as pb

from scada.apps.agc_avc.explanation import Explanation, Term


def explanation(application: str, found: Explanation) -> pb.Explanation:
    """The message of an explanation; ``application`` is ``agc`` or ``avc``."""
    return pb.Explanation(
        mrid=found.mrid,
        name=found.name,
        application=application,
        output=found.output,
        unit=found.unit,
        output_ns=found.output_ns,
        sent=found.sent,
        reason=found.reason,
        inputs=[_term(term) for term in found.inputs],
        steps=[_term(term) for term in found.steps],
        limits=[
            pb.ExplainedLimit(key=limit.key, low=limit.low, high=limit.high, binding=limit.binding) for limit in found.limits
        ],
        objective=found.objective,
    )


def _term(term: Term) -> pb.ExplainedTerm:
    return pb.ExplainedTerm(key=term.key, value=term.value, unit=term.unit, note=term.note)
