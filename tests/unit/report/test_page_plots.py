"""What the page's figures draw, from points, session ranges and session records."""

import json
from typing import Any

import pandas as pd
import pytest

from data.report.synthetic import Row, default_sweep, sweep, with_ids
from helpers.plots import titles
from servegrid.report.drawing.style import engine_looks
from servegrid.report.page.plots import COLUMNS_WITH_INTERVAL, plots
from servegrid.report.page.series import MAX_SERIES
from servegrid.report.published import with_published, with_published_labels
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import sweep_model, with_intervals
from servegrid.results.points import prepare_points
from servegrid.results.session_values import session_values_by_point

Plot = dict[str, Any]
SETTINGS = Settings("A sweep")


def page_plots(points: pd.DataFrame, sessions: pd.DataFrame | None = None) -> dict[str, Plot]:
    rows = with_intervals(
        prepare_points(points, SETTINGS.all_axes),
        pd.DataFrame() if sessions is None else sessions,
        COLUMNS_WITH_INTERVAL,
    )
    return {plot["id"]: plot for plot in plots(rows, SETTINGS)}


def numbers(trace: Plot) -> list[int]:
    point_numbers: list[int] = trace["customdata"]
    return point_numbers


def dots(plot: Plot) -> dict[int, tuple[float, float]]:
    """Point number -> x, y."""
    marked = [trace for trace in plot["data"] if trace.get("customdata")]
    return {n: (x, y) for trace in marked for n, x, y in zip(numbers(trace), trace["x"], trace["y"], strict=True)}


def per_gpu(row: Row) -> Row:
    gpus = {"a100": 1, "two": 2}.get(row["gpu"])
    return row | {"output_tokens_per_s_per_gpu": row["output_tokens_per_s"] / gpus if gpus else None}


# --- throughput against latency


def test_the_front_is_of_tokens_per_user_against_tokens_per_gpu() -> None:
    plot = page_plots(sweep(gpu=["two"], change=per_gpu))["pareto"]
    assert titles(plot) == ["output tokens/s per user (1 / median ITL)", "output tokens/s per GPU"]
    points = sweep(gpu=["two"])
    assert dots(plot)[3] == (1000 / points["itl_ms_p50"][2], points["output_tokens_per_s"][2] / 2)


def test_without_a_known_gpu_it_is_per_server() -> None:
    plots = page_plots(sweep())
    assert titles(plots["pareto-server"])[1] == "output tokens/s per server" and "pareto" not in plots


def test_rates_of_gpus_and_of_servers_are_not_held_against_each_other() -> None:
    plots_by_id = page_plots(sweep(gpu=["a100", "cpu"], change=per_gpu))
    gpu, server = dots(plots_by_id["pareto"]), dots(plots_by_id["pareto-server"])
    assert len(gpu) == len(server) == 8 and not set(gpu) & set(server)
    assert "8 points whose GPUs are not known" in plots_by_id["pareto"]["note"]
    assert "8 points whose GPUs are known" in plots_by_id["pareto-server"]["note"]


def test_the_front_joins_what_no_other_point_beats() -> None:
    rates = {1: (10.0, 100.0), 4: (20.0, 300.0), 16: (40.0, 200.0), 64: (50.0, 900.0)}

    def planted(row: Row) -> Row:
        itl, rate = rates[row["threads"]]
        return row | {"itl_ms_p50": itl, "output_tokens_per_s": rate}

    front = page_plots(sweep(engine=["llamacpp"], change=planted))["pareto-server"]["data"][-1]
    assert (front["name"], front["x"], front["y"]) == ("Pareto front", [100, 50, 20], [100, 300, 900])


def test_one_point_that_beats_all_is_no_line() -> None:
    plot = page_plots(sweep(engine=["llamacpp"], threads=[4]))["pareto-server"]
    assert [trace["name"] for trace in plot["data"]] == ["llamacpp"] and "front" not in plot["note"]


