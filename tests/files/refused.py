"""Files that hold no table, or a broken one, and what is said of them."""

from __future__ import annotations

import gzip
import pickle

# Name, ending, bytes, pieces of the message.
REFUSED: list[tuple[str, str, bytes, list[str]]] = [
    ("empty", ".csv", b"", ["empty (0 bytes)"]),
    ("blank", ".csv", b"\n\n  \n", ["no rows"]),
    ("comments alone", ".csv", b"# a\n# b\n", ["no rows"]),
    ("names alone", ".csv", b"a,b,c\n", ["names of columns (a, b, c) and no rows"]),
    ("two columns of one name", ".csv", b"a,b,a\n1,2,3\n", ["2 columns named 'a' (columns 1 and 3)"]),
    ("a row cut off", ".csv", b"a,b,c\n1,2,3\n4,5\n6,7,8\n", ["line 3", "2 cells, expected 3", "'4,5'"]),
    ("the last row cut off", ".csv", b"a,b,c\n1,2,3\n4,5,6\n7,8", ["line 4", "2 cells, expected 3"]),
    ("a number alone at the end", ".csv", b"a,b,c\n1,2,3\n4,5,6\n7", ["line 4", "1 cell, expected 3"]),
    ("a comma in a number", ".csv", b"a,b,c\n1,2,3\n4,5,6\n7,8,9,5\n1,1,1\n", ["line 4", "4 cells, expected 3"]),
    ("a ragged row far below", ".csv", b"a,b,c\n" + b"1,2,3\n" * 100_000 + b"4,5\n1,2,3\n", ["line 100002", "2 cells"]),
    ("a ragged row below quoted line breaks", ".csv", b'a,b\n"1\n2",3\n4\n5,6\n', ["line 4", "1 cell, expected 2"]),
    ("a quote never closed", ".csv", b'a,b\n1,x\n2,"y\n3,z\n', ["line 3", "never closed"]),
    ("text behind a quote", ".csv", b'a,b\n1,x\n2,"y" z\n3,z\n', ["line 3", "behind a closing quote"]),
    ("a web page", ".csv", b"<!DOCTYPE html>\n<html><body>Not found, sorry</body></html>\n", ["web page", "download"]),
    ("XML", ".csv", b'<?xml version="1.0"?>\n<a>1,2</a>\n', ["XML"]),
    ("a pointer", ".csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", ["git lfs pull"]),
    ("zero bytes", ".csv", b"a,b\n1,2\n3,\x00\n", ["zero byte on line 3"]),
    ("zero bytes far below", ".csv", b"a,b\n" + b"1,2\n" * 400_000 + b"\x00\n", ["zero byte on line 400002"]),
    ("zeros at the end", ".csv", b"a,b\n1,2\n" + b"\x00" * 4096, ["zero byte on line 3"]),
    ("binary", ".csv", bytes(range(256)) * 20, ["binary"]),
    ("a workbook", ".csv", b"PK\x03\x04" + bytes(100), ["Excel workbook"]),
    ("Parquet", ".csv", b"PAR1" + bytes(100), ["Parquet"]),
    ("a pickle", ".csv", pickle.dumps([1, 2]), ["pickle", "run code"]),
    ("a database", ".csv", b"SQLite format 3\x00" + bytes(100), ["SQLite"]),
    ("two encodings", ".csv", "a,b\n1,é\n".encode() + "2,é\n".encode("latin-1"), ["line 2 is UTF-8 and line 3 is not"]),
    ("gzip cut off", ".csv.gz", gzip.compress(b"a,b\n1,2\n" * 1000)[:-12], ["damaged, cut off"]),
    ("no gzip", ".parquet", b"a,b\n1,2\n", ["damaged"]),
    ("no Parquet", ".parquet", b"PAR1" + bytes(100), ["damaged"]),
    ("no workbook", ".xlsx", b"a,b\n1,2\n", ["damaged"]),
    ("no JSON", ".json", b"a,b\n1,2\n", ["damaged"]),
    ("JSON cut off", ".jsonl", b'{"a": 1}\n{"a": \n', ["damaged"]),
    ("no NumPy", ".npy", b"a,b\n1,2\n", ["damaged"]),
    ("no Arrow", ".feather", b"a,b\n1,2\n", ["damaged"]),
    ("no database", ".duckdb", b"a,b\n1,2\n", ["damaged"]),
    ("an ending that says nothing", ".xyz", b"a,b\n1,2\n", ["'.xyz'", "expected one of"]),
]
