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


def test_rate_passes_its_options_on(flatmin, monkeypatch):
    from flatmin.cli.commands import rate

    seen = []
    monkeypatch.setattr(rate, "run", lambda request: seen.append(request) or 0)
    assert flatmin("rate", "--model", "d", "--predict", "p.csv", "--row", "who", "--recommend", "3").code == 0
    (request,) = seen
    assert (request.path, str(request.model), str(request.predict)) == (None, "d", "p.csv")
    assert (request.reading.row, request.reading.column, request.recommend) == ("who", None, 3)


def test_options_of_separate_are_sorted_by_what_they_are_about(flatmin, monkeypatch):
    from flatmin.cli.commands import separate

    seen = []
    monkeypatch.setattr(separate, "run", lambda request: seen.append(request) or 0)
    assert flatmin("separate", "v.mp4", "-o", "out", "--every", "3", "--scale", "0.5", "--weight", "2").code == 0
    (request,) = seen
    assert (request.sampling.every, request.sampling.scale, request.sampling.grey) == (3, 0.5, False)
    assert request.fit == {"alpha": None, "weight": 2.0, "seed": None}
    assert request.reading == type(request.reading)()
