"""Separated text as the world writes it, and the values that it holds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Case:
    """A file, what its table holds, and what is said of it.

    Attributes:
        name: of the case.
        written: the bytes of the file.
        columns: names of its columns.
        rows: values as written; None is no value.
        notes: pieces of text that the notes hold; none at all if it is empty.
        lines: lines on which the rows stand.
        index: columns that number the rows.
        suffix: the ending of the file's name.
    """

    name: str
    written: bytes
    columns: list[str]
    rows: list[tuple[str | None, ...]]
    notes: list[str] = field(default_factory=list)
    lines: list[int] | None = None
    index: tuple[str, ...] = ()
    suffix: str = ".csv"


ABC = ["a", "b", "c"]
PLAIN: list[tuple[str | None, ...]] = [("1", "2", "x"), ("3", "4", "y")]

CASES = [
    # Separators
    Case("commas", b"a,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN, lines=[2, 3]),
    Case("no line break at the end", b"a,b,c\n1,2,x\n3,4,y", ABC, PLAIN),
    Case("semicolons", b"a;b;c\n1;2;x\n3;4;y\n", ABC, PLAIN, ["a semicolon"]),
    Case(
        "semicolons and decimal commas",
        b"a;b;c\n1,5;2,5;x\n2,5;3,5;y\n",
        ABC,
        [("1,5", "2,5", "x"), ("2,5", "3,5", "y")],
        ["a semicolon"],
    ),
    Case(
        "semicolons and thousands in commas",
        b"a;b\n1,000;2,000\n3,000;4,000\n",
        ["a", "b"],
        [("1,000", "2,000"), ("3,000", "4,000")],
        ["a semicolon"],
    ),
    Case("tabs", b"a\tb\tc\n1\t2\tx\n3\t4\ty\n", ABC, PLAIN, ["a tab"], suffix=".tsv"),
    Case("bars", b"a|b|c\n1|2|x\n3|4|y\n", ABC, PLAIN, ["a bar"]),
    Case("commas in a file that is called .tsv", b"a,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN, suffix=".tsv"),
    Case(
        "a comma and a blank",
        b'a, b, c\n1, 2, "x, z"\n3, 4, y\n',
        ABC,
        [("1", "2", "x, z"), ("3", "4", "y")],
        ["a comma and a blank"],
    ),
    Case(
        "a question mark behind a comma and a blank is no value",
        b"age, work\n39, State-gov\n50, ?\n",
        ["age", "work"],
        [("39", "State-gov"), ("50", None)],
        ["a comma and a blank"],
    ),
    Case(
        "semicolons in the text of a comma file",
        b"a,b,c\n1,x; y; z,3\n2,u; v; w,4\n",
        ABC,
        [("1", "x; y; z", "3"), ("2", "u; v; w", "4")],
    ),
    Case(
        "lists with bars in a comma file",
        b"film,genres\nHeat,Crime|Drama\nJaws,Horror|Thriller\n",
        ["film", "genres"],
        [("Heat", "Crime|Drama"), ("Jaws", "Horror|Thriller")],
        ["all rows are text"],
    ),
    Case("one column", b"name\nAnn\nBob\n", ["name"], [("Ann",), ("Bob",)]),
    Case(
        "one column of decimal commas",
        b"x\n1,5\n2,5\n3,25\n",
        ["x"],
        [("1,5",), ("2,5",), ("3,25",)],
    ),
    Case("one column with a gap", b"x\n1\n\n2\n\n", ["x"], [("1",), (None,), ("2",)], lines=[2, 3, 4]),
    Case(
        "one column with a comma in a cell",
        b"x\nred\nblue\nwhite, dark\n",
        ["x"],
        [("red",), ("blue",), ("white, dark",)],
    ),
    # Quotes
    Case("quotes around a comma", b'a,b\n1,"x, y"\n', ["a", "b"], [("1", "x, y")]),
    Case("doubled quotes", b'a,b\n1,"5"" disk"\n2,""""\n', ["a", "b"], [("1", '5" disk'), ("2", '"')]),
    Case("quotes in the middle of a cell", b'a,b\n1,5" disk\n2,x\n', ["a", "b"], [("1", '5" disk'), ("2", "x")]),
    Case(
        "line breaks in quotes",
        b'a,b\n1,"x\ny"\n2,"z\r\n\r\nw"\n3,v\n',
        ["a", "b"],
        [("1", "x\ny"), ("2", "z\r\n\r\nw"), ("3", "v")],
        lines=[2, 4, 7],
    ),
    Case("a line break in a quoted name", b'"a\nb",c\n1,2\n', ["a\nb", "c"], [("1", "2")], lines=[3]),
    Case(
        "quotes behind backslashes",
        b'a,b\n1,"say \\"hi, you\\""\n2,"say \\"ho\\""\n',
        ["a", "b"],
        [("1", 'say "hi, you"'), ("2", 'say "ho"')],
    ),
    Case(
        "backslashes that quote nothing",
        b'a,b\n1,C:\\new\n2,"D:\\x, y"\n',
        ["a", "b"],
        [("1", "C:\\new"), ("2", "D:\\x, y")],
    ),
    Case("every cell quoted", b'"a","b"\n"1","NA"\n"","x"\n', ["a", "b"], [("1", None), (None, "x")]),
    Case("an apostrophe is no quote", b"a,b\n1,'x\n2,it's\n", ["a", "b"], [("1", "'x"), ("2", "it's")]),
    # No value
    Case(
        "a quoted NA is a category", b'a,b\n"NA",1\nNA,2\nDE,3\n', ["a", "b"], [("NA", "1"), (None, "2"), ("DE", "3")]
    ),
    Case("quoted and not are equal", b'a,b\n"x",1\nx,2\n', ["a", "b"], [("x", "1"), ("x", "2")]),
    Case("an empty text is no value", b'a,b\n"",1\nx,\n', ["a", "b"], [(None, "1"), ("x", None)]),
    Case(
        "what stands for no value",
        b"a,b\n1,NA\n2,N/A\n3,NaN\n4,null\n5,None\n6,.\n7,-\n8,?\n9,#N/A\n10,\\N\n11,0\n",
        ["a", "b"],
        [(str(i), None) for i in range(1, 11)] + [("11", "0")],
    ),
    Case(
        "a minus beside a plus is a category",
        b"a,b\n1,+\n2,-\n3,?\n",
        ["a", "b"],
        [("1", "+"), ("2", "-"), ("3", None)],
    ),
    Case("no value among blanks", b"a,b\n 1,  NA\n 2,   3\n", ["a", "b"], [(" 1", None), (" 2", "   3")]),
    Case("words that begin as NA does", b"a,b\n1,NAN0\n2,Nantes\n", ["a", "b"], [("1", "NAN0"), ("2", "Nantes")]),
    Case("blanks around text stay", b"a,b\n1, x \n2,y\n", ["a", "b"], [("1", " x "), ("2", "y")]),
    Case("text as it is written", b"a,b\n007,1.50\n1e3,TRUE\n", ["a", "b"], [("007", "1.50"), ("1e3", "TRUE")]),
    # Names
    Case(
        "names as they are written",
        b'" age ","a, b","say ""x""",select\n1,2,3,4\n',
        [" age ", "a, b", 'say "x"', "select"],
        [("1", "2", "3", "4")],
    ),
    Case("names that differ in case", b"a,A\n1,2\n", ["a", "A"], [("1", "2")]),
    Case("names beyond ASCII", "Größe,名\n1,2\n".encode(), ["Größe", "名"], [("1", "2")]),
    Case(
        "the index of pandas", b",a,b\n0,5,x\n1,6,y\n", ["", "a", "b"], [("0", "5", "x"), ("1", "6", "y")], index=("",)
    ),
    Case(
        "the index of pandas, written twice",
        b"Unnamed: 0,a\n0,5\n1,6\n",
        ["Unnamed: 0", "a"],
        [("0", "5"), ("1", "6")],
        index=("Unnamed: 0",),
    ),
    Case(
        "names of rows as R writes them",
        b'"mpg","cyl"\n"Mazda",21,6\n"Fiat",32,4\n',
        ["", "mpg", "cyl"],
        [("Mazda", "21", "6"), ("Fiat", "32", "4")],
        index=("",),
    ),
    Case(
        "names that count the columns",
        b"0,1,2\n0.5,0.1,0.2\n0.3,0.7,0.9\n",
        ["0", "1", "2"],
        [("0.5", "0.1", "0.2"), ("0.3", "0.7", "0.9")],
        ["count the columns"],
    ),
    Case(
        "names that are years",
        b"2001,2002,2003\n1.5,2.5,3.5\n4.5,5.5,6.5\n",
        ["2001", "2002", "2003"],
        [("1.5", "2.5", "3.5"), ("4.5", "5.5", "6.5")],
        ["years"],
    ),
    Case(
        "no names above numbers",
        b"5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n",
        ["column1", "column2", "column3"],
        [("5.1", "3.5", "setosa"), ("4.9", "3.0", "setosa"), ("6.3", "3.3", "virginica")],
        ["no header"],
        lines=[1, 2, 3],
    ),
    Case(
        "no names above text that comes again",
        b"y,n,n\nn,y,n\ny,y,y\n",
        ["column1", "column2", "column3"],
        [("y", "n", "n"), ("n", "y", "n"), ("y", "y", "y")],
        ["no header"],
    ),
    Case("one row of numbers", b"1,2,3\n", ["column1", "column2", "column3"], [("1", "2", "3")], ["no header"]),
    Case(
        "an empty last column without a name",
        b"a,b,\n1,2,\n3,4,\n",
        ["a", "b"],
        [("1", "2"), ("3", "4")],
        ["column 3, without a name or a value, left out"],
    ),
    Case("a separator at the end of rows only", b"a,b\n1,2,\n3,4,\n", ["a", "b"], [("1", "2"), ("3", "4")]),
    Case("a column without a name", b"a,,c\n1,2,3\n4,5,6\n", ["a", "column2", "c"], [("1", "2", "3"), ("4", "5", "6")]),
    # Ends of lines
    Case("CRLF", b"a,b,c\r\n1,2,x\r\n3,4,y\r\n", ABC, PLAIN, lines=[2, 3]),
    Case("CR", b"a,b,c\r1,2,x\r3,4,y\r", ABC, PLAIN, lines=[2, 3]),
    Case("ends of lines of two kinds", b"a,b,c\r\n1,2,x\n3,4,y\r\n", ABC, PLAIN),
    Case(
        "a line break of another kind in quotes", b'a,b\r\n1,"x\ny"\r\n2,z\r\n', ["a", "b"], [("1", "x\ny"), ("2", "z")]
    ),
    Case("blank lines", b"\n\na,b,c\n\n1,2,x\n   \n3,4,y\n\n\n", ABC, PLAIN, lines=[5, 7]),
    # Above and below
    Case("comments above", b"# made by x, y\n# on z\na,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN, lines=[4, 5]),
    Case("comments within", b"a,b,c\n1,2,x\n# a pause\n3,4,y\n", ABC, PLAIN, ["1 comment line left out"], lines=[2, 4]),
    Case(
        "comments of as many cells as a row",
        b"# units: m, s, -\na,b,c\n1,2,x\n# from here, on, again\n3,4,y\n",
        ABC,
        PLAIN,
        ["1 comment line left out"],
    ),
    Case("names in a comment", b"# a,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN, ["comment"]),
    Case("a hash in a cell", b"a,b\n1,C#\n2,F# x\n", ["a", "b"], [("1", "C#"), ("2", "F# x")]),
    Case("a hash at the beginning of cells", b"tag,n\n#x,1\n#y,2\n", ["tag", "n"], [("#x", "1"), ("#y", "2")]),
    Case(
        "a title above",
        b"Report, 2024\n\na,b,c\n1,2,x\n3,4,y\n5,6,z\n",
        ABC,
        [*PLAIN, ("5", "6", "z")],
        ["1 line above"],
        lines=[4, 5, 6],
    ),
    Case("a title in a spreadsheet", b"Report,,\n,,\na,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN, ["1 line above"]),
    Case("a source below", b"a,b,c\n1,2,x\n3,4,y\n\nSource: the office\n", ABC, PLAIN, ["below"]),
    Case("a source with commas below", b"a,b,c\n1,2,x\n3,4,y\nSource: A, B, C, D\n", ABC, PLAIN, ["below"]),
    Case("a source in a spreadsheet", b"a,b,c\n1,2,x\n3,4,y\nSource: the office,,\n", ABC, PLAIN, ["below"]),
    Case("a total below", b"a,b,c\nx,1,2\ny,3,4\nTotal,4,6\n", ABC, [("x", "1", "2"), ("y", "3", "4")], ["below"]),
    Case("the number of rows below", b"a,b,c\n1,2,x\n3,4,y\n(2 rows)\n", ABC, PLAIN, ["below"]),
    Case("empty rows below", b"a,b,c\n1,2,x\n3,4,y\n,,\n,,\n", ABC, PLAIN),
    Case("a last row with one value", b"a,b,c\n1,2,x\n3,,\n", ABC, [("1", "2", "x"), ("3", None, None)]),
    Case("empty cells beyond the last column", b"a,b,c\n1,2,x,,\n3,4,y\n", ABC, PLAIN),
    # Encodings
    Case("a byte order mark", b"\xef\xbb\xbfa,b,c\n1,2,x\n3,4,y\n", ABC, PLAIN),
    Case("a byte order mark before a quote", b'\xef\xbb\xbf"a","b"\n1,2\n', ["a", "b"], [("1", "2")]),
    Case(
        "a byte order mark and no names",
        b"\xef\xbb\xbf5,2\n3,4\n",
        ["column1", "column2"],
        [("5", "2"), ("3", "4")],
        ["no header"],
    ),
    Case("UTF-16", "a,b\n1,é\n2,名\n".encode("utf-16"), ["a", "b"], [("1", "é"), ("2", "名")], ["utf-16"]),
    Case(
        "UTF-16 without a mark",
        "a,b\n1,é\n2,y\n".encode("utf-16-le"),
        ["a", "b"],
        [("1", "é"), ("2", "y")],
        ["utf-16-le"],
    ),
    Case(
        "Windows' encoding",
        "a,b\n1,é\n2,€ “x”\n".encode("cp1252"),
        ["a", "b"],
        [("1", "é"), ("2", "€ “x”")],
        ["cp1252"],
    ),
    Case(
        "Windows' encoding far below",
        b"a,b\n" + b"1,x\n" * 100_000 + "2,é\n".encode("cp1252"),
        ["a", "b"],
        [("1", "x")] * 100_000 + [("2", "é")],
        ["cp1252"],
    ),
    Case("UTF-8", "a,b\n1,é\n2,😀\n".encode(), ["a", "b"], [("1", "é"), ("2", "😀")]),
    # Sizes
    Case(
        "line breaks in quotes beyond a megabyte",
        b"a,b,c\n" + b"".join(b'%d,"first line\nsecond line",x\n' % i for i in range(60_000)),
        ABC,
        [(str(i), "first line\nsecond line", "x") for i in range(60_000)],
    ),
    Case(
        "a cell of three megabytes",
        b"a,b\n1," + b"x" * 3_000_000 + b"\n2,y\n",
        ["a", "b"],
        [("1", "x" * 3_000_000), ("2", "y")],
    ),
    Case(
        "quotes that begin far below",
        b"a,b\n" + b"1,x\n" * 100_000 + b'2,"y, z"\n',
        ["a", "b"],
        [("1", "x")] * 100_000 + [("2", "y, z")],
    ),
    Case(
        "a thousand columns",
        (",".join(f"x{i}" for i in range(1000)) + "\n" + ",".join(map(str, range(1000))) + "\n").encode(),
        [f"x{i}" for i in range(1000)],
        [tuple(map(str, range(1000)))],
    ),
]
