"""Markdown while it streams: what is shown, and that it does not depend on how the text was cut."""

from __future__ import annotations

import random
import re
from collections import Counter

import pyte
import pytest
from support.window import Window

from gemma_mtp.terminal.markdown.source import Look
from gemma_mtp.terminal.markdown.stream import Markdown
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.render import Raw
from gemma_mtp.terminal.styles import DRAFTED

EVERYTHING = '''\
# A title with `code`

Some **bold words**, *italic*, ***both*** and ~~gone~~; 5*3*2 and snake_case_name stay, and so do
2 ** 3, *args and **kwargs. A [link](https://example.com/a_b), a ![pic](x.png), an \\*escape\\*.

- one
- two with a text that goes on and on until it must be wrapped to the next row, really
  - nested
    1. deep
       goes on

  paragraph in item two
12. twelve

> quoted text that is long enough to be wrapped at the edge of the window, and then some more
> - a list
>> deeper
>
> ```python
> def f(): return 1
> ```
out of it
---
| Name | Count | What it does |
|:-----|------:|:------------:|
| foo  | 1     | the **thing** that is first, and it takes a long sentence to say so |
| `x\\|y` | 22 |

| not a table
| really
```python
def f(x: int) -> str:
    """A doc

    string."""
    return f"{x}!"  # done
```

    indented **code**

Rain 雨が降っています。それはとても長い文なので、折り返しが必要です。「はい」と言った。
👩‍👩‍👧 family 🇩🇪 flag 👍🏽 and https://example.com/a/very/long/url/that/is/longer/than/a/row
Done.


'''
FRAGMENTS = [
    *("**", "*", "_", "`", "``", "```", "\n", "\n\n", "- ", "1. ", "> ", "| a | b |", "|---|---|"),
    *("|", "# ", "[a](b)", "[", "](", "x", "word ", "  ", "    ", "雨", "🌧", "\\", "---", "~~"),
    *("***", "python", "!", "é", "👩‍👩‍👧", "```\n", "(", ")", "\t"),
]


NAMED = [
    "&amp;",
    "&",
    "&lt",
    ";",
    "&#39;",
    "&#x1F327;",
    "&nbsp;",
    "<br>",
    "<",
    "b",
    "r",
    "/>",
    "x&y",
]


def rendered(text: str, cuts: list[int], width: int = 80, **look: object) -> list[Piece]:
    """`text` fed in pieces that end at `cuts`."""
    markdown = Markdown(Look(lambda: width, **look))  # type: ignore[arg-type]
    out: list[Piece] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += markdown.feed(text[start:end])
        table = markdown._table
        assert table or "\n" not in "".join(p.text for p in markdown.held)
    return out + markdown.finish()


def cells(pieces: list[Piece]) -> list[tuple[str, str]]:
    return [(char, str(piece.style or "")) for piece in pieces for char in piece.text]


def shown(text: str, width: int = 80, **look: object) -> str:
    return "".join(piece.text for piece in rendered(text, [], width, **look))


def styles(text: str) -> dict[str, str]:
    """The words that have a style, in the words of rich."""
    return {p.text: str(p.style) for p in rendered(text, []) if p.style and p.text.strip()}


def texts(count: int, fragments: list[str] = FRAGMENTS) -> list[str]:
    rng = random.Random(5)
    lengths = (rng.randint(1, 60) for _ in range(count))
    return ["".join(rng.choice(fragments) for _ in range(length)) for length in lengths]


@pytest.mark.parametrize("width", [12, 40, 80])
def test_the_result_does_not_depend_on_the_pieces(width: int) -> None:
    rng = random.Random(width)
    for text in [EVERYTHING, *texts(150), *texts(150, [*FRAGMENTS, *NAMED, *NAMED])]:
        whole = cells(rendered(text, [], width))
        cuts = sorted(rng.sample(range(len(text) + 1), min(len(text), 20)))
        assert cells(rendered(text, cuts, width)) == whole, text
        assert cells(rendered(text, list(range(1, len(text))), width)) == whole, text


