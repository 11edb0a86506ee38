"""The progress of a race in words."""

from flatmin.cli.race.pace import RacePace


def test_the_time_left_is_that_of_the_work_that_is_left():
    now = [0.0]
    pace = RacePace(trials=2, seeds=2, share=0.5, clock=lambda: now[0])
    state = {"total": 4, "competitor": "adam"}

    def words(done, phase, seconds):
        now[0] += seconds
        return list(pace(state | {"done": done, "phase": phase}))

    assert words(1, "tuning", 10) == ["1 of 4 runs", "tuned adam", "about 51 s left"], "2.5 units of 20 s are left"
    assert words(2, "tuning", 10)[-1] == "about 41 s left"
    assert words(3, "race", 20)[-1] == "about 21 s left"
    assert words(4, "race", 20) == ["4 of 4 runs", "ran adam"]


def test_kept_runs_do_not_count_as_speed():
    now = [0.0]
    pace = RacePace(trials=2, seeds=2, share=0.5, clock=lambda: now[0])
    state = {"total": 4, "competitor": "adam"}
    now[0] += 30
    third = list(pace(state | {"done": 3, "phase": "race"}))
    assert third == ["3 of 4 runs", "ran adam", "about 31 s left"], "two trials were there and took no time"