def test_a_client_bound_or_partial_point_is_hollow_and_not_on_the_front() -> None:
    def odd(row: Row) -> Row:
        if row["threads"] == 64:
            return row | ({"client_bound": True} if row["engine"] == "llamacpp" else {"status": "partial"})
        return row

    plot = page_plots(sweep(change=odd))["pareto-server"]
    symbols = {
        n: s for trace in plot["data"][:-1] for n, s in zip(numbers(trace), trace["marker"]["symbol"], strict=True)
    }
    assert {n for n, symbol in symbols.items() if symbol.endswith("-open")} == {4, 8}
    assert max(plot["data"][-1]["y"]) == dots(plot)[3][1]
    assert "Hollow: client-bound, or measured in part." in plot["note"]


# --- doubt


def sessions(points: pd.DataFrame, **factors: tuple[float, ...]) -> pd.DataFrame:
    """Sessions of every point whose columns are the point's values times a factor each."""
    rows = [
        {"server_id": point["server_id"], "load_id": point["load_id"], "rep": rep, "status": "ok"}
        | {name: point[name] * session_factors[rep] for name, session_factors in factors.items()}
        for _, point in points.iterrows()
        for rep in range(len(next(iter(factors.values()))))
    ]
    return pd.DataFrame(rows)


def test_both_bars_of_the_front_are_intervals_over_sessions() -> None:
    points = with_ids(sweep(engine=["vllm"]))
    point_sessions = sessions(points, output_tokens_per_s=(0.99, 1.01), itl_ms_p50=(0.98, 1.02))
    trace = page_plots(points, point_sessions)["pareto-server"]["data"][0]
    ids = [(row["server_id"], row["load_id"]) for _, row in points.iterrows()]
    for bars, values, metric in (("error_y", trace["y"], "output_tokens_per_s"), ("error_x", trace["x"], "itl_ms_p50")):
        mean = sweep_model(session_values_by_point(point_sessions, metric)).mean(ids[0])
        low, high = (mean.low, mean.high) if bars == "error_y" else (1000 / mean.high, 1000 / mean.low)
        assert trace[bars]["array"][0] == pytest.approx(high - values[0])
        assert trace[bars]["arrayminus"][0] == pytest.approx(values[0] - low)
    assert "95 % interval" in trace["text"][0]


def test_a_session_that_two_points_share_counts_once() -> None:
    points = with_ids(sweep(engine=["vllm"], threads=[1, 4])).assign(server_id="s", load_id="planned")
    once = sessions(points.head(1), output_tokens_per_s=(0.9,))
    ranged = with_intervals(points, pd.concat([once, once]), ["output_tokens_per_s"])
    assert ranged["output_tokens_per_s_low"].isna().all()


def test_one_session_has_no_bars_and_no_words_on_them() -> None:
    points = with_ids(
        sweep(engine=["vllm"], change=lambda row: row | {"time_s_low": row["time_s"], "time_s_high": row["time_s"]})
    )
    plots_by_id = page_plots(points, sessions(points, output_tokens_per_s=(1.1,)))
    assert set(plots_by_id["pareto-server"]["data"][0]["error_y"]["array"]) == {None}
    assert set(plots_by_id["threads"]["data"][0]["error_y"]["array"]) == {None}
    assert "Bars" not in plots_by_id["pareto-server"]["note"] + plots_by_id["threads"]["note"]


def test_intervals_are_of_the_same_server_and_load() -> None:
    points = prepare_points(with_ids(sweep(engine=["vllm"])), SETTINGS.all_axes)
    point_sessions = sessions(points.iloc[:2], ttft_ms_p50=(0.98, 1.02, 1.0))
    table = with_intervals(points, point_sessions, ["ttft_ms_p50", "itl_ms_p50"])
    low, value, high = (table[f"ttft_ms_p50{end}"].iloc[:2] for end in ("_low", "", "_high"))
    assert (low < value).all() and (value < high).all() and (high / low < 1.3).all()
    assert table["ttft_ms_p50_low"][2:].isna().all() and table["itl_ms_p50_high"].isna().all()


