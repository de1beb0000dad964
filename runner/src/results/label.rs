//! How a result is called: the same in every run, so that dashboards and [`super`] find it again.

use crate::verdict::result::RunResult;

/// The name of each result: product, version and parameter set. Where two would be the same, the
/// later ones have a number.
pub fn names(results: &[RunResult]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for result in results {
        let base = base(result);
        let mut name = base.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{base} ({number})");
            number += 1;
        }
        names.push(name);
    }
    names
}

fn base(result: &RunResult) -> String {
    let origin = &result.origin;
    let Some(tested) = origin.subject.tested() else {
        return if origin.l0.is_empty() { "unknown host".into() } else { origin.l0.clone() };
    };
    match &origin.column {
        // Those in force are more than those asked for, and not the same on every kernel.
        Some(column) => {
            let mut product = tested.clone();
            product.parameters.clear();
            format!("{product} {}", column.set).trim_end().to_string()
        }
        None if origin.subject.host.is_none() => tested.to_string(),
        None => {
            let mut product = tested.clone();
            product.parameters.clear();
            product.to_string()
        }
    }
}