def test_no_word_is_lost() -> None:
    """Whatever the marks are taken for, letters arrive in their order."""
    for text in texts(300):
        text = text.replace("|", "").replace("```", "").replace("~~", "")
        assert re.sub(r"[\W_]", "", shown(text)) == re.sub(r"[\W_]", "", text), text


@pytest.mark.parametrize("width", [20, 33, 40, 80, 120])
def test_no_row_is_too_long(width: int) -> None:
    """But for long words and code, which the terminal breaks so that they can be copied."""
    prose = EVERYTHING.partition("```python\ndef")[0]
    text = shown(prose, width)
    window = Window(width, rows=200)
    window.write(text)
    for row in text.split("\n"):
        assert len(row) < width or any(len(word) > width - 8 for word in row.split()), row
    whole = Counter(word for row in window.rows for word in row.split())
    assert not Counter(word for word in text.split() if len(word) < width - 8) - whole


def test_emphasis() -> None:
    assert styles("a **b c** d") == {"b": "bold", "c": "bold"}
    assert styles("*b* _c_ ~~d~~ ***e***") == {
        "b": "italic",
        "c": "italic",
        "d": "strike",
        "e": "bold italic",
    }
    assert styles("**a *b* c**") == {"a": "bold", "b": "bold italic", "c": "bold"}
    assert styles("**雨**が") == {"雨": "bold"}
    for plain in ("5*3*2", "snake_case_name", "2 ** 3 ** 4", "*args, **kwargs", "a * b * c", "**x"):
        assert styles(plain) == {}
        assert shown(plain) == plain


def test_code_in_a_line() -> None:
    assert styles("a `x*y*` b") == {"x*y*": "cyan"}
    assert shown("a ``b`c`` d") == "a b`c d"
    assert shown("a `b` c", colour=False) == "a `b` c"  # without colours, marks tell it apart
    assert shown("an open `tick") == "an open `tick"


def test_entities_are_the_characters_they_name() -> None:
    text = "Tom &amp; Jerry &lt;b&gt; it&#39;s **&quot;so&quot;** &copy; &#x1F327; a&nbsp;b"
    assert shown(text) == 'Tom & Jerry <b> it\'s "so" © 🌧 a\xa0b'
    assert shown("| &amp; | a &#124; b |\n|-|-|\n| &lt; |") == "& │ a | b\n──┼──────\n< │"
    assert shown("[a&amp;b](c?d=1&amp;e=2)") == "a&b (c?d=1&e=2)"
    assert shown("&#42;a&#42; &#96;b&#96;") == "*a* `b`"  # they mark nothing
    assert shown("a&#10;b&Tab;c&#0;") == "a b c\ufffd"
    for code in ("`&amp;`", "``` \n&amp;\n```"):
        assert "&amp;" in shown(code)
    for plain in (
        "&",
        "a & b;",
        "&nosuchname;",
        "x&y",
        "&amp",
        "AT&T",
        "\\&amp;",
        "a <b",
        "<",
        "&#;",
    ):
        assert shown(plain) == plain.replace("\\", "")


def test_a_break_in_html_is_one() -> None:
    table = "| a | b |\n|-|-|\n| one<br>two<br/>three | x |"
    assert shown(table).split("\n")[2:] == ["one   │ x", "two   │", "three │"]
    assert shown("a<br>b **c<BR />d**<br>\n- e<br>f") == "a\nb c\nd\n• e\n  f"
    assert shown("`<br>` \\<br>") == "<br> <br>"
    markdown = Markdown(Look(lambda: 80))
    markdown.feed("**a<br>b")
    assert "".join(piece.text for piece in markdown.held) == "a b"


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_the_row_in_which_a_long_word_ends_is_filled(cut: int) -> None:
    text = "See " + "x" * 47 + " for more words than that, all of it."
    rows = ["See", "x" * 20, "x" * 20, "xxxxxxx for more", "words than that,", "all of it."]
    window = Window(20)
    markdown = Markdown(Look(lambda: 20))
    for start in range(0, len(text), cut):
        for piece in markdown.feed(text[start : start + cut]):
            window.write(piece.text)
    for piece in markdown.finish():
        window.write(piece.text)
    assert window.rows == rows


