"""`scada keys` called in this process, and what a folder holds then."""

from __future__ import annotations

import json

from click.testing import CliRunner

from scada.cli.keys import command
from scada.security.tls_trust import read_material


def run(*words, code=0, stdin=None):
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False, input=stdin)
    assert done.exit_code == code, done.output
    return done.output


def row(keys, name):
    return next(each for each in json.loads(run("show", keys, "--json")) if each["name"] == name)


def tls_key(keys, name):
    return read_material(keys, name).own.key