def test_a_percentile_has_the_interval_of_its_sessions_beneath() -> None:
    points = with_ids(sweep(engine=["vllm"], threads=[1]))
    band, line = page_plots(points, sessions(points, ttft_ms_p99=(0.99, 1.01)))["ttft"]["data"]
    low, high, gap = band["x"]
    assert low < 11 < high and high / low < 1.4 and gap is None
    assert line["x"] == [3, None, 11] and line["text"][0] == "p50" and line["text"][2].startswith("p99, 95 % interval")


# --- looks


def test_colours_are_the_engines_in_every_figure() -> None:
    points = sweep(engine=["vllm", "llamacpp"], speculation=["none", "ngram:2", "ngram:8"])
    looks = engine_looks(["vllm", "llamacpp"])
    for plot in page_plots(points).values():
        for trace in plot["data"]:
            if trace["type"] == "scatter" and trace.get("customdata"):
                engine = points["engine"][numbers(trace)[0] - 1]
                assert trace["marker"]["color"] == looks[engine].colour, plot["id"]


def looks(trace: Plot) -> tuple[str, str, str]:
    return trace["marker"]["color"], trace["marker"]["symbol"][0], trace["line"]["dash"]


def test_few_series_have_a_mark_each_many_their_settings() -> None:
    few = page_plots(sweep(quantization=["none", "int8"]))["threads"]["data"]
    assert len({trace["marker"]["symbol"][0] for trace in few}) == len(few) == 4
    many = page_plots(sweep(quantization=["none", "a", "b", "c", "d", "e"]))
    curves = {trace["name"]: looks(trace) for trace in many["threads"]["data"]}
    assert len(curves) == len(set(curves.values())) == 12, "no two look alike"
    assert curves["llamacpp, c"][1:] == curves["ctranslate2, c"][1:], "mark and dash are the setting's"
    assert [trace["name"] for trace in many["pareto-server"]["data"]] == ["llamacpp", "ctranslate2", "Pareto front"]
    assert "llamacpp, 1 thread, quantization none" in many["pareto-server"]["data"][0]["text"][0], "hover says which"


def test_of_too_many_curves_each_engine_keeps_its_fastest() -> None:
    plot = page_plots(sweep(quantization=["none", *"abcdefghijklmnopqrstu"]))["threads"]
    engines = [trace["name"].split(",")[0] for trace in plot["data"]]
    assert len(engines) == MAX_SERIES and engines.count("llamacpp") == engines.count("ctranslate2")
    assert "llamacpp, u" in [trace["name"] for trace in plot["data"]]
    assert f"Shown: the {MAX_SERIES} of 44 series" in plot["note"]


def test_of_many_curves_none_looks_like_another() -> None:
    settings = Settings("Engines", published=("config/published/article.csv",))
    points = sweep(
        engine=["vllm", "llamacpp", "tgi", "sglang"],
        gpu=["a6000", "rtx4090"],
        speculation=["none", "ngram:2", "ngram:8"],
        quantization=["none", "fp8", "awq"],
    )
    points, settings = with_published(points, settings)
    plot = next(
        plot
        for plot in plots(with_published_labels(prepare_points(points, settings.all_axes)), settings)
        if plot["id"] == "threads"
    )
    curve_looks = [looks(trace) for trace in plot["data"]]
    assert len(curve_looks) == MAX_SERIES and len(set(curve_looks)) == MAX_SERIES, "looks are given after the choice"


def test_names_say_what_each_value_is_and_leave_out_what_is_off() -> None:
    points = sweep(engine=["vllm", "tgi"], speculation=["none", 8], quantization=["none", "int8"])
    plot = page_plots(points)["threads"]
    assert [trace["name"] for trace in plot["data"]][:4] == [
        "vllm",
        "vllm, int8",
        "vllm, speculation 8",
        "vllm, speculation 8, int8",
    ]
    assert "Names leave out: speculation none, quantization none." in plot["note"]
    named = [trace["name"] for trace in page_plots(points)["itl"]["data"] if "customdata" in trace]
    assert named[0] == "1: vllm, 1 thread" and "4: vllm, 1 thread, speculation 8, int8" in named