def test_links() -> None:
    assert shown("see [here](https://a.b/c_(d)_e).") == "see here (https://a.b/c_(d)_e)."
    assert shown("[https://a.b](https://a.b)") == "https://a.b"
    assert shown("![cat](cat.png)") == "cat (cat.png)"
    assert shown("[1] and a[0](b c) [open") == "[1] and a[0](b c) [open"
    assert styles("[a](b)")["a"] == "underline"


def test_lists_are_nested_and_hang() -> None:
    text = "- one two three four\n  - five six seven eight\n    1. nine\n- ten\n\n  more\nout"
    assert shown(text, 18).split("\n") == [
        "• one two three",
        "  four",
        "  ◦ five six",
        "    seven eight",
        "    1. nine",
        "• ten",
        "",
        "  more",
        "out",
    ]
    assert shown("* a\n+ b\n7) c", unicode=False) == "* a\n+ b\n7) c"


def test_quotes() -> None:
    assert shown("> a long quote\n>> in it\n\nout", 12).split("\n") == [
        "│ a long",
        "│ quote",
        "│ │ in it",
        "",
        "out",
    ]


def test_headings_and_rules() -> None:
    assert styles("# One\n## Two") == {"One": "bold underline", "Two": "bold"}
    assert shown("# One\n---\n#tag") == "One\n" + "─" * 60 + "\n#tag"
    assert shown("* * *", 20) == "─" * 19


def test_blank_lines() -> None:
    assert shown("\n\na\n\n\n\nb\nc\n\n") == "a\n\nb\nc"
    assert shown("```\na\n\n\nb\n```") == "```\na\n\n\nb\n```"  # all of them count in code


def test_code_stays_as_it_is_and_gets_colours() -> None:
    code = "```python\ndef f(x):\n    return '" + "long " * 30 + "'  # **not bold**\n```"
    assert shown(code, 40) == code
    found = styles(code)
    assert found["def"] == "magenta"
    assert found["f"] == "blue"
    assert found["# **not bold**"] == "dim"
    assert set(styles("```python\nx\n```").values()) == {"dim"}  # only the fences
    assert styles("```nolanguage\ndef\n```").get("def") is None


def test_a_string_over_several_lines_keeps_its_colour() -> None:
    code = '```python\n"""a\n\ndef b\n"""\ndef c\n```'
    assert styles(code)["def b"] == "green"
    assert styles(code)["c"] != "green"


def test_a_fence_in_a_list() -> None:
    text = "1. do\n   ```sh\n   ls -l\n   ```\n2. done"
    assert shown(text) == "1. do\n   ```sh\n   ls -l\n   ```\n2. done"


TABLE = (
    "| Name | Count | What |\n|:--|--:|:-:|\n| foo | 1 | the **first** thing |\n| bar | 22 |\nend"
)


def test_a_table() -> None:
    assert shown(TABLE).split("\n") == [
        "Name │ Count │      What",
        "─────┼───────┼────────────────",
        "foo  │     1 │ the first thing",
        "bar  │    22 │",
        "end",
    ]
    assert "Name | Count" in shown(TABLE, unicode=False)


def test_a_table_in_a_narrow_window() -> None:
    rows = shown(TABLE, 28).split("\n")
    assert max(map(len, rows)) < 28
    assert "first" in "\n".join(rows)
    assert "What: the first\nthing" in shown(TABLE, 20)  # no columns any more


