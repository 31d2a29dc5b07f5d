//! Curves of hit ratio against size as an SVG: one panel for each trace, one line for each policy.

use std::fmt::Write;

use crate::table::Cell;

const PANEL: (f64, f64) = (360.0, 240.0);
const MARGIN: (f64, f64) = (48.0, 36.0);
const COLUMNS: usize = 2;
const COLOURS: [&str; 12] = [
    "#d62728", "#000000", "#1f77b4", "#7f7f7f", "#17becf", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#bcbd22",
    "#aaaaaa",
];

/// A linear map from one range to another.
fn scale(value: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    let width = from.1 - from.0;
    if width == 0.0 { to.0 } else { to.0 + (value - from.0) / width * (to.1 - to.0) }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, content: &str) {
    let _ = writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#, at.0, at.1, escape(content));
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

fn panel(svg: &mut String, origin: (f64, f64), cells: &[&Cell], policies: &[&str]) {
    let (left, right) = (origin.0 + MARGIN.0, origin.0 + PANEL.0 - 12.0);
    let (top, bottom) = (origin.1 + 24.0, origin.1 + PANEL.1 - MARGIN.1);
    let sizes = range(cells.iter().map(|cell| (cell.size as f64).ln()));
    let ratios = |cell: &Cell| -> Vec<f64> {
        policies.iter().filter_map(|&policy| Some(cell.outcomes.get(policy)?.hit_ratio() * 100.0)).collect()
    };
    let found = range(cells.iter().flat_map(|cell| ratios(cell)));
    let found = if found.0 > found.1 { (0.0, 100.0) } else { found };
    let shown = (((found.0 / 10.0).floor() * 10.0).max(0.0), ((found.1 / 10.0).ceil() * 10.0).min(100.0));
    let _ = writeln!(
        svg,
        r##"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="none" stroke="#999"/>"##,
        right - left,
        bottom - top
    );
    let name = cells.first().map_or("", |cell| &cell.trace);
    text(svg, ((left + right) / 2.0, top - 8.0), "middle", name);
    for step in 0..=4 {
        let value = scale(f64::from(step), (0.0, 4.0), shown);
        let y = scale(value, shown, (bottom, top));
        let _ = writeln!(svg, r##"<path d="M{left:.1} {y:.1}H{right:.1}" stroke="#ddd"/>"##);
        text(svg, (left - 4.0, y + 4.0), "end", &format!("{value:.0} %"));
    }
    let x_of = |cell: &Cell| scale((cell.size as f64).ln(), sizes, (left, right));
    for &cell in cells.iter().step_by(cells.len().div_ceil(4).max(1)) {
        text(svg, (x_of(cell), bottom + 16.0), "middle", &cell.size.to_string());
    }
    for (number, &policy) in policies.iter().enumerate() {
        let points = cells.iter().filter_map(|cell| {
            let ratio = cell.outcomes.get(policy)?.hit_ratio() * 100.0;
            Some(format!("{:.1},{:.1}", x_of(cell), scale(ratio, shown, (bottom, top))))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let width = if number == 0 { 2.5 } else { 1.2 };
        let colour = COLOURS[number % COLOURS.len()];
        let _ = writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>"#);
    }
}

/// The curves of all traces, in the order in which they come. The first policy is drawn thickest.
pub fn curves(cells: &[Cell], policies: &[&str]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.trace.as_str()) {
            names.push(&cell.trace);
        }
    }
    let (width, rows) = (PANEL.0 * COLUMNS as f64, names.len().div_ceil(COLUMNS));
    let legend = 24.0 * policies.len().div_ceil(6) as f64 + 16.0;
    let height = PANEL.1 * rows as f64 + legend;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (number, &policy) in policies.iter().enumerate() {
        let (x, y) = (16.0 + (number % 6) as f64 * 116.0, 20.0 + (number / 6) as f64 * 24.0);
        let colour = COLOURS[number % COLOURS.len()];
        let _ = writeln!(svg, r#"<path d="M{x} {:.1}h18" stroke="{colour}" stroke-width="2.5"/>"#, y - 4.0);
        text(&mut svg, (x + 22.0, y), "start", policy);
    }
    for (number, &name) in names.iter().enumerate() {
        let mut of_trace: Vec<&Cell> = cells.iter().filter(|cell| cell.trace == name).collect();
        of_trace.sort_by_key(|cell| cell.size);
        let origin = ((number % COLUMNS) as f64 * PANEL.0, legend + (number / COLUMNS) as f64 * PANEL.1);
        panel(&mut svg, origin, &of_trace, policies);
    }
    svg.push_str("</svg>\n");
    svg
}
