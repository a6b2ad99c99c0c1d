#!/usr/bin/env python3
"""Draws the dashboards of this folder from a running Prometheus into PNG files, for looking at them without Grafana: the
same panels on the same grid, with the same queries, titles, legends and units. Beside them it writes a page that lists each
panel with its queries and their last values.

    pip install matplotlib
    ./draw.py --prometheus http://localhost:9090 --minutes 60 --set segmentation=lifecycle --out pictures
"""

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

COLUMNS = 24
# Inches of one unit of the grid, and dots of an inch.
WIDTH, HEIGHT, DOTS = 0.72, 0.42, 80
POINTS = 240
LEGEND_ROWS = 5
COLORS = ["#73BF69", "#F2CC0C", "#5794F2", "#FF9830", "#F2495C", "#B877D9", "#8AB8FF", "#C4162A", "#37872D", "#FADE2A",
          "#1F60C4", "#E02F44", "#8F3BB8", "#96D98D", "#FFB357", "#CA95E5"]
THRESHOLDS = {"green": "#3A9D46", "orange": "#E8821A", "red": "#D62839", "transparent": "#00000000"}


class Prometheus:
    """One that answers, and the variables that queries are filled with."""

    def __init__(self, address, minutes, variables):
        self.address, self.end, self.seconds = address, time.time(), minutes * 60
        self.step = max(1, round(self.seconds / POINTS))
        self.variables = {"__rate_interval": "1m", "__range": f"{minutes}m", "instance": ".*", "cause": ".*", **variables}

    def filled(self, query):
        for name, value in self.variables.items():
            query = query.replace("$" + name, value)
        return query

    def ask(self, path, **parameters):
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def over_time(self, query):
        """Pairs of labels and points."""
        result = self.ask("query_range", query=self.filled(query), start=self.end - self.seconds, end=self.end, step=self.step)
        return [(series["metric"], [(at, float(value)) for at, value in series["values"]]) for series in result]

    def now(self, query):
        result = self.ask("query", query=self.filled(query), time=self.end)
        return [(series["metric"], [(series["value"][0], float(series["value"][1]))]) for series in result]


