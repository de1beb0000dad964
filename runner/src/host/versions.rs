//! A host of which there are several versions, each with several sets of parameters.

use super::cost::Price;
use super::kind::Set;
use crate::interrupt;
use crate::lab::kernel::Which;
use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;

/// Each version with each set. A version that cannot be had leaves the others.
pub struct Versions<V, S> {
    /// The versions.
    pub versions: Vec<Result<V, Unavailable>>,
    /// The sets.
    pub sets: Vec<S>,
}

impl<V, S: Clone> Versions<V, S> {
    /// Prepares each kernel that is asked for, up to an interruption.
    ///
    /// # Errors
    /// What is asked for is wrong.
    pub fn of_kernels(
        request: &Request,
        sets: Vec<S>,
        prepare: impl Fn(&Which, &[S]) -> Result<V, Unavailable>,
    ) -> Result<Self, Unavailable> {
        let mut versions = Vec::new();
        for which in request.lab.kernels.iter().take_while(|_| !interrupt::pending()) {
            match prepare(which, &sets) {
                Err(error) if error.is_usage => return Err(error),
                version => versions.push(version),
            }
        }
        Ok(Self { versions, sets })
    }

    /// All of them, with the name and the price that `of` gives each. A version is a boot.
    pub fn list(&self, of: impl Fn(&V, &S) -> (String, Price)) -> Vec<Set> {
        let mut all = Vec::new();
        for (boot, version) in self.versions.iter().enumerate() {
            let set = |(name, price)| Set { name, boot, price };
            match version {
                Ok(version) => all.extend(self.sets.iter().map(|own| set(of(version, own)))),
                Err(why) => all.push(set((why.to_string(), Price::OfKvm(0)))),
            }
        }
        all
    }

    /// As [`Host::checksums`](super::kind::Host::checksums), with that of each version.
    pub fn checksums(&self, of: impl Fn(&V) -> u32) -> Vec<u32> {
        let own = |version: &Result<V, _>| match version {
            Ok(version) => vec![of(version); self.sets.len()],
            Err(_) => vec![0],
        };
        self.versions.iter().flat_map(own).collect()
    }

    /// Runs sets of one version, by their numbers in [`Versions::list`].
    pub fn run(
        &self,
        numbers: &[usize],
        strict: bool,
        run: impl FnOnce(&V, Vec<S>) -> Vec<RunResult>,
    ) -> Vec<RunResult> {
        let mut first = 0;
        for version in &self.versions {
            let count = if version.is_ok() { self.sets.len() } else { 1 };
            if numbers.iter().all(|number| (first..first + count).contains(number)) {
                let sets = numbers.iter().map(|number| number - first);
                return match version {
                    Ok(version) => run(version, sets.map(|at| self.sets[at].clone()).collect()),
                    Err(why) => vec![RunResult::unavailable(why, strict)],
                };
            }
            first += count;
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Price, Unavailable, Versions};
    use crate::verdict::result::{Origin, RunResult};

    #[test]
    fn a_set_is_run_on_its_version_and_one_that_is_missing_is_a_result() {
        let missing = Unavailable::new("there is no 6.2", "");
        let all = Versions { versions: vec![Ok(6.1), Err(missing), Ok(7.2)], sets: vec!["a", "b"] };
        let listed = all.list(|version, set| (format!("{version} {set}"), Price::Bochs));
        let names: Vec<_> = listed.iter().map(|set| (set.name.as_str(), set.boot)).collect();
        assert_eq!(names[..2], [("6.1 a", 0), ("6.1 b", 0)]);
        assert!(names[2].0.contains("no 6.2") && names[2].1 == 1);
        assert_eq!(names[3..], [("7.2 a", 2), ("7.2 b", 2)]);
        assert_eq!(all.checksums(|version| 1 + u32::from(*version > 7.0)), [1, 1, 0, 2, 2]);
        let run = |numbers: &[usize]| {
            let results = all.run(numbers, false, |version, sets| {
                let skipped =
                    |set| RunResult::skipped(format!("{version} {set}"), false, Origin::default());
                sets.into_iter().map(skipped).collect()
            });
            results.into_iter().map(|result| result.judgement.sentence).collect::<Vec<_>>()
        };
        assert_eq!(run(&[0, 1]), ["6.1 a", "6.1 b"]);
        assert_eq!(run(&[4]), ["7.2 b"]);
        assert!(run(&[2])[0].contains("no 6.2"));
    }
}
