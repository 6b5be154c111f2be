"""A control actor that kills itself at a moment of a two-person control; what it sends stands in a file before it is sent.

Arguments: folder, moment.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from actors.harness import OPERATOR
from actors.test_control_actor import Desk
from scadapb.v1 import scada_pb2 as pb

from scada.actors.messages import Operate, StepAsked
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.points import load_model

GUARDIAN = replace(OPERATOR, name="li", station="desk-2", session="li's")
MOMENTS = ("select row", "select sent", "check_back row", "selected", "confirm row", "confirmed", "execute row", "execute sent")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder, moment):
    """Select, check back, confirm, execute, answer; dead at the moment."""
    model, tables, _ = load_model(Path(__file__).parents[2] / "examples" / "demo-grid")
    desk = Desk((model, tables), folder, two_person=(TwoPersonRule(),))
    wire = (folder / "wire").open("a")
    store, send = desk.audit.append_many, desk.channel.tell

    def append_many(rows):
        numbers = store(rows)
        if any(f"{row.step} row" == moment for row in rows):
            die()
        return numbers

    def tell(message):
        if isinstance(message, Operate):
            wire.write(f"{message.step}\n")
            wire.flush()
            os.fsync(wire.fileno())
        send(message)
        if isinstance(message, Operate) and f"{message.step} sent" == moment:
            die()

    desk.audit.append_many, desk.channel.tell = append_many, tell
    desk.select()
    desk.answer()
    if moment == "selected":
        die()
    selected = desk.replies[-1]
    word = pb.ConfirmRequest(
        sequence_id=selected.sequence_id,
        control=desk.control.mrid,
        value=1.0,
        device_number=desk.control.device_number,
        select_digest=selected.select_digest,
    )
    desk.actor.receive(StepAsked(word, GUARDIAN, b"the guardian's", desk.replies.append))
    if moment == "confirmed":
        die()
    desk.ask(pb.ExecuteRequest(sequence_id=selected.sequence_id, confirm_digest=desk.replies[-1].confirm_digest))
    raise SystemExit("still alive")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
