//! The curves as a picture: one SVG file that needs nothing else, for light and dark grounds.
//!
//! To the left precision over recall, to the right recall over the share of good items caught by mistake, of which only
//! the low end matters: a threshold that refuses one good photo in ten is of no use to anybody.

use std::fmt::Write as _;

use super::evaluation::{CurveView, PointView};
use super::report::Report;
use super::table::percent;

/// Curves that can be told apart by colour and dashes.
const MOST: usize = 6;
/// Size of a panel, and where the two begin.
const WIDE: f64 = 360.0;
const HIGH: f64 = 280.0;
const TOP: f64 = 64.0;
const LEFT: [f64; 2] = [84.0, 556.0];
/// Size of the whole, without the legend's rows.
const WIDTH: f64 = 960.0;
const LEGEND: f64 = TOP + HIGH + 76.0;
/// Height of a row of the legend.
const ROW: f64 = 22.0;
/// Nearer points than this make no difference to the eye.
const GRAIN: f64 = 0.2;

/// Colours of the Okabe–Ito set, which people with colour blindness can tell apart, made darker for light grounds.
const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--ink:#1d2126;--soft:#59616b;--rule:#dfe3e8;
--c0:#0069a6;--c1:#b94a00;--c2:#00795a;--c3:#a8447c;--c4:#7d6300;--c5:#5146c4}
@media(prefers-color-scheme:dark){:root{--ground:#15181c;--ink:#e9ecef;--soft:#a3abb5;--rule:#343a42;
--c0:#56b4e9;--c1:#ff9a57;--c2:#35cfa0;--c3:#e89ac7;--c4:#e6d33a;--c5:#a79dff}}
.ground{fill:var(--ground)}text{fill:var(--ink);font:13px system-ui,'DejaVu Sans',sans-serif}
.title{font-size:16px;font-weight:600}.soft{fill:var(--soft);font-size:12px}
.rule{stroke:var(--rule);fill:none}.want{stroke:var(--soft);stroke-dasharray:4 3;fill:none}
.curve{fill:none;stroke-width:2.2;stroke-linejoin:round}.spot{stroke:var(--ground);stroke-width:1.5}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:8 3}.c2{stroke:var(--c2);stroke-dasharray:2 3}
.c3{stroke:var(--c3);stroke-dasharray:10 3 2 3}.c4{stroke:var(--c4);stroke-dasharray:5 2}
.c5{stroke:var(--c5);stroke-dasharray:12 4}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}
";

/// One of the two panels.
struct Panel {
    left: f64,
    /// The value at its right edge.
    end: f64,
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        self.left + value / self.end * WIDE
    }

    fn y(share: f64) -> f64 {
        TOP + (1.0 - share) * HIGH
    }
}

/// The best curve of each label of the profile asked about.
pub fn svg(report: &Report) -> String {
    let best = report.this.best_curves();
    let shown = best.get(..MOST.min(best.len())).unwrap_or_default();
    let height = LEGEND + ROW * (shown.len() as f64 + 1.0) + 16.0;
    let about = format!("{}, {}", report.this.profile, report.this.policy);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>How well {} tells labels from good items</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        Text(&about)
    );
    let negatives = shown.first().map_or(0, |curve| curve.negatives);
    // Wide enough for ten times what is wanted, and for a few of the steps that there are.
    let end = tidy((10.0 * report.max_fpr).max(4.0 / negatives.max(1) as f64));
    let [recall, fallout] = [Panel { left: LEFT[0], end: 1.0 }, Panel { left: LEFT[1], end }];
    let axes =
        ["recall: share of the label’s items caught", "share of the good items caught by mistake"];
    frame(&mut out, &recall, "Precision over recall", axes[0], "precision");
    frame(&mut out, &fallout, "Recall over mistakes", axes[1], "recall");
    wanted(&mut out, &fallout, report.max_fpr);
    let _ = writeln!(
        out,
        "<clipPath id=\"inside\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>",
        LEFT[1] - 2.0,
        TOP - 4.0,
        WIDE + 2.0,
        HIGH + 8.0
    );
    for (n, curve) in shown.iter().enumerate() {
        precision_recall(&mut out, &recall, curve, n);
        recall_fallout(&mut out, &fallout, curve, n);
    }
    for (n, curve) in shown.iter().enumerate() {
        spot(&mut out, [&recall, &fallout], curve, n);
    }
    legend(&mut out, report, shown, best.len());
    out.push_str("</svg>\n");
    out
}

