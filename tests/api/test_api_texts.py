"""Both catalogues are whole, and every event key that the source uses has a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.texts import LANGUAGES, catalogue, fill, language_of, text
from scada.apps.dispatch.desk import Verdict
from scada.control.programme_records import RunState, StepPhase
from scada.control.programmes import Kind
from scada.control.records import SequenceState
from scada.events.records import AlarmPhase
from scada.model_cim.tables import AlarmClass

ROOT = Path(__file__).resolve().parents[2]
PARAMETER = re.compile(r"\{([a-z_|]+)\}")

GROUPS = ("status", "limit", "state", "alarm", "channel", "control", "security", "agc", "avc", "dispatch", "replay", "model")
GROUPS += ("operator", "rtdb", "history", "events", "audit", "system", "actor", "programme", "programmes", "protocol")
GROUPS += ("topology", "calc", "performance")
PROGRAMMES = {"kind": Kind, "state": RunState, "step": StepPhase}
KEY = re.compile(rf'"((?:{"|".join(GROUPS)})(?:\.[a-z_]+)+)"')
NOT_TEXTS = re.compile(r"^\s*#|get_logger|own\.get\(|\.finding\(|_log\.|settings\.|^\s*import|^from")


def used_keys():
    """Keys in the code of the packages that make events."""
    found = {}
    for package in ("actors", "events", "control", "api"):
        for path in sorted((ROOT / "scada" / package).rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if not NOT_TEXTS.search(line):
                    for key in KEY.findall(line):
                        found.setdefault(key, f"{path.relative_to(ROOT)}:{number}")
    return found


def test_catalogues_have_the_same_keys():
    assert catalogue("en").keys() == catalogue("zh").keys()


def test_both_languages_show_the_same_parameters():
    for key, english in catalogue("en").items():
        chinese = catalogue("zh")[key]
        assert english.strip(), key
        assert chinese.strip(), key
        assert not re.search(r"[\[\]{}]", fill(english, {}) + fill(chinese, {})), key
        assert set(PARAMETER.findall(english)) == set(PARAMETER.findall(chinese)), key


def test_every_key_in_the_source_has_a_text():
    used = used_keys()
    assert len(used) > 25, "the search must find the keys"
    missing = {key: where for key, where in used.items() if key not in catalogue("en")}
    assert not missing


def test_every_value_of_the_enumerations_has_a_text():
    wanted = [f"control.{state.value}" for state in SequenceState]
    wanted += [f"dispatch.{verdict.value}" for verdict in Verdict]
    wanted += [f"alarm_class.{each.value}" for each in AlarmClass]
    wanted += [f"alarm_phase.{each.value}" for each in AlarmPhase if each]
    wanted += [f"programme_{group}.{each.value}" for group, states in PROGRAMMES.items() for each in states]
    wanted += [f"control_state.{number}" for number in pb.ControlState.values() if number]
    wanted += [f"dispatch_code.{number}" for number in pb.DispatchCode.values() if number]
    assert not [key for key in wanted if key not in catalogue("zh")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_without_its_optional_parameters_reads_well(language):
    shown = text(language, "channel.down", {"channel": "RTU-1"})
    assert "RTU-1" in shown
    assert not re.search(r"[\[\]{}]|[:\uff1a]$|  ", shown)


def test_fill():
    assert fill("{a|b}[ ({c})]", {"b": "1", "c": ""}) == "1"
    assert fill("{a}[{a}]", {"a": "{b}", "b": "2"}) == "{b}{b}", "a value is never read as a text"
    assert text("zh", "nothing.known", {"x": "1"}) == "nothing.known x=1"


def test_language_comes_from_the_environment():
    assert language_of("", {"LC_ALL": "", "LANG": "zh_CN.UTF-8"}) == "zh"
    assert language_of("", {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}) == "en"
    assert language_of("", {}) == "en"


def test_every_protocol_notice_has_a_text():
    notice = re.compile(r'(?:Notice|notice|Fault)\(\s*"([a-z_]+)"')
    kinds = set()
    for path in (ROOT / "scada" / "protocols").rglob("*.py"):
        kinds |= set(notice.findall(path.read_text()))
    assert len(kinds) > 10, "the search must find the kinds"
    assert not [kind for kind in kinds if f"protocol.{kind}" not in catalogue("en")]
