"""Control actors that kill themselves, each at another moment of a two-person control; what one sends stands in a file before it
is sent.

The model is loaded once and a child is forked for each moment: loaded anew for each, a busy host took longer than a test may.

Argument: folder; each moment has one below it, and how its process ended is told in a line of its own.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from actors.harness import OPERATOR
from actors.test_control_actor import Desk
from scadapb.v1 import scada_pb2 as pb

from scada.actors.messages import Operate
from scada.actors.order_messages import StepAsked
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.points import load_model

GUARDIAN = replace(OPERATOR, name="li", station="desk-2", session="li's")
MOMENTS = ("select row", "select sent", "check_back row", "selected", "confirm row", "confirmed", "execute row", "execute sent")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def operate(demo, folder, moment):
    """Select, check back, confirm, execute, answer; dead at the moment."""
    folder.mkdir()
    desk = Desk(demo, folder, two_person=(TwoPersonRule(),))
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


def main(folder):
    """Fork a process for each moment, one after the other."""
    model, tables, _ = load_model(Path(__file__).parents[2] / "examples" / "demo-grid")
    for moment in MOMENTS:
        child = os.fork()
        if not child:
            operate((model, tables), folder / moment, moment)
            raise SystemExit("still alive")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