def test_names_leave_out_axes_on_which_only_published_rows_differ() -> None:
    settings = Settings("Engines", published=("config/published/article.csv",))
    points, settings = with_published(sweep(engine=["vllm", "llamacpp"], gpu=["a6000"]), settings)
    plot = next(
        plot
        for plot in plots(with_published_labels(prepare_points(points, settings.all_axes)), settings)
        if plot["id"] == "threads"
    )
    names = [trace["name"] for trace in plot["data"]]
    assert {"vllm", "llamacpp"} <= set(names) and len(names) == len(set(names))
    assert any("memory_fraction 0.5" in name for name in names if "published" in name)
    assert "Names leave out: a6000, speculation none, memory_fraction 1" in plot["note"]


def test_values_far_apart_are_on_a_logarithmic_axis() -> None:
    assert page_plots(sweep(threads=[1, 4]))["threads"]["layout"]["yaxis"]["rangemode"] == "tozero"
    wide = page_plots(sweep(change=lambda row: row | {"time_s": 1000 / row["threads"]}))
    assert wide["threads"]["layout"]["yaxis"]["type"] == "log"


def test_every_axis_has_a_title_and_no_figure_is_empty() -> None:
    points = sweep(engine=["vllm", "llamacpp", "tgi"], speculation=["none", "ngram:2", "ngram:8"])
    for plot in page_plots(points).values():
        across, down = titles(plot)
        assert plot["data"] and across and (down or plot["layout"]["yaxis"]["type"] == "category")


def test_planned_arrivals_have_no_figure_over_threads() -> None:
    assert "threads" not in page_plots(sweep(threads=[None], rate=[1.0, 2.0]))


def test_published_rows_alone_can_be_drawn() -> None:
    settings = Settings("A table", published=("config/published/article.csv",))
    points, settings = with_published(sweep().iloc[:0], settings)
    (plot,) = plots(with_published_labels(prepare_points(points, settings.all_axes)), settings)
    assert plot["id"] == "threads"
    curve_looks = [looks(trace) for trace in plot["data"]]
    assert len(curve_looks) == len(set(curve_looks)) > 1 and {dash for *_, dash in curve_looks} == {"dot"}
    assert curve_looks[0][1] == "x-thin-open"


# --- percentiles of 4, 40 and 400 points


@pytest.mark.parametrize(("threads", "quantizations", "lines"), [(2, 1, 4), (4, 5, 40), (4, 50, 8)])
def test_percentiles_of_few_and_many_points(threads: int, quantizations: int, lines: int) -> None:
    points = sweep(threads=[4**n for n in range(threads)], quantization=[f"q{n}" for n in range(quantizations)])
    plot = page_plots(points)["itl"]
    named = [trace for trace in plot["data"] if "customdata" in trace]
    assert len(named) == lines and ("Shown" in plot["note"]) == (lines < len(points))
    assert {trace["name"].split()[1] for trace in named} == {"llamacpp,", "ctranslate2,"}, "both engines"


def test_of_many_points_the_fastest_of_each_load_is_kept() -> None:
    points = sweep(engine=["vllm"], quantization=[f"q{n}" for n in range(50)])
    kept = {numbers(trace)[0] for trace in page_plots(points)["itl"]["data"] if "customdata" in trace}
    fastest = points.loc[points.groupby("threads")["output_tokens_per_s"].idxmax()]
    assert kept == set(fastest.index + 1)


# --- heat map and acceptance