def with_unit(value, unit, decimals=None):
    """A number as Grafana shows it."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit == "s":
        for size, name in ((86400, "days"), (3600, "hours"), (60, "min"), (1, "s")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms" if value else "0 s"
    if unit == "bytes":
        size = 0
        while abs(value) >= 1024 and size < 5:
            value, size = value / 1024, size + 1
        return f"{value:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][size]}"
    suffix = {"eps": " evt/s", "ops": " ops/s", "reqps": " req/s"}.get(unit, unit[7:] if unit.startswith("suffix:") else "")
    for size, name in ((1e9, " Bil"), (1e6, " Mil"), (1e4, " K")):
        if abs(value) >= size:
            value, suffix = value / (1e3 if name == " K" else size), name + suffix
            break
    shown = f"{value:.{decimals}f}" if decimals is not None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return shown + suffix


def legend(template, labels):
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda name: labels.get(name[1], ""), template)
    return text or ", ".join(f"{key}={value}" for key, value in labels.items())


def answers(panel, prometheus):
    """Series of all queries of a panel: name, labels and points."""
    found = []
    for target in panel["targets"]:
        ask = prometheus.now if target.get("instant") else prometheus.over_time
        for labels, points in sorted(ask(target["expr"]), key=lambda series: sorted(series[0].items())):
            labels.pop("__name__", None)
            found.append((legend(target["legendFormat"], labels), labels, points))
    return found


def last(points):
    known = [value for _, value in points if not math.isnan(value)]
    return known[-1] if known else math.nan


def defaults_of(panel):
    defaults = panel["fieldConfig"]["defaults"]
    return defaults, defaults["unit"], defaults.get("decimals")


def on_times(points, times, step):
    """Values at these times, nothing where there is a gap."""
    at = {round((moment - times[0]) / step): value for moment, value in points}
    return [at.get(index, math.nan) for index in range(len(times))]


def draw_timeseries(axes, panel, found, prometheus):
    defaults, unit, decimals = defaults_of(panel)
    custom = defaults["custom"]
    start, step = prometheus.end - prometheus.seconds, prometheus.step
    times = [start + step * index for index in range(prometheus.seconds // step + 1)]
    stack = [0.0] * len(times)
    # Places at which each series has a value: where none has, nothing is drawn.
    seen = [{round((moment - start) / step) for moment, _ in points} for _, _, points in found]
    for index, (_, _, points) in enumerate(found):
        color = COLORS[index % len(COLORS)]
        values = on_times(points, times, step)
        if "stacking" in custom:
            top = [base + (0 if math.isnan(value) else value) for base, value in zip(stack, values)]
            gaps = [all(at not in known for known in seen) for at in range(len(times))]
            shown = [math.nan if gap else value for gap, value in zip(gaps, top)]
            axes.fill_between(times, stack, shown, color=color, alpha=custom["fillOpacity"] / 100 + 0.2, linewidth=0)
            axes.plot(times, shown, color=color, linewidth=1)
            stack = top
        else:
            finite = [value if math.isfinite(value) else math.nan for value in values]
            axes.plot(times, finite, color=color, linewidth=1.2)
    steps = defaults.get("thresholds", {}).get("steps", [])
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"])
        if axes.get_ylim()[1] <= 0.06 and not any(value for _, _, points in found for _, value in points):
            axes.set_ylim(top=1)
    for bound in steps[1:]:
        if bound["value"] < axes.get_ylim()[1] * 1.5:
            axes.axhline(bound["value"], color=THRESHOLDS[bound["color"]], linewidth=1, linestyle="--")
    axes.set_xlim(start, prometheus.end)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: time.strftime("%H:%M:%S", time.gmtime(at))))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=decimals == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: with_unit(value, unit, decimals)))
    axes.grid(color="#E4E6EA", linewidth=0.6)
    axes.tick_params(labelsize=7, length=0, colors="#555")
    rows = [(name, last(points), max((v for _, v in points if not math.isnan(v)), default=math.nan)) for name, _, points in found]
    write_legend(axes, rows, unit, decimals)


def write_legend(axes, rows, unit, decimals):
    """Below the curve: a line for each series with its last value and its highest."""
    box = axes.get_position()
    figure = axes.figure
    line = 0.15 / figure.get_figheight()
    base = box.y0 - 0.36 / figure.get_figheight()
    for column, title in ((0.78, "Last"), (1.0, "Max")):
        figure.text(box.x0 + box.width * column, base, title, fontsize=6.5, color="#3274D9", ha="right", va="center")
    for index, (name, now, highest) in enumerate(rows[:LEGEND_ROWS]):
        y = base - line * (index + 1)
        more = f"  (+{len(rows) - LEGEND_ROWS} more)" if index == LEGEND_ROWS - 1 and len(rows) > LEGEND_ROWS else ""
        figure.text(box.x0, y, "▬ ", fontsize=7, color=COLORS[index % len(COLORS)], va="center")
        figure.text(box.x0 + 0.2 / figure.get_figwidth(), y, (name[:44] + more), fontsize=7, color="#333", va="center")
        for column, value in ((0.78, now), (1.0, highest)):
            figure.text(box.x0 + box.width * column, y, with_unit(value, unit, decimals), fontsize=7, color="#333", ha="right", va="center")


def draw_stat(axes, panel, found, _):
    defaults, unit, decimals = defaults_of(panel)
    axes.axis("off")
    count = max(1, len(found))
    for index, (name, _, points) in enumerate(found):
        value = last(points)
        reached = [step["color"] for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
        color = THRESHOLDS[(reached or ["green"])[-1]]
        x = (index + 0.5) / count
        axes.text(x, 0.6, with_unit(value, unit, decimals), fontsize=17 if count < 3 else 13, color=color, ha="center", va="center", weight="bold")
        if panel["options"]["textMode"] == "value_and_name":
            axes.text(x, 0.2, name, fontsize=7, color="#555", ha="center", va="center")
    if count == 1 and found and len(found[0][2]) > 1:
        under = axes.inset_axes([0, 0, 1, 0.32])
        under.axis("off")
        moments, values = zip(*[(at, v if math.isfinite(v) else 0) for at, v in found[0][2]])
        under.fill_between(moments, values, color=THRESHOLDS["green"], alpha=0.18, linewidth=0)
        under.set_ylim(bottom=0)


def draw_bargauge(axes, panel, found, _):
    _, unit, decimals = defaults_of(panel)
    values = [last(points) for _, _, points in found]
    if any(math.isfinite(value) for value in values) and "topk" in panel["targets"][0]["expr"]:
        found, values = zip(*sorted(zip(found, values), key=lambda pair: -pair[1]))
    top = max([value for value in values if math.isfinite(value)] or [1]) or 1
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(found) or 1, 0)
    for index, ((name, _, _), value) in enumerate(zip(found, values)):
        axes.text(0, index + 0.5, name[:26], fontsize=8, color="#333", va="center")
        axes.barh(index + 0.5, 0.42, left=0.42, height=0.55, color="#EEF0F3")
        axes.barh(index + 0.5, 0.42 * value / top, left=0.42, height=0.55, color=COLORS[index % len(COLORS)])
        axes.text(1, index + 0.5, with_unit(value, unit, decimals), fontsize=8, color="#333", va="center", ha="right")


def draw_table(axes, panel, found, _):
    """A matrix: the only table that there is."""
    options = panel["transformations"][0]["options"]
    rows = sorted({labels[options["rowField"]] for _, labels, _ in found})
    columns = sorted({labels[options["columnField"]] for _, labels, _ in found})
    cells = {(labels[options["rowField"]], labels[options["columnField"]]): last(points) for _, labels, points in found}
    top = max(cells.values(), default=1) or 1
    axes.axis("off")
    axes.set_xlim(0, len(columns) + 1.3)
    axes.set_ylim(len(rows) + 1, 0)
    axes.text(0.05, 0.5, f"{options['rowField']}\\{options['columnField']}", fontsize=8, color="#3274D9", va="center")
    for x, column in enumerate(columns):
        axes.text(x + 2.2, 0.5, column, fontsize=8, color="#3274D9", va="center", ha="right")
    for y, row in enumerate(rows):
        axes.text(0.05, y + 1.5, row, fontsize=8, color="#333", va="center")
        for x, column in enumerate(columns):
            value = cells.get((row, column))
            share = 0 if value is None else value / top
            axes.add_patch(plt.Rectangle((x + 1.3, y + 1), 0.98, 0.94, color=plt.cm.Blues(share * 0.75)))
            text = "·" if value is None else with_unit(value, "short", 0)
            axes.text(x + 2.2, y + 1.5, text, fontsize=8.5, color="white" if share > 0.6 else "#333", va="center", ha="right")


PAGE = """# Dashboards

