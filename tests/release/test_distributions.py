"""What is found in a wheel and in a source distribution; that two builds are equal is checked by the command itself."""

from release.distributions import IN_SOURCE, IN_WHEEL, LARGEST_WHEEL, ROOT, date, digests, faults


def test_whole_distributions_have_no_faults():
    metadata = {"flatmin-0.1.0.dist-info/METADATA", "flatmin-0.1.0.dist-info/licenses/LICENSE"}
    assert faults(IN_WHEEL | metadata, IN_SOURCE, 1000) == []


def test_what_is_missing_or_too_much_is_named():
    wheel = (IN_WHEEL - {"flatmin/py.typed"}) | {"tests/test_docs.py", "flatmin/test_a.py", "flatmin/lab/trials.db"}
    assert faults(wheel, IN_SOURCE - {"LICENSE"}, LARGEST_WHEEL + 1) == [
        "the wheel lacks flatmin/py.typed",
        "the source distribution lacks LICENSE",
        "the wheel has flatmin/lab/trials.db, which users do not need",
        "the wheel has flatmin/test_a.py, which users do not need",
        "the wheel has tests/test_docs.py, which is outside the package",
        f"the wheel has {LARGEST_WHEEL + 1} bytes, expected at most {LARGEST_WHEEL}",
    ]


def test_the_lists_name_files_that_exist():
    assert all((ROOT / "src" / name).exists() for name in IN_WHEEL)
    assert all((ROOT / name).exists() for name in IN_SOURCE)


def test_the_date_and_the_digests(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "17")
    assert date() == "17"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert int(date()) > 1_500_000_000
    (tmp_path / "a").write_bytes(b"x")
    assert digests(tmp_path) == {"a": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
