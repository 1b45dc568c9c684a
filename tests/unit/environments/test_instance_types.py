from environments.instance_types import instance_types, nearest, table, uses


def test_uses_differ_by_instance_type() -> None:
    assert uses("ml.m5.xlarge") == ["training", "endpoint", "notebook"]
    assert uses("ml.t3.medium") == ["notebook"]
    assert uses("ml.m6g.large") == ["endpoint"]
    assert uses("ml.m5.3xlarge") == []


def test_near_a_type_is_its_family_or_what_is_spelt_alike() -> None:
    assert nearest("training", "ml.p3.4xlarge") == [
        "ml.p3.2xlarge",
        "ml.p3.8xlarge",
        "ml.p3.16xlarge",
    ]
    assert "ml.m5.xlarge" in nearest("training", "ml.m5xlarge")


def test_the_table_takes_what_is_an_instance_and_sorts_it_by_size() -> None:
    quotas = [
        "ml.m5.2xlarge for training job usage",
        "ml.m5.xlarge for training job usage",
        "ml.m5.16xlarge for training job usage",
        "ml.m5.large for training job usage",
        "ml.m5.xlarge for spot training job usage",
        "ml.m5.xlarge for training warm pool usage",
        "ml.eia1.medium for endpoint usage",
        "ml.c5.large for endpoint usage",
        "Number of instances across all training jobs",
    ]
    assert table(quotas) == {
        "training": {"m5": "large xlarge 2xlarge 16xlarge"},
        "endpoint": {"c5": "large"},
        "notebook": {},
    }


def test_no_instance_type_is_listed_twice() -> None:
    for use in ("training", "endpoint", "notebook"):
        assert len(instance_types(use)) == len(set(instance_types(use)))
