from quotas.use import Instances, Level, counted, levels


def test_instances_count_for_their_type_and_for_all_of_their_use() -> None:
    used = counted(
        [
            Instances("training", "ml.m5.xlarge", 2),
            Instances("training", "ml.c5.xlarge", 1),
            Instances("spot", "ml.m5.xlarge", 4),
            Instances("endpoint", "ml.m5.large", 3),
            Instances("notebook", "ml.t3.medium", 1),
            Instances("notebook", "ml.t3.medium", 1, runs=False),
        ]
    )
    assert used == {
        "ml.m5.xlarge for training job usage": 2,
        "ml.c5.xlarge for training job usage": 1,
        "Number of instances across all training jobs": 3,
        "ml.m5.xlarge for spot training job usage": 4,
        "Number of instances across all spot training jobs": 4,
        "ml.m5.large for endpoint usage": 3,
        "Number of instances across active endpoints": 3,
        "ml.t3.medium for notebook instance usage": 1,
        "Total number of notebook instances": 2,
    }


def test_a_level_is_what_is_used_of_what_is_allowed() -> None:
    assert [one.percent for one in levels({"a": 3}, {"a": 4, "b": 2})] == [75, 0]
    assert Level("lowered", 3, 2).percent == 150


def test_a_quota_of_nothing_is_used_up() -> None:
    assert Level("a", 0, 0).percent == 100
