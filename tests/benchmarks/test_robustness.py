"""The figures at the top of the page of attacks are those of the tables below."""

from benchmarks import robustness


def test_the_figures_agree_with_their_tables():
    assert robustness.block(robustness.BLOCK) == robustness.table()


def test_figures_are_read_from_rows(monkeypatch):
    tables = {
        "adversary": "| **all** | 9 | 1 234 | 7 | 1 | 2 | 3.00 s |",
        "mutants": "| **all** | 10 005 | 9 000 | 4 | 0.11 s | 5.11 s |",
        "faults": "| SIGKILL of `a` | 10 | 0 |\n| SIGKILL of `b` | 20 | 1 |\n| `b` again | 1 | 1 |",
        "load": "| 8 threads | 7 | 2.0 ms | 9.0 ms |\n| fit | 10 | 2020 KiB |\n| predict | 10 | 0 KiB |",
    }
    monkeypatch.setattr(robustness, "block", tables.get)
    found = {name: figures for name, figures, _ in robustness.figures()}
    assert found["certificates"] == "1 234 tried, of which 7 held; false claims: 1; crashes: 2"
    assert found["damaged files"] == "10 005 tried; tracebacks, hangs and other faults: 4"
    assert found["slowest refusal"] == "0.11 s of processor time"
    assert found["kills"] == "30; outputs or trials lost: 1"
    assert found["other faults"] == "1 conditions; losses: 1"
    assert found["growth of memory in 1000 calls"] == "at most 2020 KiB, by fit"
    assert found["99th percentile of `predict` and `transform`"] == "9.0 ms (8 threads)"
