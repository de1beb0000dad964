//! The survey as a picture: a bar for each need and policy, written as SVG by hand.

use std::fmt::Write;

use super::survey::{Costs, Need};
use crate::verdict::judge::thousands;

const LEFT: f64 = 130.0;
const FULL: f64 = 420.0;
const BAR: f64 = 16.0;
const GAP: f64 = 30.0;
const TOP: f64 = 58.0;

/// The picture of the mean excess.
pub fn svg(needs: &[(&Need, Costs)]) -> String {
    let rows: usize = needs.iter().map(|(_, costs)| costs.len()).sum();
    let (rows, groups) =
        (u32::try_from(rows).unwrap_or(0), u32::try_from(needs.len()).unwrap_or(0));
    let height = TOP + f64::from(rows) * BAR + f64::from(groups) * GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>Error codes that exit needlessly, by merge policy</title>\n\
         <rect width=\"820\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">Error codes that exit needlessly: mean over all \
         filters of L1 over 5 bits</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555\">percent of all error codes; red: needed faults are lost</text>\n"
    );
    let mut y = TOP;
    for (need, costs) in needs {
        let words = if need.words.is_empty() { "none".to_string() } else { need.words.join("; ") };
        let _ = writeln!(
            svg,
            "<text x=\"12\" y=\"{}\" font-weight=\"bold\">L0: {} ({words})</text>",
            y + 14.0,
            need.name
        );
        y += 20.0;
        for cost in costs {
            let (width, text) = (cost.mean_excess() * FULL, y + BAR - 4.0);
            let (color, lost) = if cost.unsound == 0 {
                ("#3b6ea5", String::new())
            } else {
                (
                    "#c0392b",
                    format!(
                        ", loses faults with {} of {}",
                        thousands(cost.unsound),
                        thousands(cost.pairs)
                    ),
                )
            };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{}\" \
                 width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"{text}\" fill=\"{color}\">{:.1} \
                 %{lost}</text>",
                LEFT - 8.0,
                cost.policy.name(),
                y + 2.0,
                width.max(1.0),
                BAR - 4.0,
                LEFT + width.max(1.0) + 6.0,
                cost.mean_excess() * 100.0,
            );
            y += BAR;
        }
        y += GAP - 20.0;
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::command::merge::survey::{NEEDS, costs};

    #[test]
    fn every_bar_is_drawn_and_every_element_closed() {
        let needs: Vec<_> = NEEDS.iter().map(|need| (need, costs(need.filters, 3))).collect();
        let svg = svg(&needs);
        assert_eq!(svg.matches("<rect").count(), 1 + 5 * 7);
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN"));
    }
}
