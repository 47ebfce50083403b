//! Plots as SVG, written by hand: bars side by side, and lines over a logarithmic axis.

use std::fmt::Write;

use super::table::number;

/// A bar for each contender, with the least and most of its rounds as a whisker.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) digits: usize,
    pub(super) values: Vec<Bar>,
}

/// One of them.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// A line for each contender.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x_label: &'static str,
    pub(super) unit: &'static str,
    pub(super) series: Vec<Line>,
}

/// One of them: points by rising x, all above 0.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 220.0;
/// Room for "1,234,567 answers/s" and a whisker.
const RIGHT: f64 = 160.0;
const TOP: f64 = 50.0;
const ROW: f64 = 30.0;
const PLOT_HEIGHT: f64 = 280.0;
/// Between two labels, one above the other.
const LINE_HEIGHT: f64 = 14.0;
/// Told apart by people with any of the usual colour blindnesses (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#999999", "#000000",
];

impl Bars {
    /// The plot, or nothing if there are no bars.
    pub(super) fn svg(&self) -> Option<String> {
        let most = self.values.iter().map(|bar| bar.max).fold(0.0, f64::max);
        if most <= 0.0 {
            return None;
        }
        let scale = (WIDTH - LEFT - RIGHT) / most;
        let mut body = String::new();
        let mut y = TOP;
        for bar in &self.values {
            let width = bar.value * scale;
            let colour = colour_of(&bar.label);
            let (middle, text) = (y + ROW / 2.0, y + ROW / 2.0 + 4.0);
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\
                 <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"#333\"/>\
                 <text x=\"{:.1}\" y=\"{text:.0}\">{} {}</text>",
                LEFT - 8.0,
                escape(&bar.label),
                y + 4.0,
                ROW - 8.0,
                LEFT + bar.min * scale,
                LEFT + bar.max * scale,
                LEFT + bar.max * scale + 8.0,
                number(bar.value, self.digits),
                self.unit,
            );
            y += ROW;
        }
        Some(document(&self.title, y + 16.0, &body))
    }
}

impl Lines {
    /// The plot, or nothing if there are no points.
    pub(super) fn svg(&self) -> Option<String> {
        let points = || self.series.iter().flat_map(|line| &line.points);
        let most = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let first = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
        let last = points().map(|(x, _)| *x).fold(0.0, f64::max);
        if most <= 0.0 || first >= last {
            return None;
        }
        let left = 70.0;
        let width = WIDTH - left - LEFT;
        let x_at = |x: f64| left + (x / first).ln() / (last / first).ln() * width;
        let step = tick_step(most);
        let steps = (most / step).ceil();
        let y_at = |y: f64| TOP + PLOT_HEIGHT * (1.0 - y / (step * steps));
        let bottom = y_at(0.0);
        let mut body = format!(
            "<path d=\"M{left} {TOP}V{bottom}H{:.0}\" fill=\"none\" stroke=\"#333\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{left}\" y=\"{:.0}\">{}</text>\n",
            left + width,
            left + width / 2.0,
            bottom + 36.0,
            self.x_label,
            TOP - 6.0,
            self.unit,
        );
        let mut ticks: Vec<f64> = points().map(|(x, _)| *x).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup_by(|a, b| a.total_cmp(b).is_eq());
        for x in ticks {
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                x_at(x),
                bottom + 18.0,
                number(x, 0)
            );
        }
        let ticks = std::iter::successors(Some(0.0), |y| Some(y + step));
        for y in ticks.take_while(|y| *y < step * (steps + 0.5)) {
            let at = y_at(y);
            let _ = writeln!(
                body,
                "<path d=\"M{left} {at:.1}H{:.0}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left + width,
                left - 6.0,
                at + 4.0,
                number(y, usize::from(step < 1.0)),
            );
        }
        body += &self.lines(x_at, y_at);
        Some(document(&self.title, bottom + 50.0, &body))
    }

    /// The lines, each with its label at its end.
    fn lines(&self, x_at: impl Fn(f64) -> f64, y_at: impl Fn(f64) -> f64) -> String {
        let mut text = String::new();
        let lines = || {
            self.series
                .iter()
                .filter_map(|line| Some((line, *line.points.last()?)))
        };
        let heights = spread(lines().map(|(_, (_, y))| y_at(y)).collect());
        for (at, ((line, (x, _)), height)) in lines().zip(heights).enumerate() {
            let points = line.points.iter();
            let points: Vec<String> = points
                .map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y)))
                .collect();
            let colour = COLOURS[at % COLOURS.len()];
            let _ = writeln!(
                text,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                points.join(" "),
                x_at(x) + 8.0,
                height + 4.0,
                escape(&line.label),
            );
        }
        text
    }
}

/// The distance of two ticks: 1, 2 or 5 times a power of ten, such that there are at most six.
fn tick_step(most: f64) -> f64 {
    let power = 10f64.powf((most / 6.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    let fits = steps.into_iter().find(|step| step * 6.0 >= most);
    fits.unwrap_or(power * 10.0)
}

/// Moves labels down, as little as they must, so that none covers another; in the order given.
fn spread(mut heights: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|a, b| heights[*a].total_cmp(&heights[*b]));
    for pair in order.windows(2) {
        heights[pair[1]] = heights[pair[1]].max(heights[pair[0]] + LINE_HEIGHT);
    }
    heights
}

/// A contender has the same colour in every plot.
fn colour_of(label: &str) -> &'static str {
    let order = [
        "Sluicegate AF_XDP",
        "knotd",
        "unbound",
        "Sluicegate kernel",
        "dnsdist",
        "pdns",
        "xsk",
        "XDP_TX",
    ];
    let at = order.iter().position(|start| label.starts_with(start));
    COLOURS[at.unwrap_or(COLOURS.len() - 1)]
}

fn document(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\">{}</text>\n{body}</svg>\n",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_without_values_is_none() {
        let bars = Bars {
            title: String::new(),
            unit: "",
            digits: 0,
            values: Vec::new(),
        };
        assert!(bars.svg().is_none());
        let lines = Lines {
            title: String::new(),
            x_label: "",
            unit: "",
            series: Vec::new(),
        };
        assert!(lines.svg().is_none());
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (most, step) in [
            (533.0, 100.0),
            (7.7, 2.0),
            (1.0, 0.2),
            (60.0, 10.0),
            (61.0, 20.0),
        ] {
            assert!((tick_step(most) - step).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        let apart = spread(vec![50.0, 10.0, 12.0]);
        assert_eq!(
            apart.iter().map(|y| y.round() as i32).collect::<Vec<_>>(),
            [50, 10, 24]
        );
    }

    #[test]
    fn the_longest_bar_fills_the_plot() {
        let bar = |label: &str, value| Bar {
            label: label.to_owned(),
            value,
            min: value,
            max: value,
        };
        let bars = Bars {
            title: "a < b".to_owned(),
            unit: "us",
            digits: 1,
            values: vec![bar("one", 2.0), bar("two", 4.0)],
        };
        let svg = bars.svg().unwrap();
        assert!(svg.contains("width=\"380.0\"") && svg.contains("width=\"190.0\""));
        assert!(svg.contains("a &lt; b"));
    }
}
