#!/usr/bin/env python3
"""Every report against an independent query: the binary's answer and DuckDB's over the same lake, row by row.

    reports_reference.py BINARY DATA [--report NAME] [--sql FOLDER] [--generate EVENTS]

`reference/facts.sql` says what the log holds, `reference/NAME.sql` computes the report NAME; both are written from the rules
and the reports' headers, not from their SQL. The header of a reference lists its cases, one `-- Case:` per line, with the
report's parameters; days are `today-30`, `first+40` (the first day with a redemption) or `2026-05-06`. DuckDB reads the files
that the Delta log names.

Rows are matched by `-- Key:`. Whole numbers, fen, days and texts must be equal, other numbers to 1e-9 of their size. A column
that is left out stands in a `-- Not compared:` of the reference, with the reason; any other one missing is a failure.
One line per case; exits 1 after the first rows that differ. Needs `pip install duckdb`; nothing else.
"""

import argparse
import datetime
import glob
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse

import duckdb

HERE = pathlib.Path(__file__).parent / "reference"
TABLES = ["orders", "redemptions", "bookings", "refusals", "members", "catalog", "decisions"]
SHOWN = 5


def live_files(table):
    """Files that the Delta log names now, with the values of their partitions: the last checkpoint and the commits after it."""
    log = os.path.join(table, "_delta_log")
    live, start = {}, -1
    def apply(action):
        if action.get("add"):
            live[urllib.parse.unquote(action["add"]["path"])] = True
        elif action.get("remove"):
            live.pop(urllib.parse.unquote(action["remove"]["path"]), None)
    last = os.path.join(log, "_last_checkpoint")
    if os.path.exists(last):
        with open(last) as text:
            start = json.load(text)["version"]
        parts = sorted(glob.glob(os.path.join(glob.escape(log), f"{start:020d}.checkpoint*.parquet")))
        for (path,) in duckdb.execute("SELECT add.path FROM read_parquet($1) WHERE add IS NOT NULL", [parts]).fetchall():
            live[urllib.parse.unquote(path)] = True
    for commit in sorted(glob.glob(os.path.join(glob.escape(log), "*.json"))):
        name = os.path.basename(commit)[:-5]
        if name.isdigit() and int(name) > start:
            with open(commit) as lines:
                for line in lines:
                    apply(json.loads(line))
    return sorted(os.path.join(table, path) for path in live)


def open_lake(data):
    """A DuckDB with one view per table of the lake, and the facts."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET preserve_insertion_order = false")
    for table in TABLES:
        files = live_files(os.path.join(data, "lake", table))
        if not files:
            sys.exit(f"{table}: the lake names no files")
        listed = ", ".join("'" + f.replace("'", "''") + "'" for f in files)
        db.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false)")
    for statement in statements((HERE / "facts.sql").read_text()):
        db.execute(statement)
    return db


def statements(text):
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [s for s in text.split(";") if s.strip()]


def header(text, name):
    """Values of a header's `-- Name: value` lines."""
    return [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(f"-- {name}:")]


def day(text, first, today):
    """`today-30`, `first+40`, or the text itself."""
    found = re.fullmatch(r"(today|first)([+-]\d+)?", text)
    if not found:
        return text
    at = first if found[1] == "first" else today
    return str(at + datetime.timedelta(days=int(found[2] or 0)))


def reported(binary, data, sql, name, case):
    """The binary's answer."""
    command = [binary, "report", name, "--format", "json", "--data", data]
    if sql:
        command += ["--sql", sql]
    for key, value in case.items():
        command += [f"--{key}", value] if key in ("from", "to") else ["--param", f"{key}={value}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{said.stderr}")
    return json.loads(said.stdout)


def typed(name, value):
    """A parameter of the answer as a value, with its SQL type."""
    if name in ("from", "to", "today"):
        return (datetime.date.fromisoformat(value) if value else None), "DATE"
    if value in (None, ""):
        return None, "VARCHAR"
    if value in ("true", "false"):
        return value == "true", "BOOLEAN"
    if re.fullmatch(r"-?\d+", value):
        return int(value), "INTEGER"
    if re.fullmatch(r"-?\d+\.\d+", value):
        return float(value), "DOUBLE"
    return value, "VARCHAR"


def calculated(db, query, answer):
    """DuckDB's answer: column names and rows."""
    known = {name: typed(name, answer["parameters"].get(name)) for name in set(re.findall(r"\$(\w+)", query))}
    *before, last = statements(query)
    run = lambda step, text: db.execute(
        # DuckDB refuses parameters that a statement does not name, and a null has no type of its own.
        re.sub(r"\$(\w+)", lambda m: f"CAST(${m[1]} AS {known[m[1]][1]})", text),
        {name: known[name][0] for name in set(re.findall(r"\$(\w+)", step))},
    )
    for step in before:
        run(step, step)
    # Instants leave DuckDB without their zone, which Python would want another package for.
    columns = run(last, f"DESCRIBE {last}").fetchall()
    shown = ", ".join(f"{c[0]} AT TIME ZONE 'UTC' AS {c[0]}" if c[1].endswith("TIME ZONE") else c[0] for c in columns)
    return [c[0] for c in columns], run(last, f"SELECT {shown} FROM ({last})").fetchall()


