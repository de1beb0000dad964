//! Which products a row is for: texts such as `kvm >=6.1 ept=0`.
//!
//! A family, then conditions that must all hold: versions of two numbers with `<`, `<=`, `>`,
//! `>=` or nothing before them, and parameters that are on or off. A fault that shows only below or
//! above another product names that after `with`, as in `bochs <2.8 with kvm vnmi=0`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::verdict::subject::{Family, Product, Subject, is_on};

/// How well a product fits a row. Of several texts the best counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The row is for others.
    No,
    /// Too little is known of the product: the row may be for it.
    Maybe,
    /// The row is for it.
    Yes,
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// One text of a row's `hosts`.
#[derive(Clone, Debug)]
pub struct Hosts {
    text: String,
    family: Family,
    versions: Vec<Bound>,
    parameters: Vec<(String, bool)>,
    /// What must be there too.
    with: Option<Box<Hosts>>,
}

/// Whether a version with this comparison is admitted.
type Admits = fn(Ordering) -> bool;

/// A condition on a version.
#[derive(Clone, Copy, Debug)]
struct Bound {
    version: (u32, u32),
    admits: Admits,
}

/// What may stand before a version, the longer ones first.
const BOUNDS: [(&str, Admits); 5] = [
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
    ("", Ordering::is_eq),
];

impl Hosts {
    /// Whether a product of a subject is one of these.
    pub fn fit_in(&self, product: &Product, subject: &Subject) -> Fit {
        let Some(with) = &self.with else { return self.fit(product) };
        let parts = subject.processor.iter().chain(&subject.host);
        self.fit(product).min(parts.map(|part| with.fit(part)).max().unwrap_or(Fit::No))
    }

    fn fit(&self, product: &Product) -> Fit {
        if product.family != self.family {
            return Fit::No;
        }
        let versions = self.versions.iter().map(|bound| match product.version {
            Some(version) => (bound.admits)(version.cmp(&bound.version)).into(),
            None => Fit::Maybe,
        });
        let parameters =
            self.parameters.iter().map(|(name, on)| match product.parameters.get(name) {
                Some(value) => (is_on(value) == *on).into(),
                None => Fit::Maybe,
            });
        versions.chain(parameters).min().unwrap_or(Fit::Yes)
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (own, with) =
            text.split_once(" with ").map_or((text, None), |(own, with)| (own, Some(with)));
        let with = with.map(str::parse).transpose()?.map(Box::new);
        let mut words = own.split_ascii_whitespace();
        let family = words.next().ok_or("a host is written as in 'kvm >=6.1 ept=0'")?.parse()?;
        let mut hosts =
            Self { text: text.into(), family, versions: Vec::new(), parameters: Vec::new(), with };
        for word in words {
            if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
                hosts.parameters.push(parameter(word)?);
            } else {
                hosts.versions.push(bound(word)?);
            }
        }
        Ok(hosts)
    }
}

fn parameter(word: &str) -> Result<(String, bool), String> {
    match word.split_once('=') {
        Some((name, "0")) => Ok((name.into(), false)),
        Some((name, "1")) => Ok((name.into(), true)),
        _ => Err(format!("'{word}' is not a parameter such as ept=0 or ept=1")),
    }
}

fn bound(word: &str) -> Result<Bound, String> {
    let bad = || format!("'{word}' is not a version such as 6.1 or >=6.1");
    let found =
        BOUNDS.iter().find_map(|&(prefix, admits)| Some((word.strip_prefix(prefix)?, admits)));
    let (version, admits) = found.ok_or_else(bad)?;
    let (major, minor) = version.split_once('.').ok_or_else(bad)?;
    let number = |text: &str| text.parse().map_err(|_| bad());
    Ok(Bound { version: (number(major)?, number(minor)?), admits })
}

#[cfg(test)]
mod tests {
    use super::{Fit, Hosts};
    use crate::verdict::subject::Product;

    #[test]
    fn a_product_fits_if_every_condition_holds() {
        for (hosts, product, fit) in [
            ("kvm", "kvm 6.1", Fit::Yes),
            ("kvm", "kvm", Fit::Yes),
            ("kvm", "bochs 2.7", Fit::No),
            ("bochs <2.8", "bochs 2.7", Fit::Yes),
            ("bochs <2.8", "bochs 2.8", Fit::No),
            ("bochs <2.8", "bochs 3.0", Fit::No),
            ("kvm <6.10", "kvm 6.9", Fit::Yes),
            ("kvm <=6.9", "kvm 6.9", Fit::Yes),
            ("kvm >6.9", "kvm 6.9", Fit::No),
            ("kvm 5.10", "kvm 5.10", Fit::Yes),
            ("kvm 5.10", "kvm 5.1", Fit::No),
            ("kvm >=6.1 <7.0", "kvm 6.12", Fit::Yes),
            ("kvm >=6.1 <7.0", "kvm 7.2", Fit::No),
            ("kvm >=6.1 ept=0", "kvm 6.1 ept=N", Fit::Yes),
            ("kvm >=6.1 ept=0", "kvm 6.1 ept=Y", Fit::No),
            ("kvm ept=1", "kvm 6.1 ept=1", Fit::Yes),
        ] {
            let product: Product = product.parse().unwrap();
            assert_eq!(hosts.parse::<Hosts>().unwrap().fit(&product), fit, "{hosts}: {product}");
        }
    }

    #[test]
    fn what_is_not_known_may_fit_unless_something_else_does_not() {
        for (hosts, product, fit) in [
            ("kvm >=6.1", "kvm", Fit::Maybe),
            ("kvm ept=0", "kvm 6.1", Fit::Maybe),
            ("kvm <6.1 ept=0", "kvm 6.1", Fit::No),
            ("kvm <6.1 ept=0", "kvm ept=1", Fit::No),
        ] {
            let product: Product = product.parse().unwrap();
            assert_eq!(hosts.parse::<Hosts>().unwrap().fit(&product), fit, "{hosts}: {product}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        for (text, part) in [
            ("", "kvm >=6.1 ept=0"),
            ("hyperv", "hyperv"),
            ("kvm six", "'six'"),
            ("kvm >6", "'>6'"),
            ("kvm =6.1", "'=6.1'"),
            ("kvm >=", "'>='"),
            ("kvm ept", "'ept'"),
            ("kvm ept=Y", "'ept=Y'"),
        ] {
            let error = text.parse::<Hosts>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
