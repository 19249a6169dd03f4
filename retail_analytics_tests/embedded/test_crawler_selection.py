"""Which objects a crawler looks at: exclude patterns as AWS reads them; and where its tables begin."""

from __future__ import annotations

import pytest

from retail_analytics.embedded.crawler.backend import check_crawler
from retail_analytics.embedded.crawler.layout import Folder
from retail_analytics.embedded.crawler.schema import Schema, infer
from retail_analytics.embedded.crawler.selection import excluded, tables_at
from retail_analytics_tests.embedded.coverage import covers

ONE = Schema("json", {"a": "int"})
ROOT = "s3://lake/raw/"


@pytest.mark.parametrize(
    ("pattern", "key", "is_excluded"),
    [
        ("*.log", "a.log", True),
        ("*.log", "x/a.log", False),
        ("**.log", "x/y/a.log", True),
        ("tmp/**", "tmp/x/a.json", True),
        ("tmp/*", "tmp/x/a.json", False),
        ("data?/a", "data1/a", True),
        ("data?/a", "data12/a", False),
        ("{2020,202[13]}/**", "2021/a", True),
        ("{2020,202[13]}/**", "2022/a", False),
        ("[!a]*", "abc", False),
        ("a.b", "axb", False),
    ],
)
def test_an_exclude_pattern(pattern: str, key: str, is_excluded: bool) -> None:
    assert excluded(key, [pattern]) is is_excluded


@covers("Glue crawler", "exclude patterns; `TableLevelConfiguration`, `TableGroupingPolicy`")
@pytest.mark.parametrize(
    ("level", "locations"),
    [(None, ["s3://lake/raw/"]), (2, ["s3://lake/raw/"]), (3, ["s3://lake/raw/x/", "s3://lake/raw/y/"])],
)
def test_tables_begin_at_the_level_that_is_asked_for(level: int | None, locations: list[str]) -> None:
    folders = [Folder(f"{ROOT}{name}/day={day}/", ("k",), ONE) for name in "xy" for day in (1, 2)]
    found = list(tables_at(ROOT, folders, level=level, combine=False))
    assert [table.path for table in found] == locations


def test_an_array_at_the_top_is_one_column() -> None:
    assert infer(b'[{"a": 1}, {"a": 2}]').columns == {"array": "array<struct<a:int>>"}


@pytest.mark.parametrize(
    "configuration",
    ["no JSON", '{"Grouping": {"TableLevelConfiguration": 0}}', '{"CreatePartitionIndex": true}'],
)
def test_a_configuration_that_is_not_done_is_refused(configuration: str) -> None:
    targets = {"S3Targets": [{"Path": "s3://lake/raw"}]}
    asked = {"targets": targets, "database_name": "d", "configuration": configuration}
    with pytest.raises(Exception, match="Configuration"):
        check_crawler(asked)