/// The next share with one digit, so that the axis has round numbers; all of it at most.
fn tidy(share: f64) -> f64 {
    let step = 10f64.powf(share.log10().floor());
    // A hair less, or 0.1 ÷ 0.1 might become 2 steps.
    ((share / step - 1e-9).ceil() * step).min(1.0)
}

fn frame(out: &mut String, panel: &Panel, title: &str, below: &str, beside: &str) {
    let (left, right, bottom) = (panel.left, panel.left + WIDE, TOP + HIGH);
    let _ = writeln!(out, "<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", TOP - 24.0);
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (y, x) = (Panel::y(share), panel.left + share * WIDE);
        let _ = writeln!(
            out,
            "<path class=\"rule\" d=\"M{left} {y:.1}H{right}M{x:.1} {TOP}V{bottom}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"soft\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left - 8.0,
            y + 4.0,
            percent(share),
            bottom + 18.0,
            percent(share * panel.end)
        );
    }
    let (aside, middle) = (left - 58.0, TOP + HIGH / 2.0);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{below}</text>\
         <text transform=\"translate({aside} {middle}) rotate(-90)\" text-anchor=\"middle\">{beside}</text>",
        left + WIDE / 2.0,
        bottom + 40.0
    );
}

/// The line that no threshold should lie beyond.
fn wanted(out: &mut String, panel: &Panel, max_fpr: f64) {
    let x = panel.x(max_fpr);
    let _ = writeln!(
        out,
        "<path class=\"want\" d=\"M{x:.1} {TOP}V{}\"/>\
         <text class=\"soft\" x=\"{x:.1}\" y=\"{}\">at most {}</text>",
        TOP + HIGH,
        TOP - 6.0,
        percent(max_fpr)
    );
}

/// Each stretch of recall has the precision of the threshold that reaches its end, as average precision counts it.
fn precision_recall(out: &mut String, panel: &Panel, curve: &CurveView, n: usize) {
    let Some(first) = curve.points.first() else { return };
    let mut path = format!("M{:.1} {:.1}", panel.x(0.0), Panel::y(first.precision));
    let mut last = (0.0, first.precision);
    for point in thinned(&curve.points, |p| (panel.x(p.recall), Panel::y(p.precision))) {
        if point.precision != last.1 {
            let _ = write!(path, "V{:.1}", Panel::y(point.precision));
        }
        if point.recall != last.0 {
            let _ = write!(path, "H{:.1}", panel.x(point.recall));
        }
        last = (point.recall, point.precision);
    }
    let _ = writeln!(out, "<path class=\"curve c{n}\" d=\"{path}\"/>");
}

fn recall_fallout(out: &mut String, panel: &Panel, curve: &CurveView, n: usize) {
    let mut path = format!("M{:.1} {:.1}", panel.x(0.0), Panel::y(0.0));
    for point in thinned(&curve.points, |p| (panel.x(p.false_positive_rate), Panel::y(p.recall))) {
        let (x, y) = (panel.x(point.false_positive_rate), Panel::y(point.recall));
        let _ = write!(path, "L{x:.1} {y:.1}");
    }
    let _ = writeln!(out, "<path class=\"curve c{n}\" clip-path=\"url(#inside)\" d=\"{path}\"/>");
}

