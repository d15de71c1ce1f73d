"""One report in its four forms; none loses what another shows, and none runs what a name may hold."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import numpy as np

from parity.report import Cause, Divergence, ModuleError, Report, Result
from parity.reports.html import render_html
from parity.reports.json import render_json
from parity.reports.markdown import render_markdown

FORWARD = Result(
    "forward",
    False,
    1.5e-5,
    9e10,
    1e-11,
    "output[1, 3]",
    -0.191651,
    -0.191657,
    "eval",
    1,
    "",
    (4, 0, 2),
    (),
    "bug",
    8e10,
)
GRADIENT = Result("input_grad", True, 2e-16, 1.0, 1e-11, "input[0][2]", 1.0, 1.0, "eval", 2, "", (6, 1))
BUFFERS = Result.of("buffers", None, ok=True, leaves=0)
PARTED = Report(
    "encoder <b> [nnx]",
    "cpu",
    "float64",
    (FORWARD, GRADIENT, BUFFERS),
    Divergence("forward", "norm", "norm", introduced=True, error=1.5e-5, pattern="per channel"),
    (Cause("gn-eps-default", "norm", "reference eps=1e-05, candidate epsilon=1e-06", 1.0),),
    (ModuleError("stem", "stem", 1e-16, 1e-16), ModuleError("norm", "norm", 1.5e-5, 1.5e-5)),
    "python -m parity check mine:ENCODER",
    3,
    2,
    "inputs 2x3, normal values, seed 0",
    ("one override",),
)
BROKEN = replace(PARTED, results=(Result.broken("forward", "output: missing"),), divergence=None, causes=(), depth=())
RIGHT = Report("right [linen]", "cpu", "float32", (GRADIENT,))


def test_text_says_what_where_why_and_how() -> None:
    assert str(PARTED).splitlines() == [
        "DIVERGENCE  encoder <b> [nnx]  float64 on cpu, 3 examples of 2 configurations",
        "  FAIL  forward      error 1.5e-05, bound 1.0e-11: -0.191657, reference -0.191651 at output[1, 3] (eval mode)",
        "  ok    input_grad   error 2.0e-16, bound 1.0e-11",
        "  -     buffers      nothing to compare",
        "  where      introduced by norm (candidate: norm)",
        "  why        gn-eps-default at norm: reference eps=1e-05, candidate epsilon=1e-06 (explains 100.0%)",
        "  example    inputs 2x3, normal values, seed 0",
        "  reproduce  python -m parity check mine:ENCODER",
        "  note       one override",
    ]


def test_an_error_that_nothing_explains_is_described() -> None:
    silent = replace(PARTED, causes=())
    words = "no known cause reproduces the candidate's numbers; per channel"
    assert f"  why        {words}" in str(silent).splitlines()
    assert words in html.unescape(render_html([silent]))


def test_html_tells_the_module_that_errs_from_those_around_it() -> None:
    modules = [("", 3e-5), ("block", 3e-5), ("block.norm", 2e-5), ("blocked", 1e-16)]
    page = render_html([replace(PARTED, depth=tuple(ModuleError(n, n, error, error) for n, error in modules))])
    roles = re.findall(r'<code>(root|block[\w.]*)</code><div class="track">.*?<i class="(own|around|right)"', page)
    assert roles == [("root", "around"), ("block", "around"), ("block.norm", "own"), ("blocked", "right")]


def test_json_holds_all_of_it_and_no_number_that_json_lacks() -> None:
    found = json.loads(render_json([PARTED]))
    assert Report.from_dict(found) == PARTED
    broken = json.loads(render_json([BROKEN, RIGHT]))[0]["results"][0]
    assert (broken["max_relative_error"], broken["expected"]) == (None, None)
    assert np.isinf(Report.from_dict(json.loads(BROKEN.to_json())).results[0].max_relative_error)


def test_markdown_is_one_table_and_the_text_of_every_failure() -> None:
    lines = render_markdown([PARTED, BROKEN, RIGHT]).splitlines()
    assert lines[:7] == [
        "## Parity: 1 of 3 pairs agree",
        "",
        "| pair | forward | input_grad | buffers |",
        "|---|---|---|---|",
        "| ❌ encoder <b> [nnx] | **1.5e-05** | 2.0e-16 | – |",
        "| ❌ encoder <b> [nnx] | **structure** | – | – |",
        "| ✅ right [linen] | – | 2.0e-16 | – |",
    ]
    assert [line for line in lines if line.startswith("###")] == ["### encoder <b> [nnx]"] * 2


def test_html_is_one_file_that_shows_all_of_it() -> None:
    page = render_html([PARTED, BROKEN, RIGHT])
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|@import|<script""", page)
    assert "encoder &lt;b&gt; [nnx]" in page
    assert "<b>" not in page
    for shown in ("gn-eps-default", "output[1, 3]", "stem", "python -m parity check mine:ENCODER"):
        assert shown in page, shown


def test_an_error_over_its_bound_that_passes_is_told_from_agreement_and_notes_are_shown() -> None:
    passing = replace(GRADIENT, max_relative_error=1.8e-8, verdict="precision mode")
    kink = replace(GRADIENT, check="forward", max_relative_error=np.inf, verdict="semantic boundary")
    report = replace(RIGHT, results=(passing, kink), notes=("the candidate leaves <the> run",))
    cells = "| ✅ right [linen] | 1.8e-08 precision mode | not finite semantic boundary |"
    lines = render_markdown([report]).splitlines()
    assert lines[4] == cells
    note = "the candidate leaves <the> run"
    assert lines[5:] == ["", "### Notes on pairs that agree", "", "```text", f"right [linen]: {note}", "```"]
    page = render_html([report])
    assert '>1.8e-08 <span class="soft">precision mode</span></td>' in page
    assert f"<code>right [linen]</code> {html.escape(note)}</p>" in page


def test_bars_along_the_depth_carry_both_numbers() -> None:
    page = render_html([replace(PARTED, depth=(ModuleError("act", "act", 1.6e-16, 0.34),))])
    assert '<code>1.6e-16</code><code class="soft">3.4e-01</code>' in page
    assert "bars: 1e-17 … 1, logarithmic" in page
