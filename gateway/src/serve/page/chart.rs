//! Small charts as SVG, drawn here so that the page needs no script to show them. Every chart says in words what it shows.
//! Colours come from the style sheet by class: the content security policy admits no style in the markup.

use std::fmt::Write as _;

use super::html::Text;

/// Width of a minute in a chart's own units, and the heights.
const STEP: f64 = 5.0;
const BARS: f64 = 72.0;
const LINE: f64 = 32.0;

/// Stacked bars, one for each minute; `parts` names the classes, the lowest first.
pub fn bars<const N: usize>(minutes: &[[u64; N]], parts: [&str; N], says: &str) -> String {
    let most = minutes.iter().map(|m| m.iter().sum::<u64>()).max().unwrap_or(0).max(1) as f64;
    let mut svg = open("bars", minutes.len() as f64 * STEP, BARS, says);
    for (n, minute) in minutes.iter().enumerate() {
        let mut top = BARS;
        for (count, part) in minute.iter().zip(parts).filter(|(count, _)| **count > 0) {
            // What is there at all is seen.
            let height = (*count as f64 / most * BARS).max(1.5);
            top -= height;
            let _ = write!(
                svg,
                "<rect class=\"{part}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                n as f64 * STEP + 0.5,
                top.max(0.0),
                STEP - 1.0,
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// A line through the values that are known, from 0 to the highest or to `least_top`, whichever is more.
pub fn line(values: &[Option<f64>], least_top: f64, says: &str) -> String {
    let top = values.iter().flatten().copied().fold(least_top, f64::max).max(f64::MIN_POSITIVE);
    let mut svg = open("line", values.len() as f64 * STEP, LINE, says);
    let y = |value: f64| LINE - 2.0 - value / top * (LINE - 4.0);
    let x = |n: usize| (n as f64 + 0.5) * STEP;
    for run in runs(values) {
        let points: Vec<String> =
            run.iter().map(|(n, value)| format!("{:.1},{:.1}", x(*n), y(*value))).collect();
        // A lonely value is a short stroke, or it would not be seen.
        let points = match run.as_slice() {
            [(n, value)] => {
                format!("{:.1},{2:.1} {:.1},{2:.1}", x(*n) - 2.0, x(*n) + 2.0, y(*value))
            }
            _ => points.join(" "),
        };
        let _ = write!(svg, "<polyline points=\"{points}\"/>");
    }
    svg.push_str("</svg>");
    svg
}

/// Neighbouring values that are known, with their places.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut last = None;
    for (n, value) in values.iter().enumerate().filter_map(|(n, v)| Some((n, (*v)?))) {
        match runs.last_mut().filter(|_| last == n.checked_sub(1)) {
            Some(run) => run.push((n, value)),
            None => runs.push(vec![(n, value)]),
        }
        last = Some(n);
    }
    runs
}

fn open(class: &str, width: f64, height: f64, says: &str) -> String {
    format!(
        "<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <path class=\"ground\" d=\"M0 {y} H{width}\"/>",
        Text(says),
        y = height - 0.5,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stack_up_to_the_highest_minute() {
        let svg = bars(&[[1, 1], [0, 0], [4, 0]], ["a", "b"], "two & three");
        assert!(svg.contains("aria-label=\"two &amp; three\""), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(
            svg.contains("<rect class=\"a\" x=\"10.5\" y=\"0.0\" width=\"4.0\" height=\"72.0\"/>"),
            "{svg}"
        );
        assert!(
            svg.contains("<rect class=\"b\" x=\"0.5\" y=\"36.0\" width=\"4.0\" height=\"18.0\"/>"),
            "{svg}"
        );
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let svg = line(&[Some(1.0), Some(2.0), None, Some(4.0)], 0.0, "");
        assert!(svg.contains("points=\"2.5,23.0 7.5,16.0\""), "{svg}");
        assert!(svg.contains("points=\"15.5,2.0 19.5,2.0\""), "{svg}");
    }
}
