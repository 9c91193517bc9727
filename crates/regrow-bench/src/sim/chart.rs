//! A chart of each load as one SVG: what is to be done, and the size that each policy gives the pool. It needs nothing beside it and is
//! readable on light and dark ground.

use std::fmt::Write;
use std::time::Duration;

use super::figures::Figure;
use super::load::Load;
use super::pool::Run;
use super::results::escape;

/// One load and how each policy ran it.
#[derive(Debug)]
pub struct Chart<'a> {
    pub title: String,
    pub load: &'a Load,
    pub runs: Vec<(&'static str, Run)>,
}

const WIDTH: u32 = 1_080;
/// Where a plot begins, and how many columns it has, one for each point.
const LEFT: u32 = 120;
const COLUMNS: u32 = 760;
/// A plot, and the way to the next.
const PLOT: u32 = 72;
const STEP: u32 = 88;
/// Title above and axis below the plots of a load.
const HEAD: u32 = 48;
const FOOT: u32 = 62;

/// Both grounds, with colours that can be told apart by those who do not see red or green.
const STYLE: &str = "\
text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #444 }
.paper { fill: #fff } .title { font-size: 15px; font-weight: 600; fill: #111 } .name { font-weight: 600; fill: #111 }
.grid { stroke: #ddd; fill: none } .demand { fill: #c9ced6 } .size { fill: none; stroke-width: 1.5; stroke-linejoin: round }
.regrow { stroke: #0072b2 } .knative { stroke: #c25400 } .hpa { stroke: #00785a } .instant { stroke: #a0478a } .naive { stroke: #7a6a00 }
@media (prefers-color-scheme: dark) {
text { fill: #b8bcc4 } .paper { fill: #14161a } .title, .name { fill: #f0f0f0 }
.grid { stroke: #363a42 } .demand { fill: #4a505c }
.regrow { stroke: #56b4e9 } .knative { stroke: #f0883e } .hpa { stroke: #2fc493 } .instant { stroke: #dc8fc6 } .naive { stroke: #d8c64a }
}";

/// All charts below each other.
pub fn svg(charts: &[Chart]) -> String {
    let height = |chart: &Chart| HEAD + STEP * rows(chart) + FOOT;
    let total: u32 = charts.iter().map(height).sum();
    let mut text = String::new();
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" height=\"{total}\" role=\"img\">\n\
         <title>Sizes of a pool under load</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{total}\"/>"
    )
    .expect("a string takes all");
    let mut top = 0;
    for chart in charts {
        writeln!(text, "<g transform=\"translate(0 {top})\">").expect("a string takes all");
        draw(&mut text, chart);
        text.push_str("</g>\n");
        top += height(chart);
    }
    text.push_str("</svg>\n");
    text
}

fn rows(chart: &Chart) -> u32 {
    u32::try_from(chart.runs.len()).expect("there are few policies")
}

fn draw(text: &mut String, chart: &Chart) {
    let demand = chart.load.demand(COLUMNS);
    let sizes = chart.runs.iter().flat_map(|(_, run)| &run.sizes);
    let within = sizes.filter(|(at, _)| *at < chart.load.duration);
    let largest = within.map(|(_, size)| *size).chain(demand.iter().copied());
    let scale = round_up(largest.max().unwrap_or(1));
    label(text, [10, 26], "title", "start", &chart.title);
    for (row, (policy, run)) in (0..).zip(&chart.runs) {
        let top = HEAD + STEP * row;
        writeln!(text, "<g transform=\"translate({LEFT} {top})\">").expect("a string takes all");
        grid(text, scale, chart.load.duration);
        area(text, &demand, scale);
        line(text, policy, run, chart.load.duration, scale);
        text.push_str("</g>\n");
        names(text, top, policy, run, chart.load.duration);
    }
    let bottom = HEAD + STEP * rows(chart) - STEP + PLOT;
    let duration = chart.load.duration;
    for (minute, column) in ticks(duration) {
        let at = [LEFT + column, bottom + 17];
        label(text, at, "", "middle", &minute);
    }
    let middle = LEFT + COLUMNS / 2;
    label(text, [middle, bottom + 35], "", "middle", "minutes");
    let legend = "line: workers, those that start included; ground: jobs there would be to run, with workers enough";
    label(text, [LEFT, bottom + 53], "", "start", legend);
}

/// The policy beside its plot, and what came out.
fn names(text: &mut String, top: u32, policy: &str, run: &Run, duration: Duration) {
    label(text, [10, top + 18], "name", "start", policy);
    label(text, [10, top + 36], "", "start", "workers");
    let of = |figure: Figure| figure.of(run, duration);
    let lines = [
        format!("p99 wait {:.2} s", of(Figure::WaitP99)),
        format!("{:.1} workers", of(Figure::WorkersMean)),
        format!("{:.0} flaps/h", of(Figure::Flaps)),
    ];
    for (row, line) in (0..).zip(lines) {
        let at = [LEFT + COLUMNS + 14, top + 18 + 18 * row];
        label(text, at, "", "start", &line);
    }
}

fn label(text: &mut String, [x, y]: [u32; 2], class: &str, anchor: &str, words: &str) {
    let words = escape(words);
    writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
    )
    .expect("a string takes all");
}

/// The scale at 0, half and whole, and the ticks of time.
fn grid(text: &mut String, scale: u32, duration: Duration) {
    let mut path = String::new();
    for (_, column) in ticks(duration) {
        write!(path, "M{column} 0V{PLOT}").expect("a string takes all");
    }
    for size in [0, scale / 2, scale] {
        let y = height(size, scale);
        write!(path, "M0 {y:.1}H{COLUMNS}").expect("a string takes all");
        writeln!(
            text,
            "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{size}</text>",
            y + 4.0
        )
        .expect("a string takes all");
    }
    writeln!(text, "<path class=\"grid\" d=\"{path}\"/>").expect("a string takes all");
}

/// How far from the top.
fn height(size: u32, scale: u32) -> f64 {
    f64::from(PLOT) * (1.0 - f64::from(size) / f64::from(scale))
}

fn area(text: &mut String, demand: &[u32], scale: u32) {
    let mut path = format!("M0 {PLOT}");
    for (column, jobs) in demand.iter().enumerate() {
        let y = height(*jobs, scale);
        write!(path, "L{column} {y:.1}H{}", column + 1).expect("a string takes all");
    }
    writeln!(text, "<path class=\"demand\" d=\"{path}V{PLOT}Z\"/>").expect("a string takes all");
}

/// In each column as far down and up as it went, so that nothing is left out however often it changed.
fn line(text: &mut String, policy: &str, run: &Run, duration: Duration, scale: u32) {
    let mut sizes = run.sizes.iter().skip(1).peekable();
    let mut size = run.sizes.first().map_or(0, |(_, size)| *size);
    let mut path = format!("M0 {:.1}", height(size, scale));
    for column in 1..=COLUMNS {
        let end = duration * column / COLUMNS;
        let (before, mut least, mut most) = (size, size, size);
        while let Some((_, next)) = sizes.next_if(|(at, _)| *at < end) {
            (least, most, size) = (least.min(*next), most.max(*next), *next);
        }
        if (least, most) == (before, before) {
            continue;
        }
        write!(path, "H{column}").expect("a string takes all");
        for turn in [most, least, size] {
            write!(path, "V{:.1}", height(turn, scale)).expect("a string takes all");
        }
    }
    writeln!(
        text,
        "<path class=\"size {policy}\" d=\"{path}H{COLUMNS}\"/>"
    )
    .expect("a string takes all");
}

/// The next number at which an axis may end, and whose half is a whole one.
fn round_up(number: u32) -> u32 {
    let nice = [2, 4, 6, 10, 16, 20, 30, 40, 60, 80, 100, 120, 140, 160, 200];
    let found = nice.into_iter().find(|nice| *nice >= number);
    found.unwrap_or_else(|| number.div_ceil(100) * 100)
}

/// Five to ten times on the axis, in minutes, and their columns.
fn ticks(duration: Duration) -> Vec<(String, u32)> {
    let minutes = duration.as_secs_f64() / 60.0;
    let steps = (-2..6).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
    let mut steps = steps.filter(|step| minutes / step <= 10.0);
    let step = steps.next().unwrap_or(minutes);
    let tick = |number: u32| {
        let minute = step * f64::from(number);
        let column = minute / minutes * f64::from(COLUMNS);
        let digits = usize::from(step < 1.0) + usize::from(step < 0.1);
        (minute <= minutes).then(|| (format!("{minute:.digits$}"), column as u32))
    };
    (0..).map_while(tick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(load: &Load) -> Chart<'_> {
        let run = Run {
            waits: vec![Duration::ZERO],
            sizes: vec![(Duration::ZERO, 1), (Duration::from_secs(30), 5)],
        };
        Chart {
            title: "a < b & \"c\"".to_owned(),
            load,
            runs: vec![("regrow", run.clone()), ("knative", run)],
        }
    }

    #[test]
    fn each_policy_has_a_line_and_every_group_is_closed() {
        let load = Load {
            jobs: Vec::new(),
            duration: Duration::from_secs(60),
        };
        let text = svg(&[chart(&load), chart(&load)]);
        assert_eq!(text.matches("class=\"size regrow\"").count(), 2);
        assert_eq!(text.matches("class=\"size knative\"").count(), 2);
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
        assert!(text.contains("a &lt; b &amp; &quot;c&quot;"));
        assert!(!text.contains("NaN") && !text.contains("href"));
    }

    #[test]
    fn a_line_shows_how_far_it_went_in_a_column() {
        let second = Duration::from_secs;
        let run = Run {
            waits: Vec::new(),
            sizes: vec![(second(0), 1), (second(10), 4), (second(11), 2)],
        };
        let mut text = String::new();
        line(&mut text, "regrow", &run, second(76_000), 4);
        assert!(text.contains("d=\"M0 54.0H1V0.0V54.0V36.0H760\""), "{text}");
    }

    #[test]
    fn ticks_are_round_numbers_of_minutes() {
        let words = |seconds| {
            let ticks = ticks(Duration::from_secs(seconds));
            let words: Vec<String> = ticks.into_iter().map(|(word, _)| word).collect();
            words.join(" ")
        };
        assert_eq!(words(1_800), "0 5 10 15 20 25 30");
        assert_eq!(words(3_600), "0 10 20 30 40 50 60");
        assert_eq!(words(5), "0.00 0.01 0.02 0.03 0.04 0.05 0.06 0.07 0.08");
    }
}
