"""Every lock and every cause of a suspension has words in both languages of the operator station."""

import json
from pathlib import Path

import pytest

from scada.apps.agc_avc.avc.locks import WHO_CLEARS
from scada.apps.agc_avc.avc.suspension import CAUSES

LOCALE = Path(__file__).resolve().parents[3] / "hmi-client" / "src" / "locale"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_locks_and_causes_have_words(language):
    words = json.loads((LOCALE / f"{language}.json").read_text("utf-8"))
    wanted = {f"avc.lock.{key}" for key in WHO_CLEARS} | {f"avc.cause.{key}" for key in CAUSES}
    assert wanted <= set(words)
