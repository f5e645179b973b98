"""Reads a store's segments with DuckDB, through the view that `spanlake segments --duckdb` prints,
and with pyarrow, and compares every span with what the store's API gave.

Usage: check.py VIEW.sql EXPECTED.json
"""

import base64
import json
import math
import sys
from collections import Counter

import duckdb
import pyarrow.parquet as parquet


def value(kind, text):
    """A value as something that is equal only to the same value of the same type."""
    if kind == "double":
        number = float({"Infinity": "inf", "-Infinity": "-inf"}.get(text, text))
        return "NaN" if math.isnan(number) else number.hex()
    if kind == "int":
        return int(text)
    if kind == "bytes":
        return base64.b64decode(text, validate=True)
    return text


def attributes(entries):
    """Entries as (key, type, value), in no order: files keep it, the view does not."""
    return sorted(repr((key, kind, value(kind, text))) for key, kind, text in entries)


def of_view(entries):
    return attributes((entry["key"], entry["type"], entry["value"]) for entry in entries)


def same(what, got, expected):
    if got != expected:
        sys.exit(f"{what}\n  got      {got!r}\n  expected {expected!r}")


def check_span(row, span):
    where = f"span {span['span_id']} of trace {span['trace_id']}"
    for name in ["parent_span_id", "start", "duration", "service", "name", "kind", "status",
                 "status_message", "trace_state", "flags"]:
        same(f"{where}: {name}", row[name], span[name])
    same(f"{where}: resource", json.loads(row["resource"]), json.loads(span["resource"]))
    same(f"{where}: attributes", of_view(row["attribute_list"]), attributes(span["attributes"]))

    # The map has the first value of each key; where a key repeats, which is first is open.
    keys = Counter(key for key, _, _ in span["attributes"])
    same(f"{where}: keys", sorted(row["attributes"]), sorted(keys))
    for key, kind, text in span["attributes"]:
        if keys[key] == 1 and kind not in ("double", "empty", "missing"):
            same(f"{where}: {key}", row["attributes"][key], text)

    same(f"{where}: events", len(row["events"]), len(span["events"]))
    for got, event in zip(row["events"], span["events"]):
        same(f"{where}: event", got["time_since_start"], event["time_since_start"])
        same(f"{where}: event", got["name"] or "", event["name"])
        same(f"{where}: event", of_view(got["attributes"]), attributes(event["attributes"]))
    same(f"{where}: links", len(row["links"]), len(span["links"]))
    for got, link in zip(row["links"], span["links"]):
        same(f"{where}: link", got["trace_id"] or "", link["trace_id"])
        same(f"{where}: link", of_view(got["attributes"]), attributes(link["attributes"]))


def check_duckdb(sql, expected):
    connection = duckdb.connect()
    connection.execute(sql).fetchall()
    query = "SELECT * EXCLUDE start_time, epoch_ns(start_time) AS start FROM spans"
    result = connection.execute(query)
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row)) for row in result.fetchall()]
    same("spans", len(rows), len(expected["spans"]))
    by_id = {(row["trace_id"], row["span_id"]): row for row in rows}
    same("distinct spans", len(by_id), len(rows))
    for span in expected["spans"]:
        check_span(by_id[span["trace_id"], span["span_id"]], span)

    # What people ask: one attribute, whatever type it has in whichever file.
    for key, text, count in expected["counts"]:
        asked = connection.execute(
            "SELECT count(*) FROM spans WHERE attributes[?] = ?", [key, text]).fetchall()
        same(f"spans with {key} = {text}", asked, [(count,)])
    return len(rows)


def check_pyarrow(expected):
    """The same key lies in a column of its type in two files and in the remainder of the third."""
    total = 0
    places = Counter()
    for name in expected["files"]:
        table = parquet.read_table(name)
        total += table.num_rows
        codes = []
        for column, kind in [("span_code_int", "int"), ("span_code", "string")]:
            if column in table.column_names:
                places[column] += 1
                stored = table.column(column).to_pylist()
                codes += [(kind, str(code)) for code in stored if code is not None]
        for row in table.column("other_attributes").to_pylist():
            for entry in row:
                if entry["owner"] == 0 and entry["key"] == "code":
                    places["other_attributes"] += 1
                    kind = {1: "string", 3: "int"}[entry["type"]]
                    codes.append((kind, str(entry[kind])))
        same(f"codes in {name}", sorted(codes), sorted(map(tuple, expected["codes"][name])))
    same("rows", total, len(expected["spans"]))
    for place in ["span_code_int", "span_code", "other_attributes"]:
        if not places[place]:
            sys.exit(f"no file has the key in {place}: the test tests little ({places})")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        sql = file.read()
    with open(sys.argv[2], encoding="utf-8") as file:
        expected = json.load(file)
    if "files" in expected:
        check_pyarrow(expected)
    print(f"{check_duckdb(sql, expected)} spans are the same")


main()
