"""Results go to stdout, all else to stderr, as one reporter of a command decides."""

from __future__ import annotations

import sys

from cnnviz.cli import console
from cnnviz.cli.console import ConsoleReporter
from cnnviz.errors import ImageError, Remark
from cnnviz.pipeline.reporter import Reporter


def test_reporter_is_one_of_the_pipeline():
    reporter: Reporter = ConsoleReporter()
    assert not reporter.shows_detail


def test_quiet_leaves_out_warnings_and_verbose_adds_details(capsys):
    for reporter in (ConsoleReporter(), ConsoleReporter(quiet=True), ConsoleReporter(verbose=True)):
        reporter.warn("a warning")
        reporter.detail("a detail")
        reporter.failed("a.png", ValueError("no image"))
    assert capsys.readouterr().err.splitlines() == [
        *("note: a warning", "error: a.png: no image"),
        "error: a.png: no image",
        *("note: a warning", "cnnviz: a detail", "error: a.png: no image"),
    ]


def test_results_are_paths_and_words_or_json(capsys):
    record = {"input": "a.png", "note": Remark("Too large.", remedy="recursive")}
    ConsoleReporter().result(record, ["a.png"], ["a cat"])
    ConsoleReporter(json=True).result(record, ["a.png"], ["a cat"])
    assert capsys.readouterr().out.splitlines() == [
        *("a.png", "a cat"),
        '{"input": "a.png", "note": "Too large. -r looks into its folders too."}',
    ]


def test_json_has_null_where_a_number_is_not_finite(capsys):
    console.result_json({"a": [float("nan"), 1.5, {"b": float("-inf")}], "c": (True, "x")})
    assert capsys.readouterr().out == '{"a": [null, 1.5, {"b": null}], "c": [true, "x"]}\n'


def test_a_name_is_said_once(capsys):
    ConsoleReporter().failed("a\nb.png", ImageError("'a\\nb.png' does not exist."))
    assert capsys.readouterr().err == "error: 'a\\nb.png' does not exist.\n"


def test_one_line_a_message(capsys):
    console.error("no 'a\nb\x1b.png'")
    assert capsys.readouterr().err == "error: no 'a\\nb\\x1b.png'\n"


def test_settings_without_effect_go_to_the_command():
    taken = []
    ConsoleReporter().unused("steps", why="here")
    ConsoleReporter(on_unused=lambda *names, why: taken.append((names, why))).unused("steps", why="here")
    assert taken == [(("steps",), "here")]


def test_what_libraries_print_is_discarded(capsys):
    reporter = ConsoleReporter()
    with reporter.only_results_on_stdout():
        sys.stdout.write("a library speaks\n")
        reporter.result(None, None, ["a result"])
    sys.stdout.write("after\n")
    assert capsys.readouterr().out == "a result\nafter\n"


def test_a_table_has_aligned_columns(capsys):
    console.table(("name", "n"), [("a", "1"), ("long", "10")], right=(1,))
    assert capsys.readouterr().out.splitlines() == ["name   n", "a      1", "long  10"]
