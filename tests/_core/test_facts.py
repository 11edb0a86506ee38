"""Facts as text and as HTML."""

from flatmin._core.facts import as_html, as_text, rounded


def test_names_are_aligned_and_in_order():
    assert as_text("A", {"b": "1", "longer": "2"}).splitlines() == ["A", "  b       1", "  longer  2"]


def test_html_is_escaped():
    assert "&lt;b&gt; &amp;" in as_html("A", {"x": "<b> &"})


def test_words_and_nothing_are_left_as_they_are():
    assert rounded({"a_b": None, "kind": "dense", "x": 1e-20}) == {"a b": "None", "kind": "dense", "x": "1e-20"}
