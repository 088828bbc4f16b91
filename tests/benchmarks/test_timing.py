from benchmarks import timing


def test_a_table_in_markdown():
    assert timing.table(["what", "ms"], [["a", 1], ["longer", "12.5"]]).splitlines() == [
        "| what   |   ms |",
        "| ------ | ---: |",
        "| a      |    1 |",
        "| longer | 12.5 |",
    ]


def test_calls_are_made_in_turn_and_at_least_three_times():
    made = []
    first, second = timing.time_calls([lambda: made.append("a"), lambda: made.append("b")], calls=100, seconds=0)
    assert made == ["a", "b"] * 3
    assert len(first.seconds) == len(second.seconds) == 3
    assert 0 <= first.best <= first.median <= first.p95