def test_the_heat_map_has_the_best_point_of_each_place_in_the_grids_order() -> None:
    points = sweep(engine=["vllm"], speculation=["none", "ngram:2", "ngram:16"], quantization=["none", "int8"])
    plot = page_plots(points)["heat"]
    (heat,) = plot["data"]
    assert (heat["y"], heat["x"]) == (["1", "4", "16", "64"], ["none", "ngram:2", "ngram:16"])
    at_16 = points[(points["threads"] == 16) & (points["speculation"] == "ngram:2")]
    assert heat["z"][2][1] == at_16["output_tokens_per_s"].max()
    assert heat["customdata"][2][1] == at_16["output_tokens_per_s"].idxmax() + 1


def test_a_place_that_was_not_measured_is_empty() -> None:
    (heat,) = page_plots(default_sweep())["heat"]["data"]
    assert heat["z"][3][2] is None and heat["customdata"][3][2] is None


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 (black) to 1 (white): WCAG 2.2, "relative luminance"."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_numbers_on_the_heat_map_can_be_read_and_its_colours_be_told_apart_in_grey() -> None:
    (heat,) = page_plots(sweep(engine=["vllm"], speculation=["none", "ngram:2", "ngram:16"]))["heat"]["data"]
    assert heat["textfont"]["color"] == "#000"
    light = [luminance(colour) for _, colour in heat["colorscale"]]
    assert light == sorted(light, reverse=True)
    assert min((colour_luminance + 0.05) / 0.05 for colour_luminance in light) >= 7, (
        "WCAG AAA; between two colours it is between their contrasts"
    )


def accepted(row: Row) -> Row:
    length = int(row["speculation"].partition(":")[2] or 0)
    return row | {"acceptance_length": 1 + length * row["acceptance_rate"] if length else None}


def test_acceptance_and_tokens_per_step_stand_against_the_draft_length() -> None:
    plots_by_id = page_plots(sweep(engine=["vllm"], speculation=["none", "ngram:2", "ngram:8"], change=accepted))
    assert titles(plots_by_id["acceptance"]) == ["tokens drafted at once", "drafted tokens accepted (0 to 1)"]
    assert plots_by_id["acceptance"]["layout"]["xaxis"]["ticktext"] == ["2", "8"]
    line, marked = plots_by_id["acceptance-length"]["data"]
    assert line["y"] == pytest.approx([1 + 2 * 0.71, 1 + 8 * 0.38]) and len(marked["y"]) == 8


def test_without_two_draft_lengths_there_is_no_such_figure() -> None:
    assert not {"acceptance", "acceptance-length"} & set(page_plots(sweep(speculation=["none", "ngram:2"])))


def test_engines_at_one_draft_length_stand_side_by_side() -> None:
    plot = page_plots(sweep(speculation=["none", "ngram:2", "ngram:8"]))["acceptance"]
    places = [set(trace["x"]) for trace in plot["data"] if trace.get("customdata")]
    assert len(places) == 2 and not places[0] & places[1]


# --- start-up


def test_bare_lengths_of_speculation_are_lengths_too() -> None:
    points = sweep(speculation=["none", "2", "4"]).assign(acceptance_rate=0.5)
    plot = page_plots(points)["acceptance"]
    assert plot["layout"]["xaxis"]["ticktext"] == ["2", "4"]


def test_a_median_gap_of_nothing_is_no_speed() -> None:
    """More than half of a session's events came in one read."""
    points = sweep().assign(load_id="one")
    points = points.assign(server_id=[f"s{n}" for n in points.index])
    sessions = points.assign(rep=1, itl_ms_p50=0.0)
    plots_by_id = page_plots(points, pd.concat([sessions, points.assign(rep=2)], ignore_index=True))
    assert json.dumps(plots_by_id, allow_nan=False)


def test_names_are_text_and_no_markup() -> None:
    points = sweep(engine=["a<b>", "c&d"])
    assert "a<b>" not in json.dumps(
        [trace["name"] for plot in page_plots(points).values() for trace in plot["data"] if "name" in trace]
    )