def test_a_bar_in_a_cell() -> None:
    markdown = Markdown(Look(lambda: 80))
    out = [*markdown.feed("| a |\n|-|\n| `x\\"), *markdown.feed("|y` |", drafted=True)]
    text = "".join(piece.text for piece in out + markdown.finish())
    assert text.endswith("x|y")
    assert (
        shown("| a | b |\n|-|-|\n| `x\\|y\\|` | p \\| q\\\\ |").splitlines()[-1] == "x|y| │ p | q\\"
    )


def test_what_only_starts_like_a_table() -> None:
    assert shown("| a\n| b\nc") == "| a\n| b\nc"


def test_what_is_held_back_can_be_seen() -> None:
    def held(text: str) -> str:
        markdown = Markdown(Look(lambda: 80))
        markdown.feed(text)
        return "".join(piece.text for piece in markdown.held)

    assert held("one two") == " two"
    assert held("one **two three") == " two three"
    assert held("```python\ndef f") == "def f"
    assert held("| a | b") == "| a | b"
    assert held("one two ") == ""
    markdown = Markdown(Look(lambda: 80))
    markdown.feed("| a |\n|---|\n| b |\n| c")
    assert "".join(piece.text for piece in markdown.held) == "a\n─\nb\n| c"


def test_drafted_tokens_are_marked_through_markup() -> None:
    markdown = Markdown(Look(lambda: 80, drafted=DRAFTED))
    out = [*markdown.feed("a **b"), *markdown.feed(" c", drafted=True), *markdown.feed("** d\n")]
    out += [*markdown.feed("| x |\n|-|\n|"), *markdown.feed(" y", drafted=True)]
    out += markdown.finish()
    assert [p.text for p in out if p.style and p.style.underline] == ["c", "y"]
    assert DRAFTED.without_color.underline  # which is visible without colours


def test_all_that_was_drafted_is_marked() -> None:
    """But for what stands for nothing in the text: bars before quotes and lines of tables."""
    markdown = Markdown(Look(lambda: 60, drafted=DRAFTED))
    text = EVERYTHING + "\n- [x] done\n\n1. a&lt;b<br>c\n\n> - q\n\n***\n\n    code\n"
    out = [*markdown.feed(text, drafted=True), *markdown.finish()]
    bare = {p.text.strip() for p in out if not (p.style and p.style.underline)}
    assert {char for text in bare for char in text} <= {*"│─┼ "}


def test_tasks_have_boxes() -> None:
    text = "- [x] done\n- [ ] to do\n  * [X] *in* it\n1. [x] first\n- [x](a)\n- [x]\n- [y] z\n- [ "
    assert shown(text).split("\n") == [
        "☑ done",
        "☐ to do",
        "  ☑ in it",
        "1. ☑ first",
        "• x (a)",
        "• [x]",
        "• [y] z",
        "• [",
    ]
    assert shown("- [x] done\n- [ ] so", unicode=False) == "[x] done\n[ ] so"
    whole = shown(text)
    for cut in range(1, len(text)):
        assert "".join(piece.text for piece in rendered(text, [cut])) == whole


def test_raw_text_is_untouched() -> None:
    raw = Raw()
    out = [*raw.feed("**a**\n\n"), *raw.feed("- b\n", True), *raw.finish()]
    assert "".join(piece.text for piece in out) == "**a**\n\n- b"


def test_a_window_that_changes_its_width() -> None:
    width = 40
    markdown = Markdown(Look(lambda: width))
    out = markdown.feed("word " * 10)
    width = 20
    out += [*markdown.feed("word " * 10), *markdown.finish()]
    rows = "".join(piece.text for piece in out).split("\n")
    assert len(rows[0]) > 20
    assert max(map(len, rows[2:])) < 20


def test_a_terminal_shows_all_of_it_in_its_rows() -> None:
    """What the columns are taken for is what an emulator makes of them."""
    text = shown("雨が降っています。それはとても長い文なので。" * 3, 30)
    screen = pyte.Screen(30, 20)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    rows = [row.rstrip() for row in screen.display if row.strip()]
    assert len(rows) == text.count("\n") + 1