def plain(value):
    """A value as the JSON of the report has it: days and ids as text, numbers as numbers."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(value, (datetime.date, datetime.time)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return float(value) if type(value).__name__ == "Decimal" else str(value)


def ours(value, kind):
    if value is None:
        return None
    if kind == "instant":
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return value


def same(left, right):
    if left is None or right is None:
        return left is None and right is None
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(left, int) and isinstance(right, int):
            return left == right
        return abs(left - right) <= 1e-9 * max(1.0, abs(left), abs(right))
    return str(left) == str(right)


def compare(name, text, answer, columns, rows):
    """What differs, as lines; nothing if all is equal."""
    kinds = {c["name"]: c["type"] for c in answer["columns"]}
    left_out = {part.split()[0].strip(",") for part in header(text, "Not compared")}
    missing = [c for c in kinds if c not in columns and c not in left_out]
    more = [c for c in columns if c not in kinds]
    faults = []
    if missing or more:
        faults.append(f"columns: the reference lacks {missing}, the report lacks {more}")
    keys = [k.strip() for line in header(text, "Key") for k in line.split(",")]
    key_of = lambda row: tuple("∅" if row[k] is None else str(row[k]) for k in keys)
    reference = [{c: plain(v) for c, v in zip(columns, row)} for row in rows]
    report = [{c: ours(row.get(c), kinds[c]) for c in kinds} for row in answer["rows"]]
    by_key = {key_of(row): row for row in reference}
    told = {key_of(row): row for row in report}
    if len(by_key) != len(reference) or len(told) != len(report):
        faults.append(f"keys {keys} are not unique: {len(reference)} rows and {len(report)}")
    compared = [c for c in columns if c in kinds and c not in left_out]
    only_ours = [k for k in told if k not in by_key]
    only_theirs = [k for k in by_key if k not in told]
    for what, some, rows_of in (("only the report has", only_ours, told), ("only DuckDB has", only_theirs, by_key)):
        if some:
            faults.append(f"{what} {len(some)} of {len(told)} rows, such as")
            faults += [f"    {rows_of[k]}" for k in sorted(some)[:SHOWN]]
    different, by_column = [], {}
    for key in sorted(k for k in told if k in by_key):
        wrong = [c for c in compared if not same(told[key][c], by_key[key][c])]
        for c in wrong:
            by_column[c] = by_column.get(c, 0) + 1
        if wrong:
            different.append((key, wrong))
    if different:
        faults.append(f"{len(different)} of {len(told)} rows differ, in {by_column}; report | DuckDB:")
        for key, wrong in different[:SHOWN]:
            said = "; ".join(f"{c} {told[key][c]} | {by_key[key][c]}" for c in wrong)
            faults.append(f"    {dict(zip(keys, key))}: {said}")
    return faults


def generate(binary, data, events):
    subprocess.run([binary, "generate", "--events", str(events), "--data", data], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data", help="data folder")
    parser.add_argument("--report", action="append", help="only this report; may be repeated")
    parser.add_argument("--sql", help="folder with further `views` and `reports`, as the binary takes it")
    parser.add_argument("--generate", type=int, metavar="EVENTS", help="make the folder first, with so many events")
    parser.add_argument("--all", action="store_true", help="go on after a difference")
    asked = parser.parse_args()

    if asked.generate:
        generate(asked.binary, asked.data, asked.generate)
    started = time.monotonic()
    db = open_lake(asked.data)
    print(f"facts: {time.monotonic() - started:.1f} s", flush=True)
    first = db.execute("SELECT min(business_day) FROM redemptions").fetchone()[0]
    now = datetime.datetime.now(datetime.timezone.utc)
    today = (now + datetime.timedelta(hours=8 - 4)).date()
    names = asked.report or sorted(f.stem for f in HERE.glob("*.sql") if f.stem != "facts")
    failed = 0
    for name in names:
        text = (HERE / f"{name}.sql").read_text()
        seen = 0
        for line in header(text, "Case") or [""]:
            case = dict(part.split("=", 1) for part in line.split())
            case = {k: day(v, first, today) for k, v in case.items()}
            started = time.monotonic()
            answer = reported(asked.binary, asked.data, asked.sql, name, case)
            between = time.monotonic()
            try:
                faults = compare(name, text, answer, *calculated(db, text, answer))
            except duckdb.Error as refused:
                faults = [f"{name}.sql: {refused}".split("\n\tCandidate")[0]]
            ended = time.monotonic()
            said = " ".join(f"{k}={v}" for k, v in case.items()) or "as it stands"
            verdict = "DIFFERS" if faults else "equal"
            print(f"{verdict} {name} {said}: {len(answer['rows'])} rows, report {between - started:.1f} s, DuckDB {ended - between:.1f} s", flush=True)
            if faults:
                print("\n".join(faults), flush=True)
                failed += 1
                if not asked.all:
                    sys.exit(1)
            seen += len(answer["rows"])
        if not seen:
            print(f"{name}: no rows in any case, so nothing was compared")
            failed += 1
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
