"""Checks the files that `retain` archived, with DuckDB as another engine.

    python read_archive.py FOLDER OBSERVATIONS

FOLDER is the value of ARCHIVE_URL; OBSERVATIONS is the number of valid observations in it.
"""

import json
import pathlib
import re
import sys

import duckdb


def main() -> None:
    folder, expected = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    for table in ("observations", "rewards", "quarantine"):
        files = f"{folder}/{table}/*/*.parquet"
        duckdb.execute(
            f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)"
        )
    one = lambda query: duckdb.execute(query).fetchone()

    # The view of deploy/bigquery, translated to the dialect of DuckDB.
    sql = pathlib.Path(__file__).parents[2] / "deploy" / "bigquery" / "tables.sql"
    view = re.search(r"CREATE OR REPLACE VIEW f0_learning\.(.*)\Z", sql.read_text(), re.S).group(1)
    view = view.replace("f0_learning.", "").replace("TIMESTAMP_MILLIS", "epoch_ms")
    duckdb.execute(f"CREATE VIEW {view}")

    rows, ids = one("SELECT count(*), count(DISTINCT id) FROM scored_observations")
    assert (rows, ids) == (expected, expected), f"{rows} rows of {ids} ids, expected {expected}"
    low, high = one("SELECT min(score), max(score) FROM scored_observations")
    assert 0.0 <= low <= high <= 1.0, (low, high)
    wrong = one(
        "SELECT count(*) FROM observations WHERE CAST(epoch_ms(ts) AS DATE) <> CAST(day AS DATE)"
    )[0]
    assert wrong == 0, f"{wrong} observations are in the partition of another day"
    kept = one("SELECT count(*) FROM observations WHERE json_extract_string(document, '$.meta.kept') = 'yes'")
    assert kept[0] > 0, "a field without a column is missing in `document`"
    unscored = one("SELECT count(*) FROM observations WHERE id NOT IN (SELECT id FROM rewards)")[0]
    rejected = one("SELECT count(*) FROM quarantine")[0]
    assert unscored == rejected > 0, f"{unscored} without a reward, {rejected} in quarantine"

    for path in folder.glob("manifests/*/*/*.json"):
        manifest = json.loads(path.read_text())
        count, low, high = one(
            f"SELECT count(*), min(ts), max(ts) FROM '{folder}/{manifest['path']}'"
        )
        stated = (manifest["count"], manifest["minTs"], manifest["maxTs"])
        assert (count, low, high) == stated, f"{manifest['path']}: {(count, low, high)}, expected {stated}"
    print(f"DuckDB {duckdb.__version__} read {rows} scored observations, {rejected} rejected")


main()
