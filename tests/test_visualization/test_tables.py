from mmisn.visualization import markdown_table, write_csv


def test_markdown_table():
    assert markdown_table(['level', 'n'], [['x4', 12], ['a|b', 3]]).splitlines() == [
        '| level |   n |',
        '| ----- | --: |',
        '| x4    |  12 |',
        '| a\\|b  |   3 |',
    ]


def test_write_csv(tmp_path):
    path = tmp_path / 'new' / 't.csv'
    write_csv(path, ['a', 'b'], [[1, 'x,y'], [2, '']])
    assert path.read_text() == 'a,b\n1,"x,y"\n2,\n'
