"""One variant in a process of its own: ``python -m bench.gate_10m.variants <variant> <file> <folder>``.

Prints one JSON line: how many rules passed, and the CPU and wall seconds of reading and checking, imports excluded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.gate_10m.rules import CARRIERS, COLUMNS, KEY, ORIGINS, SHARED, SUITE, UNIQUE_OURS, UNIQUE_STOCK

Work = Callable[[], int]


def prepare_tollgate(file: str, folder: str) -> Work:
    """The whole gate: schema, suite on DuckDB, count of rows to set aside, evidence and data docs."""
    from types import SimpleNamespace

    from include.contracts import Refresh
    from include.declaration.models import Data
    from include.gates.context import import_gx
    from include.gates.gate import run_refresh_gate
    from include.gates.schema import check_schema
    from include.settings import load_settings

    import_gx()
    root = Path(folder) / "great_expectations"
    (root / "expectations").mkdir(parents=True, exist_ok=True)
    rules = [*SHARED, UNIQUE_OURS]
    (root / "expectations" / f"{SUITE}.json").write_text(json.dumps({"name": SUITE, "expectations": rules}))
    settings = load_settings({"TOLLGATE_HOME": str(Path(folder) / "home"), "TOLLGATE_GX_ROOT": str(root)})
    pipeline: Any = SimpleNamespace(name="bench", data=Data(columns=COLUMNS, first="2013-01", suite=SUITE))
    refresh = Refresh("bench", "2013-01", "0" * 64, file, "parquet", Path(file).stat().st_size, "bench")

    def work() -> int:
        if check_schema(settings, pipeline, refresh).findings:
            raise SystemExit("the schema check found something")
        report = run_refresh_gate(settings, pipeline, refresh)
        return report.rules_evaluated - len(report.findings)

    return work


def prepare_gx_pandas(file: str, folder: str) -> Work:
    """Great Expectations as its documentation shows it for a frame: everything read, summary results."""
    import pandas as pd

    from include.gates.context import create_context, import_gx

    gx = import_gx()
    context = create_context()
    source = context.data_sources.add_pandas("bench")
    batch = source.add_dataframe_asset("flights").add_batch_definition_whole_dataframe("all")

    def work() -> int:
        frame = pd.read_parquet(file)
        suite = context.suites.add(gx.ExpectationSuite(SUITE, expectations=[*SHARED, UNIQUE_STOCK]))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=SUITE, data=batch, suite=suite))
        result = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
        return sum(bool(each.success) for each in result.results)

    return work


def prepare_pandera(file: str, folder: str) -> Work:
    """pandera's pandas backend with the same rules, all collected before it reports."""
    import pandas as pd
    import pandera.pandas as pa

    between, table = pa.Check.in_range, pa.Check
    schema = pa.DataFrameSchema(
        {
            "origin": pa.Column(checks=pa.Check.isin(ORIGINS)),
            "carrier": pa.Column(checks=pa.Check.isin(CARRIERS)),
            "dest": pa.Column(checks=pa.Check.str_length(3, 3)),
            "month": pa.Column(checks=between(1, 12)),
            "hour": pa.Column(checks=between(0, 23)),
            "distance": pa.Column(checks=between(10, 6000)),
            "dep_delay": pa.Column(nullable=True, checks=between(-60, 1440)),
            "tailnum": pa.Column(nullable=True, checks=pa.Check.str_matches("^[A-Z0-9]{4,7}$")),
            "arr_delay": pa.Column(
                nullable=True,
                checks=[
                    table(lambda s: -15 <= s.mean() <= 40, ignore_na=False),
                    table(lambda s: 1 <= s.std() <= 200, ignore_na=False),
                    table(lambda s: s.notna().mean() >= 0.9, ignore_na=False),
                ],
            ),
            "air_time": pa.Column(nullable=True, checks=table(lambda s: 100 <= s.max() <= 900, ignore_na=False)),
        },
        unique=list(KEY),
        checks=table(lambda frame: 1 <= len(frame) <= 100_000_000),
    )

    def work() -> int:
        schema.validate(pd.read_parquet(file), lazy=True)
        return len(SHARED) + 1

    return work


def prepare_raw_duckdb(file: str, folder: str) -> Work:
    """Hand-written SQL with the same memory limit: what the checks cost without a framework, report or pages."""
    import duckdb

    names = ", ".join(f"'{name}'" for name in CARRIERS)
    origins = ", ".join(f"'{name}'" for name in ORIGINS)

    def work() -> int:
        connection = duckdb.connect(config={"memory_limit": "512MB", "temp_directory": folder})
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        checks = f"""
            count(*) BETWEEN 1 AND 100000000,
            count(*) FILTER (WHERE origin NOT IN ({origins})) = 0,
            count(*) FILTER (WHERE carrier NOT IN ({names})) = 0,
            count(*) = count(dest),
            count(*) FILTER (WHERE month NOT BETWEEN 1 AND 12) = 0,
            count(*) FILTER (WHERE hour NOT BETWEEN 0 AND 23) = 0,
            count(*) FILTER (WHERE distance NOT BETWEEN 10 AND 6000) = 0,
            count(*) FILTER (WHERE dep_delay NOT BETWEEN -60 AND 1440) = 0,
            count(arr_delay) / count(*) >= 0.9,
            avg(arr_delay) BETWEEN -15 AND 40,
            stddev_samp(arr_delay) BETWEEN 1 AND 200,
            max(air_time) BETWEEN 100 AND 900,
            count(*) FILTER (WHERE length(dest) <> 3) = 0,
            count(*) FILTER (WHERE NOT regexp_matches(tailnum, '^[A-Z0-9]{{4,7}}$')) = 0
        """
        row = connection.execute(f"SELECT {checks} FROM read_parquet(?)", [file]).fetchone() or ()
        query = f"SELECT 1 FROM read_parquet(?) GROUP BY {', '.join(KEY)} HAVING count(*) > 1 LIMIT 1"
        repeated = connection.execute(query, [file]).fetchone()
        connection.close()
        return sum(bool(each) for each in row) + (repeated is None)

    return work


VARIANTS: dict[str, Callable[[str, str], Work]] = {
    "tollgate": prepare_tollgate,
    "gx_pandas": prepare_gx_pandas,
    "pandera": prepare_pandera,
    "raw_duckdb": prepare_raw_duckdb,
}


def main(variant: str, file: str, folder: str) -> None:
    work = VARIANTS[variant](file, folder)
    wall, cpu = time.monotonic(), time.process_time()
    passed = work()
    spent = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall, "passed": passed}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