/// The points that the eye can tell apart, always with the last one.
fn thinned(
    points: &[PointView],
    place: impl Fn(&PointView) -> (f64, f64),
) -> impl Iterator<Item = &PointView> {
    let mut drawn = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter_map(move |(n, point)| {
        let (x, y) = place(point);
        let far = (x - drawn.0).abs() > GRAIN || (y - drawn.1).abs() > GRAIN;
        (far || n == last).then(|| {
            drawn = (x, y);
            point
        })
    })
}

/// A dot where the threshold of the table lies.
fn spot(out: &mut String, [recall, fallout]: [&Panel; 2], curve: &CurveView, n: usize) {
    let Some(at) = &curve.at_max_fpr else { return };
    let share = |hits: usize, of: usize| hits as f64 / of.max(1) as f64;
    let (caught, wrong) = (at.caught.hits, at.wrong.hits);
    let found = share(caught, at.caught.of);
    for (x, y) in [
        (recall.x(found), Panel::y(share(caught, caught + wrong))),
        (fallout.x(share(wrong, at.wrong.of)), Panel::y(found)),
    ] {
        let _ = writeln!(out, "<circle class=\"spot f{n}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>");
    }
}

fn legend(out: &mut String, report: &Report, shown: &[&CurveView], all: usize) {
    let mut y = LEGEND;
    for (n, curve) in shown.iter().enumerate() {
        let threshold = match &curve.at_max_fpr {
            Some(at) => format!(
                "● {} catches {} of {}, {} of {} by mistake",
                at.condition, at.caught.hits, at.caught.of, at.wrong.hits, at.wrong.of
            ),
            None => format!("{}: no threshold keeps to {}", curve.score, percent(report.max_fpr)),
        };
        let text = format!(
            "{}: average precision {:.3}. {threshold}",
            curve.label, curve.summary.average_precision
        );
        let text: String = text.chars().take(120).collect();
        let _ = writeln!(
            out,
            "<path class=\"curve c{n}\" d=\"M{} {:.1}h36\"/><text x=\"{}\" y=\"{y:.1}\">{}</text>",
            LEFT[0],
            y - 4.0,
            LEFT[0] + 46.0,
            Text(&text)
        );
        y += ROW;
    }
    let mut note = match shown.first() {
        Some(curve) => format!(
            "{}, {}. Good items: {}, so steps of {}.",
            report.this.profile,
            report.this.policy,
            curve.negatives,
            percent(1.0 / curve.negatives as f64)
        ),
        None => {
            "No curves: they need good items, items of another label, and a score of either.".into()
        }
    };
    if all > shown.len() {
        let _ = write!(note, " {} more labels are not drawn.", all - shown.len());
    }
    let _ =
        writeln!(out, "<text class=\"soft\" x=\"{}\" y=\"{y:.1}\">{}</text>", LEFT[0], Text(&note));
}

/// Text as XML takes it: no markup, no control characters.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (share, end) in [(0.1, 0.1), (0.2857, 0.3), (0.01, 0.01), (0.96, 1.0), (4.0, 1.0)] {
            assert!((tidy(share) - end).abs() < 1e-9, "{share}: {}", tidy(share));
        }
    }

    #[test]
    fn names_cannot_break_the_markup() {
        let text = Text("a<b>&\"c\"\u{1b}").to_string();
        assert_eq!(text, "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}");
    }

    #[test]
    fn many_points_are_drawn_once_where_the_eye_sees_one() {
        let point = |n: u32| PointView {
            value: 0.0,
            recall: f64::from(n) / 10_000.0,
            precision: 1.0,
            false_positive_rate: 0.0,
        };
        let points: Vec<_> = (0..=10_000).map(point).collect();
        let drawn: Vec<_> = thinned(&points, |p| (p.recall * WIDE, 0.0)).collect();
        assert!(drawn.len() < 2_000, "{}", drawn.len());
        assert!(drawn.last().is_some_and(|p| p.recall == 1.0), "the end is always there");
    }
}
