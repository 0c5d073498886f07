"""How well plates are found and read in one's own pictures: ``checkpoint bench accuracy``.

    labels.py, names.py     label files and file names → labelled pictures
    measure.py              labelled pictures → outcomes, by the recogniser as it ships
    conditions.py           light, width and blur of a plate
    matching.py             which annotated plate a detection meets
    statistics.py           shares with intervals, calibration
    confusion.py            which character is taken for which
    report.py               outcomes → a report, JSON
    tables.py               the report as Markdown and for a terminal
    plots.py, sheet.py      the report as pictures; these need matplotlib, as does lettering.py
    files.py                writes all of that into a folder

Everything but the pictures works without matplotlib.
"""
