def test_repeated_options_are_lists(flatmin, monkeypatch):
    from flatmin.cli.commands import impute

    seen = []
    monkeypatch.setattr(impute, "run", lambda request: seen.append(request) or 0)
    run = flatmin(
        "impute", "t.csv", "--missing", "-999", "--missing", "?", "--ignore", "a", "--ignore", "b", "--clip", "-1,5"
    )
    assert run.code == 0
    (request,) = seen
    assert request.reading.missing == ("-999", "?")
    assert request.reading.ignore == ("a", "b")
    assert request.clip == "-1,5"
    assert (request.confidence, request.fit) == (0.9, {"alpha": None, "seed": None})
    assert request.command == "flatmin impute t.csv --missing -999 --missing '?' --ignore a --ignore b --clip -1,5"