Three dashboards for Grafana, in `deploy/grafana/dashboards`. They need the recording rules of `deploy/prometheus`.
`deploy/grafana/draw.py` wrote this page and its pictures from a real Prometheus that scraped two processes of `shoal run` with
a small stream of events (`tests/integration/observe`). The stream is compressed in time: what usually takes 60 days takes 10
seconds. **Grafana itself was not run**: the pictures show the queries, position, title, legend and unit of each panel, not the
appearance of Grafana. A panel shows *No data* if the queried metric did not occur in the stream: its rules have no alert, and no
shard was being recovered. The conversion is far above 100 % here, because a session begins only after 30 minutes without
browsing.

In the queries, `$instance`, `$segmentation` and `$cause` are variables of the dashboard, and `$__rate_interval` and `$__range`
are variables of Grafana. "Values" lists the last value of each series.
"""

KINDS = {"timeseries": draw_timeseries, "stat": draw_stat, "bargauge": draw_bargauge, "table": draw_table}


def draw(dashboard, prometheus, file):
    """Draws one dashboard; series of its panels by their ids."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    wide, high = COLUMNS * WIDTH, height * HEIGHT + 0.6
    figure = plt.figure(figsize=(wide, high), facecolor="#F4F5F7")
    seen = {}
    # Places in inches from the top left, as fractions of the figure.
    area = lambda x, y, w, h: [x / wide, 1 - (y + h) / high, w / wide, h / high]
    figure.text(0.15 / wide, 1 - 0.3 / high, dashboard["title"], fontsize=15, weight="bold", va="center", color="#222")
    period = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(prometheus.end))} UTC, the {prometheus.seconds // 60} minutes before"
    figure.text(1 - 0.15 / wide, 1 - 0.3 / high, period, fontsize=9, va="center", ha="right", color="#555")
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        x, y, w, h = grid["x"] * WIDTH, grid["y"] * HEIGHT + 0.6, grid["w"] * WIDTH, grid["h"] * HEIGHT
        if panel["type"] == "row":
            figure.text((x + 0.15) / wide, 1 - (y + h / 2) / high, "⌄ " + panel["title"], fontsize=11, weight="bold", va="center", color="#222")
            continue
        box = figure.add_axes(area(x + 0.05, y + 0.05, w - 0.1, h - 0.1), facecolor="white")
        box.set_xticks([]), box.set_yticks([])
        [side.set_color("#DDE0E5") for side in box.spines.values()]
        figure.text((x + 0.15) / wide, 1 - (y + 0.2) / high, panel["title"], fontsize=9, weight="bold", va="center", color="#222")
        found = seen[panel["id"]] = answers(panel, prometheus)
        below = 0.5 + 0.15 * min(len(found), LEGEND_ROWS) if panel["type"] == "timeseries" else 0.15
        left = 0.75 if panel["type"] == "timeseries" else 0.2
        axes = figure.add_axes(area(x + left, y + 0.4, w - left - 0.25, h - 0.45 - below))
        [side.set_visible(False) for side in axes.spines.values()]
        if found:
            KINDS[panel["type"]](axes, panel, found, prometheus)
        else:
            axes.axis("off")
            axes.text(0.5, 0.5, "No data", fontsize=10, color="#888", ha="center", va="center")
    figure.savefig(file, dpi=DOTS, facecolor=figure.get_facecolor())
    plt.close(figure)
    shrink(file)
    return seen


def shrink(file):
    """256 colours are enough for lines and text."""
    from PIL import Image

    with Image.open(file) as image:
        image.convert("RGB").quantize(128).save(file, optimize=True)


def described(dashboard, name, seen):
    """A dashboard as a section of the page."""
    lines = [f"## {dashboard['title'].removeprefix('Shoal: ')}", "", dashboard["description"], ""]
    lines += [f"![{dashboard['title']}](dashboards/{name}.png)", ""]
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            lines += [f"### {panel['title']}", ""]
            continue
        _, unit, decimals = defaults_of(panel)
        lines += [f"**{panel['title']}** {panel['description']}", "", "```promql"]
        lines += [target["expr"] for target in panel["targets"]] + ["```", ""]
        found = seen[panel["id"]]
        if panel["type"] == "table":
            results = [f"{labels['from']} → {labels['to']} {with_unit(last(points), unit, decimals)}" for _, labels, points in found]
        else:
            results = [f"{series} {with_unit(last(points), unit, decimals)}" for series, _, points in found]
        lines += ["Values: " + ("; ".join(results[:8]) + ("; …" if len(results) > 8 else "") if results else "none") + ".", ""]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://localhost:9090", help="address of a Prometheus that has Shoal's rules")
    parser.add_argument("--minutes", type=int, default=60, help="how much to draw, up to now")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable, such as segmentation=lifecycle")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures; the page comes beside it")
    arguments = parser.parse_args()
    prometheus = Prometheus(arguments.prometheus, arguments.minutes, dict(pair.split("=", 1) for pair in arguments.set))
    arguments.out.mkdir(parents=True, exist_ok=True)
    page = PAGE.splitlines() + [""]
    for name in ("segments", "pipeline", "state"):
        dashboard = json.loads((Path(__file__).parent / "dashboards" / f"{name}.json").read_text())
        seen = draw(dashboard, prometheus, arguments.out / f"{name}.png")
        page += described(dashboard, name, seen)
    (arguments.out.parent / "dashboards.md").write_text("\n".join(page).rstrip() + "\n")


if __name__ == "__main__":
    main()
