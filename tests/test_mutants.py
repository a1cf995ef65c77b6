"""What `make mutants` gave: whole, and said as it is."""

import json
import tomllib


def test_nine_in_ten_mutants_are_caught_in_each_module(request):
    root = request.config.rootpath
    settings = tomllib.loads((root / "benchmarks" / "mutants.toml").read_text())
    rows = json.loads((root / "benchmarks" / "mutants.json").read_text())["rows"]
    assert [row["module"] for row in rows] == list(settings["modules"])
    said = (root / "docs" / "testing.md").read_text()
    for row in rows:
        assert row["run"] == row["mutants"] > 50
        assert row["survived"] == len(row["survivors"])
        assert row["caught"] == row["run"] - row["survived"]
        assert row["caught"] >= settings["floor"] * row["run"]
        known = sum(bool(survivor["why"]) for survivor in row["survivors"])
        assert (
            f"| {row['module']} | {row['mutants']} | {row['caught']} "
            f"| {row['survived']} | {known} | {100 * row['rate']:.1f} % |"
        ) in said
