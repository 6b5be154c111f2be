"""What is shown of a programme before it is started or confirmed."""

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.texts import text
from scada.cli.ctl_programmes import _print_programme


class Words:
    """The part of a link that prints."""

    def __init__(self, language):
        self.language = language

    def text(self, key, **parameters):
        return text(self.language, key, parameters)

    def heads(self, *names):
        return [self.text(f"ctl.head.{name}") for name in names]

    def state(self, group, name):
        return self.text(f"{group}.{name}")


@pytest.mark.parametrize(
    ("language", "waits", "goes_on"),
    [("en", "none: it pauses behind the step", "none: it goes on"), ("zh", "该步后暂停", "继续执行")],
)
def test_who_starts_or_confirms_sees_behind_which_steps_the_run_waits(capsys, language, waits, goes_on):
    steps = [
        pb.ProgrammeStep(control="c-1", path="S/1", value=1),
        pb.ProgrammeStep(control="c-2", path="S/2", value=1, no_feedback=True),
        pb.ProgrammeStep(control="c-3", path="S/3", value=1, no_feedback=True, accept_no_feedback=True),
    ]
    _print_programme(Words(language), pb.Programme(name="p", kind="sequence", version=1, steps=steps), {})
    lines = capsys.readouterr().out.splitlines()
    first, second, third = (next(line for line in lines if f"S/{number}" in line) for number in (1, 2, 3))
    assert waits not in first
    assert goes_on not in first
    assert waits in second
    assert goes_on in third
