import yaml

from environments import instance_types
from quotas import table


def test_names_and_codes_are_one_to_one() -> None:
    assert len(table.codes()) == len(table.names()) == 1618
    assert table.codes()["ml.m5.xlarge for training job usage"] == "L-CCE2AFA6"


def test_the_file_is_what_the_module_writes() -> None:
    assert table.PATH.read_text(encoding="utf-8") == table.text(table.codes().items())


def test_the_instance_types_of_the_environments_are_those_that_have_a_quota() -> None:
    written = yaml.safe_load(instance_types.TABLE.read_bytes())
    assert instance_types.table(table.codes()) == written


def test_every_quota_that_is_counted_exists() -> None:
    for name in (*table.TOTAL.values(), *table.LARGEST.values()):
        assert name in table.codes()
    for use in table.TOTAL:
        name = table.of_type(use, "ml.m5.xlarge")
        assert name in table.codes()
        assert table.use_of(name) == (use, "ml.m5.xlarge")
    assert table.use_of("ml.m5.xlarge for cluster usage") is None
