"""Figures of rates hold the numbers of the rows, and refuse rows that would make a wrong one."""

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.figures.rates import metrics, rates


def row(arm="one", verb="put", success=True, control="none", **values) -> Row:
    return Row("episode", arm, "suite", control, 600_000, "", success, values, {"verb": verb, "object": "mug"})


def bars(figure):
    return {bar.name: dict(zip(bar.x, bar.y, strict=True)) for bar in figure.data if bar.type == "bar"}


def test_rates_are_those_of_the_rows():
    rows = [row(success=i < 3) for i in range(4)] + [row(verb="open"), row(arm="two", success=False)]
    figure = rates(rows)
    assert bars(figure) == {"one": {"put": 0.75, "open": 1.0}, "two": {"put": 0.0}}
    bar, expected = figure.data[0], wilson(3, 4)
    assert bar.y[0] + bar.error_y.array[0] == pytest.approx(expected.high)
    assert bar.y[0] - bar.error_y.arrayminus[0] == pytest.approx(expected.low)
    assert bar.hovertext[0] == expected.text()
    assert figure.layout.title.text == "Success by verb (1 to 4 trials a bar)"


def test_a_metric_counts_where_it_applies():
    rows = [row(grasped=True), row(grasped=False), row(grasped=None)]
    assert bars(rates(rows, "arm", "grasped")) == {None: {"one": 0.5}}


def test_a_group_without_a_single_answer_has_no_bar():
    assert bars(rates([row(grasped=True), row(verb="open", grasped=None)], metric="grasped")) == {"one": {"put": 1.0}}


def test_decomposed_metrics_leave_out_numbers():
    rows = [row(reached=True, placed_right=False, seconds=3.2), row(reached=True, placed_right=None, seconds=1.0)]
    assert bars(metrics(rows)) == {"one": {"reached": 1.0, "placed right": 0.0, "success": 1.0}}


def test_controls_are_not_pooled():
    rows = [row(), row(control="black", success=False)]
    with pytest.raises(PilabError, match="pooled"):
        rates(rows)
    with pytest.raises(PilabError, match="pooled"):
        metrics(rows)
    assert bars(rates(rows, by="control")) == {"one": {"none": 1.0, "black": 0.0}}


def test_controls_can_have_the_colours():
    rows = [row(), row(verb="open"), row(control="black", success=False)]
    figure = rates(rows, colour="control")
    assert bars(figure) == {"none": {"put": 1.0, "open": 1.0}, "black": {"put": 0.0}}
    assert figure.layout.showlegend
    with pytest.raises(PilabError, match=r"arms \['one', 'two'\] would be pooled"):
        rates([*rows, row(arm="two")], colour="control")
    with pytest.raises(PilabError, match="no 'planet' among"):
        rates([row()], colour="clusters.planet")


@pytest.mark.parametrize(
    ("rows", "by", "metric", "reason"),
    [
        ([], "arm", "success", "no rows"),
        ([row()], "clusters.planet", "success", "no 'planet' among"),
        ([row()], "colour", "success", "no 'colour' among"),
        ([row()], "arm", "reached", "no metric 'reached'"),
        ([row(seconds=1.5)], "arm", "seconds", "yes or no"),
    ],
)
def test_errors_name_what_is_wrong(rows, by, metric, reason):
    with pytest.raises(PilabError, match=reason):
        rates(rows, by, metric)
