import numpy as np
import pytest

from datasets import climate, mnist5000, movielens, reuters, sinusoids, topics


def test_movielens_has_each_rating_once_in_either_part() -> None:
    train, test = movielens.split()
    assert (len(train), len(test)) == (90_000, 10_000)
    pairs = {*zip(train.users.tolist(), train.items.tolist(), strict=True)}
    assert pairs.isdisjoint(zip(test.users.tolist(), test.items.tolist(), strict=True))
    everything = movielens.ratings()
    assert set(np.unique(everything.ratings)) == {1, 2, 3, 4, 5}
    assert everything.users.max() == movielens.USERS - 1
    assert everything.items.max() == movielens.ITEMS - 1


def test_mnist5000_has_as_many_digits_of_each_kind() -> None:
    found = mnist5000.digits()
    assert found.pixels.shape == (5000, 784)
    assert np.array_equal(np.bincount(found.labels.astype(int)), np.full(10, 500))
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)
    assert found.images.shape == (5000, 28, 28)
    # A digit is in the middle of its picture.
    assert found.images.mean(axis=0)[10:18, 10:18].min() > found.images[:, :2].mean()
    train, test = mnist5000.split()
    assert (len(train), len(test)) == (4000, 1000)


def test_reuters_counts_the_words_of_its_list() -> None:
    articles = reuters.articles()
    assert articles.counts.shape == (395, len(articles.words)) == (395, 4258)
    # As the authors of the package tell it.
    assert articles.counts.sum() == 84_010
    assert articles.words[:2] == ("church", "pope")


def test_bars_are_drawn_from_their_topics() -> None:
    corpus = topics.griffiths_steyvers(2000, seed=1)
    assert np.array_equal(corpus.counts, topics.griffiths_steyvers(2000, seed=1).counts)
    expected = (corpus.mixtures @ corpus.topics).mean(axis=0)
    drawn = corpus.counts.sum(axis=0) / corpus.counts.sum()
    assert np.abs(expected - drawn).max() < 0.001
    assert corpus.counts.sum() / 2000 == pytest.approx(150, rel=0.01)


def test_topics_are_compared_whatever_their_order() -> None:
    ten = topics.bars(10)
    assert topics.topic_error(ten, ten[::-1]) == 0
    # A row and a column share one pixel of five.
    assert topics.topic_error(ten[:5], ten[5:]) == pytest.approx(0.8)


def test_measurements_of_the_climate_are_whole_and_in_order() -> None:
    sea, air = climate.el_nino(), climate.co2()
    assert sea.values.shape == (61 * 12,)
    assert np.isnan(air.values).sum() == 59
    assert len(air.values) == 2284
    # The sea is warmer in March than in September, the air fuller in each decade.
    assert np.mean(sea.values[2::12]) > np.mean(sea.values[8::12]) + 3
    assert np.nanmean(air.values[-520:]) > np.nanmean(air.values[:520]) + 30
    learnt, tested = climate.ends(sea, 12, 3)
    assert [len(one) for one in tested] == [len(learnt) + 12 * i for i in (1, 2, 3)]
    assert len(tested[-1]) == len(sea.values)


def test_sinusoids_come_again_each_period() -> None:
    series = sinusoids.noisy_sinusoids(20, 240)
    assert np.array_equal(series, sinusoids.noisy_sinusoids(20, 240))
    periods = series.reshape(20, 10, sinusoids.PERIOD)
    noise = periods.std(axis=1).mean(axis=1) / series.mean(axis=1)
    assert noise == pytest.approx(0.05, abs=0.01)
