#!/usr/bin/env python3
"""Reference figures of The Complete Journey, by DuckDB over its source files.

Written from RULES.md (R7, R14, R20, R21, R23) and the issue alone, so that the reports `store_performance` and
`weekday_load` have something independent to agree with. Needs `pip install duckdb`; nothing else.

    journey_reference.py store_performance FOLDER [--from DAY] [--to DAY] [--per month|total]
    journey_reference.py weekday_load      FOLDER [--from DAY] [--to DAY]
    journey_reference.py totals            FOLDER

CSV on stdout: a header, money in fen (cents), days inclusive, rows in the order of their leading columns. FOLDER is any
folder that holds `transactions.parquet`, however deep.

What is counted, as the issue says it: a line with `coupon_disc` above 0 is one redemption of one unit, worth `coupon_disc`
in cents, at the store that sold it. Files have UTC; the stores are in America/New_York; a business day starts at 04:00.
"""

import argparse
import csv
import pathlib
import sys

import duckdb

ZONE = "America/New_York"

LINES = """
CREATE TEMP TABLE lines AS
SELECT
    CAST(store_id AS VARCHAR) AS store_id,
    household_id AS member_id,
    coupon_disc > 0 AS redeemed,
    CAST(round(coupon_disc * 100) AS BIGINT) AS value_fen,
    CAST(local_time - INTERVAL 4 HOUR AS DATE) AS business_day,
    CAST(date_part('hour', local_time) AS INTEGER) AS hour,
    CAST(date_part('isodow', CAST(local_time - INTERVAL 4 HOUR AS DATE)) AS INTEGER) AS weekday
FROM (
    SELECT *, transaction_timestamp AT TIME ZONE 'UTC' AT TIME ZONE $zone AS local_time
    FROM read_parquet($file)
)
"""

# Redemptions, units, value and distinct members per store and month (R7 has nothing to leave out: no reversals), and R21's
# cohort: units whose 90th day falls into the month, and those of them redeemed by then (all at once, on the day of sale).
STORE_PERFORMANCE = """
WITH served AS (
    SELECT
        CASE WHEN $per = 'month' THEN strftime(business_day, '%Y-%m') ELSE 'total' END AS period, store_id,
        count(*) AS redemptions, sum(value_fen) AS value_fen, count(DISTINCT member_id) AS members
    FROM lines
    WHERE redeemed AND business_day BETWEEN $from AND $to
    GROUP BY ALL
), cohort AS (
    SELECT
        CASE WHEN $per = 'month' THEN strftime(business_day + 90, '%Y-%m') ELSE 'total' END AS period, store_id,
        count(*) AS cohort_units, count(*) FILTER (redeemed) AS cohort_redeemed
    FROM lines
    WHERE business_day + 90 BETWEEN $from AND $to
    GROUP BY ALL
)
SELECT
    period, store_id, coalesce(redemptions, 0) AS redemptions, coalesce(redemptions, 0) AS units,
    coalesce(value_fen, 0) AS value_fen, coalesce(members, 0) AS members,
    coalesce(cohort_units, 0) AS cohort_units, coalesce(cohort_redeemed, 0) AS cohort_redeemed
FROM served FULL JOIN cohort USING (period, store_id)
ORDER BY period, store_id
"""

# R14 without a calendar: every day between a store's first and last line counts, sold or redeemed; the hours are those in
# which the store ever redeems, within the days asked for.
WEEKDAY_LOAD = """
WITH open AS (
    SELECT store_id, greatest(min(business_day), $from) AS first_on, least(max(business_day), $to) AS last_on
    FROM lines
    GROUP BY store_id
), days AS (
    SELECT store_id, CAST(date_part('isodow', day) AS INTEGER) AS weekday, count(*) AS days
    FROM (SELECT store_id, unnest(generate_series(CAST(first_on AS TIMESTAMP), CAST(last_on AS TIMESTAMP), INTERVAL 1 DAY)) AS day FROM open)
    GROUP BY ALL
), taken AS (
    SELECT store_id, weekday, hour, count(*) AS redemptions
    FROM lines
    WHERE redeemed AND business_day BETWEEN $from AND $to
    GROUP BY ALL
), hours AS (
    SELECT DISTINCT store_id, hour FROM taken
)
SELECT
    store_id, weekday, hour, coalesce(redemptions, 0) AS redemptions, days, coalesce(redemptions, 0) / days AS average
FROM days JOIN hours USING (store_id) LEFT JOIN taken USING (store_id, weekday, hour)
ORDER BY store_id, weekday, hour
"""

TOTALS = """
SELECT
    count(*) AS lines, count(*) FILTER (redeemed) AS redemptions, sum(value_fen) FILTER (redeemed) AS value_fen,
    count(DISTINCT store_id) AS stores, count(DISTINCT member_id) AS members, min(business_day) AS first_on, max(business_day) AS last_on
FROM lines
"""

REPORTS = {"store_performance": STORE_PERFORMANCE, "weekday_load": WEEKDAY_LOAD, "totals": TOTALS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", choices=sorted(REPORTS))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--from", dest="first", default="2000-01-01", help="first business day, inclusive")
    parser.add_argument("--to", dest="last", default="2100-01-01", help="last business day, inclusive")
    parser.add_argument("--per", choices=["month", "total"], default="month")
    asked = parser.parse_args()

    files = sorted(asked.folder.rglob("transactions.parquet"))
    if len(files) != 1:
        sys.exit(f"{asked.folder} holds {len(files)} files transactions.parquet, not one")

    db = duckdb.connect()
    db.execute(LINES, {"zone": ZONE, "file": str(files[0])})
    query = REPORTS[asked.report]
    known = {"from": asked.first, "to": asked.last, "per": asked.per}
    # DuckDB refuses parameters that a statement does not name. Days are told by their type.
    query = query.replace("$from", "CAST($from AS DATE)").replace("$to", "CAST($to AS DATE)")
    answer = db.execute(query, {name: value for name, value in known.items() if f"${name}" in query})
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow([column[0] for column in answer.description])
    while rows := answer.fetchmany(10_000):
        out.writerows(rows)


if __name__ == "__main__":
    main()
